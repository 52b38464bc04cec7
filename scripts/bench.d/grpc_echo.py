"""What our gRPC server does without us: the same server and threads, the same parsing, always the same permit.

grpc_echo.py PORT
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import grpc

from pdp.doors import envoy_grpc
from pdp.doors.verdict import Verdict
from pdp.model.decision import Decision, Effect, Reason
from pdp.serve.grpc_server import MOST_THREADS, THREADS
from pdp.serve.hands import Hands

PERMIT = Verdict(Decision(Effect.ALLOW, Reason.PERMITTED), "0123456789ab-1", "user", "dr-osei")
ANSWER: bytes = envoy_grpc.answer(PERMIT, ()).SerializeToString()


def answered(messages: Iterator[bytes], _: grpc.ServicerContext) -> bytes:
    envoy_grpc.read(next(messages), "none")
    return ANSWER


def main(port: int) -> None:
    server = grpc.server(Hands(THREADS, MOST_THREADS), options=[("grpc.so_reuseport", 0)])
    handler = grpc.stream_unary_rpc_method_handler(answered)
    service = grpc.method_handlers_generic_handler(envoy_grpc.SERVICE, {envoy_grpc.METHOD: handler})
    server.add_generic_rpc_handlers((service,))
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main(int(sys.argv[1]))
