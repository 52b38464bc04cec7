"""Which DPoP proofs were used already: a table of fixed size, in memory that all workers of a service share.

A proof is a slot of its bucket until it is too old to be accepted anyway. A bucket without a free slot refuses the
proof: what cannot be remembered is not accepted. With a file, every worker sees what every other one has accepted; with
none, each worker has only its own memory, and a proof counts once in each of them.

Each key has its share of the table, which is filled at once or over the time that proofs are kept: whoever sends more
is refused alone. Where a proof lies is told by a keyed hash, so that nobody can choose proofs that meet in one bucket.

It is locked by stripes (`pdp.identity.stripes`).
"""

from __future__ import annotations

import mmap
import os
import struct
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Final

from pdp.identity.caller import Unknown
from pdp.identity.stripes import Busy, Stripes

KEPT_MICROSECONDS: Final = 65_000_000
"""For so long a proof can be accepted: 60 seconds, and 5 ahead."""

DIGEST_BYTES: Final = 16
SLOTS: Final = 64  # of a bucket
BUCKETS: Final = 16_384
SHARES: Final = 64
"""How many keys it takes to fill the table: each has a 64th of it."""

CELLS: Final = 65_536
"""Two keys seldom meet in one, and nobody can choose with whom."""

STRIPES: Final = 64

KEY_BYTES: Final = 32
_HEADER: Final = struct.Struct(f"<{KEY_BYTES}sq")  # the key of the hashes, when the service began
_HEADER_BYTES: Final = 64
_DIGESTS: Final = SLOTS * DIGEST_BYTES
_ENDS: Final = struct.Struct(f"<{SLOTS}q")
_INSTANT: Final = struct.Struct("<q")
_BUCKET: Final = _DIGESTS + _ENDS.size


class Proofs:
    """Safe for threads, and with a file for processes."""

    def __init__(self, file: Path | None = None, buckets: int = BUCKETS, began: int = 0) -> None:
        """`began`: now, in microseconds. That of whoever makes the table counts: what is older may have been used."""
        self._buckets = buckets
        self._step = KEPT_MICROSECONDS // max(1, buckets * SLOTS // SHARES)
        self._first = _HEADER_BYTES + CELLS * _INSTANT.size
        size, header = self._first + buckets * _BUCKET, _HEADER.pack(os.urandom(KEY_BYTES), began)
        opened: int | None = None
        if file is None:
            self._memory = mmap.mmap(-1, size)
            self._memory[: len(header)] = header
        else:
            if not file.exists():
                _make(file, size, header)
            opened = os.open(file, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            self._memory = mmap.mmap(opened, size)
        self._stripes = Stripes(2 * STRIPES, opened)
        self._key, self.began = _HEADER.unpack_from(self._memory)

    def use(self, holder: str, identifier: str, until: int, now: int) -> None:
        """Remember the proof of this key until then (microseconds). Raises Unknown where it was used before, or cannot
        be kept.
        """
        proof = blake2b(f"{holder}.{identifier}".encode(), digest_size=DIGEST_BYTES + 8, key=self._key).digest()
        cell = _number(blake2b(holder.encode(), digest_size=8, key=self._key).digest()) % CELLS
        bucket = _number(proof[DIGEST_BYTES:]) % self._buckets
        try:
            with self._stripes.held((cell % STRIPES, STRIPES + bucket % STRIPES)):
                self._use(proof[:DIGEST_BYTES], cell, bucket, until, now)
        except Busy:
            raise Unknown("dpop-unavailable") from None

    def _use(self, digest: bytes, cell: int, bucket: int, until: int, now: int) -> None:
        start = self._first + bucket * _BUCKET
        slot = self._slot(digest, start, now)
        self._charge(_HEADER_BYTES + cell * _INSTANT.size, now)
        self._memory[start + slot * DIGEST_BYTES : start + (slot + 1) * DIGEST_BYTES] = digest
        _INSTANT.pack_into(self._memory, start + _DIGESTS + slot * _INSTANT.size, until)

    def _slot(self, digest: bytes, start: int, now: int) -> int:
        """One that is free."""
        ends = _ENDS.unpack_from(self._memory, start + _DIGESTS)
        at = self._memory.find(digest, start, start + _DIGESTS)
        while at >= 0:
            slot, odd = divmod(at - start, DIGEST_BYTES)
            if not odd and ends[slot] > now:
                raise Unknown("dpop-replayed")
            at = self._memory.find(digest, at + 1, start + _DIGESTS)
        free = next((slot for slot, end in enumerate(ends) if end <= now), None)
        if free is None:
            raise Unknown("dpop-too-many")
        return free

    def _charge(self, at: int, now: int) -> None:
        """One more proof of a key. Its cell is an instant, which each proof moves on by a share's part of the time."""
        full = now + KEPT_MICROSECONDS
        then = _INSTANT.unpack_from(self._memory, at)[0]
        if then > full:  # The clock has stepped back: from now on it goes down again.
            _INSTANT.pack_into(self._memory, at, full)
        then = max(then, now) + self._step
        if then > full:
            raise Unknown("dpop-too-many")
        _INSTANT.pack_into(self._memory, at, then)


def _make(file: Path, size: int, header: bytes) -> None:
    """Whole, then linked to its name: no worker sees a table without its key."""
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(descriptor, size)
        os.write(descriptor, header)
        with suppress(FileExistsError):  # Another worker was faster.
            os.link(fresh, file)
    finally:
        os.close(descriptor)
        fresh.unlink()


def _number(digest: bytes) -> int:
    return int.from_bytes(digest, "big")
