"""The witness (c2sp.org/tlog-witness): cosigns a checkpoint once it is shown that nothing it saw was taken back.

It belongs into another trust domain than the logs it watches. For each log it keeps one file, the newest checkpoint
that it cosigned, which is durable before the cosignature leaves. It never sees a record.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pdp.audit.checking import history, proof
from pdp.audit.evidence import EvidenceError
from pdp.audit.journal.files import Files
from pdp.audit.tree import checkpoint, cosign, merkle, note
from pdp.audit.tree.checkpoint import Checkpoint
from pdp.audit.tree.cosign import Cosigner
from pdp.audit.tree.merkle import HASH_BYTES, ProofError
from pdp.audit.tree.note import BadSignature, Note, NoteError, UnknownSigner, VerifierKey
from pdp.audit.tree.sealer import locked

MAX_BODY: Final = 1 << 20
MAX_LINES: Final = 63
TEXT: Final = "text/plain; charset=utf-8"
SIZE: Final = "text/x.tlog.size"
SLACK_SECONDS: Final = 60
"""By so much a clock may have been set back. Beyond that nothing is cosigned: times must not go back either."""
OWN: Final = "/sealer/"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: str
    content_type: str = TEXT


class Refused(Exception):
    """Ends an exchange with a status of the specification."""

    def __init__(self, status: int, body: str, content_type: str = TEXT) -> None:
        super().__init__(body)
        self.answer = Answer(status, body, content_type)


@dataclass(slots=True)
class _Log:
    """What is known of one log. `keys`: those that may sign, each up to some size (None: without end)."""

    origin: str
    file: Path
    keys: dict[VerifierKey, int | None]
    seen: Checkpoint
    at: int = 0
    data: bytes = b""  # the newest cosigned checkpoint
    lock: Lock = field(default_factory=Lock)

    def may_sign(self, size: int) -> list[VerifierKey]:
        return [key for key, end in self.keys.items() if end is None or size <= end]


class Witness:
    """Safe for threads; a lock keeps a second process away from the directory."""

    def __init__(
        self,
        directory: Path,
        name: str,
        private: Ed25519PrivateKey,
        origins: Mapping[str, Sequence[VerifierKey]],
        *,
        files: Files | None = None,
    ) -> None:
        """`origins`: for each log that is watched, the keys that it begins with. Raises EvidenceError."""
        self.key: Cosigner = cosign.named(name, private)
        self._private = private
        self._files = files or Files()
        try:
            self._files.need(directory)
            self._lock = locked(directory / "lock", "another witness is at work there")
            self._logs = {origin: self._log(directory, origin, keys) for origin, keys in origins.items()}
        except OSError as error:
            raise EvidenceError(f"{directory} cannot be used: {error.strerror}") from error

    def close(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _log(self, directory: Path, origin: str, keys: Sequence[VerifierKey]) -> _Log:
        """As it was left. What is there and cannot be read is never taken for nothing."""
        own = directory / sha256(origin.encode()).hexdigest()
        known = _Log(origin, own / "checkpoint", dict.fromkeys(keys), Checkpoint(origin, 0, merkle.EMPTY))
        for each in sorted(own.glob("key-*"), key=lambda path: int(path.name[4:])):
            self._learned(known, int(each.name[4:]), each.read_bytes())
        if known.file.exists():
            known.data = known.file.read_bytes()
            try:
                found = note.parse(known.data)
                ours = cosign.cosignatures(found, [self.key])
                known.seen = checkpoint.head(found.text)
            except NoteError as error:
                raise EvidenceError(f"what was seen of {origin} cannot be read: {error}") from error
            if not ours or known.seen.origin != origin:
                raise EvidenceError(f"what was seen of {origin} was cosigned by another key than this one")
            known.at = ours[0].at
        return known

    # ------------------------------------------------------------------------------------------------ add-checkpoint

    def add_checkpoint(self, body: bytes, now: int) -> Answer:
        """`now`: seconds since the epoch. Raises OSError where it cannot be kept: then nothing was cosigned."""
        try:
            old, path, found, said = _request(body)
            log = self._of(said)
            with log.lock:  # Looking and keeping are one step, or an older size could come after a newer one.
                return self._judged(log, old, path, found, said, now)
        except Refused as refused:
            return refused.answer

    def _of(self, said: Checkpoint) -> _Log:
        log = self._logs.get(said.origin)
        if log is None:
            raise Refused(404, "a log that is not watched here\n")
        return log

    def _judged(self, log: _Log, old: int, path: list[bytes], found: Note, said: Checkpoint, now: int) -> Answer:
        keys = log.may_sign(said.size)
        try:
            note.verified(found, keys)
        except (UnknownSigner, BadSignature) as error:
            raise Refused(403, f"{error}\n") from error
        if old > said.size:
            raise Refused(400, "the old size is larger than the checkpoint\n")
        if said.size == 0 and said.root != merkle.EMPTY:
            raise Refused(422, "the empty tree has another root\n")
        if old != log.seen.size:
            raise Refused(409, f"{log.seen.size}\n", SIZE)
        try:
            merkle.check_consistency(old, said.size, log.seen.root, said.root, path)
        except ProofError as error:
            raise Refused(422, f"{error}\n") from error
        if now < log.at - SLACK_SECONDS:
            raise Refused(503, "the clock of this witness was set back\n")
        return self._keep(log, found, said, max(now, log.at))

    def _keep(self, log: _Log, found: Note, said: Checkpoint, at: int) -> Answer:
        """Durable first, then known, then said."""
        line = cosign.cosigned(found.text, self.key.name, self._private, at)
        known = {(key.name, key.number) for key in log.keys}
        signed = [note.line_of(each) for each in found.signatures if (each.name, each.number) in known]
        data = f"{found.text}\n{''.join(signed)}{line}".encode()
        self._files.put(log.file, data)
        log.seen, log.at, log.data = Checkpoint(said.origin, said.size, said.root), at, data
        return Answer(200, line)

    # ------------------------------------------------------------------------------------------------------- add-key

    def add_key(self, body: bytes) -> Answer:
        """The log changes its key: `body` proves the record that says so, below a checkpoint of the key before.

        Not of the specification. Where it is not asked for, whoever runs the witness names each new key himself.
        """
        _, _, signed = body.partition(b"\n\n")
        try:
            said = checkpoint.head(note.parse(signed).text)
            log = self._of(said)
            with log.lock:
                size = self._learned(log, -1, body)
                path = log.file.with_name(f"key-{size}")
                if not path.exists():
                    self._files.put(path, body)
        except NoteError as error:
            return Answer(400, f"{error}\n")
        except EvidenceError as error:
            return Answer(403, f"{error}\n")
        except Refused as refused:
            return refused.answer
        return Answer(200, f"{size}\n")

    def _learned(self, log: _Log, size: int, body: bytes) -> int:
        """The size at which the new key begins. `size`: what it has to be; -1: whatever it is."""
        try:
            found = proof.check(body, list(log.keys))
        except ProofError as error:
            raise EvidenceError(str(error)) from error
        said = history.rotation(found.index, found.record)
        head = f'{{"stream":"{log.origin}{OWN}'.encode()
        if said is None or not found.record.startswith(head) or said.after.name != log.origin:
            raise EvidenceError("that is no record of a change of keys")
        signers = [key for key in found.signers if key == said.before]
        if found.checkpoint.origin != log.origin or found.checkpoint.size != said.size or not signers:
            raise EvidenceError("the change of keys is not the last thing that the key before has signed")
        end = log.keys.get(said.before)
        if size not in (-1, said.size) or (end is not None and end != said.size):
            raise EvidenceError("that key was followed by another one")
        log.keys[said.before] = said.size
        log.keys.setdefault(said.after, None)
        return said.size

    # ---------------------------------------------------------------------------------------------------- monitoring

    def checkpoint(self, origin_hash: str) -> Answer:
        """`GET /<origin hash>/checkpoint`: the newest that was cosigned, for auditors."""
        for log in self._logs.values():
            if sha256(log.origin.encode()).hexdigest() == origin_hash and log.data:
                return Answer(200, log.data.decode())
        return Answer(404, "nothing was cosigned\n")


def _request(body: bytes) -> tuple[int, list[bytes], Note, Checkpoint]:
    """The parts of a request. Raises Refused."""
    head, gap, signed = body.partition(b"\n\n")
    lines = head.split(b"\n")
    try:
        first, *rest = (line.decode("ascii") for line in lines)
        old = first.removeprefix("old ")
        if not gap or old == first or not old.isdigit() or (old[0] == "0" and old != "0") or len(old) > 15:
            raise NoteError("it begins with the old size")
        if len(rest) > MAX_LINES:
            raise NoteError("more lines than a proof has")
        path = [note.decoded(line) for line in rest]
        if any(len(each) != HASH_BYTES for each in path):
            raise NoteError("a line that is no hash")
        found = note.parse(signed)
        return int(old), path, found, checkpoint.head(found.text)
    except (NoteError, UnicodeDecodeError) as error:
        raise Refused(400, f"{error}\n") from error
