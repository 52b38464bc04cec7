"""The request that a proxy holds back while it asks: what every proxy door reads, whatever its protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pdp.model.decision import Reason

Headers = Sequence[tuple[bytes, bytes]]


class Refused(Exception):
    """The request is denied before any rule. `kind` is a stable word for the record; it holds nothing of it."""

    def __init__(self, reason: Reason, kind: str) -> None:
        super().__init__(kind)
        self.reason = reason
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Original:
    """A request as its client sent it, as far as its proxy told.

    `headers` are the client's: names in lower case, every line kept, in order, without what the proxy added for us.
    `path` and `query` are raw, as sent: `pdp.doors.path` judges them.
    """

    method: str
    path: bytes
    query: bytes = b""
    headers: Headers = ()
    host: str = ""
    certificate: bytes | None = None  # as the profile's `client_certificate` says where: PEM, or an XFCC value
    extensions: Mapping[str, str] = field(default_factory=dict)  # Envoy's context_extensions: the operator's words

    def lines(self, name: bytes) -> tuple[bytes, ...]:
        """Every line of a header."""
        return tuple(value for each, value in self.headers if each == name)
