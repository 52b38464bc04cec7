"""Cosignatures (c2sp.org/tlog-cosignature, Ed25519, type 0x04): a witness says when it saw a checkpoint, and that it
continues every one that the witness had seen of this log before.

They stand as further signature lines below the log's own, and are ignored by whoever does not know their keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pdp.audit.tree import note
from pdp.audit.tree.note import Note, NoteError, VerifierKey

KIND: Final = b"\x04"
MAX_TIME: Final = (1 << 63) - 1
_TIME_BYTES: Final = 8
_BYTES: Final = _TIME_BYTES + 64
_ENDED: Final = b"\n"


@dataclass(frozen=True, slots=True)
class Cosigner(VerifierKey):
    """The public key of a witness, with its name. Not the key of a log, also where the 32 bytes are the same."""

    kind: ClassVar[bytes] = KIND

    def signed(self, text: bytes, signature: bytes) -> bool:
        """A cosignature without a time, or with an impossible one, is none."""
        at = _time(signature)
        return 0 < at <= MAX_TIME and VerifierKey.signed(self, _message(text, at), signature[_TIME_BYTES:])


@dataclass(frozen=True, slots=True)
class Cosignature:
    """Verified. `at`: seconds since the epoch, as the witness's clock had it."""

    by: Cosigner
    at: int


@dataclass(frozen=True, slots=True)
class Asked:
    """A witness that a log asks. `name`: what the settings call it."""

    name: str
    url: str  # without a slash at its end
    key: Cosigner
    ca_file: Path | None = None
    interval_seconds: int = 10
    timeout_seconds: int = 5


def cosigner(text: str) -> Cosigner:
    """Read the vkey of a witness. Raises NoteError."""
    return note.key_of(text, Cosigner)


def named(name: str, private: Ed25519PrivateKey) -> Cosigner:
    """The public half of a witness's key."""
    return Cosigner(name, private.public_key().public_bytes_raw())


def cosigned(text: str, name: str, private: Ed25519PrivateKey, at: int) -> str:
    """The signature line of a witness below a checkpoint of this text. Raises NoteError."""
    if not 0 < at <= MAX_TIME:
        raise NoteError("a cosignature has a time")
    signature = at.to_bytes(_TIME_BYTES, "big") + private.sign(_message(text.encode(), at))
    return note.line(named(name, private), signature)


def cosignatures(found: Note, keys: Iterable[Cosigner]) -> list[Cosignature]:
    """Those of the keys that were given. Raises BadSignature, where one of them is wrong."""
    return [Cosignature(key, _time(signature)) for key, signature in note.signed_by(found, keys)]


def likely(found: Note) -> bool:
    """Is there a line that looks like a cosignature? Says nothing of whose it is."""
    return any(len(each.signature) == _BYTES for each in found.signatures)


def added(data: bytes, lines: Sequence[str]) -> bytes:
    """A signed note with these lines below; they replace what the same keys said before. Raises NoteError."""
    head, gap, old = data.rpartition(b"\n\n")
    note.parse(data)
    new = [each.encode() for each in lines]
    keys = {_key(each) for each in new}
    kept = [each for each in old.splitlines(keepends=True) if _key(each) not in keys]
    made = head + gap + b"".join(kept + new)
    note.parse(made)
    return made


def _key(line: bytes) -> tuple[bytes, bytes]:
    """Name and number of the key."""
    _, name, value = line.rstrip(_ENDED).split(b" ", 2)
    return name, note.decoded(value.decode())[:4]


def _time(signature: bytes) -> int:
    return int.from_bytes(signature[:_TIME_BYTES], "big") if len(signature) == _BYTES else 0


def _message(text: bytes, at: int) -> bytes:
    return b"cosignature/v1\ntime %d\n" % at + text
