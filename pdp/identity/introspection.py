"""Opaque tokens: their issuer is asked what they say (RFC 7662), through `Waiting`, and the answer is kept for seconds.

Active is literally `true`; an issuer that does not answer has said nothing, and nobody is let in.
"""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from time import monotonic
from typing import Any, Final, Protocol
from urllib.parse import quote_plus

from cachetools import FIFOCache

from pdp.identity.caller import Unknown, Waiting
from pdp.identity.issuer import Introspection, Issuer
from pdp.identity.keys import Busy, SourceError
from pdp.identity.registered import SECOND, Validity, for_access, for_us, held, whole
from pdp.model.request import RequestError, strict_json

MAX_ANSWERS: Final = 2_048
REFUSED_SECONDS: Final = 5
"""For how long it is remembered that a token is not active: longer would lock a token out that is just being made."""
SILENT_SECONDS: Final = 2
"""For how long an issuer that did not answer is not asked again, whoever asks."""

Answer = Mapping[str, Any] | str
"""The claims of an active token, or why it is refused."""


class Poster(Protocol):
    """`pdp.identity.fetch.Wire`, as far as it is needed here."""

    def post(self, url: str, form: Mapping[str, str], basic: tuple[str, str] | None) -> bytes: ...


class Introspected:
    """What one issuer said of tokens. Safe for threads."""

    def __init__(self, issuer: Issuer, introspection: Introspection, wire: Poster) -> None:
        self._issuer = issuer
        self._how = introspection
        self._wire = wire
        self._lock = Lock()
        self._active: FIFOCache[bytes, tuple[int, int, Answer]] = FIFOCache(MAX_ANSWERS)
        self._refused: FIFOCache[bytes, tuple[int, int, Answer]] = FIFOCache(MAX_ANSWERS)
        self._silent_since: int | None = None
        self._failures = 0
        self.problem = ""  # of the last exchange, for the operator

    def claims(self, token: bytes, digest: bytes, now: int) -> tuple[Mapping[str, Any], Validity]:
        """What the issuer says of an active token, and for how long that holds. Raises Unknown or Waiting."""
        kept = self._kept(digest, now)
        if kept is None:
            if self._silent_since is not None and abs(now - self._silent_since) < SILENT_SECONDS * SECOND:
                raise Unknown("introspection-unavailable")
            failures = self._failures
            raise Waiting(lambda: self._ask(token, digest, now, failures), self._issuer.name)
        since, until, answer = kept
        if isinstance(answer, str):
            raise Unknown(answer)
        return answer, Validity(since, until)

    def _kept(self, digest: bytes, now: int) -> tuple[int, int, Answer] | None:
        for answers in (self._active, self._refused):
            try:
                found = answers[digest]  # Not `get`, which looks twice: another thread may push it out in between.
            except KeyError:
                continue
            if found[0] <= now < found[1]:
                return found
        return None

    def _ask(self, token: bytes, digest: bytes, now: int, failures: int) -> None:
        """`failures`: how many there were when it was decided to ask."""
        if self._failures != failures or self._kept(digest, now) is not None:
            return  # Silent since, or another request with the same token was faster.
        began = monotonic()
        try:
            document = self._wire.post(self._how.url, *self._request(token))
        except Busy:
            return  # Our own bound: that says nothing about the issuer.
        except SourceError as error:
            self.problem = str(error)
            # Silent from the moment at which that is known: an exchange that hangs may take longer than the silence.
            self._silent_since = now + int((monotonic() - began) * SECOND)
            self._failures += 1
            return
        self._silent_since, self.problem = None, ""
        answer, until = self._judged(document, now)
        with self._lock:
            kept, other = (
                (self._active, self._refused) if not isinstance(answer, str) else (self._refused, self._active)
            )
            other.pop(digest, None)
            kept[digest] = (now, until, answer)

    def _request(self, token: bytes) -> tuple[dict[str, str], tuple[str, str] | None]:
        form = {"token": token.decode("ascii"), "token_type_hint": "access_token"}
        if self._how.secret is None:
            return form | {"client_id": self._how.client}, None
        # RFC 6749 section 2.3.1: both are form-encoded before they are put together.
        return form, (quote_plus(self._how.client), quote_plus(self._how.secret.decode("ascii")))

    def _judged(self, document: bytes, now: int) -> tuple[Answer, int]:
        try:
            return self._accepted(document, now)
        except (RequestError, Unknown) as error:
            kind = error.kind if isinstance(error, Unknown) else "malformed-introspection"
            return kind, now + REFUSED_SECONDS * SECOND

    def _accepted(self, document: bytes, now: int) -> tuple[Mapping[str, Any], int]:
        claims = strict_json(document, 12)
        if not isinstance(claims, dict) or claims.get("active") is not True:
            raise Unknown("inactive")
        if claims.get("iss", self._issuer.issuer) != self._issuer.issuer:
            raise Unknown("wrong-issuer")
        for_us(self._issuer, claims)
        for_access(claims)  # A refresh token is active, too.
        until = now + self._how.cache_seconds * SECOND
        ends = whole(claims, "exp")
        if ends is not None:
            until = min(until, held(self._issuer, claims, now).until)
        else:  # Whoever says active without an end is asked again soon; `nbf` and `iat` still count.
            held(self._issuer, {**claims, "exp": now // SECOND + 1}, now)
        return claims, until
