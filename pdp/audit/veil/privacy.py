"""What the clear part of a record may not say, and how it is hidden: names as pseudonyms, the rest encrypted by day.

A log says in `privacy.json` which keys it is written with, by their id, and where they are. So keys that are missing,
or are those of another log, are found out before anything is written that nobody could read: nothing of a record that
has something to hide is written then. The keys themselves, and how they come and go: `pdp.audit.veil.vault`.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final

import orjson
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pdp.audit.evidence import EvidenceError
from pdp.audit.journal.files import Files
from pdp.audit.leaf import CLEAR, DAMAGED, ERASED, LOCKED
from pdp.audit.veil.details import Damaged, bound, opened, sealed
from pdp.audit.veil.pseudonym import Name, pseudonyms
from pdp.audit.veil.vault import KID, MASTER, PSEUDONYMS, Erased, Vault, day_of, published

MARK: Final = "privacy.json"
DIRECTORY: Final = "privacy"
DAY: Final = 86_400_000_000
KEPT_DAYS: Final = 8
LOOK_SECONDS: Final = 2.0
"""How long who reads goes on with a key that was erased."""
WAIT_SECONDS: Final = 1.0
"""How long a record may wait for the key of a new day while somebody else changes keys."""
ENCRYPTED: Final = "encrypted"
VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Mark:
    """What a log says of its keys."""

    id: str
    details: str  # "encrypted" or "clear": how they are written now
    keys: Path
    master: Path | None


class Veil:
    """Who writes. One in each process that does, with keys once it has looked; safe for threads."""

    def __init__(
        self,
        directory: Path,
        keys: Path | None = None,
        master: Path | None = None,
        *,
        subjects: bool = False,
        patient_type: str = "Patient",
        hidden: Collection[str] = (),
        steadfast: bool = False,
        files: Files | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        """`directory`: of the log. `subjects`: hide all of them, not only patients and those of the types `hidden`.
        `steadfast`: what was read of the keys goes on to be used while their directory cannot be.
        """
        self.directory = directory
        self.patient_type = patient_type
        self.problem = "the keys of the log were not read yet"
        self.warning = ""  # what will be a problem when the next key is needed
        self._vault = Vault(keys or directory / DIRECTORY, master, files)
        self._files = files or Files()
        self._clock = clock
        self._all = subjects
        self._steadfast = steadfast
        self._hidden = frozenset({patient_type, *hidden})
        self._lock = Lock()
        self._id = ""
        self._master: object = None  # the master key that was found to open the others, as a file
        self._epochs = 0  # when the directory of pseudonym keys was changed last
        self._names: Name | None = None
        self._ciphers: dict[int, tuple[str, AESGCM]] = {}

    # ------------------------------------------------------------------------------------------------- for a record

    def hides(self, subject_type: str) -> bool:
        """Does a subject of this (wire) type stand under a pseudonym?"""
        return self._all or subject_type in self._hidden

    def name(self, kind: str, identifier: str) -> str:
        """The pseudonym. Raises EvidenceError, and ValueError for what is no text."""
        names = self._names
        if names is None or self.problem:
            raise EvidenceError(self.problem)
        return names(kind, identifier)

    def sealed(
        self, detail: Mapping[str, Any], identifier: str, kind: str, moment: int, part: int = 0
    ) -> dict[str, str]:
        """The detail of a record of that `moment` (microseconds since the epoch), encrypted. Raises EvidenceError, and
        TypeError or ValueError for what cannot be encoded.
        """
        if self.problem:
            raise EvidenceError(self.problem)
        known = self._ciphers.get(moment // DAY) or self._cipher(moment)
        return sealed(known[1], known[0], orjson.dumps(detail), bound(identifier, kind, part))

    # ------------------------------------------------------------------------------------------------------ its keys

    def look(self) -> None:
        """Are the keys there, and are they still those in use? To be asked each second; `problem` says if not, and
        `warning` what stands in the way of the next day's: the master key is another one, or cannot be read.
        """
        with self._lock:
            try:
                self._looked()
            except EvidenceError as error:
                self.problem = "" if self._steadfast and self._ready() else str(error)
            else:
                self.problem = ""
                self._look_at_master()

    def _look_at_master(self) -> None:
        try:
            there = os.stat(self._vault.master)
            seen = (there.st_dev, there.st_ino, there.st_mtime_ns, there.st_ctime_ns, self._epochs)
            if seen != self._master:
                self._vault.check()
            self._master, self.warning = seen, ""
        except OSError as error:
            self._master, self.warning = None, f"the master key {self._vault.master} cannot be read: {error.strerror}"
        except EvidenceError as error:
            self._master, self.warning = None, str(error)

    def make(self) -> None:
        """The same, for whoever has to know at once. Raises EvidenceError."""
        self.look()
        if self.problem:
            raise EvidenceError(self.problem)

    def _ready(self) -> bool:
        """Is all there that a record of now needs?"""
        return self._names is not None and self._clock() // 1_000 // DAY in self._ciphers

    def _looked(self) -> None:
        mark = read(self.directory)
        if mark is None or not self._id:
            self._begin(mark)
        elif self._vault.id() != self._id or mark.id != self._id:
            self._id = ""  # Another log, or the keys of another: looked at from the start the next time.
            raise EvidenceError(f"the keys in {self._vault.directory} have been replaced")
        changed = self._changed()
        if changed != self._epochs:
            epoch, key = list(self._vault.pseudonym_keys().items())[-1]
            self._names, self._epochs = pseudonyms(epoch, key), changed
        for day, (kid, _) in list(self._ciphers.items()):
            if not os.path.lexists(self._vault.path_of(kid)):
                if not self._vault.is_erased(kid):
                    raise EvidenceError(f"the key {self._vault.path_of(kid)} is missing, and nobody erased it")
                del self._ciphers[day]
        now = self._clock() // 1_000
        self._found(now)
        if (now + DAY) // DAY not in self._ciphers:
            with suppress(EvidenceError):  # There is a day left, and this is asked again.
                self._found(now + DAY, 0.0)

    def _begin(self, mark: Mark | None) -> None:
        """Make what a first start needs, or read what the log says it is written with."""
        vault = self._vault
        if mark is None:
            identifier = vault.make()
        else:
            try:
                identifier = vault.check()
            except EvidenceError as error:
                raise EvidenceError(f"{error}; the log is written with keys that were in {mark.keys}") from error
            if identifier != mark.id:
                raise EvidenceError(f"the keys in {vault.directory} are not those of the log in {self.directory}")
        write(self.directory, Mark(identifier, ENCRYPTED, vault.directory, self._elsewhere()), self._files)
        self._id, self._epochs, self._ciphers = identifier, 0, {}

    def _elsewhere(self) -> Path | None:
        own = self._vault.directory / MASTER
        return None if self._vault.master == own else self._vault.master

    def _changed(self) -> int:
        try:
            return os.stat(self._vault.directory / PSEUDONYMS).st_mtime_ns
        except OSError as error:
            raise EvidenceError(f"the keys in {self._vault.directory} cannot be read: {error.strerror}") from error

    def _cipher(self, moment: int) -> tuple[str, AESGCM]:
        with self._lock:
            return self._found(moment)

    def _found(self, moment: int, seconds: float = WAIT_SECONDS) -> tuple[str, AESGCM]:
        """The key of that moment's day, whatever the clock does. Under the lock.

        Where that one was erased, what was still under way then goes with the next day; nothing of older ones is
        written any more.
        """
        day = moment // DAY
        known = self._ciphers.get(day)
        if known is None:
            try:
                kid, key = self._vault.day_key(day_of(moment), seconds)
            except Erased:
                kid, key = self._vault.day_key(day_of(moment + DAY), seconds)
            known = self._ciphers[day] = kid, AESGCM(key)
            while len(self._ciphers) > KEPT_DAYS:
                del self._ciphers[min(self._ciphers, key=lambda each: (each != day, each))]
        return known


class Keys:
    """Who reads: the `Opener` over a directory of keys. What it cannot have, it says so by each record."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._ciphers: dict[str, AESGCM] = {}
        self._looked = time.monotonic()

    def open(self, members: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
        detail = members.get("detail", {})
        if not isinstance(detail, dict):
            return {}, DAMAGED
        if "kid" not in detail:
            return detail, CLEAR
        kid = detail["kid"]
        if not isinstance(kid, str) or not KID(kid):
            return {}, DAMAGED
        if time.monotonic() - self._looked > LOOK_SECONDS:
            self._look()
        cipher = self._ciphers.get(kid)
        if cipher is None:
            if self._vault.is_erased(kid):
                return {}, ERASED
            try:
                cipher = self._ciphers[kid] = AESGCM(self._vault.data_key(kid))
            except EvidenceError:
                return {}, LOCKED
        try:
            return opened(cipher, members), CLEAR
        except Damaged:
            return {}, DAMAGED

    def _look(self) -> None:
        """What was erased is not opened any more, also by who has read it before."""
        self._looked = time.monotonic()
        for kid in [each for each in self._ciphers if not os.path.lexists(self._vault.path_of(each))]:
            del self._ciphers[kid]

    def names(self, kind: str, identifier: str, /) -> frozenset[str]:
        with suppress(EvidenceError, ValueError):
            return frozenset(
                pseudonyms(epoch, key)(kind, identifier) for epoch, key in self._vault.pseudonym_keys().items()
            )
        return frozenset()


def vault_of(directory: Path, keys: Path | None = None, master: Path | None = None) -> Vault | None:
    """The keys of a log: where somebody says, else where the log says. None: neither. Raises EvidenceError."""
    mark = read(directory) if keys is None else None
    if mark is not None:
        keys, master = mark.keys, master or mark.master
    return None if keys is None else Vault(keys, master)


def veil_of(directory: Path, keys: Path | None = None, master: Path | None = None) -> Veil | None:
    """What a record that is no worker's is hidden with, where this log hides anything. Raises EvidenceError."""
    mark = read(directory)
    if mark is None or mark.details != ENCRYPTED:
        return None
    veil = Veil(directory, keys or mark.keys, master or mark.master)
    veil.make()
    return veil


def in_clear(directory: Path) -> None:
    """From now on nothing is hidden; what was is still opened with its keys. Raises EvidenceError."""
    mark = read(directory)
    if mark is not None and mark.details == ENCRYPTED:
        write(directory, Mark(mark.id, CLEAR, mark.keys, mark.master), Files())


# ------------------------------------------------------------------------------------------------------------ the mark


def read(directory: Path) -> Mark | None:
    """None: there is none. Raises EvidenceError."""
    path = directory / MARK
    try:
        found = json.loads(path.read_bytes())
        keys, master = found["keys"], found["master"]
        if found["v"] != VERSION:
            raise ValueError("another version")
        return Mark(
            str(found["id"]),
            str(found["details"]),
            directory / keys,
            directory / master if master is not None else None,
        )
    except FileNotFoundError:
        return None
    except OSError as error:
        raise EvidenceError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise EvidenceError(f"{path} is damaged") from error


def write(directory: Path, mark: Mark, files: Files) -> None:
    """Nothing, where it says so already. What is below the log's directory is said from there. Raises EvidenceError."""
    if read(directory) == mark:
        return
    said = {
        "v": VERSION,
        "id": mark.id,
        "details": mark.details,
        "keys": _from(directory, mark.keys),
        "master": None if mark.master is None else _from(directory, mark.master),
    }
    published(files, directory / MARK, json.dumps(said).encode(), replace=True)


def _from(directory: Path, path: Path) -> str:
    return str(path.relative_to(directory)) if path.is_relative_to(directory) else str(path.absolute())
