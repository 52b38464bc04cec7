"""`audit_dir/ship/NAME.json`: how far a target has confirmed. Written aside, synced and renamed, after it confirmed.

It says which log it is of, which place was shipped to, and the hash of the last record that is there: a log that was
set back, or is another one, and a target that is another one, are found before anything is sent.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pdp.audit.evidence import EvidenceError
from pdp.audit.journal.files import Files
from pdp.audit.ship.target import Contradicted
from pdp.audit.tree.tiles import WIDTH

DIRECTORY: Final = "ship"
VERSION: Final = 1
FILES: Final = "files"
RECORDS: Final = "records"


@dataclass(frozen=True, slots=True)
class Cursor:
    """`next`: everything below this index is confirmed. Of files: what is full, and every checkpoint up to it."""

    origin: str
    place: str  # where it was shipped to, without secrets
    feed: str  # FILES or RECORDS
    next: int = 0
    last: str = ""  # hex of the leaf hash of record next - 1
    at: int = 0  # when the target confirmed it last, microseconds since the epoch

    @property
    def floor(self) -> int:
        """The lowest index that is needed still: of files, the bundle that is not full is not there whole."""
        return self.next if self.feed == RECORDS else self.next // WIDTH * WIDTH

    def encoded(self) -> bytes:
        members = {
            "v": VERSION,
            "origin": self.origin,
            "place": self.place,
            "feed": self.feed,
            "next": self.next,
            "last": self.last,
            "at": self.at,
        }
        return json.dumps(members, indent=1).encode()


def path(directory: Path, name: str) -> Path:
    return directory / DIRECTORY / f"{name}.json"


def read(directory: Path, name: str) -> Cursor | None:
    """None: nothing was shipped yet. Raises EvidenceError: what is damaged is not taken for nothing shipped."""
    try:
        found = json.loads(path(directory, name).read_bytes())
        return _cursor(found)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise EvidenceError(f"the cursor cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Contradicted(
            f"the cursor {DIRECTORY}/{name}.json is damaged; deleting it sends everything again"
        ) from error


def _cursor(found: Any) -> Cursor:
    numbers = (found["next"], found["at"])
    texts = (found["origin"], found["place"], found["feed"], found["last"])
    if found["v"] != VERSION or found["feed"] not in (FILES, RECORDS):
        raise ValueError("another version")
    if not all(type(each) is int and each >= 0 for each in numbers) or not all(isinstance(each, str) for each in texts):
        raise TypeError("a member is none")
    if len(bytes.fromhex(found["last"])) != (32 if found["next"] else 0):
        raise ValueError("no hash")
    return Cursor(found["origin"], found["place"], found["feed"], found["next"], found["last"], found["at"])


def write(directory: Path, name: str, cursor: Cursor, files: Files) -> None:
    """Raises OSError."""
    files.put(path(directory, name), cursor.encoded())


def floor(directory: Path, names: Collection[str] | None = None) -> int | None:
    """The lowest index that some target has not confirmed: nothing from it on may be dropped. None: nobody ships.

    `names`: the targets of the settings, where they are known: one without a cursor has confirmed nothing, and what
    is left of others does not count. Otherwise every cursor that is there counts. A damaged one has confirmed nothing.
    """
    if names is None:
        try:
            names = sorted(each.stem for each in (directory / DIRECTORY).glob("*.json"))
        except OSError as error:
            raise EvidenceError(f"the cursors cannot be read: {error.strerror}") from error
    lowest: int | None = None
    for name in names:
        try:
            found = read(directory, name)
        except EvidenceError:
            found = None
        at = 0 if found is None else found.floor
        lowest = at if lowest is None else min(lowest, at)
    return lowest


def locked(directory: Path, name: str, files: Files) -> int:
    """The lock of one target, held as long as the descriptor is open. Raises EvidenceError: another one ships to it."""
    place = directory / DIRECTORY / f"{name}.lock"
    try:
        files.need(place.parent)
        file = files.open(place, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise EvidenceError(f"the cursor cannot be locked: {error.strerror}") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(file)
        raise EvidenceError("another process ships to this target") from error
    return file


def held(directory: Path, name: str) -> bool:
    """Does some process ship to it at this moment?"""
    try:
        file = os.open(directory / DIRECTORY / f"{name}.lock", os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(file)
    return False
