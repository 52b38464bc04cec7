"""What the house would export for detection: the files that `pdp.audit.detect.context` describes.

They say what happened, not what was meant: a nurse who was sent elsewhere by word of mouth, a question on the phone or
a patient who was registered late are not in them.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from tests.hospital.asks import SECOND
from tests.hospital.house import instant
from tests.hospital.people import SERVICES, Home
from tests.hospital.roster import DAY, HOUR

if TYPE_CHECKING:
    from tests.hospital.hospital import Hospital

REVIEWED = 0.9
"""Of the emergency accesses of ordinary work: somebody looked at them within two days. Of the others: one in five."""


def write(made: Hospital, directory: Path) -> None:
    """One directory of CSV files, and `entities.jsonl`."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "entities.jsonl").open("w", encoding="utf-8") as file:
        for each in _entities(made):
            file.write(json.dumps(each) + "\n")
    care, span = made.care, ("patient", "staff", "unit", "from", "to")
    visits = ((e.patient.id, e.staff, e.unit, instant(e.start), instant(e.end)) for e in care.appointments)
    _table(directory, "appointments", span, visits)
    _table(directory, "orders", (*span, "kind"), _orders(made))
    _table(directory, "encounters", span, _encounters(made))
    claims = ((e.patient.id, e.staff, "", instant(e.start), instant(e.end)) for e in care.claims)
    _table(directory, "claims", span, claims)
    _table(directory, "schedule", ("staff", "unit", "from", "to", "kind"), _schedule(made))
    _table(directory, "people", ("type", "id", "surname", "address", "household", "near"), _people(made))
    employees = ((each.id, each.patient) for each in made.people.staff if each.patient)
    _table(directory, "employees", ("staff", "patient"), employees)
    homes = made.people.represents.items()
    relations = ((made.people.members[member], patient, "proxy") for member, patient in homes)
    _table(directory, "relations", ("patient", "related", "kind"), relations)
    gone = ((each.id, instant(each.left * DAY), "left") for each in made.people.staff if each.left is not None)
    _table(directory, "terminations", ("staff", "at", "kind"), gone)
    _table(directory, "patients", ("patient", "vip", "deceased", "discharged"), _patients(made))
    _table(directory, "services", ("service", "client", "action", "resource_type"), _services())
    _table(directory, "reviews", ("staff", "patient", "at", "reason"), _reviews(made))


def _table(directory: Path, name: str, columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    with (directory / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(columns)
        table.writerows(rows)


def _entities(made: Hospital) -> Iterator[dict[str, Any]]:
    """As in the policy set; of patients what lasts: where they lie and who treats them is in `encounters`."""
    for unit in made.people.units:
        yield {"type": "Unit", "id": unit.id, "parents": [{"type": "Unit", "id": "hospital"}]}
    for staff in made.people.staff:
        studies = ["study-1"] if staff.role == "researcher" else []
        about: dict[str, Any] = {"role": staff.role, "unit": staff.unit.id, "active": not staff.locked}
        yield {"type": "user", "id": staff.id, "attributes": about | {"studies": studies}}
    for member, patient_id in made.people.members.items():
        represents = [made.people.represents[member]] if member in made.people.represents else []
        yield {"type": "member", "id": member, "attributes": {"patient": patient_id, "represents": represents}}
    for patient in made.people.patients:
        own = {"vip": patient.vip, "excludes": list(patient.excludes), "care_team": []}
        yield {
            "type": "Patient",
            "id": patient.id,
            "attributes": own | {"studies": ["study-1"] if patient.study else []},
        }
        documents = (
            ("Record", patient.records),
            ("Observation", patient.observations),
            ("MedicationRequest", patient.prescriptions),
            ("Claim", patient.claims),
            ("Chart", [patient.id]),
        )
        for kind, those in documents:
            for each in those:
                labels = list(patient.labels) if each in patient.sensitive else []
                yield {"type": kind, "id": each, "attributes": {"patient": patient.id, "labels": labels}}


def _orders(made: Hospital) -> Iterator[tuple[object, ...]]:
    for each in made.care.orders:
        span = (instant(each.at), instant(each.at + DAY))
        yield (each.patient.id, each.by, "", *span, each.kind)
        yield (each.patient.id, each.performer, each.unit, *span, each.kind)


def _encounters(made: Hospital) -> Iterator[tuple[object, ...]]:
    for each in made.care.stays:
        span = (instant(each.recorded), instant(each.end))
        yield (each.patient.id, "", each.unit, *span)
        for staff in each.team:
            yield (each.patient.id, staff, each.unit, *span)


def _schedule(made: Hospital) -> Iterator[tuple[object, ...]]:
    for each in made.roster.shifts:
        kind = "on-call" if each.on_call else "shift"
        yield (each.staff, each.unit if each.known else each.home, instant(each.start), instant(each.end), kind)
    for staff, (start, end) in made.roster.leave.items():
        yield (staff, "", instant(start), instant(end), "leave")


def _people(made: Hospital) -> Iterator[tuple[object, ...]]:
    def key(text: str) -> str:
        return sha256(f"{made.seed} {text}".encode()).hexdigest()[:16]

    def row(kind: str, identifier: str, surname: str, home: Home) -> tuple[object, ...]:
        address = f"{home.street}/{home.number}"
        near = " ".join(key(f"{home.street}/{home.number + step}") for step in (-2, 2))
        return (kind, identifier, key(surname), key(address), key(home.id), near)

    for staff in made.people.staff:
        yield row("user", staff.id, staff.surname, staff.home)
    for patient in made.people.patients:
        yield row("Patient", patient.id, patient.surname, patient.home)


def _patients(made: Hospital) -> Iterator[tuple[object, ...]]:
    for each in made.people.patients:
        stays = [stay.end for stay in made.care.of_patient.get(each.id, ())]
        deceased = "" if each.deceased is None else instant((each.deceased + 1) * DAY)
        yield (each.id, str(each.vip).lower(), deceased, instant(max(stays)) if stays else "")


def _services() -> Iterator[tuple[object, ...]]:
    """The inventory."""
    calls = {
        "lab-gateway": ("update", "Observation"),
        "reminders": ("read", "Patient"),
        "insurer": ("disclose", "Claim"),
    }
    for each in SERVICES:
        yield (each.id, each.client, *calls[each.id])


def _reviews(made: Hospital) -> Iterator[tuple[object, ...]]:
    random = Random(f"{made.seed} reviews")
    seen: set[tuple[str, str, int]] = set()
    for _, asks in made.days():
        for ask in asks:
            if ask.purpose not in ("ETREAT", "BTG"):
                continue
            one = (ask.subject, ask.patient, ask.at // (DAY * SECOND))
            if one in seen:
                continue
            seen.add(one)
            if random.random() < (REVIEWED if ask.plant < 0 else 0.2):
                at = ask.at // SECOND + random.randrange(HOUR, 2 * DAY)
                yield (ask.subject, ask.patient, instant(at), "seen by the head of the unit")
