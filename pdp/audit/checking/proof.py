"""The proof of one record (c2sp.org/tlog-proof): a file that anybody can check with a public key and nothing else.

c2sp.org/tlog-proof@v1
extra <base64 of the record itself, from which its leaf hash follows>
index <its place in the log>
<the hashes of its inclusion proof, base64, one to a line>

<the checkpoint that the proof leads to, as it was published>
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pdp.audit.checking.cosigned import newest
from pdp.audit.evidence import EvidenceError
from pdp.audit.journal.files import whole
from pdp.audit.tree import checkpoint, cosign, merkle, note
from pdp.audit.tree.checkpoint import Checkpoint
from pdp.audit.tree.cosign import Cosignature
from pdp.audit.tree.merkle import HASH_BYTES, ProofError
from pdp.audit.tree.note import NoteError, VerifierKey
from pdp.audit.tree.policy import Policy
from pdp.audit.tree.tiles import ENTRIES, WIDTH, Tiles, part, place, taken_out, unpacked, width_at

HEADER: Final = "c2sp.org/tlog-proof@v1"
MAX_BYTES: Final = 1 << 20
MAX_PATH: Final = 63

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Proven:
    """A record that stands in a signed log."""

    record: bytes
    index: int
    checkpoint: Checkpoint
    signers: tuple[VerifierKey, ...]
    witnesses: tuple[Cosignature, ...] = ()  # of those that were asked for


def published(log: Path, keys: Iterable[VerifierKey]) -> tuple[bytes, Checkpoint]:
    """The checkpoint that a log stands by now. Raises EvidenceError."""
    try:
        data = whole(log / checkpoint.PUBLISHED, note.MAX_BYTES)
        return data, checkpoint.read(data, keys).checkpoint
    except OSError as error:
        raise EvidenceError(f"there is no checkpoint: {error.strerror}") from error
    except NoteError as error:
        raise EvidenceError(f"the checkpoint is not to be trusted: {error}") from error


def find(log: Path, size: int, identifier: str, progress: Progress = lambda _, __: None) -> Iterator[tuple[int, bytes]]:
    """The records of a decision, with their places. Reads the whole log, one bundle at a time. Raises EvidenceError."""
    wanted = json.dumps(identifier).encode()
    known = taken_out(log, size)
    for number in range(-(-size // WIDTH)):
        width = width_at(size, 0, number)
        if known.gone(number) and not (log / place(ENTRIES, number)).exists():
            continue
        bundle = part(log, ENTRIES, number, width)
        if wanted in bundle:
            for index, record in enumerate(unpacked(bundle)[:width], number * WIDTH):
                if wanted in record and _identifier(record) == identifier:
                    yield index, record
        progress(min(size, (number + 1) * WIDTH), size)


def _identifier(record: bytes) -> object:
    try:
        said = json.loads(record)
    except (ValueError, RecursionError):
        return None
    return said.get("id") if isinstance(said, dict) else None


def prove(log: Path, index: int, record: bytes, keys: Iterable[VerifierKey], policy: Policy | None = None) -> bytes:
    """The file. It was checked before it is handed out. Raises EvidenceError.

    A checkpoint that is cosigned goes before a newer one that is not; with a policy there has to be one.
    """
    keys = list(keys)
    found = newest(log, index, keys, policy)
    if found is None and policy is not None:
        raise EvidenceError(f"no checkpoint over record {index} is cosigned by enough witnesses")
    return made(log, index, record, (found or published(log, keys))[0], keys)


def made(log: Path, index: int, record: bytes, data: bytes, keys: Iterable[VerifierKey]) -> bytes:
    """The same with a checkpoint that is given."""
    keys = list(keys)
    try:
        head = checkpoint.read(data, keys).checkpoint
        path = merkle.inclusion(index, head.size, Tiles(log, head.size).perfect)
        lines = [HEADER, f"extra {b64encode(record).decode()}", f"index {index}"]
        lines += [b64encode(each).decode() for each in path]
        file = "\n".join([*lines, "", ""]).encode() + data
        check(file, keys)
    except (ProofError, NoteError) as error:
        raise EvidenceError(f"record {index} cannot be proven, the log was changed: {error}") from error
    return file


def check(data: bytes, keys: Iterable[VerifierKey], policy: Policy | None = None) -> Proven:
    """What the file proves. `policy`: its witnesses have to be enough. Raises ProofError, with what is wrong."""
    if len(data) > MAX_BYTES:
        raise ProofError("longer than a proof may be")
    head, gap, signed = data.partition(b"\n\n")
    try:
        record, index, path = _read(head.decode("ascii"))
        found = checkpoint.read(signed, keys)
        witnesses = cosign.cosignatures(note.parse(signed), policy.witnesses) if policy is not None else []
    except UnicodeDecodeError as error:
        raise ProofError("not a proof") from error
    except NoteError as error:
        raise ProofError(f"its checkpoint is not to be trusted: {error}") from error
    if not gap:
        raise ProofError("a proof has a checkpoint after a blank line")
    if not any(each.name == found.checkpoint.origin for each in found.signers):
        raise ProofError("its checkpoint is signed by the key of another log")
    if policy is not None and not policy.enough({each.by for each in witnesses}):
        raise ProofError("its checkpoint is not cosigned by enough witnesses")
    merkle.check_inclusion(merkle.leaf(record), index, found.checkpoint.size, path, found.checkpoint.root)
    return Proven(record, index, found.checkpoint, found.signers, tuple(witnesses))


def _read(head: str) -> tuple[bytes, int, list[bytes]]:
    """Raises ProofError and NoteError."""
    lines = head.split("\n")
    if lines[0] != HEADER or len(lines) < 3 or len(lines) > 3 + MAX_PATH:
        raise ProofError("not a proof")
    extra, index = lines[1].removeprefix("extra "), lines[2].removeprefix("index ")
    if extra == lines[1] or index == lines[2]:
        raise ProofError("a proof says the record and its index")
    if not (index.isascii() and index.isdigit()) or (index[0] == "0" and index != "0") or len(index) > 15:
        raise ProofError("the index is not a number")
    try:
        record, path = note.decoded(extra), [note.decoded(each) for each in lines[3:]]
    except NoteError as error:
        raise ProofError("a line that is not base64") from error
    if any(len(each) != HASH_BYTES for each in path):
        raise ProofError("a line that is not a hash")
    return record, int(index), path
