"""What a request shows of who asks (`Evidence`), who that was found to be (`Caller`), and why nobody was found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

FOREVER: Final = 2**63 - 1


class Evidence(NamedTuple):
    """What a door found in a request. Nothing of it is believed yet but the certificate: the enforcement point, which
    has proven itself, says that its own handshake verified it.
    """

    authorization: tuple[bytes, ...] = ()  # every `Authorization` line, as sent
    dpop: tuple[bytes, ...] = ()  # every `DPoP` line
    certificate: bytes | None = None  # DER of the client's leaf certificate
    method: str = ""  # of the original request
    url: str = ""  # of the original request, without query: the profile's `origin` and the raw path; "": not known


@dataclass(frozen=True, slots=True)
class Caller:
    """A verified caller. Times are microseconds since the epoch; `now` must be before `expires`."""

    subject_type: str  # wire name
    subject_id: str
    via: str  # "token", "certificate", "header" (unverified, loopback only)
    token: Mapping[str, Any] | None = None  # what `from token` attributes are read from, by attribute name
    certificate: Mapping[str, Any] | None = None  # what `from certificate` attributes are read from
    issuer: str = ""  # the token's `iss`, or the certificate's trust domain
    client: str = ""  # `client_id` or `azp`; the peer's SPIFFE id where there is no token
    token_id: str = ""  # `jti`
    session: str = ""  # `sid`
    actors: tuple[str, ...] = ()  # RFC 8693 `act`, outermost first: for the record
    scopes: tuple[str, ...] | None = None  # SMART scopes that narrow what is asked; None: they do not apply
    patient: str = ""  # SMART launch patient
    acr: str = ""
    amr: tuple[str, ...] = ()
    issued: int = 0
    authenticated: int = 0  # `auth_time`, else `iat`
    tells_authentication: bool = False  # there was an `auth_time`: a renewed token is no newer authentication
    sub: str = ""  # the token's `sub` as its issuer writes it, where `subject_id` is another claim, or prefixed
    expires: int = FOREVER
    warnings: tuple[str, ...] = field(default=(), compare=False)  # stable words for the record


@dataclass(frozen=True, slots=True)
class Suspect:
    """Of a token that does not count: which of our issuers it names, by its name here, and whom it is about, where its
    signature was good. For the record alone: nobody is established by it.
    """

    issuer: str
    subject_type: str = ""
    subject_id: str = ""


class Unknown(Exception):
    """Nobody is established: 401. `kind` is a stable word for the record; `challenge` the `WWW-Authenticate` value."""

    def __init__(self, kind: str, challenge: bytes = b"Bearer", suspect: Suspect | None = None) -> None:
        super().__init__(kind)
        self.kind = kind
        self.challenge = challenge
        self.suspect = suspect


class Waiting(Exception):
    """Something from outside is needed first (keys, an introspection). Call `work` where blocking is allowed, then ask
    again, once; a second `Waiting` is an `Unknown`. `work` is bounded in time and raises nothing. `whose`: the issuer
    that it has to come from, by its name here.
    """

    def __init__(self, work: Callable[[], None], whose: str = "") -> None:
        super().__init__()
        self.work = work
        self.whose = whose
