"""What misuse is planted with: who does it, when, and to whom. The kinds stand in `snooping` and `misuse`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from tests.hospital.asks import SECOND, Ask, opened, workstation
from tests.hospital.care import Care
from tests.hospital.people import CLINICIANS, Patient, People, Size, Staff
from tests.hospital.roster import Roster, Shift

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


class Planter:
    """One hospital's."""

    def __init__(self, size: Size, people: People, roster: Roster, care: Care, seed: int) -> None:
        self.size, self.people, self.roster, self.care = size, people, roster, care
        self.random = Random(f"{seed} misuse")
        self.made = Planted()
        self.taken: set[str] = set()
        self.touched = sorted(care.touched())
        self.living = [each for each in people.patients if each.deceased is None]

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

    def stays(self, patient: Patient, staff: Staff) -> bool:
        return any(each.unit == staff.unit.id for each in self.care.of_patient.get(patient.id, ()))

    def free(self, staff: Staff) -> list[int]:
        return [day for day in range(2, self.size.days - 1) if self.roster.free(staff.id, day)]

    def look(self, plant: int, staff: Staff, patient: Patient, at: float, client: str, purpose: str = "") -> float:
        asks = opened(staff, patient, at, self.random, client, purpose)
        self.ask(plant, *asks)
        return asks[-1].at / SECOND
