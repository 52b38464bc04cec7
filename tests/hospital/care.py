"""What happens to patients: admissions, appointments, orders, claims. What makes an access an expected one."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

from tests.hospital.people import CLINIC, EMERGENCY, WARD, Patient, People, Size, Staff
from tests.hospital.roster import DAY, HOUR, Roster

EMERGENCIES: Final = 6.0
"""Patients who come to the emergency department in a day, for each thousand patients."""
BEDS: Final = 12


@dataclass(slots=True)
class Stay:
    """One unit's part of an admission. `recorded`: when the systems knew of it."""

    patient: Patient
    unit: str
    start: int
    end: int
    team: tuple[str, ...]
    recorded: int


@dataclass(frozen=True, slots=True)
class Appointment:
    patient: Patient
    staff: str
    unit: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Order:
    """`performer`: who carries it out, where that is one person (a consult), else a unit."""

    id: str
    patient: Patient
    kind: str  # "laboratory", "medication", "consult"
    by: str
    at: int
    performer: str = ""
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """Somebody of billing works on it."""

    patient: Patient
    staff: str
    start: int
    end: int


@dataclass
class Care:
    stays: list[Stay]
    appointments: list[Appointment]
    orders: list[Order]
    claims: list[Claim]

    def __post_init__(self) -> None:
        self.by_unit: dict[str, list[Stay]] = {}
        self.of_patient: dict[str, list[Stay]] = {}
        for stay in self.stays:
            self.by_unit.setdefault(stay.unit, []).append(stay)
            self.of_patient.setdefault(stay.patient.id, []).append(stay)
        self.visits: dict[tuple[str, int], list[Appointment]] = {}
        self.visits_on: dict[int, list[Appointment]] = {}
        for visit in self.appointments:
            self.visits.setdefault((visit.staff, visit.start // DAY), []).append(visit)
            self.visits_on.setdefault(visit.start // DAY, []).append(visit)
        self.consults: dict[str, list[Order]] = {}
        self.ordered_on: dict[int, list[Order]] = {}
        for order in self.orders:
            self.ordered_on.setdefault(order.at // DAY, []).append(order)
            if order.performer:
                self.consults.setdefault(order.performer, []).append(order)
        self.work: dict[str, list[Claim]] = {}
        for claim in self.claims:
            self.work.setdefault(claim.staff, []).append(claim)
        self.arrivals: dict[int, list[Stay]] = {}
        for stay in self.stays:
            self.arrivals.setdefault(stay.start // DAY, []).append(stay)
        self.teams: dict[str, list[Stay]] = {}
        for stay in self.stays:
            for each in stay.team:
                self.teams.setdefault(each, []).append(stay)
        self._known: dict[str, set[str]] = {}

    def treated_by(self, staff: str, start: int, end: int) -> list[Stay]:
        """Stays within that time for which this person is in the care team."""
        return [each for each in self.teams.get(staff, ()) if each.start < end and each.end > start]

    def here(self, unit: str, start: int, end: int) -> list[Stay]:
        return [each for each in self.by_unit.get(unit, ()) if each.start < end and each.end > start]

    def touched(self) -> set[str]:
        """Patients for whom anything happens at all."""
        found = {each.patient.id for each in self.stays} | {each.patient.id for each in self.appointments}
        return found | {each.patient.id for each in self.orders} | {each.patient.id for each in self.claims}

    def related(self, staff: str) -> set[str]:
        """Patients to whom this person has any tie of care, at any time."""
        if not self._known:
            for stay in self.stays:
                for each in stay.team:
                    self._known.setdefault(each, set()).add(stay.patient.id)
            for visit in self.appointments:
                self._known.setdefault(visit.staff, set()).add(visit.patient.id)
            for order in self.orders:
                self._known.setdefault(order.by, set()).add(order.patient.id)
                self._known.setdefault(order.performer, set()).add(order.patient.id)
            for claim in self.claims:
                self._known.setdefault(claim.staff, set()).add(claim.patient.id)
        return self._known.get(staff, set())


def care(size: Size, people: People, roster: Roster, seed: int) -> Care:
    random = Random(f"{seed} care")
    living = [each for each in people.patients if each.deceased is None]
    physicians: dict[str, list[Staff]] = {}
    others: dict[str, list[Staff]] = {}
    for staff in people.staff:
        if staff.role == "physician":
            physicians.setdefault(staff.unit.id, []).append(staff)
        elif staff.role in ("nurse", "trainee", "therapist"):
            others.setdefault(staff.unit.id, []).append(staff)
    stays = _stays(size, people, living, physicians, others, random)
    appointments = _appointments(size, people, roster, living, physicians, random)
    orders = _orders(size, stays, appointments, physicians, random)
    claims = _claims(size, people, roster, stays, appointments, random)
    made = Care(stays, appointments, orders, claims)
    _deaths(size, made, random)
    return made


def _deaths(size: Size, care: Care, random: Random) -> None:
    """A few die in the house; billing, and whoever completes the chart, go on for a while."""
    last: dict[str, int] = {}
    for stay in care.stays:
        last[stay.patient.id] = max(last.get(stay.patient.id, 0), stay.end)
    for visit in care.appointments:
        last[visit.patient.id] = max(last.get(visit.patient.id, 0), visit.end)
    for stay in care.stays:
        ends = 0 < stay.end < (size.days - 1) * DAY and stay.end == last[stay.patient.id]
        if ends and not stay.patient.staff and random.random() < 0.02:
            stay.patient.deceased = stay.end // DAY


def _stays(
    size: Size,
    people: People,
    living: list[Patient],
    physicians: dict[str, list[Staff]],
    others: dict[str, list[Staff]],
    random: Random,
) -> list[Stay]:
    wards = [each.id for each in people.units if each.kind == WARD and physicians.get(each.id)]
    emergency = next(each.id for each in people.units if each.kind == EMERGENCY)
    busy: dict[str, int] = {}
    made: list[Stay] = []

    def somebody(now: int) -> Patient:
        while True:
            patient = random.choice(living)
            if busy.get(patient.id, -DAY * 99) < now:
                return patient

    def team(unit: str) -> tuple[str, ...]:
        chosen = [random.choice(physicians[unit]).id] if physicians.get(unit) else []
        near = others.get(unit, [])
        return tuple(chosen + [each.id for each in random.sample(near, min(3, len(near)))])

    def stay(patient: Patient, unit: str, start: int, end: int) -> None:
        late = int(random.expovariate(1 / 600)) if unit == emergency else 0
        made.append(Stay(patient, unit, start, end, team(unit), start + late))
        busy[patient.id] = end

    def length() -> int:
        return int(min(20.0, max(0.6, random.lognormvariate(1.2, 0.7))) * DAY)

    occupied = dict.fromkeys(wards, 0)
    for unit in wards:  # Who lies there when it begins.
        for _ in range(BEDS * 3 // 4):
            before = random.randrange(4 * DAY)
            stay(somebody(-before), unit, -before, -before + max(DAY, length()))
    for day in range(size.days):
        for unit in wards:
            occupied[unit] = sum(each.unit == unit and each.start <= day * DAY < each.end for each in made)
        for _ in range(round(EMERGENCIES * size.patients / 1_000)):
            start = day * DAY + int(random.triangular(0, DAY, 16 * HOUR))
            patient = somebody(start)
            leaves = start + int(random.uniform(1.5, 7) * HOUR)
            stay(patient, emergency, start, leaves)
            free = [each for each in wards if occupied[each] < BEDS]
            if free and random.random() < 0.3:
                unit = random.choice(free)
                occupied[unit] += 1
                stay(patient, unit, leaves, leaves + length())
        for unit in wards:  # Planned ones.
            while occupied[unit] < BEDS * 3 // 4:
                occupied[unit] += 1
                start = day * DAY + random.randrange(8 * HOUR, 14 * HOUR)
                stay(somebody(start), unit, start, start + length())
    return made


def _appointments(
    size: Size,
    people: People,
    roster: Roster,
    living: list[Patient],
    physicians: dict[str, list[Staff]],
    random: Random,
) -> list[Appointment]:
    made = []
    panels: dict[str, list[Patient]] = {}
    clinics = {each.id for each in people.units if each.kind == CLINIC}
    for day in range(size.days + 2):
        for staff in people.staff:
            if staff.role not in ("physician", "therapist") or staff.unit.kind == EMERGENCY:
                continue
            shift = roster.of(staff.id, day) if day < size.days else None
            slots = 10 if staff.unit.id in clinics else 4
            if day < size.days and (shift is None or staff.pattern != "office"):
                continue
            panel = panels.setdefault(staff.id, random.sample(living, min(len(living), 90)))
            for slot in range(slots):
                start = day * DAY + 9 * HOUR + slot * (7 * HOUR // slots)
                made.append(Appointment(random.choice(panel), staff.id, staff.unit.id, start, start + 1_200))
    return made


def _orders(
    size: Size,
    stays: list[Stay],
    appointments: list[Appointment],
    physicians: dict[str, list[Staff]],
    random: Random,
) -> list[Order]:
    made: list[Order] = []
    units = sorted(physicians)

    def order(patient: Patient, by: str, at: int, consults: float) -> None:
        kind = random.choices(("laboratory", "medication", "consult"), (6, 4, consults))[0]
        performer = unit = ""
        if kind == "consult":
            performer = random.choice(physicians[random.choice(units)]).id
        else:
            unit = "laboratory" if kind == "laboratory" else "pharmacy"
        made.append(Order(f"d{len(made)}", patient, kind, by, at, performer, unit))

    for stay in stays:
        for day in range(max(0, stay.start // DAY), min(size.days, stay.end // DAY + 1)):
            for _ in range(random.choice((1, 2, 3))):
                at = day * DAY + random.randrange(8 * HOUR, 20 * HOUR)
                if stay.start <= at < stay.end and stay.team:
                    order(stay.patient, stay.team[0], at, 1.2)
    for visit in appointments:
        if random.random() < 0.6 and visit.start < size.days * DAY:
            order(visit.patient, visit.staff, visit.start + random.randrange(300, 1_800), 0.3)
    made.sort(key=lambda each: each.at)
    return made


def _claims(
    size: Size, people: People, roster: Roster, stays: list[Stay], appointments: list[Appointment], random: Random
) -> list[Claim]:
    """Of each visit and each stay, some days later. What was before the first day gives work from the first day on."""
    clerks = people.with_role("billing")
    ended = [(each.patient, each.end) for each in stays] + [(each.patient, each.end) for each in appointments]
    living = [each for each in people.patients if each.deceased is None]
    ended += [(random.choice(living), -random.randrange(8 * DAY)) for _ in range(len(appointments) // 4)]
    made = []
    for patient, end in ended:
        day = max(0, end // DAY) + random.randrange(1, 6)
        clerk = random.choice(clerks)
        if day < size.days and roster.of(clerk.id, day) is not None:
            made.append(Claim(patient, clerk.id, day * DAY + 8 * HOUR, (day + 1) * DAY + 17 * HOUR))
    return made
