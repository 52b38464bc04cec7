"""Misuse, planted on purpose and labelled: each kind several times, by turns blatant and subtle.

Who misuses goes on with the ordinary work beside it. Culprits are different people, so that a case has one kind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final

from tests.hospital.asks import SECOND, Ask, document, opened, user, workstation
from tests.hospital.care import Care
from tests.hospital.people import CLINICIANS, LABELS, Patient, People, Size, Staff
from tests.hospital.roster import DAY, HOUR, Roster, Shift

BLATANT, SUBTLE = "blatant", "subtle"


@dataclass(frozen=True, slots=True)
class Plant:
    """`rule`: the one of the catalogue (M1 to M23) that it is meant for. `culprit`: "" where it is many."""

    number: int
    kind: str
    rule: str
    grade: str
    culprit_type: str
    culprit: str
    patient: str = ""  # where it is about one


@dataclass(frozen=True, slots=True)
class Silence:
    """A worker says nothing from `start` to `end` (seconds): neither decisions nor that it lives."""

    plant: int
    worker: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Activation:
    """A policy set goes live. `wide`: the one that somebody has widened."""

    at: int
    wide: bool
    revision: str
    plant: int = -1


@dataclass(slots=True)
class Planted:
    plants: list[Plant] = field(default_factory=list)
    asks: list[Ask] = field(default_factory=list)
    silences: list[Silence] = field(default_factory=list)
    activations: list[Activation] = field(default_factory=list)


def planted(size: Size, people: People, roster: Roster, care: Care, seed: int) -> Planted:
    return _Planter(size, people, roster, care, seed).planted()


class _Planter:
    def __init__(self, size: Size, people: People, roster: Roster, care: Care, seed: int) -> None:
        self.size, self.people, self.roster, self.care = size, people, roster, care
        self.random = Random(f"{seed} misuse")
        self.made = Planted()
        self.taken: set[str] = set()
        self.touched = sorted(care.touched())
        self.living = [each for each in people.patients if each.deceased is None]

    def planted(self) -> Planted:
        for kind, (rule, plant) in KINDS.items():
            for number in range(self.size.instances):
                plant(self, kind, rule, SUBTLE if number % 2 else BLATANT, number)
        return self.made

    # ------------------------------------------------------------------------------------------------- building blocks

    def plant(self, kind: str, rule: str, grade: str, who: Staff | str, patient: str = "", of: str = "user") -> int:
        number = len(self.made.plants)
        culprit = who if isinstance(who, str) else who.id
        self.made.plants.append(Plant(number, kind, rule, grade, of if culprit else "", culprit, patient))
        return number

    def ask(self, plant: int, *asks: Ask) -> None:
        self.made.asks += [each._replace(plant=plant) for each in asks]

    def culprit(self, *roles: str, fits: Callable[[Staff], bool] = lambda _: True) -> Staff | None:
        """Somebody who works here all the time, and is not a culprit yet. None: there is nobody left."""
        found = [
            each
            for each in self.people.staff
            if each.role in (roles or CLINICIANS)
            and each.id not in self.taken
            and each.left is None
            and not each.lapsed
            and len(self.shifts(each)) >= self.size.days // 3
            and fits(each)
        ]
        if not found:
            return None
        chosen = self.random.choice(found)
        self.taken.add(chosen.id)
        return chosen

    def shifts(self, staff: Staff) -> list[Shift]:
        return [each for each in self.roster.by_staff.get(staff.id, ()) if not each.on_call and each.known]

    def shift(self, staff: Staff) -> Shift:
        """One that is neither among the first nor at the very end."""
        shifts = self.shifts(staff)
        return self.random.choice(shifts[len(shifts) // 4 : -1] or shifts)

    def within(self, shift: Shift) -> float:
        return self.random.uniform(shift.start + 600, shift.end - 1_800)

    def at_work(self, staff: Staff) -> tuple[float, str]:
        """A moment on shift, and the workstation."""
        shift = self.shift(staff)
        return self.within(shift), workstation(shift.unit, self.random.randrange(1_000))

    def strangers(self, staff: Staff, count: int) -> list[Patient]:
        """Living patients to whom this person never has any tie of care, nor lives near, nor works with."""
        known = self.care.related(staff.id)
        seen: dict[str, Patient] = {}
        while len(seen) < count:
            if self.random.random() < 0.6:
                patient = self.people.patient[self.random.choice(self.touched)]
            else:
                patient = self.random.choice(self.living)
            if patient.id not in known and self.far(staff, patient):
                seen[patient.id] = patient
        return list(seen.values())

    def far(self, staff: Staff, patient: Patient) -> bool:
        units = {staff.unit.id}
        here = any(each.unit in units for each in self.care.of_patient.get(patient.id, ()))
        near = patient.home.street == staff.home.street and abs(patient.home.number - staff.home.number) <= 4
        apart = patient.surname != staff.surname and not patient.vip and not patient.staff
        return apart and patient.deceased is None and not here and not near

    def look(self, plant: int, staff: Staff, patient: Patient, at: float, client: str, purpose: str = "") -> float:
        asks = opened(staff, patient, at, self.random, client, purpose)
        self.ask(plant, *asks)
        return asks[-1].at / SECOND

    # ---------------------------------------------------------------------------------------------------------- kinds

    def denials(self, kind: str, rule: str, grade: str, _number: int) -> None:
        """Tries what is closed (protected people, very restricted documents), then gets in by another way."""
        staff = self.culprit("nurse", "trainee")
        if staff is None:
            return
        closed = [each for each in self.living if each.restricted and staff.id not in self.care.related(each.id)]
        targets = [each for each in self.living if each.vip] + closed
        at, client = self.at_work(staff)
        plant = self.plant(kind, rule, grade, staff)
        for _ in range(self.random.randint(30, 45) if grade == BLATANT else self.random.randint(8, 12)):
            at += self.random.uniform(5, 25) if grade == BLATANT else self.random.uniform(40, 200)
            patient = self.random.choice(targets)
            action, thing, what = (
                ("list", "Chart", patient.id) if patient.vip else ("read", "Record", patient.restricted)
            )
            self.ask(plant, user(staff, action, thing, what, patient.id, at, client, ""))
            if self.random.random() < 0.1:
                self.ask(
                    plant, user(staff, "read", "Observation", patient.observations[0], patient.id, at + 9, client, "")
                )

    def enumeration(self, kind: str, rule: str, grade: str, number: int) -> None:
        """One id after the other."""
        first = self.random.randrange(max(1, self.size.patients - 400))
        day = self.random.randrange(1, self.size.days)
        at: float = day * DAY + self.random.uniform(9, 22) * HOUR
        if number % 3 == 2:
            staff = self.culprit("registrar", "billing")
            if staff is None:
                return
            plant = self.plant(kind, rule, grade, staff)
            at, client = self.at_work(staff)
            for step in range(60 if grade == BLATANT else 25):
                at += self.random.uniform(3, 20)
                who = f"p{100_000 + first + step}"
                self.ask(plant, user(staff, "read", "Patient", who, who, at, client, ""))
            return
        member = self.random.choice(list(self.people.members))
        plant = self.plant(kind, rule, grade, member, of="member")
        for step in range(150 if grade == BLATANT else 18):
            at += self.random.uniform(1, 4) if grade == BLATANT else self.random.uniform(120, 900)
            who = f"p{100_000 + first + step * (1 if grade == BLATANT else self.random.choice((1, 1, 2)))}"
            self.ask(plant, Ask(int(at * SECOND), "member", member, "read", "Patient", who, who, "", "portal"))

    def vip(self, kind: str, rule: str, grade: str, number: int) -> None:
        """Many look at somebody who is in the news."""
        vips = [each for each in self.living if each.vip]
        if not vips:
            return
        patient = vips[number % len(vips)]
        plant = self.plant(kind, rule, grade, "", patient.id)
        day = self.random.randrange(2, self.size.days - 2)
        for _ in range(max(4, self.size.staff // 30) if grade == BLATANT else 3):
            staff = self.culprit(fits=lambda each: patient.id not in self.care.related(each.id))
            if staff is None:
                return
            near = [each for each in self.shifts(staff) if day <= each.start // DAY <= day + 2]
            shift = near[0] if near else self.shift(staff)
            at, client = self.within(shift), workstation(shift.unit, self.random.randrange(1_000))
            self.ask(plant, user(staff, "list", "Chart", patient.id, patient.id, at, client, ""))
            for _ in range(self.random.randint(1, 3)):
                at += self.random.uniform(5, 40)
                thing = self.random.choice(patient.records)
                self.ask(plant, user(staff, "read", "Record", thing, patient.id, at, client, ""))

    def coworker(self, kind: str, rule: str, grade: str, _number: int) -> None:
        colleagues: dict[str, list[Patient]] = {}
        for each in self.people.staff:
            if each.patient:
                colleagues.setdefault(each.unit.id, []).append(self.people.patient[each.patient])

        def of(staff: Staff) -> list[Patient]:
            known = self.care.related(staff.id)
            near = colleagues.get(staff.unit.id, [])
            return [
                each for each in near if each.staff != staff.id and each.id not in known and not self.stays(each, staff)
            ]

        self.about_one(kind, rule, grade, lambda staff: of(staff), 5)

    def own(self, kind: str, rule: str, grade: str, _number: int) -> None:
        self.about_one(
            kind, rule, grade, lambda staff: [self.people.patient[staff.patient]] if staff.patient else [], 5
        )

    def household(self, kind: str, rule: str, grade: str, number: int) -> None:
        """Of the same home, or next door."""

        def of(staff: Staff) -> list[Patient]:
            known = self.care.related(staff.id)
            if number % 3 == 2:
                near = [
                    each
                    for each in self.living
                    if each.home.street == staff.home.street and abs(each.home.number - staff.home.number) == 2
                ]
            else:
                near = self.people.by_home.get(staff.home.id, [])
            return [
                each
                for each in near
                if each.staff != staff.id and each.id not in known and not self.stays(each, staff) and not each.vip
            ]

        self.about_one(kind, rule, grade, of, 4)

    def stays(self, patient: Patient, staff: Staff) -> bool:
        return any(each.unit == staff.unit.id for each in self.care.of_patient.get(patient.id, ()))

    def about_one(self, kind: str, rule: str, grade: str, of: Callable[[Staff], list[Patient]], times: int) -> None:
        """One chart, again and again or once."""
        staff = self.culprit(fits=lambda each: any(one.deceased is None for one in of(each)))
        if staff is None:
            return
        patient = self.random.choice([each for each in of(staff) if each.deceased is None])
        plant = self.plant(kind, rule, grade, staff, patient.id)
        for _ in range(times if grade == BLATANT else 1):
            at, client = self.at_work(staff)
            self.look(plant, staff, patient, at, client)

    def breakglass(self, kind: str, rule: str, grade: str, number: int) -> None:
        """An emergency is claimed, and there is none: for many strangers, or for one again and again."""
        staff = self.culprit("nurse", "physician", fits=lambda each: each.unit.kind == "ward")
        if staff is None:
            return
        plant = self.plant(kind, rule, grade, staff)
        if grade == BLATANT:
            at, client = self.at_work(staff)
            for patient in self.strangers(staff, self.random.randint(14, 22)):
                at = self.look(plant, staff, patient, at + self.random.uniform(20, 300), client, "BTG")
            return
        one = self.strangers(staff, 4)
        for turn in range(6):
            at, client = self.at_work(staff)
            self.look(plant, staff, one[0 if number % 4 == 1 else turn % 4], at, client, "ETREAT")

    def offshift(self, kind: str, rule: str, grade: str, _number: int) -> None:
        """On a free day, or at night: patients of the own unit, whom nobody who is not there has to look at."""
        staff = self.culprit("nurse", "trainee", fits=lambda each: each.unit.kind == "ward" and bool(self.free(each)))
        if staff is None:
            return
        day = self.random.choice(self.free(staff))
        plant = self.plant(kind, rule, grade, staff)
        at = day * DAY + self.random.uniform(1, 22) * HOUR
        stays = self.care.here(staff.unit.id, int(at), int(at) + HOUR)
        if not stays:
            return
        for _ in range(12 if grade == BLATANT else 3):
            at += self.random.uniform(60, 500)
            self.look(plant, staff, self.random.choice(stays).patient, at, "remote")

    def free(self, staff: Staff) -> list[int]:
        return [day for day in range(2, self.size.days - 1) if self.roster.free(staff.id, day)]

    def bulk(self, kind: str, rule: str, grade: str, _number: int) -> None:
        """Far more patients than the work needs."""
        staff = self.culprit("nurse", "physician", "billing")
        if staff is None:
            return
        plant = self.plant(kind, rule, grade, staff)
        at, client = self.at_work(staff)
        many = 220 if grade == BLATANT else 60
        for patient in self.strangers(staff, min(many, self.size.patients // 6)):
            at += self.random.uniform(3, 20) if grade == BLATANT else self.random.uniform(30, 110)
            purpose = "HPAYMT" if staff.role == "billing" else ""
            thing = self.random.choice(patient.records)
            self.ask(plant, user(staff, "read", "Record", thing, patient.id, at, client, purpose))

    def serial(self, kind: str, rule: str, grade: str, _number: int) -> None:
        """One stranger now and then, over weeks: no day stands out."""
        staff = self.culprit()
        if staff is None:
            return
        plant = self.plant(kind, rule, grade, staff)
        shifts = self.shifts(staff)
        chosen = shifts if grade == BLATANT else shifts[::2]
        wanted = self.strangers(staff, len(chosen) * (2 if grade == BLATANT else 1))
        for number, shift in enumerate(chosen):
            for patient in wanted[number :: len(chosen)]:
                client = workstation(shift.unit, self.random.randrange(1_000))
                self.look(plant, staff, patient, self.within(shift), client)

    def deceased(self, kind: str, rule: str, grade: str, _number: int) -> None:
        gone = [each for each in self.people.patients if each.deceased is not None and each.deceased < 0]
        staff = self.culprit()
        if staff is None or not gone:
            return
        plant = self.plant(kind, rule, grade, staff)
        for patient in self.random.sample(gone, min(len(gone), 6 if grade == BLATANT else 1)):
            at, client = self.at_work(staff)
            self.look(plant, staff, patient, at, client)

    def sensitive(self, kind: str, rule: str, grade: str, _number: int) -> None:
        """What is marked, of patients of another speciality."""
        staff = self.culprit("nurse", "physician", "trainee", fits=lambda each: each.unit.id not in LABELS)
        if staff is None:
            return
        known = self.care.related(staff.id)
        marked = [
            each
            for each in self.living
            if each.sensitive and "SUD" not in each.labels and each.id not in known and self.far(staff, each)
        ]
        plant = self.plant(kind, rule, grade, staff)
        for patient in self.random.sample(marked, min(len(marked), 8 if grade == BLATANT else 2)):
            at, client = self.at_work(staff)
            for thing in patient.sensitive:
                what = "Record" if thing.startswith("r") else "Observation"
                at += self.random.uniform(5, 30)
                self.ask(plant, user(staff, "read", what, thing, patient.id, at, client, ""))

    def terminated(self, kind: str, rule: str, grade: str, number: int) -> None:
        """Who has left still has an account that works, or tries the one that was closed."""
        gone = [each for each in self.people.staff if each.left is not None and each.left < self.size.days - 1]
        if number >= len(gone):
            return
        staff = gone[number]
        self.taken.add(staff.id)
        plant = self.plant(kind, rule, grade, staff)
        assert staff.left is not None
        at: float = (staff.left + self.random.randrange(self.size.days - staff.left)) * DAY + 20 * HOUR
        for patient in self.strangers(staff, 10 if grade == BLATANT else 2):
            at = self.look(plant, staff, patient, at + self.random.uniform(30, 300), "remote")

    def shared(self, kind: str, rule: str, grade: str, _number: int) -> None:
        """While one works here, the same account is used at another place, for what one does there."""
        wards = [each.id for each in self.people.units if each.kind == "ward"]
        staff = self.culprit("nurse", fits=lambda each: each.unit.id in wards)
        if staff is None:
            return
        plant = self.plant(kind, rule, grade, staff)
        for _ in range(4 if grade == BLATANT else 1):
            shift = self.shift(staff)
            other = self.random.choice([each for each in wards if each != shift.unit])
            client = workstation(other, self.random.randrange(1_000))
            at = self.random.uniform(shift.start + HOUR, shift.end - 3 * HOUR)
            stays = self.care.here(other, int(at), int(at) + HOUR)
            for _ in range(12 if grade == BLATANT else 5):
                at += self.random.uniform(60, 500)
                if stays:
                    self.look(plant, staff, self.random.choice(stays).patient, at, client)

    def service(self, kind: str, rule: str, grade: str, number: int) -> None:
        """A program does what it never did, comes from where it never came from, or is none that anybody knows."""
        at = self.random.randrange(3, self.size.days) * DAY + self.random.uniform(1, 5) * HOUR
        who, client, action, thing = (
            ("reminders", "ws-office-9", "read", "Patient"),
            ("reminders", "reminder-host", "read", "Record"),
            ("etl-7", "unknown-host", "read", "Record"),
            ("insurer", "plan-host", "read", "Claim"),
            ("lab-gateway", "lab-host-2", "update", "Observation"),
            ("insurer", "other-host", "disclose", "Claim"),
        )[number % 6]
        plant = self.plant(kind, rule, grade, who, of="service")
        purpose = {"reminders": "HOPERAT", "insurer": "HPAYMT"}.get(who, "")
        for _ in range(150 if grade == BLATANT else 15):
            at += self.random.uniform(1, 20)
            patient = self.random.choice(self.living)
            what = document(patient, thing, self.random)
            self.ask(plant, Ask(int(at * SECOND), "service", who, action, thing, what, patient.id, purpose, client))

    def drift(self, kind: str, rule: str, grade: str, number: int) -> None:
        """A purpose that this role does not work for."""
        staff = self.culprit("nurse", "physician", fits=lambda each: "HRESCH" in each.purposes)
        if staff is None:
            return
        plant = self.plant(kind, rule, grade, staff)
        shift = self.shift(staff)
        purpose = ("MLTRAINING", "HRESCH", "HOPERAT")[number % 3]
        stays = self.care.here(staff.unit.id, shift.start, shift.end)
        pool = [each.patient for each in stays] or self.strangers(staff, 5)
        client = workstation(shift.unit, self.random.randrange(1_000))
        for _ in range(30 if grade == BLATANT else 5):
            self.look(plant, staff, self.random.choice(pool), self.within(shift), client, purpose)

    def widened(self, kind: str, rule: str, grade: str, number: int) -> None:
        """Whoever may change the rules widens them, looks, and takes it back."""
        staff = self.culprit("registrar", "billing")
        if staff is None:
            return
        shift = self.shift(staff)
        plant = self.plant(kind, rule, grade, staff)
        at = int(self.within(shift))
        lasts = 1_500
        self.made.activations.append(Activation(at, True, f"r-{number}-wide", plant))
        self.made.activations.append(Activation(at + lasts, False, f"r-{number}-back"))
        client = workstation(shift.unit, self.random.randrange(1_000))
        moment = at + 120.0
        for patient in self.strangers(staff, 12 if grade == BLATANT else 3):
            moment += self.random.uniform(20, 80)
            self.ask(plant, user(staff, "list", "Chart", patient.id, patient.id, moment, client, "TREAT"))
            thing = self.random.choice(patient.records)
            self.ask(plant, user(staff, "read", "Record", thing, patient.id, moment + 6, client, "TREAT"))

    def excluded(self, kind: str, rule: str, grade: str, _number: int) -> None:
        """Whom a patient keeps away claims an emergency."""
        found = [
            (self.people.of_staff[each], patient)
            for patient in self.living
            for each in patient.excludes
            if each not in self.taken and len(self.shifts(self.people.of_staff[each])) > 3
        ]
        if not found:
            return
        staff, patient = self.random.choice(found)
        self.taken.add(staff.id)
        plant = self.plant(kind, rule, grade, staff, patient.id)
        for _ in range(5 if grade == BLATANT else 1):
            at, client = self.at_work(staff)
            self.look(plant, staff, patient, at, client, "ETREAT")

    def silence(self, kind: str, rule: str, grade: str, number: int) -> None:
        """A worker is made to say nothing for a while."""
        day = 1 + number * (self.size.days - 2) // max(1, self.size.instances)
        start = day * DAY + int(self.random.uniform(9, 16) * HOUR)
        plant = self.plant(kind, rule, grade, "")
        self.made.silences.append(Silence(plant, number % 2, start, start + (45 * 60 if grade == BLATANT else 6 * 60)))


KINDS: Final[dict[str, tuple[str, Callable[[_Planter, str, str, str, int], None]]]] = {
    "excluded-override": ("M18", _Planter.excluded),
    "terminated": ("M14", _Planter.terminated),
    "own-chart": ("M5", _Planter.own),
    "household": ("M6", _Planter.household),
    "co-worker": ("M4", _Planter.coworker),
    "denials": ("M1", _Planter.denials),
    "enumeration": ("M2", _Planter.enumeration),
    "break-glass": ("M8", _Planter.breakglass),
    "off-shift": ("M9", _Planter.offshift),
    "bulk": ("M10", _Planter.bulk),
    "serial": ("M21", _Planter.serial),
    "deceased": ("M12", _Planter.deceased),
    "sensitive": ("M13", _Planter.sensitive),
    "shared-account": ("M15", _Planter.shared),
    "service": ("M16", _Planter.service),
    "purpose": ("M17", _Planter.drift),
    "policy-change": ("M19", _Planter.widened),
    "silence": ("M20", _Planter.silence),
    "vip": ("M3", _Planter.vip),
}
"""The rarest culprits first."""
