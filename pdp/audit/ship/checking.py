"""Does a target still hold what it was given? Compared with the log that is here, name by name.

Of an S3 bucket every version counts: what was deleted has a marker, what was written over has two. What the bucket has
and the log has not tells that the log here was set back, or is another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path
from typing import Any, Final

from pdp.audit.ship import cursor
from pdp.audit.ship.destination import S3, Destination
from pdp.audit.ship.feed import LOG, checkpoints_above, full_between, taken_out
from pdp.audit.ship.target import ShipError, same
from pdp.audit.tree import checkpoint

MOST_FINDINGS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Finding:
    word: str
    key: str
    sentence: str


def check(
    directory: Path, to: Destination, full: bool = False, progress: Callable[[int, int], None] = lambda _, __: None
) -> tuple[list[Finding], int]:
    """What is amiss, and how many objects were looked at. `full`: ask for each, content and lock. Raises EvidenceError.

    Without `full`, what the listing itself says is compared: names, versions, sizes, and the MD5 where it says it.
    """
    if not isinstance(to.where, S3):
        raise ShipError(f"a target of kind {to.where.kind} cannot be asked for what it holds")
    known = cursor.read(directory, to.name)
    if known is None:
        raise ShipError("nothing was shipped to it yet")
    checking = _Checking(directory / LOG, to.where, to.timeout_seconds, known.next, full)
    try:
        checking.run(progress)
    finally:
        checking.bucket.close()
    return checking.found[:MOST_FINDINGS], checking.looked


class _Checking:
    """Holds the names, sizes and tags of what the bucket lists in memory: some hundred bytes for each object."""

    def __init__(self, log: Path, where: S3, seconds: int, size: int, full: bool) -> None:
        from pdp.audit.ship.s3 import Bucket

        self.bucket = Bucket(where, seconds)
        self.found: list[Finding] = []
        self.looked = 0
        self._log = log
        self._where = where
        self._size = size
        self._full = full
        self._all: frozenset[str] = frozenset()

    def run(self, progress: Callable[[int, int], None]) -> None:
        expected = sum(1 for _ in self._expected())
        there: dict[str, list[dict[str, Any]]] = {}
        gone: set[str] = set()
        for each, marker in self._versions():
            key = each["Key"].removeprefix(self._where.prefix)
            if marker:
                gone.add(key)
            else:
                there.setdefault(key, []).append(each)
        for key in self._expected():
            self.looked += 1
            progress(self.looked, expected)
            self._one(key, there.pop(key, []), key in gone)
        self._all = frozenset(full_between(0, self._size)) if there else frozenset()
        for key, versions in sorted(there.items()):
            if not self._beyond(key):
                self._say("not-in-the-log", key, "the bucket has it, and the log has not: was the log set back?")
            elif len(versions) > 1:
                self._say("written-over", key, f"there are {len(versions)} versions of it")

    def _expected(self) -> Iterator[str]:
        yield from full_between(0, self._size, taken_out(self._log, self._size))
        for size in checkpoints_above(self._log, -1):
            if size > self._size:
                return
            yield checkpoint.place(size)

    def _versions(self) -> Iterator[tuple[dict[str, Any], bool]]:
        from pdp.audit.ship.s3 import talking

        more: dict[str, Any] = {}
        while True:
            with talking():
                page = self.bucket.client.list_object_versions(
                    Bucket=self._where.bucket, Prefix=self._where.prefix, **more
                )
                for each in page.get("Versions", []):
                    yield each, False
                for each in page.get("DeleteMarkers", []):
                    yield each, True
                if not page.get("IsTruncated"):
                    return
                more = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}

    def _one(self, key: str, versions: list[dict[str, Any]], gone: bool) -> None:
        if gone:
            self._say("deleted", key, "it was deleted (there is a delete marker)")
        if not versions:
            self._say("missing", key, "it is not there")
            return
        if len(versions) > 1:
            self._say("written-over", key, f"there are {len(versions)} versions of it")
        body = self._ours(key)
        if body is None:
            return
        for each in versions:
            self._compare(key, each, body)

    def _ours(self, key: str) -> bytes | None:
        path = self._log / key
        return path.read_bytes() if path.is_file() else None  # Pruned here, kept there.

    def _compare(self, key: str, version: dict[str, Any], body: bytes) -> None:
        from pdp.audit.ship.s3 import MOST_SIGNATURES, checksum, talking, unlocked

        tag = str(version.get("ETag", "")).strip('"')
        if tag == md5(body, usedforsecurity=False).hexdigest() and not self._full:
            return
        named = {"Bucket": self._where.bucket, "Key": version["Key"], "VersionId": version["VersionId"]}
        with talking():
            head = self.bucket.client.head_object(**named, ChecksumMode="ENABLED")
            alike = head.get("ChecksumSHA256") == checksum(body)
            if self._full or not alike:
                found = self.bucket.client.get_object(**named)["Body"].read(len(body) + MOST_SIGNATURES)
                alike = same(key, found, body)
        if not alike:
            self._say("other-content", key, "its content is not the one of the log")
        problem = unlocked(self._where, head)
        if problem:
            self._say("not-locked", key, problem)

    def _beyond(self, key: str) -> bool:
        """Shipped, and not confirmed yet; or the right edge of one published size."""
        return (self._log / key).is_file() or ".p/" in key or self._pruned(key)

    def _pruned(self, key: str) -> bool:
        """A tile or bundle of what was shipped, and has gone here since."""
        return key in self._all

    def _say(self, word: str, key: str, sentence: str) -> None:
        if len(self.found) < MOST_FINDINGS:
            self.found.append(Finding(word, key, sentence))
