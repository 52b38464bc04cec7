"""Checkpoints (c2sp.org/tlog-checkpoint): a signed note of three lines, the log's origin, its size and its root.

Every one that was published is kept: a signature that was given cannot be taken back. Size 1 234 067 is kept as
`log/checkpoints/000/000/001/234/067`, so that no directory grows beyond a thousand names and order is easily read.
"""

from __future__ import annotations

import os
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pdp.audit.journal import files
from pdp.audit.tree import note
from pdp.audit.tree.merkle import HASH_BYTES
from pdp.audit.tree.note import NoteError, VerifierKey

PUBLISHED: Final = "checkpoint"
ARCHIVE: Final = "checkpoints"
DIGITS: Final = 15
_THREE: Final = re.compile("[0-9]{3}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n"


@dataclass(frozen=True, slots=True)
class Signed:
    """A checkpoint that at least one key which we were given has signed."""

    checkpoint: Checkpoint
    signers: tuple[VerifierKey, ...]


def sign(checkpoint: Checkpoint, private: Ed25519PrivateKey) -> bytes:
    """The key is named like the log."""
    return note.sign(checkpoint.text(), checkpoint.origin, private)


def parse(text: str) -> Checkpoint:
    """The three lines of a note's text. Raises NoteError; also for extension lines, which we never write."""
    if text.count("\n") != 3:
        raise NoteError("a checkpoint has three lines")
    return head(text)


def head(text: str) -> Checkpoint:
    """The same of any log, whose checkpoints may go on behind the third line. Raises NoteError."""
    lines = text.split("\n")
    if len(lines) < 4 or not lines[0] or not all(lines[:-1]) or lines[-1]:
        raise NoteError("a checkpoint has three lines, or more, and none of them is empty")
    size = lines[1]
    if not (size.isascii() and size.isdigit()) or (size[0] == "0" and size != "0") or len(size) > DIGITS:
        raise NoteError("the size in the checkpoint is not a number")
    root = note.decoded(lines[2])
    if len(root) != HASH_BYTES:
        raise NoteError("the root in the checkpoint is not a SHA-256 hash")
    return Checkpoint(lines[0], int(size), root)


def read(data: bytes, keys: Iterable[VerifierKey]) -> Signed:
    """What a published checkpoint says, once its signature holds. Raises NoteError, of which two kinds are named."""
    found = note.parse(data)
    signers = note.verified(found, keys)
    return Signed(parse(found.text), signers)


def place(size: int) -> str:
    """Where the checkpoint of this size is kept, below `log/`."""
    digits = f"{size:0{DIGITS}d}"
    return "/".join([ARCHIVE, *(digits[at : at + 3] for at in range(0, DIGITS, 3))])


def content(log: Path, size: int) -> bytes:
    """The kept one of this size, as it stands there. Raises OSError."""
    return files.whole(log / place(size), note.MAX_BYTES)


def kept(log: Path) -> Iterator[int]:
    """The sizes of all that are kept, in order; read one directory at a time. Raises OSError."""
    return _walked(log / ARCHIVE, "", False)


def kept_backwards(log: Path) -> Iterator[int]:
    """The same, the largest first."""
    return _walked(log / ARCHIVE, "", True)


def last(log: Path) -> int | None:
    """The size of the largest that is kept. None: there is none. Raises OSError."""
    return next(kept_backwards(log), None)


def _walked(directory: Path, before: str, backwards: bool) -> Iterator[int]:
    if not directory.is_dir() or directory.is_symlink():  # A link may lead back here, again and again.
        return
    for name in sorted((name for name in os.listdir(directory) if _THREE.fullmatch(name)), reverse=backwards):
        digits = before + name
        if len(digits) == DIGITS:
            yield int(digits)
        else:
            yield from _walked(directory / name, digits, backwards)
