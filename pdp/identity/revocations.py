"""What is refused although its signature still holds: revocations, and whom each of them covers.

A revocation names an issuer, a kind, a value and an instant. What is older than the instant is refused, what is newer
is good; the instant only ever moves forward. An age that is not known counts as the oldest there is: it is refused.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from sys import intern
from typing import Any, Final

from pdp.identity.caller import FOREVER, Caller
from pdp.model.request import RequestError, strict_json

SUBJECT: Final = "subject"  # whoever authenticated before the instant: a token renewed from an old login is old
TOKENS: Final = "subject-tokens"  # tokens of a subject issued before the instant: a renewed one is good
SESSION: Final = "session"  # by `sid`
TOKEN: Final = "token"  # by `jti`
CLIENT: Final = "client"  # tokens issued to a client before the instant
KINDS: Final = (SUBJECT, TOKENS, SESSION, TOKEN, CLIENT)
NAMED: Final = (SUBJECT, SESSION, TOKEN, CLIENT)
"""The kinds that the API and the file have a member for."""

ANY_ISSUER: Final = "*"
MAX_TEXT: Final = 2_048  # a SPIFFE ID is no longer
MAX_LINE_BYTES: Final = 8_192
MAX_INSTANT_SECONDS: Final = 253_402_300_799  # the end of the year 9999
SECOND: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Revocation:
    """Instants are microseconds since the epoch; `not_before` FOREVER: nothing is ever new enough."""

    issuer: str  # `iss`, a trust domain, or ANY_ISSUER
    kind: str  # one of KINDS
    value: str
    not_before: int
    reason: str = ""
    source: str = ""  # "api", "file", "transmitter NAME"
    recorded: int = 0
    id: str = ""
    sequence: int = 0


def instant(seconds: int, now: int) -> int:
    """The `not_before` for what happened at a whole second: all of that second is before it, and nothing after `now`.

    `iat` and event times are whole seconds, so that a token of the same second may be the older one.
    """
    return min((seconds + 1) * SECOND, now)


class Revoked:
    """All revocations in force, found by what they name. Reading is safe beside one thread that adds."""

    def __init__(self) -> None:
        # By kind and value: the issuers, each with its instant behind it. There may be very many, so they are small.
        self._by_kind: dict[str, dict[str, tuple[str | int, ...]]] = {kind: {} for kind in KINDS}

    def add(self, revocation: Revocation) -> None:
        """Only ever forward: an older instant changes nothing."""
        values = self._by_kind[revocation.kind]
        issuers = _pairs(values.get(revocation.value, ()))
        if issuers.get(revocation.issuer, -1) < revocation.not_before:
            not_before = FOREVER if revocation.not_before == FOREVER else revocation.not_before
            issuers[intern(revocation.issuer)] = not_before
            # Put there whole, by one assignment: no reader sees half of it.
            values[revocation.value] = tuple(chain.from_iterable(issuers.items()))

    def replace(self, kept: Iterable[Revocation]) -> None:
        """Forget all but these: swapped whole."""
        fresh = Revoked()
        for each in kept:
            fresh.add(each)
        self._by_kind = fresh._by_kind

    def covers(self, caller: Caller) -> bool:
        """Is the caller refused? A renewed token is as old as its authentication, but for TOKENS, TOKEN and CLIENT."""
        if not self._names(caller):
            return False
        issuer, issued = caller.issuer, caller.issued
        since = min(caller.authenticated, issued)
        return (
            self._refuses(SUBJECT, caller.subject_id, issuer, since)
            or self._refuses(SUBJECT, caller.sub, issuer, since)
            or self._refuses(SESSION, caller.session, issuer, since)
            or self._refuses(TOKEN, caller.token_id, issuer, issued)
            or self._refuses(CLIENT, caller.client, issuer, issued)
            or self._refuses(TOKENS, caller.subject_id, issuer, issued)
            or self._refuses(TOKENS, caller.sub, issuer, issued)
        )

    def _names(self, caller: Caller) -> bool:
        """Does any of them name the caller, whatever its age?"""
        kinds, subject, sub, client = self._by_kind, caller.subject_id, caller.sub, caller.client
        subjects, tokens = kinds[SUBJECT], kinds[TOKENS]
        return (
            subject in subjects
            or sub in subjects
            or caller.session in kinds[SESSION]
            or caller.token_id in kinds[TOKEN]
            or client in kinds[CLIENT]
            or subject in tokens
            or sub in tokens
        )

    def _refuses(self, kind: str, value: str, issuer: str, age: int) -> bool:
        found = self._by_kind[kind].get(value)
        if found is None:
            return False
        issuers = _pairs(found)
        return age < max(issuers.get(issuer, -1), issuers.get(ANY_ISSUER, -1))

    def __len__(self) -> int:
        return sum(len(issuers) // 2 for values in self._by_kind.values() for issuers in values.values())


def _pairs(flat: tuple[Any, ...]) -> dict[str, int]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


# ------------------------------------------------------------------------------------------------------------- reading


def read(given: Any, now: int, source: str) -> Revocation:
    """A revocation as the API gets it: `{issuer, subject|session|token|client, not_before?, reason?}`.

    Without `not_before`, a subject or a client starts anew now, while a session or a token never comes back. Raises
    RequestError.
    """
    return _read(given, source, lambda kind: now if kind in (SUBJECT, CLIENT) else FOREVER)


def lines(data: bytes) -> Iterator[Revocation | str]:
    """The revocations of a file, or a sentence for each line that is none. Without `not_before` a line holds for ever:
    its instant must not move when it is read again.
    """
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        try:
            if len(line) > MAX_LINE_BYTES:
                raise RequestError("is too long")
            yield _read(strict_json(line), "file", lambda _: FOREVER)
        except RequestError as error:
            yield f"line {number}: {error}"


def _read(given: Any, source: str, default: Callable[[str], int]) -> Revocation:
    if not isinstance(given, dict):
        raise RequestError("must be an object")
    unknown = sorted(set(given) - {"issuer", "not_before", "reason", *NAMED})
    if unknown:  # One that was misspelt might have been meant to refuse more.
        raise RequestError("is not known", unknown[0])
    kinds = [kind for kind in NAMED if kind in given]
    if len(kinds) != 1:
        raise RequestError(f"must name exactly one of {', '.join(NAMED)}")
    kind = kinds[0]
    return Revocation(
        identified(given, "issuer"),
        kind,
        identified(given, kind),
        _not_before(given["not_before"]) if "not_before" in given else default(kind),
        text(given, "reason") if "reason" in given else "",
        source,
    )


def text(given: Mapping[str, Any], name: str) -> str:
    """A member that must be a text of some length. Raises RequestError."""
    found = given.get(name)
    if not isinstance(found, str) or not 1 <= len(found) <= MAX_TEXT or "\0" in found:
        raise RequestError(f"must be a text of 1 to {MAX_TEXT} characters", name)
    return found


def identified(given: Mapping[str, Any], name: str) -> str:
    """A text that names somebody, as tokens do: in NFC, or it would refuse nobody. Raises RequestError."""
    found = text(given, name)
    if not found.isascii() and not unicodedata.is_normalized("NFC", found):
        raise RequestError("must be in the normal form NFC, as in tokens: in another one it refuses nobody", name)
    return found


def _not_before(given: Any) -> int:
    if given == "forever":
        return FOREVER
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given <= MAX_INSTANT_SECONDS:
        raise RequestError("must be whole seconds since the epoch, or `forever`", "not_before")
    return given * SECOND
