"""The rows that need no server: decisions in process, beside the peers, and loading."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import peers
from measure import Spread, per_call, spread
from ours import Ours
from table import Line, microseconds, seconds
from workloads import Ref, Thing, Workload, gdrive, github, hospital, tinytodo
from workloads.hospital import Indexed

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

CEDAR_CALL = 4.0  # how many times faster than a call of `cedarpy` we want to be
CASBIN_QUESTIONS = 40


@dataclass(frozen=True, slots=True)
class Effort:
    rounds: int
    sizes: tuple[int, ...]
    cedar_rules_up_to: int
    load_rounds: int
    seconds: float  # of one round over HTTP


FULL = Effort(rounds=30, sizes=(5, 20, 50, 100, 200, 300), cedar_rules_up_to=10_000, load_rounds=3, seconds=4)
QUICK = Effort(rounds=8, sizes=(5, 50, 300), cedar_rules_up_to=2_000, load_rounds=1, seconds=1)


def cached(effort: Effort) -> Iterator[Line]:
    """A cached decision in process: parsed request in, decision out."""
    ours = Ours(hospital(20))
    for each, now in ours.arguments:
        ours.engine.decide(each, now)
    figure = per_call(ours.engine.decide, ours.arguments, effort.rounds * 3)
    yield Line("cached", "a cached decision, hospital-20", microseconds(figure), "≤ 0.7 µs", "", figure.median <= 0.7)


def scenarios(effort: Effort) -> Iterator[Line]:
    """The three scenarios of the Cedar paper."""
    for workload in (gdrive(), github(), tinytodo()):
        yield from _scenario(workload, effort)


def _scenario(workload: Workload, effort: Effort) -> Iterator[Line]:
    row, ours = workload.name, Ours(workload)
    answers = ours.answers()
    figure = per_call(ours.engine.decide_uncached, ours.arguments, effort.rounds)
    if peers.cedarpy is None:
        yield Line(row, "ours, uncached", microseconds(figure))
        yield Line(row, "cedarpy is not installed", "")
        return
    cedar = peers.Cedar(workload)
    agree(row, "cedarpy", answers, cedar.answers())
    core = spread([cedar.core_microseconds() for _ in range(max(3, effort.rounds // 3))])
    call = per_call(cedar.ask, [(each,) for each in cedar.requests], max(3, effort.rounds // 3))
    bar = f"< {core.median:.0f} µs, Cedar's core"
    yield Line(row, "ours, uncached", microseconds(figure), bar, f"{core / figure:.1f} x", figure.median < core.median)
    ratio = call / figure
    yield Line(row, "a call of cedarpy", microseconds(call), f"ours {CEDAR_CALL:.0f} x", f"{ratio:.1f} x", ratio >= 4)


def departments(effort: Effort) -> Iterator[Line]:
    """hospital-N, uncached: how the number of rules counts."""
    smallest: Spread | None = None
    for size in effort.sizes:
        workload = hospital(size)
        ours, indexed = Ours(workload), Indexed(workload, size)
        answers = ours.answers()
        agree(workload.name, "the index by hand", answers, [indexed.allows(each) for each in workload.questions])
        figure = per_call(ours.engine.decide_uncached, ours.arguments, effort.rounds)
        smallest = smallest or figure
        ratio = figure / smallest
        name = f"ours, uncached, {workload.rules:,} rules"
        fine = figure.median <= 2 and ratio <= 1.5
        row = workload.name
        yield Line(row, name, microseconds(figure), "≤ 2 µs, ≤ 1.5 x hospital-5", f"{ratio:.2f} x", fine)
        by_hand = per_call(indexed.allows, [(each,) for each in workload.questions], effort.rounds)
        yield Line(row, "an index written by hand", microseconds(by_hand), "", f"ours {figure / by_hand:.1f} x")
        yield from _beside(workload, size, answers, figure, effort)


def _beside(workload: Workload, size: int, answers: list[bool], figure: Spread, effort: Effort) -> Iterator[Line]:
    if peers.cedarpy is None:
        yield Line(workload.name, "cedarpy is not installed", "")
    elif workload.rules <= effort.cedar_rules_up_to:
        cedar = peers.Cedar(workload)
        some = cedar.requests[: max(20, 100_000 // workload.rules)]
        agree(workload.name, "cedarpy", answers[: len(some)], [cedar.ask(each).allowed for each in some])
        call = per_call(cedar.ask, [(each,) for each in some], 3)
        yield Line(workload.name, "a call of cedarpy", microseconds(call), "", f"{call / figure:,.0f} x")
    if size != effort.sizes[0]:
        return
    if peers.casbin is None:
        yield Line(workload.name, "casbin is not installed", "")
        return
    casbin = peers.Casbin(workload, size)
    agree(workload.name, "casbin", answers[:CASBIN_QUESTIONS], casbin.answers(CASBIN_QUESTIONS))
    call = per_call(casbin.ask, [(each,) for each in casbin.requests[:CASBIN_QUESTIONS]], 3)
    yield Line(workload.name, "a call of casbin", microseconds(call), "", f"{call / figure:,.0f} x")


class Disagreement(Exception):
    """Two engines answered differently: their times are not of the same work."""


def agree(workload: str, peer: str, ours: list[bool], theirs: list[bool]) -> None:
    if ours != theirs:
        first = next(index for index, (one, other) in enumerate(zip(ours, theirs, strict=True)) if one != other)
        raise Disagreement(f"{workload}: question {first}: ours {ours[first]}, {peer} {theirs[first]}")


def loading(effort: Effort) -> Iterator[Line]:
    """Parse, check and compile, garbage collection paused, in a fresh process: CPU seconds."""
    megabytes: dict[int, float] = {}
    for size in (100, 300):
        workload = hospital(size, questions=0)
        with tempfile.TemporaryDirectory(prefix="chaperone-bench-") as name:
            directory = workload.write(Path(name, "policies"))
            runs = [_probe("policies", directory) for _ in range(effort.load_rounds)]
        total = spread([each["cpu"] for each in runs])
        shares = ("parse", "check", "compile")
        parts = " ".join(f"{part} {min(each[part] for each in runs):.2f}" for part in shares)
        megabytes[size] = min(each["megabytes"] for each in runs)
        bar, met = ("≤ 5 s", total.median <= 5) if size == 300 else ("", None)
        yield Line("load", f"{workload.rules:,} rules: {parts}", seconds(total), bar, "", met)
    growth = megabytes[300] / megabytes[100]
    yield Line(
        "load",
        f"memory, {hospital(100, 0).rules:,} rules and {hospital(300, 0).rules:,} rules",
        f"{megabytes[100]:.0f} MiB, {megabytes[300]:.0f} MiB",
        "linear: ≤ 3.3 x",
        f"{growth:.2f} x",
        growth <= 3.3,
    )


def entities(effort: Effort) -> Iterator[Line]:
    """100 000 entities beside a policy: CPU seconds."""
    things = [Thing("Team", f"team-{each}") for each in range(1_000)]
    things += [
        Thing("User", f"user-{each}", {}, (Ref("Team", f"team-{each % 1_000}"), Ref("Team", f"team-{each % 7}")))
        for each in range(49_000)
    ]
    things += [
        Thing(
            "TaskList",
            f"list-{each}",
            {
                "owner": Ref("User", f"user-{each % 49_000}"),
                "readers": Ref("Team", f"team-{each % 1_000}"),
                "editors": Ref("Team", f"team-{each % 999}"),
            },
        )
        for each in range(50_000)
    ]
    workload = Workload("entities", 4, tinytodo(1, 0).ward, "", tuple(things), ())
    with tempfile.TemporaryDirectory(prefix="chaperone-bench-") as name:
        directory = workload.write(Path(name, "policies"))
        runs = [_probe("data", directory) for _ in range(effort.load_rounds)]
    total = spread([each["cpu"] for each in runs])
    each = min(run["megabytes"] for run in runs)
    what = f"{runs[0]['count']:,.0f} entities from JSON lines: {each:.0f} MiB"
    yield Line("entities", what, seconds(total), "≤ 3 s", "", total.median <= 3)


def _probe(kind: str, directory: Path) -> dict[str, float]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(HERE / "probe.py"), kind, str(directory)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found
