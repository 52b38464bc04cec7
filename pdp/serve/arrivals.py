"""The first message of each gRPC call, and an end to calls whose message does not come: each of them holds a thread.

grpcio waits for the message of a unary call before it hands the call over, in a thread, for as long as the caller
likes. So all methods take a stream of requests, of which one is read: on the wire there is no difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic
from typing import Final

import grpc

MESSAGE_SECONDS: Final = 2.0
"""How long a call may wait for its own message."""


class Arrivals:
    """Those of one server. Safe for threads."""

    def __init__(self) -> None:
        self._silent: dict[grpc.ServicerContext, float] = {}

    def first(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes | None:
        """The message; None where the call ends without one. Raises grpcio's exception where the caller has gone."""
        self._silent[context] = monotonic()
        try:
            return next(messages, None)
        finally:
            self._silent.pop(context, None)

    def end_silent(self) -> None:
        """Asked now and then."""
        now = monotonic()
        for context, since in list(self._silent.items()):
            if now - since > MESSAGE_SECONDS:
                context.cancel()  # type: ignore[no-untyped-call]
