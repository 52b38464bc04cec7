"""The request that a proxy holds back while it asks: what every proxy door reads, whatever its protocol."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from pdp.model.decision import Reason

_HOST: Final = re.compile(
    rb"(?:(?!-)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63}){0,126}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?"
).fullmatch

Headers = Sequence[tuple[bytes, bytes]]


class Refused(Exception):
    """The request is denied before any rule. `kind` is a stable word for the record; it holds nothing of it."""

    def __init__(self, reason: Reason, kind: str) -> None:
        super().__init__(kind)
        self.reason = reason
        self.kind = kind


class Original(NamedTuple):
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
    extensions: Mapping[str, str] = MappingProxyType({})  # Envoy's context_extensions: the operator's words

    def lines(self, name: bytes) -> tuple[bytes, ...]:
        """Every line of a header."""
        return lines(self.headers, name)


def lines(headers: Headers, name: bytes) -> tuple[bytes, ...]:
    """Every line of a header."""
    return tuple([value for each, value in headers if each == name])


def checked_host(hosts: Sequence[bytes]) -> str:
    """The one host of a request, with its port if any, in lower case. Raises Refused for none, two, or an odd one:
    userinfo, a dot at the end, a list that a proxy joined with commas.
    """
    if len(hosts) != 1 or not _HOST(hosts[0]):
        raise Refused(Reason.BAD_REQUEST, "malformed-host")
    return hosts[0].decode("ascii").lower()
