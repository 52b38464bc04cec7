"""The keys of what a log hides, as files. Nothing here is a record, and no record is needed to read it.

    id                  which keys these are; the log they belong to says the same (`privacy.json`)
    master.key          the key over all others, or elsewhere: lines of 64 hex digits, the one in use first
    pseudonyms/N.key    the key of pseudonym epoch N, wrapped (RFC 3394) under the master key
    days/KID.key        a data key of one UTC day, wrapped; KID is `YYYYMMDD-<8 hex>`
    days/KID.erased     that key was erased, at this time

Whoever changes anything holds the lock. A new file is whole before it has its name, and never takes another's: several
workers that start at once agree. A key that is missing, open to others or not what it should be is an EvidenceError:
nothing is ever written in clear instead.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import json
import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from pdp.audit.evidence import EvidenceError
from pdp.audit.journal.files import Files

KEY_BYTES: Final = 32
MASTER: Final = "master.key"
PSEUDONYMS: Final = "pseudonyms"
DAYS: Final = "days"
ID: Final = "id"
LOCK: Final = "lock"
LOCK_SECONDS: Final = 5.0
KID: Final = re.compile(r"[0-9]{8}-[0-9a-f]{8}").fullmatch
MAX_BYTES: Final = 4_096
_EPOCH: Final = re.compile(r"[1-9][0-9]{0,8}").fullmatch
_OTHERS: Final = 0o077


@dataclass(frozen=True, slots=True)
class Day:
    """One data key."""

    kid: str
    erased: str = ""  # when, RFC 3339

    @property
    def day(self) -> str:
        """`YYYY-MM-DD`."""
        return f"{self.kid[:4]}-{self.kid[4:6]}-{self.kid[6:8]}"


class Erased(EvidenceError):
    """Of a day whose key was erased nothing is written under a new one."""


class Vault:
    """Safe for several processes. Holds no key itself. Everything raises EvidenceError."""

    def __init__(self, directory: Path, master: Path | None = None, files: Files | None = None) -> None:
        """`master`: where the master key is, when it is not beside the others."""
        self.directory = directory
        self.master = master or directory / MASTER
        self._files = files or Files()

    # ------------------------------------------------------------------------------------------------------- making

    def make(self) -> str:
        """The id, of keys that are all there and fit; whatever a first start needs is made."""
        for each in (self.directory, self.directory / PSEUDONYMS, self.directory / DAYS):
            with _evidence(f"{each} cannot be made"):
                each.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._files.sync_directory(each.parent)
        self._private(self.directory)
        with self.alone():
            begun = any(self._names(PSEUDONYMS, ".key")) or any(self._names(DAYS, ".key"))
            if not os.path.lexists(self.master):
                if begun:
                    raise EvidenceError(f"the master key {self.master} is missing: what it wraps cannot be read")
                self._new(self.master, f"{os.urandom(KEY_BYTES).hex()}\n".encode())
            if not any(self._names(PSEUDONYMS, ".key")):
                self._wrap(self._path(PSEUDONYMS, "1"), os.urandom(KEY_BYTES))
            if not os.path.lexists(self.directory / ID):
                self._new(self.directory / ID, f"{os.urandom(16).hex()}\n".encode())
        return self.check()

    def check(self) -> str:
        """The id. Raises where a key that the next record needs cannot be used."""
        self.pseudonym_keys()
        return self.id()

    def id(self) -> str:
        return self._read(self.directory / ID).decode("ascii", "replace").strip()

    # ------------------------------------------------------------------------------------------------------- reading

    def pseudonym_keys(self) -> dict[int, bytes]:
        """Every epoch's, oldest first."""
        epochs = sorted(int(name) for name in self._names(PSEUDONYMS, ".key") if _EPOCH(name))
        if not epochs:
            raise EvidenceError(f"there is no pseudonym key in {self.directory / PSEUDONYMS}")
        return {epoch: self._unwrap(self._path(PSEUDONYMS, str(epoch))) for epoch in epochs}

    def data_key(self, kid: str) -> bytes:
        return self._unwrap(self.path_of(kid))

    def is_erased(self, kid: str) -> bool:
        return os.path.lexists(self._path(DAYS, kid, ".erased"))

    def path_of(self, kid: str) -> Path:
        return self._path(DAYS, kid)

    def days(self) -> list[Day]:
        """Every data key there is, or was, oldest first."""
        erased = {name: self._erased_at(name) for name in self._names(DAYS, ".erased") if KID(name)}
        there = {name for name in self._names(DAYS, ".key") if KID(name)}
        return [Day(kid, erased.get(kid, "")) for kid in sorted(there | erased.keys())]

    def newest(self, day: str) -> str:
        """The kid of the key of a day (`YYYYMMDD`) that is to be used; "" where there is none."""
        return next(iter(sorted(each.kid for each in self.days() if each.kid[:8] == day and not each.erased)), "")

    # ------------------------------------------------------------------------------------------------------ changing

    def day_key(self, day: str, seconds: float | None = None) -> tuple[str, bytes]:
        """Kid and key for a day (`YYYYMMDD`): the one that is there, else a new one, after so many seconds at most.

        No day whose key was erased has one again. A new one is made only while the master key opens those that there
        are: nobody else's master key becomes ours in silence.
        """
        kid = self.newest(day)
        if not kid:
            with self.alone(seconds):
                kid = self.newest(day)  # Somebody else may have been first.
                if not kid:
                    if self.was_erased(day):
                        raise Erased(f"the key of {day} was erased")
                    self.pseudonym_keys()
                    kid = f"{day}-{os.urandom(4).hex()}"
                    self._wrap(self.path_of(kid), os.urandom(KEY_BYTES))
        return kid, self.data_key(kid)

    def was_erased(self, day: str) -> bool:
        return any(each.startswith(f"{day}-") for each in self._names(DAYS, ".erased"))

    def rotate_pseudonyms(self) -> int:
        """The new epoch. Those before it stay, so that what was written can be followed."""
        with self.alone():
            epoch = max(self.pseudonym_keys()) + 1
            self._wrap(self._path(PSEUDONYMS, str(epoch)), os.urandom(KEY_BYTES))
        return epoch

    def rotate_master(self, progress: Callable[[int, int], None] = lambda _, __: None) -> int:
        """Wrap all keys under a new master key; how many. What a crash left half done is done by the next call.

        Both master keys are in the file until nothing needs the old one.
        """
        with self.alone():
            old = self._masters()
            new = [os.urandom(KEY_BYTES), *old]
            self._put_master(new)
            paths = [self._path(PSEUDONYMS, name) for name in self._names(PSEUDONYMS, ".key") if _EPOCH(name)]
            paths += [self.path_of(each.kid) for each in self.days() if not each.erased]
            for done, path in enumerate(paths, 1):
                self._replace(path, _wrapped(new[0], path, self._unwrap(path)))
                progress(done, len(paths))
            self._put_master(new[:1])
        return len(paths)

    def erase(self, kid: str, now: str) -> None:
        """For good: first it is said, then the file is overwritten and goes. Again where a crash came between."""
        path = self.path_of(kid)
        with self.alone(), _evidence(f"{path.name} cannot be erased"):
            mark = self._path(DAYS, kid, ".erased")
            if not os.path.lexists(mark):
                self._files.put(mark, f"{now}\n".encode())
            if os.path.lexists(path):
                self._overwrite(self._files.open(path, os.O_RDWR))
                self._files.drop(path)

    @contextmanager
    def alone(self, seconds: float | None = None) -> Iterator[None]:
        """Nobody else changes anything meanwhile. The kernel gives the lock back when a process dies. `seconds`: how
        long to wait for somebody else.
        """
        try:
            file = self._files.open(self.directory / LOCK, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise EvidenceError(f"the keys in {self.directory} cannot be locked: {error.strerror}") from error
        try:
            deadline = time.monotonic() + (LOCK_SECONDS if seconds is None else seconds)
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise EvidenceError(f"the keys in {self.directory} are being changed by somebody") from None
                    time.sleep(0.01)
            yield
        finally:
            self._files.close(file)

    # --------------------------------------------------------------------------------------------------------- files

    def _path(self, kind: str, name: str, ending: str = ".key") -> Path:
        return self.directory / kind / f"{name}{ending}"

    def _names(self, kind: str, ending: str) -> list[str]:
        try:
            return [name.removesuffix(ending) for name in os.listdir(self.directory / kind) if name.endswith(ending)]
        except OSError as error:
            raise EvidenceError(f"the keys in {self.directory} cannot be read: {error.strerror}") from error

    def _erased_at(self, kid: str) -> str:
        with _evidence(f"{kid}.erased cannot be read"):
            return self._path(DAYS, kid, ".erased").read_text("ascii", "replace").strip() or "?"

    def _read(self, path: Path) -> bytes:
        """A file of ours alone. The master key may be a link, as secrets that are mounted are."""
        with _evidence(f"the key {path} cannot be read"):
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                mode = os.fstat(file).st_mode
                data = os.read(file, MAX_BYTES + 1) if path != self.master else os.read(file, 1 << 16)
            finally:
                os.close(file)
        if stat.S_IMODE(mode) & _OTHERS:
            raise EvidenceError(f"the key {path} is open to others than its owner (chmod 600)")
        return data

    def _private(self, directory: Path) -> None:
        with _evidence(f"{directory} cannot be read"):
            mode = os.stat(directory).st_mode
        if stat.S_IMODE(mode) & _OTHERS:
            raise EvidenceError(f"{directory} holds keys, and is open to others than its owner (chmod 700)")

    def _masters(self) -> list[bytes]:
        """The master keys, the one in use first."""
        try:
            found = [bytes.fromhex(line) for line in self._read(self.master).decode("ascii").split()]
        except ValueError as error:
            raise EvidenceError(f"the master key {self.master} is damaged") from error
        if not found or any(len(each) != KEY_BYTES for each in found):
            raise EvidenceError(f"the master key {self.master} is damaged")
        return found

    def _put_master(self, keys: Iterable[bytes]) -> None:
        self._replace(self.master.resolve(), "".join(f"{each.hex()}\n" for each in keys).encode())

    def _wrap(self, path: Path, key: bytes) -> None:
        self._new(path, _wrapped(self._masters()[0], path, key))

    def _unwrap(self, path: Path) -> bytes:
        found = self._members(path)
        by_id = {identifier(each): each for each in self._masters()}
        if found["master"] not in by_id:  # It may have been wrapped anew between the two looks.
            found, by_id = self._members(path), {identifier(each): each for each in self._masters()}
        master = by_id.get(found["master"])
        if master is None:
            raise EvidenceError(f"the key {path} is wrapped under another master key than {self.master}")
        try:
            return aes_key_unwrap(master, base64.b64decode(found["wrapped"], validate=True))
        except (InvalidUnwrap, binascii.Error, ValueError, TypeError) as error:
            raise EvidenceError(f"the key {path} is damaged") from error

    def _members(self, path: Path) -> dict[str, str]:
        try:
            found = json.loads(self._read(path))
        except ValueError as error:
            raise EvidenceError(f"the key {path} is damaged") from error
        if not isinstance(found, dict) or {"key", "master", "wrapped"} - found.keys() or found["key"] != path.stem:
            raise EvidenceError(f"the key {path} is damaged")
        return found

    def _new(self, path: Path, data: bytes) -> None:
        published(self._files, path, data)

    def _replace(self, path: Path, data: bytes) -> None:
        """The new content, durably; what the old one had on the disk is overwritten."""
        with _evidence(f"the key {path} cannot be replaced"):
            old = self._files.open(path, os.O_RDWR)
        try:
            published(self._files, path, data, replace=True)
        except EvidenceError:
            self._files.close(old)
            raise
        with _evidence(f"the key {path} was replaced, and the old one not overwritten"):
            self._overwrite(old)

    def _overwrite(self, file: int) -> None:
        """And close it. Best effort: file systems that copy on write, and snapshots, keep what was there."""
        try:
            self._files.pwrite(file, bytes(os.fstat(file).st_size), 0)
            self._files.fsync(file)
        finally:
            self._files.close(file)


def published(files: Files, path: Path, data: bytes, replace: bool = False) -> None:
    """Durable and whole, or not there. Where there is a file already, that one stays, if it is not to be replaced."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    with _evidence(f"{path} cannot be written"):
        try:
            _write(files, aside, data)
            if replace:
                files.rename(aside, path)
            else:
                os.link(aside, path)
        except FileExistsError:
            pass
        finally:
            if os.path.lexists(aside):
                files.unlink(aside)
        files.sync_directory(path.parent)


def _write(files: Files, path: Path, data: bytes) -> None:
    file = files.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        if files.pwrite(file, data, 0) != len(data):
            raise OSError(28, "No space left on device")
        files.fsync(file)
    finally:
        files.close(file)


def identifier(master: bytes) -> str:
    """Which master key it is; tells nothing of the key."""
    return sha256(b"chaperone audit master\0" + master).hexdigest()[:16]


def day_of(moment: int) -> str:
    """`YYYYMMDD` in UTC. `moment`: microseconds since the epoch."""
    return (date(1970, 1, 1) + timedelta(days=moment // 86_400_000_000)).strftime("%Y%m%d")


def today() -> date:
    return datetime.now(UTC).date()


def _wrapped(master: bytes, path: Path, key: bytes) -> bytes:
    wrapped = base64.b64encode(aes_key_wrap(master, key)).decode("ascii")
    return json.dumps({"key": path.stem, "master": identifier(master), "wrapped": wrapped}).encode()


@contextmanager
def _evidence(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EvidenceError(f"{what}: {error.strerror or error}") from error
