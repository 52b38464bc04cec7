"""The public keys of one issuer, kept and refreshed. A set replaces the one before it, whole: what was removed is gone.

Nothing is fetched while a decision is made. What needs a fetch raises `Waiting`, one request does it, and how often is
bounded whatever the tokens say: a storm of unknown key ids costs one fetch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any, Final

from pdp.identity.caller import Unknown, Waiting
from pdp.identity.files import regular
from pdp.identity.jwk import Key, KeyRefused, key
from pdp.model.request import RequestError, strict_json

SECOND: Final = 1_000_000
MAX_KEYS: Final = 100
MAX_BYTES: Final = 262_144
MAX_JOINING: Final = 16
"""Requests that wait for one fetch together; the next ones are refused, so that no storm fills the worker."""
RETRY_SECONDS: Final = 5
"""Between two fetches while there is no key at all."""
FLIGHT_SECONDS: Final = 60
"""A fetch that was claimed this long ago and has not ended was never begun."""


class SourceError(Exception):
    """Keys, or an answer, could not be had. The message is for the operator."""


class Busy(SourceError):
    """Too much is being fetched already."""


Source = Callable[[], bytes]


@dataclass(frozen=True, slots=True, eq=False)
class KeySet:
    """Compared by identity: another object is another revision."""

    keys: tuple[Key, ...]
    digest: bytes
    skipped: tuple[str, ...] = ()  # why keys of the document are not used

    def find(self, header: Mapping[str, Any]) -> Key | None:
        """The one key for a header; None where its key id is not known. `kid` is a key of a dict, never a name of
        something. Without `kid`, only when exactly one key fits. Raises Unknown for a key that does not fit.
        """
        algorithm, kid = header["alg"], header.get("kid")
        named = [each for each in self.keys if kid is None or each.kid == kid]
        fitting = {each.thumbprint: each for each in named if algorithm in each.algorithms}
        if len(fitting) == 1:
            return fitting.popitem()[1]
        if named and (fitting or kid is not None):
            raise Unknown("ambiguous-key" if fitting else "algorithm")
        return None


def key_set(document: bytes, use: str = "sig") -> KeySet:
    """The keys of a JWK set. Keys that are not for this are skipped (RFC 7517 section 5), private ones too: they are
    nobody's any more. Raises SourceError where it is no key set.
    """
    try:
        found = strict_json(document, 12)
    except RequestError as error:
        raise SourceError(f"not a key set: {error.message}") from error
    listed = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(listed, list) or len(listed) > MAX_KEYS:
        raise SourceError(f"not a key set: `keys` must list at most {MAX_KEYS} keys")
    return of_keys(listed, use, sha256(document).digest())


def of_keys(listed: Sequence[object], use: str = "sig", digest: bytes = b"") -> KeySet:
    kept: list[Key] = []
    skipped: list[str] = []
    for each in listed:
        try:
            kept.append(key(each, use))
        except KeyRefused as error:
            skipped.append(str(error))
    return KeySet(tuple(kept), digest, tuple(skipped))


def file_source(path: Path) -> Source:
    def read() -> bytes:
        try:
            found = regular(path, MAX_BYTES)
        except OSError as error:
            raise SourceError(f"{path} cannot be read: {error.strerror}") from error
        if len(found) > MAX_BYTES:
            raise SourceError(f"{path} is larger than {MAX_BYTES} bytes")
        return found

    return read


class _Flight:
    """One fetch. Whoever comes first does it, the others wait for it."""

    def __init__(self, now: int, fetch: Callable[[], None]) -> None:
        self.since = now
        self.requests = {now}  # by their `now`
        self.done = False
        self._fetch = fetch
        self._lock = Lock()

    def work(self) -> None:
        with self._lock:
            if not self.done:
                self._fetch()
                self.done = True


class Keys:
    """One issuer's keys. Safe for threads. `now` is microseconds since the epoch, as everywhere."""

    def __init__(
        self,
        source: Source | None = None,
        initial: KeySet | None = None,
        *,
        refresh_seconds: int = 300,
        cooldown_seconds: int = 30,
        keep_seconds: int = 86_400,
        use: str = "sig",
        whose: str = "",
    ) -> None:
        """`whose`: the name of the issuer, for whoever waits."""
        self._whose = whose
        self._source = source
        self._state: tuple[KeySet, int] | None = None if initial is None else (initial, 0)
        self._refresh = refresh_seconds * SECOND
        self._cooldown = cooldown_seconds * SECOND
        self._keep = keep_seconds * SECOND
        self._use = use
        self._lock = Lock()
        self._flight: _Flight | None = None
        self._tried: dict[bool, int] = {}  # when it was tried last: for an unknown key (True), or by age
        self.problem = ""  # of the last fetch, for the operator
        self.fetches = 0

    def current(self, now: int) -> KeySet:
        """The keys that count now. Raises Waiting where they have to be fetched, Unknown where they cannot be."""
        state = self._state
        if self._source is None:
            assert state is not None
            return state[0]
        if state is not None:
            keys, fetched = state
            age = abs(now - fetched)
            if age < self._refresh:
                return keys
            if age < self._keep:
                flight = self._claimed(now, joining=False)  # One request goes; the others use what there is.
                if flight is not None:
                    raise Waiting(flight.work, self._whose)
                return keys
        flight = self._claimed(now, joining=True)
        if flight is not None:
            raise Waiting(flight.work, self._whose)
        raise Unknown("keys-unavailable")

    def stale(self, now: int) -> bool:
        """Are the keys older than they should be, since refreshing failed?"""
        return bool(self.problem) and self._state is not None and abs(now - self._state[1]) >= self._refresh

    def find(self, header: Mapping[str, Any], now: int) -> tuple[Key, KeySet]:
        """The key for a header, and the set that it is in. Raises Waiting or Unknown."""
        keys = self.current(now)
        found = keys.find(header)
        if found is not None:
            return found, keys
        flight = None if self._source is None else self._claimed(now, joining=True, unknown=True)
        if flight is not None:
            raise Waiting(flight.work, self._whose)
        raise Unknown("unknown-key")

    def _claimed(self, now: int, joining: bool, unknown: bool = False) -> _Flight | None:
        """The fetch that this request does or waits for; None where there is none for it."""
        with self._lock:
            flight = self._flight
            if flight is not None and not flight.done and abs(now - flight.since) < FLIGHT_SECONDS * SECOND:
                if not joining or len(flight.requests) >= MAX_JOINING:
                    return None
                flight.requests.add(now)
                return flight
            if flight is not None and now in flight.requests:
                return None  # It has waited already, and this is what came of it.
            pause = self._cooldown if self._state is not None else min(self._cooldown, RETRY_SECONDS * SECOND)
            # An unknown key has a pause of its own: the keys may have been rotated right after they were refreshed.
            if unknown in self._tried and abs(now - self._tried[unknown]) < pause:
                return None
            self._tried[unknown] = now
            self._flight = flight = _Flight(now, lambda: self._fetch(now))
            return flight

    def _fetch(self, now: int) -> None:
        assert self._source is not None
        self.fetches += 1
        try:
            found = key_set(self._source(), self._use)
        except SourceError as error:
            self.problem = str(error)
            return
        before = self._state
        unchanged = before is not None and before[0].digest == found.digest
        self._state = (before[0] if before is not None and unchanged else found, now)
        self.problem = ""
