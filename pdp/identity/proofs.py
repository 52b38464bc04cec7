"""Which DPoP proofs were used already: a table of fixed size, in memory that all workers of a service share.

A proof is a slot of its bucket until it is too old to be accepted anyway. A bucket without a free slot refuses the
proof: what cannot be remembered is not accepted. With a file, every worker sees what every other one has accepted; with
none, each worker has only its own memory, and a proof counts once in each of them.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from pathlib import Path
from threading import Lock
from typing import Final

from pdp.identity.caller import Unknown

DIGEST_BYTES: Final = 16
SLOTS: Final = 64  # of a bucket
BUCKETS: Final = 4_096
_DIGESTS: Final = SLOTS * DIGEST_BYTES
_ENDS: Final = struct.Struct(f"<{SLOTS}q")
_END: Final = struct.Struct("<q")
_BUCKET: Final = _DIGESTS + _ENDS.size


class Proofs:
    """Safe for threads, and with a file for processes."""

    def __init__(self, file: Path | None = None, buckets: int = BUCKETS) -> None:
        self._buckets = buckets
        self._lock = Lock()
        self._file: int | None = None
        if file is not None:
            self._file = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            os.ftruncate(self._file, buckets * _BUCKET)
        self._memory = mmap.mmap(-1 if self._file is None else self._file, buckets * _BUCKET)

    def use(self, digest: bytes, until: int, now: int) -> None:
        """Remember a proof until then (microseconds). Raises Unknown where it was used before, or cannot be kept."""
        with self._lock:
            if self._file is None:
                return self._use(digest[:DIGEST_BYTES], until, now)
            fcntl.lockf(self._file, fcntl.LOCK_EX)
            try:
                return self._use(digest[:DIGEST_BYTES], until, now)
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN)

    def _use(self, digest: bytes, until: int, now: int) -> None:
        start = int.from_bytes(digest[-4:]) % self._buckets * _BUCKET
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
        self._memory[start + free * DIGEST_BYTES : start + (free + 1) * DIGEST_BYTES] = digest
        _END.pack_into(self._memory, start + _DIGESTS + free * _END.size, until)
