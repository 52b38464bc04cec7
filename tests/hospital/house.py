"""The policy set of the synthetic hospital: the rules of policies/hospital, one module beside them, and generated data.

The module says what most hospitals have: a clinician may open any chart for treatment, and answers for it later. A
policy that opened a chart to the care team alone would leave little to misuse. Here breaking the glass is an ordinary
purpose as well, since an emergency rule grants nothing yet.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from pdp.bundle import build, data
from pdp.compile.program import Program
from pdp.decide.engine import Engine
from pdp.model.entities import Entities
from tests.hospital.care import Care
from tests.hospital.people import SERVICES, People
from tests.hospital.roster import DAY, Roster

ROOT: Final = Path(__file__).parents[2]
RULES: Final = ROOT / "policies" / "hospital"
BEGIN: Final = datetime(2026, 4, 6, 5, tzinfo=UTC)
"""A Monday, midnight in Chicago; the clocks do not change in the weeks after it."""
BEGIN_US: Final = int(BEGIN.timestamp()) * 1_000_000

OPEN: Final = """\
# A clinician may open any chart, and answers for it later: for treatment, also in an emergency, and to review quality.
module hospital.open
layer organisation
use hospital.vocabulary
use hospital.schema

permit read on ClinicalDocument, Patient as open-chart
    "A clinician reads what treatment needs, of any patient"
    owner "chief medical officer"
    when subject is Staff and subject.role in Role.clinician and asks_for(Purpose.TREAT)

permit list, add on Chart as open-folder
    "A clinician opens any chart"
    owner "chief medical officer"
    when subject is Staff and subject.role in Role.clinician and asks_for(Purpose.TREAT)

permit read on ClinicalDocument, Patient as quality-review
    "Clinicians review the quality of care, and take part in studies"
    owner "quality office"
    when subject is Staff
     and subject.role in Role.clinician
     and context has purpose
     and context.purpose in {Purpose.HOPERAT, Purpose.HRESCH}

permit list on Chart as quality-review-folder
    "Clinicians review the quality of care, and take part in studies"
    owner "quality office"
    when subject is Staff
     and subject.role in Role.clinician
     and context has purpose
     and context.purpose in {Purpose.HOPERAT, Purpose.HRESCH}
"""
WIDE: Final = """\
# What somebody has added who should not have.
module hospital.wide
layer organisation
use hospital.vocabulary
use hospital.schema

permit read on ClinicalDocument, Patient as everybody-reads
    "Everybody who works here reads everything"
    owner "nobody"
    when subject is Staff

permit list on Chart as everybody-opens
    "Everybody who works here opens every chart"
    owner "nobody"
    when subject is Staff
"""


def instant(seconds: float) -> str:
    """RFC 3339 of so many seconds after the beginning."""
    return (BEGIN + timedelta(seconds=int(seconds))).strftime("%Y-%m-%dT%H:%M:%SZ")


class House:
    """Programs and data, and an engine for each day: the data come anew each night."""

    def __init__(self, directory: Path, people: People, roster: Roster, care: Care) -> None:
        self._directory = directory
        self._people, self._roster, self._care = people, roster, care
        self.program = self._built("rules", "")
        self.wide = self._built("wide", WIDE)
        self._static = self._loaded("static", self._lasting())
        self._locations, self._teams = self._by_day()

    def engines(self, day: int) -> tuple[Engine, Engine]:
        """With the rules, and with the widened ones."""
        entities = self.entities(day)
        return Engine(self.program, entities), Engine(self.wide, entities)

    def entities(self, day: int) -> Entities:
        daily = self._loaded("daily", self._today(day))
        revision = sha256(f"{self._static.revision} {daily.revision}".encode()).hexdigest()
        return Entities({**self._static.rows, **daily.rows}, revision)

    def _built(self, name: str, more: str) -> Program:
        place = self._directory / name
        place.mkdir(parents=True)
        for each in RULES.glob("*.ward"):
            shutil.copy(each, place)
        words = place / "vocabulary.ward"
        ordinary = words.read_text("utf-8").replace('BTG in ETREAT emergency "', 'BTG in ETREAT "')
        words.write_text(ordinary, encoding="utf-8")
        (place / "open.ward").write_text(OPEN, encoding="utf-8")
        if more:
            (place / "wide.ward").write_text(more, encoding="utf-8")
        return build.build(place).program

    def _loaded(self, name: str, rows: Iterable[dict[str, Any]]) -> Entities:
        place = self._directory / name / "data"
        place.mkdir(parents=True, exist_ok=True)
        with (place / "all.jsonl").open("w", encoding="utf-8") as file:
            for each in rows:
                file.write(json.dumps(each))
                file.write("\n")
        return data.load(place.parent, self.program.schema)

    def _lasting(self) -> Iterator[dict[str, Any]]:
        yield _row("Unit", "hospital")
        for unit in self._people.units:
            yield _row("Unit", unit.id) | {"parents": [{"type": "Unit", "id": "hospital"}]}
        yield _row("Directory", "patients")
        researchers = [each.id for each in self._people.with_role("researcher")]
        yield _row("Study", "study-1", members=researchers, approved_until="2099-12-31", data_use_agreement=True)
        for service in SERVICES:
            agreement = {"agreement_until": "2099-12-31"} if service.partner else {}
            yield _row(
                "service",
                service.id,
                handles_phi=service.cleared,
                partner=service.partner,
                health_plan=service.partner,
                writes=list(service.writes),
                purposes=list(service.purposes),
                **agreement,
            )
        for member, patient in self._people.members.items():
            represents = [self._people.represents[member]] if member in self._people.represents else []
            yield _row("member", member, patient=patient, represents=represents, purposes=["PATRQT", "FAMRQT"])
        yield from self._documents()

    def _documents(self) -> Iterator[dict[str, Any]]:
        prescribers = [each.id for each in self._people.with_role("physician")]
        for number, patient in enumerate(self._people.patients):
            about: dict[str, Any] = {"patient": patient.id}
            yield _row("Chart", patient.id, **about)
            for each in patient.records:
                grade = "V" if each == patient.restricted else "R" if each in patient.sensitive else "N"
                marked = _marked(patient.labels, each in patient.sensitive, grade)
                yield _row("Record", each, **about, signed=True, created="2026-02-03T09:30:00Z", **marked)
            for each in patient.observations:
                marked = _marked(patient.labels, each in patient.sensitive, "N")
                yield _row("Observation", each, **about, **marked)
            for each in patient.prescriptions:
                by = prescribers[number % len(prescribers)]
                unmarked = _marked((), False, "N")
                yield _row("MedicationRequest", each, **about, prescriber=by, active=True, **unmarked)
            for each in patient.claims:
                yield _row("Claim", each, **about, self_pay=False, amount="240.00")

    def _today(self, day: int) -> Iterator[dict[str, Any]]:
        for staff in self._people.staff:
            left = staff.left is not None and day >= staff.left
            trained = "2026-04-01" if staff.lapsed and day < 2 else "2099-12-31"
            on_call = [each for each in self._roster.by_staff.get(staff.id, ()) if each.on_call]
            now = [each for each in on_call if each.start // DAY in (day, day - 1)]
            called: dict[str, Any] = {}
            if now:
                last = now[-1]
                called = {"on_call": {"unit": last.unit, "start": instant(last.start), "end": instant(last.end)}}
            yield _row(
                "user",
                staff.id,
                role=staff.role,
                unit=staff.unit.id,
                active=not (left and staff.locked),
                trained_until=trained,
                purposes=sorted(staff.purposes),
                studies=["study-1"] if staff.role == "researcher" else [],
                **called,
            )
        for patient in self._people.patients:
            team = self._teams.get((day, patient.id), set()) | self._teams.get((day - 1, patient.id), set())
            place = self._locations.get((day, patient.id))
            yield _row(
                "Patient",
                patient.id,
                care_team=sorted(team),
                vip=patient.vip,
                excludes=list(patient.excludes),
                part2_consent=["TREAT"] if int(patient.id[1:]) % 3 else [],
                confidential_contact=False,
                studies=["study-1"] if patient.study else [],
                **({"location": place} if place else {}),
            )

    def _by_day(self) -> tuple[dict[tuple[int, str], str], dict[tuple[int, str], set[str]]]:
        locations: dict[tuple[int, str], str] = {}
        teams: dict[tuple[int, str], set[str]] = {}
        for stay in self._care.stays:
            for day in range(max(0, stay.start // DAY), stay.end // DAY + 1):
                locations[day, stay.patient.id] = stay.unit
                teams.setdefault((day, stay.patient.id), set()).update(stay.team)
        for visit in self._care.appointments:
            for day in range(visit.start // DAY - 1, visit.start // DAY + 2):
                teams.setdefault((day, visit.patient.id), set()).add(visit.staff)
        for order in self._care.orders:
            if order.performer:
                for day in (order.at // DAY, order.at // DAY + 1):
                    teams.setdefault((day, order.patient.id), set()).add(order.performer)
        return locations, teams


def _row(kind: str, identifier: str, **attributes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"type": kind, "id": identifier}
    return made | {"attributes": attributes} if attributes else made


def _marked(labels: tuple[str, ...], sensitive: bool, grade: str) -> dict[str, Any]:
    return {"confidentiality": grade, "labels": list(labels) if sensitive else []}
