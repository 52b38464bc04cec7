"""Signed notes (c2sp.org/signed-note) with Ed25519: text, a blank line, and lines that say who signed it.

What is read here was written by others. Nothing of a note is believed before a key that we were given has verified it.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import ClassVar, Final, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ED25519: Final = b"\x01"
MAX_BYTES: Final = 1 << 20
MAX_SIGNATURES: Final = 100
_DASH: Final = "\u2014 "


class NoteError(Exception):
    """It is not a signed note, or not a verifier key."""


class UnknownSigner(NoteError):
    """No key that we were given has signed it."""


class BadSignature(NoteError):
    """It bears the name and the number of a key that we were given, and that key did not sign it."""


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with its name. `str()` is what the specification calls a vkey: `name+hex+base64`."""

    kind: ClassVar[bytes] = ED25519  # what is signed: the text itself

    name: str
    public: bytes  # 32 bytes

    @property
    def number(self) -> bytes:
        """The key ID: four bytes, not secure against somebody who looks for a collision, and not used as if."""
        return sha256(self.name.encode() + b"\n" + self.kind + self.public).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.number.hex()}+{b64encode(self.kind + self.public).decode()}"

    def signed(self, text: bytes, signature: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text)
        except InvalidSignature:
            return False
        return True


Key = TypeVar("Key", bound=VerifierKey)


def vkey(text: str) -> VerifierKey:
    """Read the vkey of a log. Raises NoteError."""
    return key_of(text, VerifierKey)


def key_of(text: str, sort: type[Key]) -> Key:
    """Read a vkey of one sort. Raises NoteError."""
    parts = text.strip().split("+", 2)
    if len(parts) != 3 or not valid_name(parts[0]):
        raise NoteError("a vkey is a name, a number and a key with a `+` between them")
    try:
        material = decoded(parts[2])
    except NoteError as error:
        raise NoteError("the key in the vkey is not base64") from error
    if material[:1] != sort.kind or len(material) != 33:
        raise NoteError("the key in the vkey is not an Ed25519 key of this sort")
    key = sort(parts[0], material[1:])
    if parts[1] != key.number.hex():
        raise NoteError("the number in the vkey is not the one of its key")
    return key


def valid_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(each.isspace() or ord(each) < 32 for each in name)


def decoded(text: str) -> bytes:
    """Standard base64, in the one way in which these bytes are written. Raises NoteError."""
    try:
        data = b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteError("not base64") from error
    if b64encode(data).decode() != text:
        raise NoteError("not the usual base64")
    return data


@dataclass(frozen=True, slots=True)
class Signature:
    name: str
    number: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A note as it was found; nothing of it is verified."""

    text: str  # with its last newline
    signatures: tuple[Signature, ...]


def parse(data: bytes) -> Note:
    """Raises NoteError."""
    if len(data) > MAX_BYTES:
        raise NoteError("longer than a note may be")
    try:
        whole = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NoteError("not UTF-8") from error
    if any(ord(each) < 32 and each != "\n" for each in whole):
        raise NoteError("a control character")
    text, gap, lines = whole.rpartition("\n\n")
    if not gap or not lines.endswith("\n"):
        raise NoteError("no blank line with signatures after it")
    found = tuple(_signature(line) for line in lines[:-1].split("\n"))
    if len(found) > MAX_SIGNATURES:
        raise NoteError("more signatures than a note may have")
    return Note(text + "\n", found)


def _signature(line: str) -> Signature:
    name, gap, value = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not gap or not valid_name(name):
        raise NoteError("a line that is not a signature")
    data = decoded(value)
    if len(data) < 5:
        raise NoteError("a signature that is too short")
    return Signature(name, data[:4], data[4:])


def verified(note: Note, keys: Iterable[VerifierKey]) -> tuple[VerifierKey, ...]:
    """Which of the keys signed it, at least one. Raises UnknownSigner or BadSignature."""
    signers = tuple(key for key, _ in signed_by(note, keys))
    if not signers:
        raise UnknownSigner("it is signed by no key that is known")
    return signers


def signed_by(note: Note, keys: Iterable[Key]) -> list[tuple[Key, bytes]]:
    """Which of the keys signed it, and their signatures. Raises BadSignature.

    Signatures of others are ignored, as the specification demands; a wrong one of a key that we know spoils the note.
    """
    known: Mapping[tuple[str, bytes], Key] = {(each.name, each.number): each for each in keys}
    found = []
    for each in note.signatures:
        key = known.get((each.name, each.number))
        if key is None:
            continue
        if not key.signed(note.text.encode(), each.signature):
            raise BadSignature(f"the signature of {key.name} is wrong")
        found.append((key, each.signature))
    return found


def sign(text: str, name: str, private: Ed25519PrivateKey) -> bytes:
    """The note with one signature. Ed25519 is deterministic: the same text and key give the same bytes."""
    if not text.endswith("\n") or not valid_name(name) or any(ord(each) < 32 and each != "\n" for each in text):
        raise NoteError("this cannot be signed as a note")
    key = verifier(name, private)
    return f"{text}\n{line(key, private.sign(text.encode()))}".encode()


def line(key: VerifierKey, signature: bytes) -> str:
    """One signature, as it stands below the text."""
    return line_of(Signature(key.name, key.number, signature))


def line_of(found: Signature) -> str:
    return f"{_DASH}{found.name} {b64encode(found.number + found.signature).decode()}\n"


def verifier(name: str, private: Ed25519PrivateKey) -> VerifierKey:
    """The public half of a key, by its name."""
    return VerifierKey(name, private.public_key().public_bytes_raw())
