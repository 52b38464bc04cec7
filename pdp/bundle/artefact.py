"""A built policy set as one file, from the process that builds to those that decide.

The file holds code, so it is read only if it is ours and nobody else can write it, and if its digest is right; that
finds a file that is cut short or damaged; it is no signature. Reading goes in small steps with a pause between, so
that a worker goes on answering while it loads.

Layout: one line of magic; SHA-256 of all that follows; then sections, each with its length in eight bytes: the header
(JSON), the program, the values of all rows in pieces, the rows in pieces. Rows refer to values by number, so equal
values are one object again.
"""

from __future__ import annotations

import hashlib
import json
import marshal
import os
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pdp.bundle import collector
from pdp.compile.program import Program
from pdp.language.core import PolicySet, Route
from pdp.model.entities import Entities
from pdp.model.value import ABSENT, UNKNOWN, Entity, Ip, Missing, Row

if TYPE_CHECKING:
    from pdp.bundle.build import Built

_MAGIC: Final = b"chaperone artefact 1\n"
_DIGEST_BYTES: Final = 32
_HASHED_AT_ONCE: Final = 1 << 20
_VALUES_AT_ONCE: Final = 5_000
_ROWS_AT_ONCE: Final = 1_000


class BadArtefact(Exception):
    """The file is not one that we would load, and why. It is never loaded in part."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a worker decides with."""

    program: Program
    entities: Entities
    routes: tuple[Route, ...]
    source_digest: str
    revision: str

    @property
    def policies(self) -> PolicySet:
        """The checked core, unpickled when asked for: deciding does without."""
        return self.program.policies


def write(built: Built, path: Path) -> None:
    """Writes the artefact, whole or not at all, readable by its owner alone."""
    content = b"".join(_sections(built))
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # Made with mode 0600.
    try:
        with open(descriptor, "wb") as file:
            file.write(_MAGIC)
            file.write(hashlib.sha256(content).digest())
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)  # Still there only if something went wrong.


def read(path: Path, pause: Callable[[], None] | None = None) -> Loaded:
    """Loads an artefact, calling `pause` between steps of a few milliseconds. Raises BadArtefact, and OSError."""
    content = memoryview(_bytes(path))
    wait = pause or _no_pause
    start = len(_MAGIC) + _DIGEST_BYTES
    if bytes(content[: len(_MAGIC)]) != _MAGIC:
        raise BadArtefact(f"{path} is not an artefact of this version")
    digest = hashlib.sha256()
    for at in range(start, len(content), _HASHED_AT_ONCE):
        digest.update(content[at : at + _HASHED_AT_ONCE])
        wait()
    if digest.digest() != content[len(_MAGIC) : start]:
        raise BadArtefact(f"{path} is damaged: its digest is not that of its content")
    with collector.paused():
        return _loaded(path, _parts(content[start:]), wait)


def _loaded(path: Path, parts: Iterator[memoryview], wait: Callable[[], None]) -> Loaded:
    header = json.loads(bytes(next(parts)))
    try:
        program = Program.from_bytes(bytes(next(parts)))
    except ValueError as error:
        raise BadArtefact(f"{path}: {error}") from error
    wait()
    values: list[Any] = []
    for _ in range(header["value_pieces"]):
        _add(marshal.loads(next(parts)), values)
        wait()
    rows: dict[Entity, Row] = {}
    value_of = values.__getitem__
    for _ in range(header["row_pieces"]):
        for reference, *row in marshal.loads(next(parts)):
            rows[value_of(reference)] = tuple(map(value_of, row))
        wait()
    entities = Entities(rows, header["revision"])
    return Loaded(program, entities, program.routes, program.source_digest, entities.revision)


def _bytes(path: Path) -> bytes:
    """The file's bytes, if it is ours alone."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise BadArtefact(f"{path} is not a regular file")
        if about.st_uid != os.geteuid():
            raise BadArtefact(f"{path} belongs to somebody else; it would become code")
        if about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise BadArtefact(f"{path} can be written by others; it would become code")
        return file.read()


def _no_pause() -> None:
    pass


def _parts(content: memoryview) -> Iterator[memoryview]:
    at = 0
    while at < len(content):
        size = int.from_bytes(content[at : at + 8], "big")
        yield content[at + 8 : at + 8 + size]
        at += 8 + size


def _sections(built: Built) -> Iterator[bytes]:
    values = _Values()
    rows = [
        [values.number(reference), *map(values.number, row)] for reference, row in sorted(built.entities.rows.items())
    ]
    value_pieces = list(_pieces(values.written, _VALUES_AT_ONCE))
    row_pieces = list(_pieces(rows, _ROWS_AT_ONCE))
    header = {"revision": built.revision, "value_pieces": len(value_pieces), "row_pieces": len(row_pieces)}
    yield _section(json.dumps(header).encode())
    yield _section(built.program.to_bytes())
    for piece in (*value_pieces, *row_pieces):
        yield _section(marshal.dumps(piece))


def _section(content: bytes) -> bytes:
    return len(content).to_bytes(8, "big") + content


def _pieces(items: list[Any], size: int) -> Iterable[list[Any]]:
    return (items[at : at + size] for at in range(0, len(items), size))


class _Values:
    """Numbers values, each distinct one once; what a value is made of comes before it.

    Written as themselves (bool, int, str), or as (kind, ..): marshal knows no `Ip` and no `Missing`.
    """

    def __init__(self) -> None:
        self.written: list[Any] = []
        self._numbers: dict[Any, int] = {}

    def number(self, value: Any) -> int:
        if isinstance(value, Missing):
            return self._numbered(("?", value.name), ("?", value.name))
        if isinstance(value, Ip):
            return self._numbered((Ip, *value), ("ip", *value))
        if isinstance(value, frozenset):
            members = sorted(map(self.number, value))
            return self._numbered((frozenset, *members), ("set", *members))
        if isinstance(value, tuple):
            members = list(map(self.number, value))
            return self._numbered((tuple, *members), ("tuple", *members))
        return self._numbered((type(value), value), value)  # With its type: True is not 1.

    def _numbered(self, key: Any, written: Any) -> int:
        number = self._numbers.setdefault(key, len(self._numbers))
        if number == len(self.written):
            self.written.append(written)
        return number


def _add(piece: list[Any], values: list[Any]) -> None:
    """Adds the values of one piece; what a value is made of is there before it."""
    for written in piece:
        if type(written) is not tuple:
            values.append(written)
            continue
        kind, *members = written
        if kind == "?":
            values.append({"ABSENT": ABSENT, "UNKNOWN": UNKNOWN}[members[0]])
        elif kind == "ip":
            values.append(Ip(*members))
        else:
            made_of = [values[number] for number in members]
            values.append(frozenset(made_of) if kind == "set" else tuple(made_of))
