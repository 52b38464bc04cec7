"""Who works when and where. Times are seconds since the local midnight on which all begins."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

from tests.hospital.people import CLINICIANS, EMERGENCY, WARD, People, Size, Staff

HOUR: Final = 3_600
DAY: Final = 24 * HOUR
HOURS: Final = {"day": (7, 15), "evening": (15, 23), "night": (23, 31), "office": (8, 17)}


@dataclass(frozen=True, slots=True)
class Shift:
    """`on_call`: reachable, not there. `known`: the roster has it; who is sent to another unit may not be."""

    staff: str
    unit: str
    start: int
    end: int
    on_call: bool = False
    known: bool = True
    home: str = ""  # the unit that the roster has instead, where it does not know


@dataclass
class Roster:
    shifts: list[Shift]
    leave: dict[str, tuple[int, int]]

    def __post_init__(self) -> None:
        self.by_day: dict[int, list[Shift]] = {}
        self.by_staff: dict[str, list[Shift]] = {}
        for each in self.shifts:
            self.by_day.setdefault(each.start // DAY, []).append(each)
            self.by_staff.setdefault(each.staff, []).append(each)

    def of(self, staff: str, day: int) -> Shift | None:
        """The shift that begins on this day."""
        found = (each for each in self.by_staff.get(staff, ()) if each.start // DAY == day and not each.on_call)
        return next(found, None)

    def free(self, staff: str, day: int) -> bool:
        """Neither then nor the night before nor the day after: nothing explains that one is here."""
        near = (each for each in self.by_staff.get(staff, ()) if abs(each.start // DAY - day) <= 1)
        return all(each.end <= day * DAY or each.start >= (day + 1) * DAY for each in near)


def roster(size: Size, people: People, seed: int) -> Roster:
    random = Random(f"{seed} roster")
    shifts: list[Shift] = []
    leave: dict[str, tuple[int, int]] = {}
    wards = [each.id for each in people.units if each.kind in (WARD, EMERGENCY)]
    for number, staff in enumerate(people.staff):
        if random.random() < 0.06 and size.days > 10:
            first = random.randrange(size.days - 7)
            leave[staff.id] = (first * DAY, (first + 7) * DAY)
        off = number % 7
        for day in range(size.days):
            if staff.id in leave and leave[staff.id][0] <= day * DAY < leave[staff.id][1]:
                continue
            if staff.left is not None and day >= staff.left:
                break
            weekend = day % 7 >= 5
            if staff.pattern == "office":
                works = not weekend and random.random() < 0.97
            else:
                works = (day + off) % 7 < 5 and random.random() < 0.96
            if works:
                shifts.append(_shift(staff, day, wards, random))
            elif staff.role == "physician" and staff.unit.kind == WARD and weekend and random.random() < 0.4:
                shifts.append(Shift(staff.id, staff.unit.id, day * DAY + 8 * HOUR, day * DAY + 13 * HOUR))
    shifts += _on_call(size, people, leave)
    shifts.sort(key=lambda each: (each.start, each.staff))
    return Roster(shifts, leave)


def _shift(staff: Staff, day: int, wards: list[str], random: Random) -> Shift:
    first, last = HOURS[staff.pattern]
    start, end = day * DAY + first * HOUR, day * DAY + last * HOUR
    unit = staff.unit.id
    if staff.role == "nurse" and unit in wards and len(wards) > 1 and random.random() < 0.04:
        sent = random.choice([each for each in wards if each != unit])
        known = random.random() < 0.8
        return Shift(staff.id, sent, start, end, known=known, home="" if known else unit)
    return Shift(staff.id, unit, start, end)


def _on_call(size: Size, people: People, leave: dict[str, tuple[int, int]]) -> list[Shift]:
    """One physician of each ward, each night."""
    made = []
    for unit in people.units:
        if unit.kind != WARD:
            continue
        physicians = [each for each in people.staff if each.role == "physician" and each.unit == unit]
        for day in range(size.days):
            for turn in range(len(physicians)):
                chosen = physicians[(day + turn) % len(physicians)]
                away = leave.get(chosen.id, (0, 0))
                gone = chosen.left is not None and day >= chosen.left - 1
                if not gone and not away[0] - DAY <= day * DAY < away[1]:
                    start = day * DAY + 17 * HOUR
                    made.append(Shift(chosen.id, unit.id, start, start + 15 * HOUR, on_call=True))
                    break
    return made


def clinical(staff: Staff) -> bool:
    return staff.role in CLINICIANS
