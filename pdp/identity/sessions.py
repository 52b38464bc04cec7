"""May this session go on? Revoked, idle for too long, too old: judged for every request, before anything is cached.

A session is what the issuer calls one (`sid`); a token without that is a session of its own, by `jti`, else all tokens
of its subject are one. What has ended stays ended: a token that is only renewed does not open it again, nor does a
clock that steps back; only a newer authentication does. Certificates have no session: revocations alone count there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import blake2b
from threading import Lock
from typing import Final, Protocol

from pdp.identity.caller import FOREVER, Caller
from pdp.identity.revocations import SECOND, Revocation, Revoked
from pdp.identity.store import IDLE, TOO_OLD, Session, StoreError

REVOKED: Final = "revoked"
UNAVAILABLE: Final = "sessions-unavailable"
"""What is known of sessions and revocations cannot be read: nobody goes on."""

LEEWAY: Final = 3_600 * SECOND
"""Added where a token's own end decides how long something is remembered."""


@dataclass(frozen=True, slots=True)
class Limits:
    """0: no limit."""

    idle_seconds: int = 900
    absolute_seconds: int = 43_200


class Kept(Protocol):
    """Where sessions are that are not in memory."""

    def session(self, key: bytes) -> Session | None: ...


class Sessions:
    """One worker's. Safe for threads. Memory is bounded: what was not used for long is read again from the store."""

    def __init__(
        self,
        limits: Limits,
        by_issuer: Mapping[str, Limits] | None = None,
        *,
        remember_seconds: int = 2_592_000,
        unread_seconds: int = 60,
        max_sessions: int = 50_000,
    ) -> None:
        """`remember_seconds`: the longest that a token, or a session that is renewed, can live. `unread_seconds`: when
        the store was not read for this long, everybody is denied.
        """
        self.revoked = Revoked()
        self._limits = limits
        self._by_issuer = by_issuer or {}
        self._remember = remember_seconds * SECOND
        self._unread = unread_seconds * SECOND
        self._half = max(1, max_sessions // 2)
        self._kept: Kept | None = None
        self._failed: tuple[bytes, str] | None = None  # which session could not be judged last, and why
        self._read_at = -FOREVER  # when the store was last read
        self._clock = 0  # of the last look at the store: no request is judged at an earlier time
        self._lock = Lock()
        # Two generations: what is used moves to the young one; the old one is dropped when the young one is full.
        self._young: dict[bytes, Session] = {}
        self._old: dict[bytes, Session] = {}
        self._dirty: dict[bytes, Session] = {}

    def judge(self, caller: Caller, now: int) -> str:
        """Empty, and the use is noted; or the stable word that says why the caller may not go on."""
        if now < self._clock:
            now = self._clock
        if not self.known(now):
            return UNAVAILABLE
        if self.revoked.covers(caller):
            return REVOKED
        if caller.via != "token":
            return ""
        limits = self._by_issuer.get(caller.issuer, self._limits)
        if not limits.idle_seconds and not limits.absolute_seconds:
            return ""
        key = key_of(caller)
        try:
            session = self._young.get(key) or self._found(key, caller, limits, now)
            if session.idle and now - session.used > session.idle and not session.ended:
                self._ask_again(session)
        except StoreError as error:
            self._failed = key, str(error)
            return UNAVAILABLE  # It may be over: unknown is not new.
        with self._lock:
            self._dirty[key] = session
            return self._used(session, caller, now)

    def known(self, now: int) -> bool:
        """Was the store read lately?"""
        return now - self._read_at <= self._unread

    def _found(self, key: bytes, caller: Caller, limits: Limits, now: int) -> Session:
        """A session that was not used for long, or is seen for the first time. Raises StoreError."""
        with self._lock:
            known = self._old.pop(key, None)
            if known is not None:
                self._young[key] = known
                return known
            if self._full():
                raise StoreError("there is no room for another session")
        if self._kept is None:
            raise StoreError("the store of sessions is not open")
        session = self._kept.session(key) or _first(key, caller, now)
        session.idle, session.absolute = limits.idle_seconds * SECOND, limits.absolute_seconds * SECOND
        with self._lock:
            return self._young.setdefault(key, session)

    def _full(self) -> bool:
        return len(self._young) > 4 * self._half

    def trouble(self) -> str:
        """Why sessions cannot be judged, though the store is followed; empty once the last that could not be can be."""
        if self._failed is None:
            return ""
        key, reason = self._failed
        if self._kept is None or self._full():
            return reason
        try:
            self._kept.session(key)
        except StoreError as error:
            return str(error)
        self._failed = None
        return ""

    def _ask_again(self, session: Session) -> None:
        """Before a session ends for want of use: was it used elsewhere a moment ago? Raises StoreError."""
        kept = self._kept.session(session.key) if self._kept is not None else None
        if kept is not None:
            with self._lock:
                session.merged(kept)

    def _used(self, session: Session, caller: Caller, now: int) -> str:
        session.kept_until = max(session.kept_until, self._kept_until(caller, now))
        age = caller.authenticated if caller.session else caller.issued
        if age < session.floor:
            return session.ended or IDLE  # Of before the authentication that opened the session again.
        if not session.ended and session.idle and now - session.used > session.idle:
            session.ended = IDLE
        since = _since(caller, session)
        too_old = session.absolute > 0 and now - since > session.absolute
        if too_old and not session.ended and since >= session.opened:
            session.ended = TOO_OLD
        if too_old or (session.ended and not _opens(caller, session)):
            return session.ended or TOO_OLD
        if session.ended:
            session.ended, session.opened, session.floor = "", age, age
        if _tells(caller) and caller.authenticated > session.generation:
            session.generation = session.opened = caller.authenticated
        session.used = now
        return ""

    def _kept_until(self, caller: Caller, now: int) -> int:
        """A token without `sid` is forgotten after its end; a session can be renewed: it is remembered for longer."""
        ends = min(caller.expires, now + 2 * self._remember) + LEEWAY
        return max(now + self._remember, ends) if caller.session else ends

    # ------------------------------------------------------------------------------------------ following the store

    def look(self, now: int) -> tuple[int, int] | None:
        """The time goes on. From and to where the clock was set back, when it was."""
        before, self._clock = self._clock, now
        if now >= before:
            return None
        with self._lock:
            for each in (*self._young.values(), *self._old.values()):
                each.settle(before, now)
        return before, now

    def opened(self, kept: Kept) -> None:
        self._kept = kept

    def read(self, revocations: Iterable[Revocation], sessions: Iterable[Session], now: int) -> None:
        """The store was read, and this is what others have written since."""
        for revocation in revocations:
            self.revoked.add(revocation)
        with self._lock:
            for each in sessions:
                known = self._young.get(each.key) or self._old.get(each.key)
                if known is not None:
                    known.merged(each)
        self._read_at = now

    def changed(self) -> list[Session]:
        """What has to be saved. Give back with `unsaved` what could not be."""
        with self._lock:
            found, self._dirty = self._dirty, {}
            return [replace(each) for each in found.values()]

    def unsaved(self, sessions: Iterable[Session]) -> None:
        with self._lock:
            for each in sessions:
                self._dirty.setdefault(each.key, self._young.get(each.key) or self._old.get(each.key) or each)

    def saved(self) -> None:
        """All is saved but what changed just now: make room where there is little."""
        with self._lock:
            if len(self._young) > self._half:
                self._old, self._young = self._young, {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)


def key_of(caller: Caller) -> bytes:
    """What the session is known by. A digest, so that no file holds an identifier."""
    kind, value = "sid", caller.session
    if not value:
        kind, value = ("jti", caller.token_id) if caller.token_id else ("sub", caller.subject_id)
    return _digest(kind, caller.issuer, value)


@lru_cache(maxsize=4_096)
def _digest(kind: str, issuer: str, value: str) -> bytes:
    return blake2b(f"{kind}:{len(issuer)}:{issuer}{value}".encode(), digest_size=16).digest()


def _first(key: bytes, caller: Caller, now: int) -> Session:
    """A session that nobody has seen. Its last use is when its token was issued; where the token does not say, now."""
    opened = min(caller.authenticated, now) or now
    return Session(key, 0, 0, opened, min(caller.issued, now) or now, "", 0, 0, 0)


def _tells(caller: Caller) -> bool:
    """Does the token say when its user authenticated, apart from when it was issued?"""
    return caller.tells_authentication or 0 < caller.authenticated < caller.issued


def _since(caller: Caller, session: Session) -> int:
    """From when the age counts. A renewed token that tells only when it was issued is as old as its session."""
    if _tells(caller) or (caller.authenticated and not caller.session):
        return caller.authenticated
    return min(session.opened, caller.authenticated or session.opened)


def _opens(caller: Caller, session: Session) -> bool:
    """Is this a newer authentication than what has ended, and not a renewed token?"""
    last = session.opened if session.ended == TOO_OLD else session.used
    if caller.session:
        return _tells(caller) and caller.authenticated > last
    return not caller.token_id and caller.issued > last
