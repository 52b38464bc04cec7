"""A hospital from size and seed: who there is, what happens, what is asked of whom, and what of it is misuse."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from tests.hospital.asks import SECOND, Ask
from tests.hospital.care import Care, care
from tests.hospital.house import House, instant
from tests.hospital.ledger import SEALED_EVERY, WORKERS, Ledger
from tests.hospital.misuse import planted
from tests.hospital.people import People, Size, people
from tests.hospital.planting import Planted
from tests.hospital.roster import DAY, Roster, roster
from tests.hospital.traffic import Traffic

AUDIT, CONTEXT, TRUTH, PLANTS, RULES = "audit", "context", "truth.csv", "plants.csv", "rules.toml"
OWN_RULES: Final = """\
# To be laid over the rules of detection: this log was sealed each ten minutes of its time, not each second.
[settings]
margin = "15m"
"""
TRUTH_COLUMNS: Final = ("plant", "kind", "rule", "grade", "subject_type", "subject", "patient", "decision", "time")
PLANT_COLUMNS: Final = (
    "plant", "kind", "rule", "grade", "subject_type", "subject", "patient", "stream", "first", "last", "accesses"
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Hospital:
    size: Size
    seed: int
    people: People
    roster: Roster
    care: Care
    planted: Planted

    def silent(self, worker: int, second: int) -> bool:
        """Was this worker made to say nothing then?"""
        return any(each.worker == worker and each.start <= second < each.end for each in self.planted.silences)

    def days(self) -> Iterator[tuple[int, list[Ask]]]:
        """The questions of each day, in order of time."""
        traffic = Traffic(self.size, self.people, self.roster, self.care, self.seed)
        misuse: dict[int, list[Ask]] = {}
        for ask in self.planted.asks:
            misuse.setdefault(ask.at // (DAY * SECOND), []).append(ask)
        later: list[Ask] = []
        for day in range(self.size.days):
            end = (day + 1) * DAY * SECOND
            asks = later + traffic.day(day) + misuse.get(day, [])
            later = [each for each in asks if each.at >= end]
            yield day, sorted(each for each in asks if 0 <= each.at < end)


def hospital(size: Size, seed: int) -> Hospital:
    who = people(size, seed)
    when = roster(size, who, seed)
    what = care(size, who, when, seed)
    return Hospital(size, seed, who, when, what, planted(size, who, when, what, seed))


def write(
    made: Hospital,
    directory: Path,
    progress: Callable[[int, int], None] = lambda _, __: None,
    sealed_every: int = SEALED_EVERY,
) -> int:
    """Write the audit directory, its context and the truth about it below a directory; how many records there are."""
    from tests.hospital import context

    directory.mkdir(parents=True, exist_ok=True)
    truth = _Truth(made)
    with tempfile.TemporaryDirectory(prefix="chaperone-hospital-") as name:
        house = House(Path(name), made.people, made.roster, made.care)
        prefix = sha256(f"{made.seed}".encode()).hexdigest()[:6]
        ledger = Ledger(directory / AUDIT, prefix, made.silent, sealed_every)
        try:
            _run(made, house, ledger, truth, progress)
        finally:
            ledger.close()
    context.write(made, directory / CONTEXT)
    truth.write(directory)
    (directory / RULES).write_text(OWN_RULES, encoding="utf-8")
    return ledger.records


def _run(made: Hospital, house: House, ledger: Ledger, truth: _Truth, progress: Callable[[int, int], None]) -> None:
    activations = sorted(made.planted.activations, key=lambda each: each.at)
    wide = False
    for day, asks in made.days():
        engines = house.engines(day)
        ledger.activated(day * DAY * SECOND, engines[wide])
        for number, ask in enumerate(asks):
            while activations and activations[0].at * SECOND <= ask.at:
                change = activations.pop(0)
                wide = change.wide
                ledger.activated(change.at * SECOND, engines[wide])
            worker = number % WORKERS
            if not made.silent(worker, ask.at // SECOND):
                truth.happened(ask, ledger.asked(ask, engines[wide], worker))
        progress(day + 1, made.size.days)


class _Truth:
    """Which decisions are misuse, and of what."""

    def __init__(self, made: Hospital) -> None:
        self._made = made
        self._rows: list[tuple[Ask, str]] = []

    def happened(self, ask: Ask, decision: str) -> None:
        if ask.plant >= 0:
            self._rows.append((ask, decision))

    def write(self, directory: Path) -> None:
        plants = self._made.planted.plants
        with (directory / TRUTH).open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow(TRUTH_COLUMNS)
            for ask, decision in self._rows:
                of = plants[ask.plant]
                time = instant(ask.at / SECOND)
                who = (ask.subject_type, ask.subject, ask.patient)
                table.writerow((of.number, of.kind, of.rule, of.grade, *who, decision, time))
        times: dict[int, list[int]] = {}
        for ask, _ in self._rows:
            times.setdefault(ask.plant, []).append(ask.at // SECOND)
        silences = {each.plant: each for each in self._made.planted.silences}
        with (directory / PLANTS).open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow(PLANT_COLUMNS)
            for each in plants:
                at, silent = times.get(each.number, []), silences.get(each.number)
                if not at and silent is None:
                    continue  # It could not be placed: nobody fitted.
                first, last = (silent.start, silent.end) if silent else (min(at), max(at))
                stream = str(silent.worker) if silent else ""
                said = (each.number, each.kind, each.rule, each.grade, each.culprit_type, each.culprit, each.patient)
                table.writerow((*said, stream, instant(first), instant(last), len(at)))
