"""Bundle data: JSON beside the policies, typed by the schema, refused whole where anything is wrong (LANGUAGE 11).

A value that is not given is absent if its place spoke of the entity and the attribute is optional; what its place never
spoke of is unknown (SEMANTICS 1). Findings name file and line, and never a value or an identifier: they may be printed
where patients may not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from pdp.bundle import collector, files
from pdp.bundle.ancestry import NONE, Ancestry, Place
from pdp.bundle.records import NotJson, elements, lines
from pdp.diagnostics.diagnostic import Diagnostic, PolicyError
from pdp.diagnostics.source import Source
from pdp.diagnostics.suggest import closest
from pdp.language.schema import DATA, EntityDeclaration, Schema
from pdp.language.wire import IllTyped, converter, identifier
from pdp.model.entities import Entities
from pdp.model.value import ABSENT, UNKNOWN, Entity, Row, State, Unsettled, canonical, entity

MAX_FILE_BYTES: Final = 256 * 1024 * 1024
MAX_FINDINGS: Final = 100
_MEMBERS: Final = frozenset({"type", "id", "parents", "attributes"})


def load(directory: Path, schema: Schema) -> Entities:
    """The data of a policy set: `data/**/*.json` and `*.jsonl` below its directory; those of a source in
    `data/sources/NAME`. No `data` directory: no data. Raises PolicyError with all findings (at most 100).
    """
    root = directory / "data"
    if not root.exists() and not root.is_symlink():
        return Entities({}, _revision([]))
    problems: list[Diagnostic] = []
    loader = _Loader(schema, problems)
    with collector.paused():
        for path in files.found(root, (".json", ".jsonl"), problems):
            text = files.text(path, MAX_FILE_BYTES, problems)
            if text is not None:
                source = _source_of(path.relative_to(root))
                if source and source not in loader.sources:
                    message = f"no attribute is declared `from source {source}`"
                    problems.append(files.about(path, "data-unknown-source", message, _near(source, loader.sources)))
                    continue
                loader.file(Source(path.as_posix(), text), source)
            if len(problems) >= MAX_FINDINGS:
                break
        rows = {} if problems else loader.rows()
    if problems:
        raise PolicyError(problems[:MAX_FINDINGS])
    return Entities(rows, _revision(loader.digests))


def _source_of(path: Path) -> str:
    """The source that a file speaks for; "" for bundle data."""
    return path.parts[1] if path.parts[0] == "sources" and len(path.parts) > 2 else ""


def _revision(digests: list[bytes]) -> str:
    """SHA-256 over the records' digests in sorted order: neither files nor their order count."""
    return hashlib.sha256(b"chaperone data 1\0" + b"".join(sorted(digests))).hexdigest()


class _Column:
    """One attribute of one type: converts, and lets equal values be one object."""

    __slots__ = ("_convert", "_shared", "_strings", "_written", "name", "slot")

    def __init__(self, name: str, slot: int, convert: Callable[[object], Any], strings: dict[str, str]) -> None:
        self.name = name.encode()
        self.slot = slot
        self._convert = convert
        self._strings = strings
        self._written: dict[str, tuple[State, bytes]] = {}  # what a text stood for before
        self._shared: dict[Any, tuple[State, bytes]] = {}  # all of one static type, so that no 1 is taken for a True

    def value(self, given: object) -> tuple[State, bytes]:
        """The value and its canonical bytes. Raises IllTyped."""
        if type(given) is not str:
            return self._share(self._convert(given))
        found = self._written.get(given)
        if found is None:
            found = self._written[given] = self._share(self._convert(given))
        return found

    def _share(self, value: Any) -> tuple[State, bytes]:
        try:
            found = self._shared.get(value)
        except Unsettled:
            return value, canonical(value)  # A record with an absent member has no hash.
        if found is None:
            strings = self._strings
            if type(value) is str:
                value = strings.setdefault(value, value)
            elif type(value) is frozenset:
                value = frozenset(strings.setdefault(each, each) if type(each) is str else each for each in value)
            found = self._shared[value] = (value, canonical(value))
        return found


class _Shape:
    """What may be given of one type: by bundle data ("") and by each source."""

    __slots__ = ("absent", "columns", "name", "parents", "prefix", "unknown")

    def __init__(self, declared: EntityDeclaration, schema: Schema, strings: dict[str, str]) -> None:
        self.name = declared.name
        self.prefix = entity(declared.name, "")
        self.parents = {schema.entities[name].wire: entity(name, "") for name in declared.parents}
        self.unknown = [UNKNOWN] * (len(declared.attributes) + 1)
        self.columns: dict[str, dict[str, _Column]] = {}
        self.absent: dict[str, list[int]] = {}
        for each in declared.attributes.values():
            if each.stored:
                place = "" if each.place == DATA else each.source
                convert = converter(each.type, schema, ordinary=False)
                column = _Column(each.name, each.slot, convert, strings)
                self.columns.setdefault(place, {})[each.name] = column
                if each.optional:
                    self.absent.setdefault(place, []).append(each.slot)


class _Loader:
    """Reads records, one after the other; `rows` then closes what needs the whole."""

    def __init__(self, schema: Schema, problems: list[Diagnostic]) -> None:
        self.problems = problems
        self.sources = {
            each.source for declared in schema.entities.values() for each in declared.attributes.values() if each.source
        }
        self.digests: list[bytes] = []
        self._schema = schema
        self._strings: dict[str, str] = {}
        self._shapes = {each.wire: _Shape(each, schema, self._strings) for each in schema.entities.values()}
        self._rows: dict[str, list[Any]] = {}
        self._given: dict[str, dict[str, Place]] = {"": {}}
        self._parents: dict[str, tuple[str, ...]] = {}

    def file(self, source: Source, place: str) -> None:
        """Reads one file: an array of records in `.json`, one record a line in `.jsonl`."""
        try:
            records = lines(source.text) if source.name.endswith(".jsonl") else elements(source.text)
            for record, start, end in records:
                self._record(record, place, Place(source, start, end))
                if len(self.problems) >= MAX_FINDINGS:
                    return
        except NotJson as error:
            self._problem("data-not-json", Place(source, error.at, error.at), error.message)

    def _problem(self, code: str, where: Place, message: str, hint: str = "") -> None:
        self.problems.append(Diagnostic(code, where.span, message, hint))

    def _record(self, record: object, place: str, where: Place) -> None:
        if not isinstance(record, dict):
            return self._problem("data-not-an-entity", where, "expected an object with `type` and `id`")
        for name in sorted(record.keys() - _MEMBERS):
            self._problem(
                "data-not-an-entity", where, f"an entity has no member `{_shown(name)}`", _near(name, _MEMBERS)
            )
        wire = record.get("type")
        shape = self._shapes.get(wire) if type(wire) is str else None
        if shape is None:
            hint = _near(wire, self._shapes)
            return self._problem("data-unknown-type", where, f"there is no entity type `{_shown(wire)}`", hint)
        try:
            reference = shape.prefix + identifier(record.get("id"))
        except IllTyped as error:
            return self._problem("data-bad-identifier", where, error.message)
        reference = self._strings.setdefault(reference, reference)
        given = self._given.setdefault(place, {})
        if reference in given:
            first = f"the first time at {given[reference]}"
            return self._problem("data-given-twice", where, "this entity is given for the second time", first)
        given[reference] = where
        parents = self._parents_of(record, shape, place, where)
        attributes = record.get("attributes")
        content = ["\0".join((place, reference, *parents)).encode(), b"\0\0"]
        row = self._row(reference, shape, place)
        if attributes is not None:
            content += self._attributes(attributes, row, shape, place, where)
        self.digests.append(hashlib.sha256(b"".join(content)).digest())
        return None

    def _row(self, reference: str, shape: _Shape, place: str) -> list[Any]:
        row = self._rows.setdefault(reference, [])
        if not row:
            row += shape.unknown
        for slot in shape.absent.get(place, ()):
            row[slot] = ABSENT
        return row

    def _attributes(
        self, attributes: object, row: list[Any], shape: _Shape, place: str, where: Place
    ) -> Iterator[bytes]:
        """Puts the attributes in their slots, and gives their canonical bytes."""
        if not isinstance(attributes, dict):
            self._problem("data-not-an-entity", where, "expected `attributes` to be an object")
            return
        columns = shape.columns.get(place, {})
        for name in sorted(attributes):
            column = columns.get(name)
            if column is None:
                self._misplaced(name, shape, place, where)
            elif (value := attributes[name]) is not None:
                try:
                    row[column.slot], content = column.value(value)
                except IllTyped as error:
                    self._problem("data-ill-typed", where, f"`{name}` of `{shape.name}`: {error.message}")
                    continue
                yield column.name
                yield content

    def _misplaced(self, name: str, shape: _Shape, place: str, where: Place) -> None:
        declared = self._schema.entities[shape.name].attributes
        attribute = declared.get(name)
        if attribute is None:
            message = f"`{shape.name}` has no attribute `{_shown(name)}`"
            return self._problem("data-unknown-attribute", where, message, _near(name, declared))
        owner = f"source {attribute.source}" if attribute.source else attribute.place
        here = f"source {place}" if place else "bundle data"
        message = f"`{name}` of `{shape.name}` comes from {owner}, not from {here}"
        return self._problem("data-misplaced-attribute", where, message)

    def _parents_of(self, record: dict[str, Any], shape: _Shape, place: str, where: Place) -> tuple[str, ...]:
        written = record.get("parents")
        if written is None or written == []:
            return ()
        if place:
            self._problem("data-misplaced-attribute", where, "parents come from bundle data, not from a source")
            return ()
        if not isinstance(written, list):
            self._problem("data-bad-parent", where, "expected `parents` to be an array")
            return ()
        parents: set[str] = set()
        for parent in written:
            wire = parent.get("type") if isinstance(parent, dict) else None
            prefix = shape.parents.get(wire) if type(wire) is str else None
            if prefix is None:
                allowed = " or ".join(f"`{each}`" for each in sorted(shape.parents)) or "nothing"
                self._problem("data-bad-parent", where, f"a parent of `{shape.name}` is {allowed}, by type and id")
                continue
            try:
                reference = prefix + identifier(parent.get("id"))
            except IllTyped as error:
                self._problem("data-bad-parent", where, error.message)
                continue
            parents.add(self._strings.setdefault(reference, reference))
        found = tuple(sorted(parents))
        self._parents[self._strings[shape.prefix + record["id"]]] = found
        return found

    def rows(self) -> dict[Entity, Row]:
        """Every entity's whole row, sorted by reference. Empty, with findings, if the parents do not close."""
        ancestors = Ancestry(self._parents, self._given[""]).of_all(self._problem)
        given = self._given[""]
        rows: dict[Entity, Row] = {}
        for reference in sorted(self._rows):
            row = self._rows[reference]
            if reference in given:  # An entity that only a source speaks of has parents that nobody has told.
                row[0] = ancestors.get(reference, NONE)
            rows[Entity(reference)] = tuple(row)
        return rows


def _shown(name: object) -> str:
    """A name out of the data, fit to be printed."""
    return name[:64].encode("unicode_escape").decode() if isinstance(name, str) else "(none)"


def _near(name: object, choices: Any) -> str:
    found = closest(name, choices) if isinstance(name, str) else None
    return f"did you mean `{found}`?" if found else ""
