"""The keys that sign checkpoints, one for each epoch: `keys/<epoch>.key` (private, 0600) and `keys/<epoch>.vkey`.

The private one of an epoch is deleted once its last checkpoint is published. Beside them stands the promise: the
largest tree that was ever signed, written before the signature. Where the keys are kept on another volume than the log,
a log that somebody set back is known by it.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from pdp.audit.evidence import EvidenceError
from pdp.audit.journal.files import Files, whole
from pdp.audit.tree import note
from pdp.audit.tree.note import NoteError, VerifierKey

PROMISE: Final = "promise.json"
MAX_BYTES: Final = 1 << 20


class Keys:
    def __init__(self, directory: Path, origin: str, files: Files) -> None:
        self.directory = directory
        self._origin = origin
        self._files = files

    def make(self, epoch: int) -> VerifierKey:
        """The key of an epoch, made if it is not there yet. Raises OSError and EvidenceError."""
        path = self._private(epoch)
        if not path.exists():
            if self._public(epoch).exists():
                raise EvidenceError(f"{self._public(epoch).name} is there, and its private key is not")
            self._files.put(path, _pem(Ed25519PrivateKey.generate()))
        key = note.verifier(self._origin, self.private(epoch))
        if not self._public(epoch).exists():
            self._files.put(self._public(epoch), f"{key}\n".encode())
        return key

    def private(self, epoch: int) -> Ed25519PrivateKey:
        """Raises EvidenceError, also where others may read it."""
        return private_in(self._private(epoch))

    def destroy(self, epoch: int) -> None:
        """The private one; nobody signs with it again."""
        self._files.drop(self._private(epoch))

    def all(self) -> list[VerifierKey]:
        """The public ones."""
        return published(self.directory)

    def promise(self, size: int, root: bytes) -> None:
        """Durably: this is going to be signed."""
        self._files.put(self.directory / PROMISE, json.dumps({"size": size, "root": root.hex()}).encode())

    def promised(self) -> tuple[int, bytes] | None:
        """Size and root of the largest tree that was, or was about to be, signed. Raises EvidenceError."""
        path = self.directory / PROMISE
        if not path.exists():
            return None
        try:
            found = json.loads(whole(path, MAX_BYTES))
            return int(found["size"]), bytes.fromhex(found["root"])
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise EvidenceError(f"{path.name} cannot be read") from error

    def _private(self, epoch: int) -> Path:
        return self.directory / f"{epoch}.key"

    def _public(self, epoch: int) -> Path:
        return self.directory / f"{epoch}.vkey"


def private_in(path: Path) -> Ed25519PrivateKey:
    """The private key in a file. Raises EvidenceError, also where others may read it."""
    try:
        data = path.read_bytes()
        mode = path.stat().st_mode
        key = load_pem_private_key(data, None)
    except (OSError, ValueError, TypeError) as error:
        raise EvidenceError(f"the signing key {path.name} cannot be read") from error
    if stat.S_IMODE(mode) & 0o077:
        raise EvidenceError(f"the signing key {path.name} is open to others than its owner")
    if not isinstance(key, Ed25519PrivateKey):
        raise EvidenceError(f"the signing key {path.name} is not an Ed25519 key")
    return key


def kept(path: Path, files: Files) -> Ed25519PrivateKey:
    """The same, made if there is no such file. Raises OSError and EvidenceError."""
    if not os.path.lexists(path):
        files.put(path, _pem(Ed25519PrivateKey.generate()))
    return private_in(path)


def published(directory: Path) -> list[VerifierKey]:
    """Every `*.vkey` in a directory, oldest epoch first. Raises EvidenceError."""
    names = [name for name in os.listdir(directory) if name.endswith(".vkey")] if directory.is_dir() else []
    try:
        return [
            note.vkey((directory / name).read_text(encoding="utf-8"))
            for name in sorted(names, key=lambda name: (len(name), name))
        ]
    except (OSError, UnicodeDecodeError, NoteError) as error:
        raise EvidenceError(f"a vkey in {directory} cannot be read") from error


def _pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
