"""The bytes of the write-ahead log: the header of a segment and its frames. All numbers are little-endian.

    segment   header (4096 bytes), frames, zeros to the end of the file
    header    magic "PDPW1" 8s | segment id 16s | boot id 16s | slot u32 | key epoch u32 | created u64 (ns, UTC)
              | first seq u64 | previous segment id 16s | previous chain 32s | origin u16 + UTF-8, at most 255 bytes
              | zeros | crc32 u32 of all before it, as the last four bytes
    frame     length u32 | flags u8 | kind u8 | 0 u16 | seq u64 | chain 32s | crc32 u32 | payload | zeros to 8 bytes
    crc       of the 48 bytes before it and the payload, begun with the crc32 of the segment id: what is left over in
              a file from before can never pass
    chain     SHA-256(chain before || seq as u64 || payload); before the first of a slot: SHA-256("PDPW1" || segment id)

A length of 0 is the end. Flag 1 marks the first frame of a batch, which was begun only after the batch before it was on
disk: a broken frame with such a frame somewhere after it was not torn by a crash.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, NamedTuple
from zlib import crc32

from pdp.audit.evidence import EvidenceError

MAGIC: Final = b"PDPW1\0\0\0"
HEADER_BYTES: Final = 4_096
ID_BYTES: Final = 16
MAX_ORIGIN: Final = 255
MAX_PAYLOAD: Final = 65_535
FIRST_OF_BATCH: Final = 1
RECORD: Final = 1
CONTROL: Final = 2

_HEADER: Final = struct.Struct("<8s16s16sIIQQ16s32sH")
_CRC: Final = struct.Struct("<I")
_FRAME: Final = struct.Struct("<IBBHQ32s")
_SEQ: Final = struct.Struct("<Q")
OVERHEAD: Final = _FRAME.size + _CRC.size
LONGEST: Final = (OVERHEAD + MAX_PAYLOAD + 7) & ~7
_PADS: Final = tuple(bytes(-length % 8) for length in range(OVERHEAD, OVERHEAD + 8))


@dataclass(frozen=True, slots=True)
class Header:
    """What a segment says of itself. `previous_id` is zeros in the first segment of a slot."""

    id: bytes
    origin: str
    slot: int
    boot: bytes
    first_seq: int
    previous_id: bytes
    previous_chain: bytes
    key_epoch: int
    created: int

    @property
    def stream(self) -> str:
        return stream(self.origin, self.slot, self.boot)

    @property
    def seed(self) -> int:
        return crc32(self.id)


class Frame(NamedTuple):
    """One record. `chain` is the hash up to and with it."""

    seq: int
    kind: int
    payload: bytes
    chain: bytes
    flags: int = 0


class Bad(Exception):
    """No frame is here: what the bytes say does not fit together."""


def stream(origin: str, slot: int, boot: bytes) -> str:
    """The name of what one slot writes between two starts of the machine. `seq` and `chain` go on over its end."""
    return f"{origin}/{slot}/{boot.hex()[:12]}"


def chained(before: bytes, seq: int, payload: bytes) -> bytes:
    """The chain hash up to and with this record."""
    return sha256(before + _SEQ.pack(seq) + payload).digest()


def genesis(segment_id: bytes) -> bytes:
    """The chain hash before the first record of a slot. No two beginnings are alike."""
    return sha256(b"PDPW1" + segment_id).digest()


def header_bytes(header: Header) -> bytes:
    """Raises ValueError for an origin that is too long."""
    origin = header.origin.encode()
    if len(origin) > MAX_ORIGIN:
        raise ValueError("the origin is longer than 255 bytes")
    fixed = _HEADER.pack(
        MAGIC,
        header.id,
        header.boot,
        header.slot,
        header.key_epoch,
        header.created,
        header.first_seq,
        header.previous_id,
        header.previous_chain,
        len(origin),
    )
    body = (fixed + origin).ljust(HEADER_BYTES - _CRC.size, b"\0")
    return body + _CRC.pack(crc32(body))


def read_header(data: bytes) -> Header:
    """Raises EvidenceError."""
    body, crc = data[: HEADER_BYTES - _CRC.size], data[HEADER_BYTES - _CRC.size : HEADER_BYTES]
    if len(crc) != _CRC.size or _CRC.pack(crc32(body)) != crc or not body.startswith(MAGIC):
        raise EvidenceError("the header of a segment is broken")
    _, identifier, boot, slot, epoch, created, first, previous, chain, length = _HEADER.unpack_from(body)
    try:
        origin = body[_HEADER.size : _HEADER.size + length].decode()
    except UnicodeDecodeError as error:
        raise EvidenceError("the header of a segment is broken") from error
    return Header(identifier, origin, slot, boot, first, previous, chain, epoch, created)


def encode(frames: Iterable[Frame], seed: int) -> bytes:
    """As they stand in the segment whose id has the crc32 `seed`."""
    parts: list[bytes] = []
    for seq, kind, payload, chain, flags in frames:
        length = len(payload)
        head = _FRAME.pack(length, flags, kind, 0, seq, chain)
        parts += (head, _CRC.pack(crc32(payload, crc32(head, seed))), payload, _PADS[length % 8])
    return b"".join(parts)


def size_of(length: int) -> int:
    """How many bytes the frame of a payload of this length takes."""
    return (OVERHEAD + length + 7) & ~7


def decode(data: bytes | memoryview, offset: int, seed: int) -> tuple[Frame, int] | None:
    """The frame at `offset` and where the next one is. None: the end. Raises Bad, also where `data` is too short."""
    if len(data) - offset < OVERHEAD:
        raise Bad
    length, flags, kind, reserved, seq, chain = _FRAME.unpack_from(data, offset)
    if length == 0:
        return None
    after = offset + size_of(length)
    if length > MAX_PAYLOAD or reserved or after > len(data):
        raise Bad
    start = offset + OVERHEAD
    payload = bytes(data[start : start + length])
    crc = crc32(payload, crc32(data[offset : offset + _FRAME.size], seed))
    if _CRC.unpack_from(data, offset + _FRAME.size)[0] != crc or any(data[start + length : after]):
        raise Bad
    return Frame(seq, kind, payload, chain, flags), after
