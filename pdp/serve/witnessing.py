"""Asking witnesses to cosign the log, beside the sealing: a witness that is slow, or gone, holds up nothing.

Each witness has a thread that asks for the newest checkpoint, with what shows that it continues the one before. What it
gives is verified, and then stored by the sealer's own thread, which alone writes checkpoints.
"""

from __future__ import annotations

import threading
import time
from base64 import b64encode
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import requests

from pdp.audit.checking import history, proof
from pdp.audit.evidence import EvidenceError
from pdp.audit.journal.files import Files
from pdp.audit.tree import checkpoint, cosign, keys, merkle, note, state
from pdp.audit.tree.cosign import Asked
from pdp.audit.tree.merkle import ProofError
from pdp.audit.tree.note import NoteError
from pdp.audit.tree.sealer import KEYS, LOG
from pdp.audit.tree.tiles import Tiles, records
from pdp.serve.process import say

MAX_ANSWER: Final = 65_536
TRIES: Final = 4
REPEAT_SECONDS: Final = 600
"""An hour without a new record is cosigned too: that nothing came is worth something."""
MAX_DOUBLINGS: Final = 3
"""Of the pause between two times that a witness is asked, where it fails."""
CHUNK: Final = 16_384


class WitnessError(Exception):
    """It did not cosign. Says why, in a stable sentence."""


@dataclass(frozen=True, slots=True)
class Given:
    """A cosignature that was verified: of the checkpoint of this size."""

    size: int
    line: str
    at: int


class Post(Protocol):
    """Sends a body to a path of the witness. Gives the status and the body. Raises WitnessError."""

    def __call__(self, path: str, body: bytes, /) -> tuple[int, bytes]: ...


class Wire:
    """HTTP to one witness: no redirects, no proxies of the environment, an end to every exchange."""

    def __init__(self, asked: Asked) -> None:
        self._url, self._seconds = asked.url, asked.timeout_seconds
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = True if asked.ca_file is None else str(asked.ca_file)

    def __call__(self, path: str, body: bytes, /) -> tuple[int, bytes]:
        end = time.monotonic() + self._seconds
        try:
            with closing(
                self._session.post(
                    self._url + path, data=body, timeout=self._seconds, allow_redirects=False, stream=True
                )
            ) as answer:
                return answer.status_code, _bounded(answer, end)
        except requests.RequestException as error:
            raise WitnessError(f"it cannot be reached ({type(error).__name__})") from error


def _bounded(answer: requests.Response, end: float) -> bytes:
    found = b""
    for chunk in answer.iter_content(CHUNK):
        found += chunk
        if len(found) > MAX_ANSWER or time.monotonic() > end:
            raise WitnessError("its answer is too long, or too slow")
    return found


@dataclass(slots=True)
class Standing:
    """How it is with one witness. `problem` empty: it cosigned what it was asked last."""

    size: int = -1  # the newest that it cosigned
    at: int = 0
    problem: str = ""


class Asker:
    """One witness. `ask` is for one thread."""

    def __init__(self, asked: Asked, directory: Path, post: Post | None = None, keys_at: Path | None = None) -> None:
        self.asked = asked
        self.standing = Standing()
        self._directory, self._log, self._keys = directory, directory / LOG, keys_at or directory / KEYS
        self._post = post or Wire(asked)
        self._known = 0  # the size that the witness knows, as far as it told

    def ask(self, size: int) -> Given:
        """Have the checkpoint of this size cosigned. Raises WitnessError."""
        try:
            given = self._ask(size)
        except WitnessError as error:
            self.standing.problem = str(error)
            raise
        except (OSError, EvidenceError, NoteError, ProofError) as error:
            self.standing.problem = f"what it needs cannot be read here: {error}"
            raise WitnessError(self.standing.problem) from error
        self._known = size
        self.standing.size, self.standing.at, self.standing.problem = size, given.at, ""
        return given

    def _ask(self, size: int) -> Given:
        signed = (self._log / checkpoint.place(size)).read_bytes()
        told_keys = False
        for _ in range(TRIES):
            status, body = self._post("/add-checkpoint", self._request(size, signed))
            if status == 200:
                return self._verified(size, signed, body)
            if status == 409:
                self._known = _size(body)
            elif status == 403 and not told_keys:
                told_keys = self._tell_keys()
                if not told_keys:
                    raise WitnessError("it does not know the key of this log")
            else:
                raise WitnessError(_MEANINGS.get(status, f"it answers {status}"))
            if self._known > size:
                raise WitnessError(f"it has seen {self._known} records, and here are {size}: the log was set back")
        raise WitnessError("it says another size each time")

    def _request(self, size: int, signed: bytes) -> bytes:
        path = merkle.consistency(self._known, size, Tiles(self._log, size).perfect)
        lines = [f"old {self._known}\n", *(f"{b64encode(each).decode()}\n" for each in path), "\n"]
        return "".join(lines).encode() + signed

    def _verified(self, size: int, signed: bytes, body: bytes) -> Given:
        """Of all that it says, the line that its key made for this checkpoint."""
        text = note.parse(signed).text
        try:
            said = note.parse(f"{text}\n".encode() + body)
            found = cosign.cosignatures(said, [self.asked.key])
        except NoteError as error:
            raise WitnessError("its cosignature is not to be trusted") from error
        if not found:
            raise WitnessError("it cosigned with another key")
        key = self.asked.key
        line = next(each for each in said.signatures if (each.name, each.number) == (key.name, key.number))
        return Given(size, note.line_of(line), found[0].at)

    def _tell_keys(self) -> bool:
        """Show it every change of keys. False: there was none, or it wants to hear of none."""
        known = keys.published(self._keys)
        told = False
        for index, record in self._changes():
            data = (self._log / checkpoint.place(index + 1)).read_bytes()
            status, _ = self._post("/add-key", proof.made(self._log, index, record, data, known))
            told = told or status == 200
        return told

    def _changes(self) -> Iterator[tuple[int, bytes]]:
        tree = state.read(self._directory)
        for index, record in records(self._log, tree.size if tree is not None else 0):
            if history.ROTATED in record and history.rotation(index, record) is not None:
                yield index, record


_MEANINGS: Final = {
    400: "it does not understand what it is asked (400)",
    404: "it does not watch this log (404)",
    403: "it does not know the key of this log",
    422: "it says that the log does not continue what it saw: it was forked (422)",
}


def _size(body: bytes) -> int:
    text = body.removesuffix(b"\n")
    if not text.isdigit() or len(text) > 15:
        raise WitnessError("it does not say which size it knows")
    return int(text)


@dataclass(slots=True)
class _Thread:
    asker: Asker
    newest: int = -1
    wake: threading.Event = field(default_factory=threading.Event)
    found: deque[Given] = field(default_factory=deque)

    def run(self) -> None:
        """For as long as the process lives."""
        failures = 0
        while True:
            self.wake.wait(REPEAT_SECONDS)
            self.wake.clear()
            if self.newest < 0:
                continue
            try:
                self.found.append(self.asker.ask(self.newest))
                failures = 0
            except WitnessError:
                failures += 1
                self.wake.set()  # Asked again after the pause, also where no record comes meanwhile.
            time.sleep(self.asker.asked.interval_seconds * 2 ** min(failures, MAX_DOUBLINGS))


class Witnessing:
    """All witnesses of one log. Its methods are for the sealer's thread."""

    def __init__(
        self, asked: Sequence[Asked], directory: Path, files: Files | None = None, keys_at: Path | None = None
    ) -> None:
        """`keys_at`: where the keys of the log are, if not in its directory."""
        self._log = directory / LOG
        self._files = files or Files()
        self._threads = [_Thread(Asker(each, directory, keys_at=keys_at)) for each in asked]
        self._said: dict[str, str] = {}
        self._size = 0
        for each in self._threads:
            threading.Thread(target=each.run, name=f"witness-{each.asker.asked.name}", daemon=True).start()

    def turn(self, size: int) -> None:
        """Store what was given meanwhile, and say that the checkpoint of this size is published."""
        self._size = size
        for each in self._threads:
            while each.found:
                self._store(each.asker.asked.name, each.found.popleft())
            if each.newest != size:
                each.newest = size
                each.wake.set()
            self._tell(each.asker.asked.name, each.asker.standing.problem)

    def _store(self, name: str, given: Given) -> None:
        try:
            store(self._log, given, self._files)
        except (OSError, NoteError) as error:
            say(f"ALARM: the cosignature of [witness.{name}] cannot be stored: {error}")

    def _tell(self, name: str, problem: str) -> None:
        if problem != self._said.get(name, ""):
            say(f"ALARM: [witness.{name}]: {problem}" if problem else f"[witness.{name}] cosigns again")
        self._said[name] = problem

    def status(self) -> dict[str, Any]:
        """Of each: the newest size that it cosigned (-1: none yet), when, how far behind that is, what is amiss."""
        return {
            each.asker.asked.name: {
                "size": found.size,
                "at": found.at,
                "lag": self._size - max(0, found.size),
                "problem": found.problem,
            }
            for each in self._threads
            for found in (each.asker.standing,)
        }


def store(log: Path, given: Given, files: Files) -> None:
    """Below the checkpoint that is kept, and below the published one, while it is that. Raises OSError, NoteError."""
    kept = log / checkpoint.place(given.size)
    data = cosign.added(kept.read_bytes(), [given.line])
    files.put(kept, data)
    published = log / checkpoint.PUBLISHED
    if note.parse(published.read_bytes()).text == note.parse(data).text:
        files.put(published, data)
