"""A host for tests: writers whose every byte is known beforehand, and one sealer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pdp.audit.journal.frames import (
    FIRST_OF_BATCH,
    HEADER_BYTES,
    RECORD,
    Frame,
    Header,
    chained,
    encode,
    genesis,
    header_bytes,
)
from pdp.audit.journal.segment import name_of
from pdp.audit.tree.sealer import Sealed, Sealer

ORIGIN = "pdp.example/host-1"
SEGMENT_BYTES = 16_384
SECOND = 1_000_000_000
NOW = 1_800_000_000 * SECOND


class Writer:
    """One slot, written as the write-ahead log writes it, without its threads."""

    def __init__(self, directory: Path, slot: int = 0, origin: str = ORIGIN, boot: int = 1) -> None:
        self.path = directory / "wal" / str(slot)
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "lock").touch()
        self.slot, self.origin, self.boot = slot, origin, bytes([boot]) * 16
        self.segment, self.seq, self.chain, self.offset, self.id = 0, 0, b"", 0, bytes(16)
        self.next_segment()

    @property
    def file(self) -> Path:
        return self.path / name_of(self.segment)

    def next_segment(self, boot: int | None = None) -> None:
        self.boot = self.boot if boot is None else bytes([boot]) * 16
        before, self.id = self.id, bytes([self.slot, self.segment + 1]) * 8
        self.chain = self.chain or genesis(self.id)
        self.segment += 1
        header = Header(self.id, self.origin, self.slot, self.boot, self.seq + 1, before, self.chain, 0, NOW)
        with self.file.open("wb") as file:
            file.write(header_bytes(header))
            file.truncate(SEGMENT_BYTES)
        self.seed, self.offset = header.seed, HEADER_BYTES
        self.stream = header.stream

    def payload(self, more: str = "") -> bytes:
        """The next record, as the log stamps it."""
        text = '{"stream":"%s","seq":%d,"prev":"%s","v":1,%s%s"n":"x"%s}'
        # Whatever is said twice is malformed.
        name = "" if '"id":' in more.partition("{")[0] else f'"id":"d-{self.slot}-{self.seq + 1}",'
        kind = "" if '"kind":' in more.partition("{")[0] else '"kind":"decision",'
        return (text % (self.stream, self.seq + 1, self.chain.hex(), name, kind, more)).encode()

    def write(self, number: int = 1, more: str = "") -> list[bytes]:
        """One batch of records."""
        return self.write_these([None] * number, more)

    def write_these(self, payloads: list[bytes | None], more: str = "") -> list[bytes]:
        written: list[bytes] = []
        made: list[Frame] = []
        for each in payloads:
            payload = each if each is not None else self.payload(more)
            self.seq += 1
            self.chain = chained(self.chain, self.seq, payload)
            made.append(Frame(self.seq, RECORD, payload, self.chain, 0 if made else FIRST_OF_BATCH))
            written.append(payload)
        data = encode(made, self.seed)
        with self.file.open("r+b") as file:
            os.pwrite(file.fileno(), data, self.offset)
        self.offset += len(data)
        return written


def salt() -> str:
    return "0" * 32


def sealer(directory: Path, **more: Any) -> Sealer:
    return Sealer(directory, ORIGIN, salt=salt, **more)


def sealed(directory: Path, now: int = NOW, **more: Any) -> Sealed:
    """Everything that is there, by a sealer of its own."""
    ours = sealer(directory, **more)
    try:
        while (found := ours.step(now)).more:
            pass
        return found
    finally:
        ours.close()
