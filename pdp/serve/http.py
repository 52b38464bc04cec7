"""What ASGI hands in and takes back, in the few forms that our doors use."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
Answer = tuple[int, Headers, bytes]

JSON: Final = (b"content-type", b"application/json")
TEXT: Final = (b"content-type", b"text/plain; charset=utf-8")
NO_STORE: Final = (b"cache-control", b"no-store")
BEARER: Final = (b"www-authenticate", b'Bearer realm="chaperone"')
BODY_SECONDS: Final = 10
CERTIFICATE: Final = "pdp.certificate"
"""Where `pdp.serve.connection` leaves the DER of the connection's client certificate in the scope."""

ARRIVED: Final = "pdp.arrived"
"""What `pdp.serve.connection` leaves in the scope where all of the body has come: nobody waits for it any more."""


def certificate(scope: Scope) -> bytes | None:
    """The DER of the client certificate of the connection, which its handshake has verified."""
    found: bytes | None = scope.get(CERTIFICATE)
    return found


class Disconnected(Exception):
    """The caller left before its request was whole: there is nobody to answer, and nothing was decided."""


class BadBody(Exception):
    """The body is longer, or slower, than we wait for. `kind` is a stable word, `status` the answer's."""

    def __init__(self, kind: str, status: int) -> None:
        super().__init__(kind)
        self.kind = kind
        self.status = status


async def body(scope: Scope, given: Mapping[bytes, bytes], receive: Receive, limit: int) -> bytes:
    """The whole body. A length that is announced is judged before anything is read. Raises BadBody, Disconnected."""
    announced = given.get(b"content-length", b"0")
    if len(announced) > 12 or (announced.isdigit() and int(announced) > limit):
        raise BadBody("too-long", 413)
    if ARRIVED in scope:
        return await _whole(receive, limit)
    try:
        async with asyncio.timeout(BODY_SECONDS):  # The first part too: some send a head, and then nothing.
            return await _whole(receive, limit)
    except TimeoutError:
        raise BadBody("too-slow", 408) from None


async def _whole(receive: Receive, limit: int) -> bytes:
    chunks: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise Disconnected
        chunks.append(message["body"])
        size += len(chunks[-1])
        if size > limit:
            raise BadBody("too-long", 413)
        more = message.get("more_body", False)
    return b"".join(chunks)
