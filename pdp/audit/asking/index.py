"""The index: what of the clear parts one asks for, as parquet beside the log, made from sealed records with DuckDB.

    index/<first>-<after>.parquet    the records from one place up to another, one row for each
    index/index.json                 which files, up to which place, and the SHA-256 of each

It only ever says at which places to look. Each record is then read from the log and judged as in a scan; what is sealed
behind its end, or not sealed, is read. So an index cannot add a row or change one. It could leave one out, where
whoever changed it also changed `index.json`: then `--scan` finds it, and `pdp audit index --check` says so. One that is
damaged, not of this log, or that says of a place what the record there does not, is not used.

Anybody can make it anew from the log. It holds nothing that is not in the clear part.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from hashlib import file_digest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from pdp.audit.asking.asked import HIDDEN, PSEUDONYM, SHOWN, Question, Thing, part, said
from pdp.audit.evidence import EvidenceError
from pdp.audit.leaf import LOG, instant, members_of, sealed_size
from pdp.audit.record import RESULTS, STRANGE
from pdp.audit.tree import merkle, state
from pdp.audit.tree.tiles import WIDTH, records

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

DIRECTORY: Final = "index"
NAME: Final = "index.json"
VERSION: Final = 1
BLOCK: Final = 1 << 20
"""Records in one file, at most."""
WITH: Final = "the index needs DuckDB: pip install 'chaperone-pdp[query]'"

ROLES: Final = ("sub", "res", "identity", "refused_token")

Progress = Callable[[int, int], None]

COLUMNS: Final = {
    "place": "BIGINT",
    "hash": "VARCHAR",
    "ts": "BIGINT",
    "always": "BOOLEAN",
    "kind": "VARCHAR",
    "id": "VARCHAR",
    "pep": "VARCHAR",
    "effect": "VARCHAR",
    "reason": "VARCHAR",
    "rules": "VARCHAR[]",
    "action": "VARCHAR[]",
    "purpose": "VARCHAR[]",
    "request_id": "VARCHAR",
    "trace": "VARCHAR",
    "session": "VARCHAR[]",
    "types": "VARCHAR[]",
    "names": "VARCHAR[]",
    "epochs": "VARCHAR[]",
    "open": "BOOLEAN",
    "other": "BOOLEAN",
}
"""`always`: look at it whatever is asked. `names`: ids and pseudonyms of people and things; `epochs`: of the latter.
`open`: its detail is in clear, and may name somebody. `other`: it may name somebody whom nothing here shows."""


_CLEAR: Final = (
    f"EXISTS (SELECT 1 FROM (SELECT unnest(names) AS each) WHERE NOT regexp_full_match(each, '{PSEUDONYM.pattern}'))"
)
"""Of a row: an id stands among its names."""
TEXTS: Final = tuple(name for name, kind in COLUMNS.items() if "VARCHAR" in kind and name != "hash")


@dataclass(frozen=True, slots=True)
class File:
    name: str
    first: int
    after: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Index:
    """What is there. `size`: up to which place; `last`: the leaf hash of the record before that one."""

    directory: Path
    origin: str
    size: int
    last: str
    files: tuple[File, ...]

    @property
    def paths(self) -> list[str]:
        return [str(self.directory / DIRECTORY / each.name) for each in self.files]


class NotUsable(Exception):
    """There is no index, or none that may be used; the message says why."""


# --------------------------------------------------------------------------------------------------------------- making


def build(directory: Path, progress: Progress = lambda _, __: None) -> Index:
    """Make it, or bring it up to whole bundles of what is sealed. Raises EvidenceError; NotUsable without DuckDB."""
    size = sealed_size(directory) // WIDTH * WIDTH
    try:
        known = read(directory, size)
    except NotUsable:
        known = None
    files = [each for each in known.files if each.after - each.first == BLOCK] if known is not None else []
    first = files[-1].after if files else 0
    if known is not None and known.size == size:
        return known
    place = directory / DIRECTORY
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        last = ""
        while first < size:
            after = min(first + BLOCK, size)
            last = _block(directory, first, after, lambda done: progress(done, size))
            name = f"{first}-{after}.parquet"
            files.append(File(name, first, after, _digest(place / name)))
            first = after
        made = Index(directory, _origin(directory), size, last, tuple(files))
        _publish(made)
    except OSError as error:
        raise EvidenceError(f"the index cannot be written: {error.strerror}") from error
    return made


def _block(directory: Path, first: int, after: int, progress: Callable[[int], None]) -> str:
    """One file; the leaf hash of its last record. By way of lines of JSON, which DuckDB reads in bounded memory."""
    place, name, payload = directory / DIRECTORY, f"{first}-{after}.parquet", b""
    with TemporaryDirectory(dir=place, prefix="making-") as making:
        lines, made = Path(making) / "rows.json", Path(making) / name
        with lines.open("wb") as file:
            for index, payload in records(directory / LOG, after, progress, first):
                file.write(json.dumps(row(index, payload), separators=(",", ":")).encode() + b"\n")
        with connection(making) as duck:
            duck.execute(
                "COPY (SELECT * FROM read_json(?, format = 'newline_delimited', columns = "
                + "{"
                + ", ".join(f"{name}: '{kind}'" for name, kind in COLUMNS.items())
                + "}"
                + ", maximum_object_size = 1048576)) TO '"
                + str(made).replace("'", "''")
                + "' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 65536)",
                [str(lines)],
            )
        with made.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(made, place / name)
    return merkle.leaf(payload).hex()


def row(index: int, payload: bytes) -> dict[str, Any]:
    """What is kept of one record: of the clear part alone. Whatever is odd about it is looked at always."""
    found: dict[str, Any] = {"place": index, "hash": merkle.leaf(payload).hex()[:16]}
    try:
        members = members_of(payload)
    except EvidenceError:
        return {**found, "always": True}
    names, other = _names(members)
    moment, detail = instant(members.get("ts", "")), part(members, "detail")
    roles = [part(members, role) for role in ROLES]
    found |= {
        "ts": moment,
        "always": not moment or "search" in members or members.get("kind") == RESULTS,
        "kind": _text(members.get("kind")),
        "id": _text(members.get("id")),
        "pep": _text(members.get("pep")),
        "effect": _text(part(members, "dec").get("effect")),
        "reason": _text(part(members, "dec").get("reason")),
        "rules": _texts(said(members, "rule")),
        "action": _texts(said(members, "action")),
        "purpose": _texts(said(members, "purpose")),
        "request_id": _text(part(members, "ctx").get("request_id")),
        "trace": _text(part(members, "ctx").get("trace")),
        "session": _texts(said(members, "session")),
        "types": _texts(str(role.get("type", "")) for role in roles if role),
        "names": names,
        "epochs": sorted({match[1] for each in names if (match := PSEUDONYM.fullmatch(each))}),
        "open": bool(detail) and "kid" not in detail,
        "other": other,
    }
    if any("\0" in text for text in _every(found)):
        return {**found, **dict.fromkeys(TEXTS), "always": True}
    return found


def _every(found: Mapping[str, Any]) -> Iterator[str]:
    for each in found.values():
        if isinstance(each, str):
            yield each
        elif isinstance(each, list):
            yield from each


def _names(members: Mapping[str, Any]) -> tuple[list[str], bool]:
    """Every id and pseudonym of the clear part; and: may there be somebody whom they do not show?"""
    encrypted = "kid" in part(members, "detail")
    names: set[object] = {members.get("patient_p")}
    other = "refused_token" in members or (encrypted and members.get("kind") not in SHOWN)
    for role in ROLES:
        clear = part(members, role)
        given = {name: clear[name] for name in ("id", "id_p", "patient_p") if clear.get(name) is not None}
        names.update(each for each in given.values() if isinstance(each, str))
        other = other or clear.get("type") == STRANGE or any(not isinstance(each, str) for each in given.values())
        if clear and encrypted and (role != "identity" or "type" in clear):
            other = other or not given.keys() & {"id", "id_p"}
    return sorted(each for each in names if isinstance(each, str)), other or "actors" in part(members, "identity")


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _texts(values: Iterable[object]) -> list[str]:
    return sorted({each for each in values if isinstance(each, str)})


# -------------------------------------------------------------------------------------------------------------- reading


@dataclass(frozen=True, slots=True)
class Places:
    """Where to look: `places`, in order, with 16 hex digits of the leaf hash there; from `size` on everywhere."""

    size: int
    places: list[tuple[int, str]]


def read(directory: Path, size: int) -> Index:
    """The index of a log that has `size` sealed records. Raises NotUsable: none, damaged, or of another log."""
    place = directory / DIRECTORY
    try:
        found = json.loads((place / NAME).read_bytes())
        files = tuple(File(**each) for each in found["files"])
        index = Index(directory, found["origin"], found["size"], found["last"], files)
        if found["v"] != VERSION or not isinstance(index.size, int) or index.origin != _origin(directory):
            raise NotUsable("it is the index of another log, or of another version")
        if [each.first for each in files] != [0, *(each.after for each in files[:-1])][: len(files)]:
            raise NotUsable("its files are not one behind the other")
        if index.size != (files[-1].after if files else 0) or index.size > size:
            raise NotUsable("it is longer than the log")
        if any("/" in each.name or _digest(place / each.name) != each.sha256 for each in files):
            raise NotUsable("a file of it was changed")
        if index.size and index.last != _last(directory, index.size):
            raise NotUsable("it is the index of another log")
    except FileNotFoundError as error:
        raise NotUsable("there is none: `pdp audit index` makes it") from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError, EvidenceError) as error:
        raise NotUsable(f"it cannot be read: {error}") from error
    return index


def places(index: Index, questions: list[Question], most: int) -> Places:
    """Where any of these questions can find something. Raises NotUsable; also for more than `most` places."""
    with connection(str(index.directory / DIRECTORY)) as duck:
        import duckdb

        try:
            chosen, given = [], list[Any]()
            for question in questions:
                clause, more = _where(duck, index, question)
                chosen.append(clause)
                given += more
            rows = duck.execute(
                f"SELECT place, hash FROM read_parquet(?) WHERE {' OR '.join(chosen)} ORDER BY place LIMIT ?",
                [index.paths, *given, most + 1],
            ).fetchall()
        except duckdb.Error as error:
            raise NotUsable(f"DuckDB cannot read it: {str(error).splitlines()[0]}") from error
    if len(rows) > most:
        raise NotUsable("most of the log has to be read anyway")
    return Places(index.size, rows)


def _where(duck: DuckDBPyConnection, index: Index, question: Question) -> tuple[str, list[Any]]:
    """What can be meant, as SQL. Whatever is asked is a parameter."""
    asked, clauses, given = question.asked, list[str](), list[Any]()

    def need(clause: str, *values: Any) -> None:
        clauses.append(clause)
        given.extend(values)

    if asked.kinds:
        need("list_contains(?, kind)", sorted(asked.kinds))
    if asked.period is not None and asked.period.bounded:
        need("ts >= ? AND ts < ?", asked.period.first, asked.period.after)
    for name, value in asked.literals.items():
        column = {"rule": "rules", "decision": "id"}.get(name, name)
        if name in HIDDEN:
            need(f"list_has_any({column}, ?)", [value, STRANGE])
        else:
            need(f"list_contains({column}, ?)" if COLUMNS[column].endswith("[]") else f"{column} = ?", value)
    for thing in question.things:
        names, epochs = _names_of(duck, index, thing)
        clear = f" OR {_CLEAR}" if thing.pseudonym else ""  # The id behind it may stand there.
        need(f"(open OR other OR list_has_any(names, ?) OR NOT list_has_all(?, epochs){clear})", names, epochs)
    return f"(always OR ({' AND '.join(clauses) or 'true'}))", given


def _names_of(duck: DuckDBPyConnection, index: Index, thing: Thing) -> tuple[list[str], list[str]]:
    kinds = {of for of, _ in thing.parts} | {""}
    if any(not of for of, _ in thing.parts):
        rows = duck.execute("SELECT DISTINCT unnest(types) FROM read_parquet(?)", [index.paths]).fetchall()
        kinds |= {each for (each,) in rows}
    known = [thing.of(kind) for kind in sorted(kinds)]
    names = thing.ids.union(*(each.pseudonyms for each in known))
    epochs = frozenset.intersection(*(each.epochs for each in known))
    return sorted(names), sorted(epochs)


def differences(index: Index, progress: Progress = lambda _, __: None) -> Iterator[str]:
    """What the index says that the log does not, and the other way round. Reads both whole."""
    with connection(str(index.directory / DIRECTORY)) as duck:
        import duckdb

        names = list(COLUMNS)
        try:
            rows = duck.execute(f"SELECT {', '.join(names)} FROM read_parquet(?) ORDER BY place", [index.paths])
            for place, payload in records(index.directory / LOG, index.size, lambda done: progress(done, index.size)):
                found = rows.fetchone()
                wanted = row(place, payload)
                if found is None or found[0] > place:
                    yield f"record {place} is missing in the index"
                    return
                if any(found[at] != wanted.get(name) for at, name in enumerate(names)):
                    yield f"record {place} is another one in the index"
            if rows.fetchone() is not None:
                yield "the index has records that the log has not"
        except duckdb.Error as error:
            yield f"the index cannot be read: {str(error).splitlines()[0]}"


def connection(directory: str | Path) -> DuckDBPyConnection:
    """A DuckDB of its own in memory, which sees this directory alone and fetches nothing. Raises NotUsable."""
    try:
        import duckdb
    except ImportError as error:
        raise NotUsable(WITH) from error
    duck = duckdb.connect(":memory:", config={"threads": 1, "memory_limit": "512MB"})
    duck.execute("SET autoinstall_known_extensions = false")
    duck.execute("SET allowed_directories = ?", [[str(Path(directory).absolute())]])
    duck.execute("SET temp_directory = ''")
    duck.execute("SET enable_external_access = false")
    duck.execute("SET lock_configuration = true")
    return duck


# ---------------------------------------------------------------------------------------------------------------- files


def _publish(index: Index) -> None:
    place = index.directory / DIRECTORY
    told = {"v": VERSION, "origin": index.origin, "size": index.size, "last": index.last}
    data = json.dumps({**told, "files": [asdict(each) for each in index.files]}, indent=1).encode()
    temporary = place / f".{NAME}.{os.getpid()}"
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, place / NAME)
    kept = {each.name for each in index.files}
    for old in place.glob("*.parquet"):
        if old.name not in kept:
            old.unlink(missing_ok=True)


def _origin(directory: Path) -> str:
    known = state.read(directory)
    if known is None:
        raise EvidenceError("this is a copy of a log: it has no index of its own")
    return known.origin


def _last(directory: Path, size: int) -> str:
    (found,) = (merkle.leaf(payload).hex() for _, payload in records(directory / LOG, size, first=size - 1))
    return found


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
