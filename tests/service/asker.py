"""Asks as an Envoy does: over gRPC, with raw bytes in and out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from pdp.doors.envoy_messages import CheckResponse, HealthCheckRequest, HealthCheckResponse
from tests.service.certificates import Authority, Leaf
from tests.unit.doors.asking import check_request

CHECK = "/envoy.service.auth.v3.Authorization/Check"
ALONE = [("grpc.use_local_subchannel_pool", 1)]
"""A connection of its own, so that the kernel may give it to another worker."""


class Asker:
    def __init__(self, channel: grpc.Channel) -> None:
        self.channel = channel
        self._check = channel.unary_unary(CHECK)
        self._health = channel.unary_unary("/grpc.health.v1.Health/Check", None, HealthCheckResponse.FromString)

    def raw(self, data: bytes, *metadata: tuple[str, str], seconds: float = 5.0) -> Any:
        """The answer to any bytes. A call that fails raises grpc.RpcError: to Envoy that is an error, not a deny."""
        return CheckResponse.FromString(self._check(data, timeout=seconds, metadata=metadata))

    def ask(self, user: str = "nina", path: str = "/fhir/Record/r1", *metadata: tuple[str, str], **more: Any) -> Any:
        message = check_request(path, ("x-user", user.encode()), **more)
        return self.raw(message.SerializeToString(), *metadata)

    def allowed(self, *given: Any, **more: Any) -> bool:
        return bool(self.ask(*given, **more).status.code == 0)

    def health(self, service: str = "") -> int:
        return int(self._health(HealthCheckRequest(service=service).SerializeToString(), timeout=5).status)

    def watch(self, service: str = "") -> Any:
        call = self.channel.unary_stream("/grpc.health.v1.Health/Watch", None, HealthCheckResponse.FromString)
        return call(HealthCheckRequest(service=service).SerializeToString(), timeout=60)


@contextmanager
def asker(port: int, authority: Authority | None = None, leaf: Leaf | None = None) -> Iterator[Asker]:
    """In the clear, or with TLS: `authority` signed the server's certificate, `leaf` is ours."""
    if authority is None:
        channel = grpc.insecure_channel(f"127.0.0.1:{port}", ALONE)
    else:
        key = leaf.key_file.read_bytes() if leaf else None
        chain = leaf.pem if leaf else None
        credentials = grpc.ssl_channel_credentials(authority.certificate_file.read_bytes(), key, chain)
        channel = grpc.secure_channel(f"localhost:{port}", credentials, ALONE)
    try:
        yield Asker(channel)
    finally:
        channel.close()
