"""What the house knows of people and care, by which an access is expected or not: a directory of plain files.

All files are optional; a rule that lacks its file says so. UTF-8, CSV with a header row; columns in any order, others
are ignored. Ids are those of policies and requests. Times are RFC 3339 with a zone, or a date alone: as `from` the
first instant of that day, as `to` the last, in UTC. No `from`: since ever. No `to`: still.

    entities.jsonl     one entity a line, as in a policy set's data: {"type", "id", "parents", "attributes"}.
                       Read of it: of staff (`user`) role, unit, active, on_call{unit, start, end}, studies;
                       of `Patient` care_team, location, vip, excludes, studies; of `member` patient, represents;
                       of what is a patient's: patient, labels; of `Unit` its parents
    appointments.csv   patient, staff, unit, from, to            `staff` or `unit` may be empty
    orders.csv         patient, staff, unit, from, to, kind      one row for each person or unit concerned
                                                                 (who orders, who carries out); kind: laboratory,
                                                                 medication, imaging, consult, ...
    encounters.csv     patient, staff, unit, from, to            a stay in a unit; a row for each `staff` of its team
    claims.csv         patient, staff, unit, from, to            who works on a bill, or which unit
    schedule.csv       staff, unit, from, to, kind               kind: shift (also where empty), on-call, leave
    people.csv         type, id, surname, address, household, near
                       type: `user` or `Patient`; surname, address and household: keys that are equal where the thing
                       is (hashed, with a key of your own); near: the address keys next door, separated by spaces
    employees.csv      staff, patient                            who of the staff is which patient
    relations.csv      patient, related, kind                    two patients: guarantor, spouse, parent, proxy, ...
    terminations.csv   staff, at, kind                           kind: left (also where empty), role-changed
    patients.csv       patient, vip, deceased, discharged        vip: true or false; the others: times, empty if not
    services.csv       service, client, action, resource_type    calls that there ought to be; `*` or empty: any
    reviews.csv        staff, patient, at, reason                emergency accesses that were looked at
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pdp.audit.detect.tables import EVER, ContextError, Row, Span, bound, entities, rows, told

STAFF: Final = "user"
PATIENT: Final = "Patient"
MEMBER: Final = "member"
UNIT: Final = "Unit"
TABLES: Final = ("appointments", "orders", "encounters", "claims")
"""What happens to patients: all of one shape."""
SHIFTS_AT_ONCE: Final = 8
"""Of one person: more of them do not overlap."""
SCHEDULE_NEAR: Final = 3_600_000_000
"""Who is about to begin, or has just ended, works where that shift is."""


@dataclass(slots=True)
class Person:
    """Somebody of the staff, as the data have it now."""

    role: str = ""
    unit: str = ""
    active: bool = True
    studies: frozenset[str] = frozenset()
    on_call: Span | None = None


@dataclass(slots=True)
class Whom:
    """A patient."""

    team: frozenset[str] = frozenset()
    location: str = ""
    vip: bool = False
    excludes: frozenset[str] = frozenset()
    studies: frozenset[str] = frozenset()
    deceased: int = 0  # 0: not, or not known
    discharged: int = 0


@dataclass(frozen=True, slots=True)
class Keys:
    """Equal where the thing is."""

    surname: str = ""
    address: str = ""
    household: str = ""
    near: frozenset[str] = frozenset()


@dataclass(slots=True)
class Context:
    """The facts, by id. `there`: which files there are, without their ending; rules that need others are not judged."""

    there: set[str] = field(default_factory=set)
    staff: dict[str, Person] = field(default_factory=dict)
    patients: dict[str, Whom] = field(default_factory=dict)
    members: dict[str, tuple[str, frozenset[str]]] = field(default_factory=dict)  # account: own, represented
    things: dict[tuple[str, str], tuple[str, frozenset[str]]] = field(default_factory=dict)  # patient, labels
    units: dict[str, tuple[str, ...]] = field(default_factory=dict)
    care: dict[str, dict[str, list[Span]]] = field(default_factory=lambda: {each: {} for each in TABLES})
    schedule: dict[str, list[Span]] = field(default_factory=dict)
    people: dict[tuple[str, str], Keys] = field(default_factory=dict)
    bearers: dict[str, int] = field(default_factory=dict)  # of each surname
    employees: dict[str, str] = field(default_factory=dict)  # staff to patient
    charts: dict[str, str] = field(default_factory=dict)  # patient to staff
    relations: dict[str, dict[str, str]] = field(default_factory=dict)  # patient to patients, with the kind
    terminations: dict[str, tuple[int, str]] = field(default_factory=dict)
    services: dict[str, list[tuple[str, str, str]]] = field(default_factory=dict)
    reviews: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    inner: dict[str, frozenset[str]] = field(
        default_factory=dict
    )  # a unit, and those it stands in but the house itself

    @classmethod
    def load(cls, directory: Path | None = None, data: Path | None = None) -> Context:
        """`data`: the data directory of a policy set, read beside. Raises ContextError with all problems."""
        made = cls()
        problems: list[str] = []
        for each in (directory, data):
            if each is not None and not each.is_dir():
                raise ContextError([f"{each} is not a directory"])
        if data is not None:
            for path in sorted([*data.glob("*.json"), *data.glob("*.jsonl")]):
                made._entities(path, problems)
        if directory is not None:
            if (directory / "entities.jsonl").exists():
                made._entities(directory / "entities.jsonl", problems)
            for name, (columns, read) in READERS.items():
                path = directory / f"{name}.csv"
                if path.exists():
                    made.there.add(name)
                    made._rows(path, columns, read, problems)
        if problems:
            raise ContextError(problems)
        made._settle()
        return made

    def ids(self, kind: str) -> Iterator[str]:
        """Every id of a type that is known, for whoever has to find it under its pseudonym."""
        if kind == STAFF:
            yield from dict.fromkeys([*self.staff, *self.schedule, *self.employees, *self.terminations])
        elif kind == PATIENT:
            yield from dict.fromkeys(
                [*self.patients, *self.charts, *(each for table in self.care.values() for each in table)]
            )
        elif kind == MEMBER:
            yield from self.members
        else:
            yield from (each for there, each in self.things if there == kind)
            if kind == "Chart":
                yield from self.patients
        yield from (each for there, each in self.people if there == kind)

    def person(self, staff: str) -> Person:
        return self.staff.get(staff, NOBODY)

    def patient(self, patient: str) -> Whom:
        return self.patients.get(patient, UNKNOWN)

    def units_of(self, staff: str, time: int) -> set[str]:
        """Where somebody works: the own unit, that of the shift that is on, and that of a call."""
        person = self.person(staff)
        found = {person.unit} if person.unit else set()
        for shift in self.shifts(staff, time, SCHEDULE_NEAR):
            if shift.unit:
                found.add(shift.unit)
        if person.on_call is not None and person.on_call.start <= time < person.on_call.end:
            found.add(person.on_call.unit)
        return found

    def shifts(self, staff: str, time: int, slack: int) -> Iterator[Span]:
        """Those that are on, `slack` before and after included; leave is none."""
        known = self.schedule.get(staff, [])
        at = bisect_right(known, (time + slack, EVER + 1))
        for shift in known[max(0, at - SHIFTS_AT_ONCE) : at]:
            if shift.kind != "leave" and time < shift.end + slack:
                yield shift

    def within(self, unit: str, units: set[str]) -> bool:
        """Is it one of these, or part of one? The house itself, of which all is part, says nothing."""
        return bool(unit) and not units.isdisjoint(self.inner.get(unit, frozenset((unit,))))

    # ------------------------------------------------------------------------------------------------------- reading

    def _entities(self, path: Path, problems: list[str]) -> None:
        self.there.add("entities")
        for each in entities(path, problems):
            said = each.get("attributes")
            try:
                self._entity(each["type"], each["id"], said if isinstance(said, dict) else {}, each.get("parents", []))
            except (TypeError, ValueError, KeyError, AttributeError):
                told(problems, f"{path.name}: {each['type']} {each['id'][:60]!r} does not have the shape of its type")

    def _entity(self, kind: str, name: str, said: Mapping[str, Any], parents: list[Any]) -> None:
        if kind == STAFF:
            call = said.get("on_call")
            self.staff[name] = Person(
                _text(said, "role"),
                _text(said, "unit"),
                said.get("active") is not False,
                _set(said, "studies"),
                Span(bound(call["start"]), bound(call["end"]), name, str(call["unit"]), "on-call") if call else None,
            )
        elif kind == PATIENT:
            known = self.patients.setdefault(name, Whom())
            known.team, known.location = _set(said, "care_team"), _text(said, "location")
            known.vip = known.vip or said.get("vip") is True
            known.excludes, known.studies = _set(said, "excludes"), _set(said, "studies")
        elif kind == MEMBER:
            self.members[name] = _text(said, "patient"), _set(said, "represents")
        elif kind == UNIT:
            self.units[name] = tuple(str(each["id"]) for each in parents)
        elif "patient" in said:
            labels = _set(said, "labels")
            if labels or _text(said, "patient") != name:
                self.things[kind, name] = _text(said, "patient"), labels

    def _rows(
        self, path: Path, columns: tuple[str, ...], read: Callable[[Context, Row], None], problems: list[str]
    ) -> None:
        for row in rows(path, columns, problems):
            try:
                read(self, row)
            except ValueError as error:
                told(problems, f"{row.where}: {error}")

    def _settle(self) -> None:
        """What follows from all of them together."""
        for table in self.care.values():
            for spans in table.values():
                spans.sort()
        for spans in self.schedule.values():
            spans.sort()
        parents = {above for each in self.units.values() for above in each}
        houses = {each for each in parents if not self.units.get(each)}
        for unit in self.units:
            self.inner[unit] = frozenset(self._above(unit) - (houses - {unit}))
        for staff, patient in self.employees.items():
            self.charts[patient] = staff
        for own, represented in self.members.values():
            for other in represented if own else ():
                self.relations.setdefault(own, {}).setdefault(other, "proxy")

    def _above(self, unit: str) -> set[str]:
        found, todo = set(), [unit]
        while todo:
            each = todo.pop()
            if each not in found:
                found.add(each)
                todo += self.units.get(each, ())
        return found


NOBODY: Final = Person()
UNKNOWN: Final = Whom()


def _text(said: Mapping[str, Any], name: str) -> str:
    value = said.get(name)
    if isinstance(value, Mapping):
        value = value.get("id")
    return value if isinstance(value, str) else ""


def _set(said: Mapping[str, Any], name: str) -> frozenset[str]:
    found = said.get(name) or ()
    if not isinstance(found, list | tuple):
        raise TypeError(name)
    return frozenset(str(each.get("id") if isinstance(each, Mapping) else each) for each in found)


def _spans(table: str) -> Callable[[Context, Row], None]:
    def read(context: Context, row: Row) -> None:
        context.care[table].setdefault(row.text("patient"), []).append(row.span())

    return read


def _schedule(context: Context, row: Row) -> None:
    context.schedule.setdefault(row.text("staff"), []).append(row.span())


def _people(context: Context, row: Row) -> None:
    said = Keys(row.text("surname"), row.text("address"), row.text("household"), frozenset(row.text("near").split()))
    context.people[row.text("type"), row.text("id")] = said
    context.bearers[said.surname] = context.bearers.get(said.surname, 0) + 1


def _employees(context: Context, row: Row) -> None:
    context.employees[row.text("staff")] = row.text("patient")


def _relations(context: Context, row: Row) -> None:
    one, other, kind = row.text("patient"), row.text("related"), row.text("kind")
    context.relations.setdefault(one, {})[other] = kind
    context.relations.setdefault(other, {})[one] = kind


def _terminations(context: Context, row: Row) -> None:
    if not row.text("at"):
        raise ValueError("`at` is empty")
    context.terminations[row.text("staff")] = bound(row.text("at")), row.text("kind") or "left"


def _patients(context: Context, row: Row) -> None:
    known = context.patients.setdefault(row.text("patient"), Whom())
    if row.text("vip") not in ("true", "false", ""):
        raise ValueError("`vip` must be true or false")
    known.vip = known.vip or row.text("vip") == "true"
    known.deceased, known.discharged = row.first("deceased"), row.first("discharged")


def _services(context: Context, row: Row) -> None:
    edge = tuple(row.text(each) or "*" for each in ("client", "action", "resource_type"))
    context.services.setdefault(row.text("service"), []).append((edge[0], edge[1], edge[2]))


def _reviews(context: Context, row: Row) -> None:
    context.reviews.setdefault((row.text("staff"), row.text("patient")), []).append(bound(row.text("at")))


_SPAN: Final = ("patient", "staff", "unit", "from", "to")
READERS: Final[dict[str, tuple[tuple[str, ...], Callable[[Context, Row], None]]]] = {
    "appointments": (_SPAN, _spans("appointments")),
    "orders": ((*_SPAN, "kind"), _spans("orders")),
    "encounters": (_SPAN, _spans("encounters")),
    "claims": (_SPAN, _spans("claims")),
    "schedule": (("staff", "unit", "from", "to", "kind"), _schedule),
    "people": (("type", "id", "surname", "address", "household", "near"), _people),
    "employees": (("staff", "patient"), _employees),
    "relations": (("patient", "related", "kind"), _relations),
    "terminations": (("staff", "at", "kind"), _terminations),
    "patients": (("patient", "vip", "deceased", "discharged"), _patients),
    "services": (("service", "client", "action", "resource_type"), _services),
    "reviews": (("staff", "patient", "at", "reason"), _reviews),
}
"""The columns of each file, and what reads a row of it."""
