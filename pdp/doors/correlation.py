"""What a request is called by others: its `X-Request-ID`, and the trace that it belongs to (W3C). Pure."""

from __future__ import annotations

import re
from typing import Final

from pdp.doors.authzen import clean_request_id
from pdp.doors.original import Headers

_NAMES: Final = frozenset({b"x-request-id", b"traceparent"})
_PARENT: Final = re.compile(rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


def names(headers: Headers) -> tuple[str, str]:
    """The request id and the trace id; "" for one that is missing, there twice or not as it should be."""
    request_id, parent = b"", b""
    for name, value in headers:
        if name in _NAMES:
            if name == b"x-request-id":
                request_id = b" " if request_id else value
            else:
                parent = b" " if parent else value
    if not request_id and not parent:
        return "", ""
    return (clean_request_id(request_id) or b"").decode("ascii"), trace(parent)


def trace(parent: bytes) -> str:
    """The trace id of a `traceparent`."""
    found = _PARENT.fullmatch(parent) if len(parent) <= 512 else None
    if found is None or (found[1] == b"00" and found[3] is not None):
        return ""
    return found[2].decode("ascii")
