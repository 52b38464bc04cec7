"""Telling somebody of a case: by webhook, syslog or file. At least once; the id of an alert is the same each time.

An alert says which rules, how many points and why, and the case under which `pdp audit case show` says the rest. Whom
and what it is about it says only where the operator has said so.

A webhook is signed: `x-pdp-signature: v1=HMAC-SHA256(secret, timestamp || "." || body)` in hex, `x-pdp-timestamp` in
seconds since the epoch. Whoever receives it refuses an old timestamp, and an `x-pdp-alert` that was there before.
"""

from __future__ import annotations

import hmac
import http.client
import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Event, Timer
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import orjson

from pdp.audit.asking.period import brief
from pdp.audit.detect.finding import NO_PERSON, Alert
from pdp.audit.detect.wanted import To
from pdp.audit.evidence import EvidenceError
from pdp.audit.ship.destination import Syslog
from pdp.audit.ship.syslog import Collector
from pdp.audit.ship.target import Item
from pdp.audit.ship.trust import context

FIRST_BACK_OFF: Final = 5
LONGEST_BACK_OFF: Final = 600
GIVEN_UP: Final = 3 * 86_400
"""Seconds after which an alert that nobody takes is dropped, which is said."""
MOST: Final = 1_000
REMEMBERED: Final = 5_000
READ: Final = 65_536
VERSION: Final = 1


class AlertError(EvidenceError):
    """It was not taken. In words of ours, which quote no secret."""


def body(alert: Alert, identities: bool) -> dict[str, Any]:
    case = alert.case
    said: dict[str, Any] = {
        "v": VERSION,
        "kind": "alert",
        "alert": f"{case.id}-{alert.score}",
        "case": case.id,
        "at": brief(alert.time),
        "score": alert.score,
        "parts": [{"rule": each.rule, "title": each.title, "points": each.points} for each in alert.parts],
        "because": alert.finding.because,
        "subject": {"type": case.type},
        "findings": len(case.findings),
    }
    if identities or case.type in NO_PERSON:
        said["subject"]["id"] = case.who
    if identities:
        said["patients"] = sorted({each.patient for each in case.findings if each.patient})[:100]
    return said


def signature(secret: bytes, timestamp: int, data: bytes) -> str:
    return "v1=" + hmac.new(secret, b"%d.%s" % (timestamp, data), sha256).hexdigest()


class Target(Protocol):
    def put(self, name: str, data: bytes, now: float) -> None:
        """Returns when it was taken. Raises AlertError."""


class Webhook:
    def __init__(self, to: To) -> None:
        self._to = to

    def put(self, name: str, data: bytes, now: float) -> None:
        parts = urlsplit(self._to.url)
        host, port = parts.hostname or "", parts.port
        line: http.client.HTTPConnection
        try:
            if parts.scheme == "https":
                line = http.client.HTTPSConnection(
                    host, port, timeout=self._to.timeout_seconds, context=context(self._to.trust)
                )
            else:
                line = http.client.HTTPConnection(host, port, timeout=self._to.timeout_seconds)
            try:
                line.connect()
                with _no_longer(line.sock, self._to.timeout_seconds):
                    line.request("POST", parts.path or "/", data, self._headers(name, data, int(now)))
                    answer = line.getresponse()
                    answer.read(READ)
            finally:
                line.close()
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise AlertError(f"nobody takes it: {type(error).__name__}") from None
        if not 200 <= answer.status < 300:  # Nor a redirect: who is meant is who was named.
            raise AlertError(f"the other side answers {answer.status}")

    def _headers(self, name: str, data: bytes, now: int) -> dict[str, str]:
        made = {
            "content-type": "application/json",
            "user-agent": "chaperone",
            "x-pdp-alert": name,
            "x-pdp-timestamp": str(now),
        }
        if self._to.secret:
            made["x-pdp-signature"] = signature(self._to.secret, now, data)
        return made


@contextmanager
def _no_longer(line: socket.socket, seconds: float) -> Iterator[None]:
    """Ends the connection then: who sends a byte now and then never makes one read wait too long, and yet all of them.

    Raises TimeoutError: what was cut off here is no answer, whatever it looked like. `line` may be TLS; shut down is
    what lies under it, which is what wakes who reads.
    """
    over = Event()

    def shut() -> None:
        over.set()
        with suppress(OSError):
            socket.socket.shutdown(line, socket.SHUT_RDWR)

    end = Timer(seconds, shut)
    end.daemon = True
    end.start()
    try:
        yield
    finally:
        end.cancel()
    if over.is_set():
        raise TimeoutError


class Lines:
    """One file, a JSON object a line, synced. Made with mode 0600. A line that was cut is ended before the next."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def put(self, _name: str, data: bytes, _now: float) -> None:
        try:
            file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                left = data + b"\n" if _whole(file) else b"\n" + data + b"\n"
                while left:
                    left = left[os.write(file, left) :]
                os.fsync(file)
            finally:
                os.close(file)
        except OSError as error:
            raise AlertError(f"the file cannot be written: {error.strerror}") from None


def _whole(file: int) -> bool:
    """Does it end with a line that has one?"""
    end = os.fstat(file).st_size
    return not end or os.pread(file, 1, end - 1) == b"\n"


class Sysloged:
    def __init__(self, to: Syslog, timeout_seconds: int) -> None:
        self._collector = Collector(to, timeout_seconds)

    def put(self, name: str, data: bytes, now: float) -> None:
        try:
            self._collector.put([Item(name, data, "alert", int(now * 1_000_000), name, 0)])
        except EvidenceError as error:
            raise AlertError(str(error)) from None


def target(to: To) -> Target:
    if to.syslog is not None:
        return Sysloged(to.syslog, to.timeout_seconds)
    return Lines(to.file) if to.file is not None else Webhook(to)


@dataclass(slots=True)
class Waiting:
    """An alert that one target has not taken yet. Times in seconds since the epoch."""

    to: str
    name: str
    data: str
    since: float
    due: float
    tries: int = 0


class Outbox:
    """What is still to be told, kept in a file (0600) so that a crash loses none."""

    def __init__(self, path: Path, to: tuple[To, ...], make: Callable[[To], Target] = target) -> None:
        """Raises EvidenceError."""
        self._path = path
        self._to = {each.name: each for each in to}
        self._make = make
        self._targets: dict[str, Target] = {}
        self.waiting: list[Waiting] = []
        self.problems: dict[str, str] = {}
        self.dropped = 0
        self.sent = 0
        self._seen: dict[str, None] = {}
        self._read()

    @property
    def full(self) -> bool:
        """Would one more alert push an older one out?"""
        return len(self.waiting) + len(self._to) > MOST

    def add(self, alert: Alert, now: float) -> None:
        """To everybody who wants it, once."""
        for to in self._to.values():
            said = body(alert, to.include_identities)
            mark = f"{to.name}|{said['alert']}"
            if mark in self._seen or not to.wants(alert):
                continue
            self._seen[mark] = None
            data = orjson.dumps(said).decode()
            self.waiting.append(Waiting(to.name, said["alert"], data, now, now))
        while len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]
        while len(self.waiting) > MOST:
            self.waiting.pop(0)
            self.dropped += 1

    def deliver(self, now: float, going: Callable[[], bool] = lambda: True) -> bool:
        """Whatever is due. A target that fails keeps the others from nothing. Did anything change?"""
        failed: set[str] = set()
        before = (self.sent, self.dropped, len(self.waiting))
        for each in list(self.waiting):
            if each.since > now:  # The clock was ahead, and was set back.
                each.since = each.due = now
            if each.due > now or each.to in failed or not going():
                continue
            try:
                self._target(each.to).put(each.name, each.data.encode(), now)
            except AlertError as error:
                failed.add(each.to)
                self.problems[each.to] = str(error)
                each.tries += 1
                each.due = now + min(LONGEST_BACK_OFF, FIRST_BACK_OFF * 2 ** min(each.tries - 1, 10))
                if now - each.since > GIVEN_UP:
                    self.waiting.remove(each)
                    self.dropped += 1
            else:
                self.problems.pop(each.to, None)
                self.waiting.remove(each)
                self.sent += 1
        return before != (self.sent, self.dropped, len(self.waiting)) or bool(failed)

    def save(self) -> None:
        """Raises EvidenceError."""
        said = {
            "v": VERSION,
            "seen": list(self._seen),
            "waiting": [[each.to, each.name, each.data, each.since, each.due, each.tries] for each in self.waiting],
        }
        written(self._path, orjson.dumps(said))

    def _target(self, name: str) -> Target:
        if name not in self._targets:
            self._targets[name] = self._make(self._to[name])
        return self._targets[name]

    def _read(self) -> None:
        said = kept(self._path)
        if said is None:
            return
        try:
            self._seen = dict.fromkeys(str(each) for each in said["seen"])
            found = [Waiting(*each) for each in said["waiting"]]
        except (KeyError, TypeError) as error:
            raise EvidenceError(f"{self._path} is not what was written: move it away") from error
        self.waiting = [each for each in found if each.to in self._to]


def written(path: Path, data: bytes) -> None:
    """All of it, or as it was before. Raises EvidenceError."""
    other = path.with_suffix(".new")
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        file = os.open(other, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(file, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        other.rename(path)
    except OSError as error:
        raise EvidenceError(f"{path} cannot be written: {error.strerror}") from error


def kept(path: Path) -> Mapping[str, Any] | None:
    """What `written` wrote. None: nothing was. Raises EvidenceError."""
    try:
        said = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise EvidenceError(f"{path} cannot be read: move it away") from error
    if not isinstance(said, dict):
        raise EvidenceError(f"{path} is not what was written: move it away")
    return said
