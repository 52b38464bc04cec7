"""The rows that need the service: throughput, start and memory, latency while a policy change is built."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import procs
from measure import Spread, per_call, percentile, spread
from ours import NOW
from rows import Effort
from server import ROOT, Client, chaperone, echo, first_answer, lua, wrk
from table import Line, microseconds, milliseconds, rate, seconds

from pdp.audit.journal.reader import slots
from pdp.bundle import build
from pdp.decide.engine import Engine
from pdp.doors import authzen

WHERE = "one worker on core 0; wrk with 16 connections on core 1"
EVALUATION = "/access/v1/evaluation"
HOSPITAL = ROOT / "policies" / "hospital"
# Who asks, and for which purpose: one that each of them is provisioned for.
STAFF = {
    "dr-osei": "TREAT",
    "dr-lindqvist": "TREAT",
    "dr-moreau": "TREAT",
    "nurse-adeyemi": "TREAT",
    "trainee-park": "TREAT",
    "bill-novak": "HPAYMT",
    "res-varga": "HRESCH",
}
THINGS = (
    ("Record", "rec-1001"),
    ("Record", "rec-1002"),
    ("Record", "rec-2001"),
    ("Record", "rec-4001"),
    ("Observation", "obs-1001"),
    ("Observation", "obs-1002"),
    ("MedicationRequest", "med-1001"),
    ("Patient", "pat-100"),
    ("Patient", "pat-200"),
)


def questions() -> list[bytes]:
    """AuthZEN requests to policies/hospital."""
    return [
        json.dumps(
            {
                "subject": {"type": "user", "id": who},
                "action": {"name": "read"},
                "resource": {"type": kind, "id": identifier},
                "context": {"purpose": purpose},
            }
        ).encode()
        for who, purpose in STAFF.items()
        for kind, identifier in THINGS
    ]


def starter(effort: Effort) -> Iterator[Line]:
    """policies/hospital itself: rules with time in them, consent, masks; cached and not."""
    made = build.build(HOSPITAL)
    engine = Engine(made.program, made.entities)
    asked = [(authzen.read_evaluation(b"application/json", each), NOW) for each in questions()]
    rules = len(made.program.policies.rules)
    uncached = per_call(engine.decide_uncached, asked, effort.rounds)
    yield Line("starter", f"ours, uncached, {rules} rules of policies/hospital", microseconds(uncached))
    cached = per_call(engine.decide, asked, effort.rounds)
    yield Line("starter", "the same, cached", microseconds(cached), "≤ 0.7 µs", "", cached.median <= 0.7)


def throughput(effort: Effort) -> Iterator[Line]:
    """Evaluation over HTTP with the synced log, against the same server's bare JSON echo."""
    if shutil.which("wrk") is None:
        yield Line("http", "wrk is not installed (apt-get install wrk)", "")
        return
    bodies = questions()
    with (
        tempfile.TemporaryDirectory(prefix="chaperone-bench-") as name,
        chaperone(HOSPITAL, Path(name, "synced"), core=0, PDP_AUDIT_DURABILITY="synced") as ours,
        chaperone(HOSPITAL, Path(name, "written"), core=0, PDP_AUDIT_DURABILITY="written") as unsynced,
        echo(Path(name), core=0) as bare,
    ):
        three = (ours, bare, unsynced)
        script = Path(name, "ask.lua")
        script.write_text(lua(EVALUATION, bodies), encoding="utf-8")
        for _, port in three:
            first_answer(port, EVALUATION, bodies[0])
            wrk(port, script, 1)
        pairs = [tuple(_round(process.pid, port, script, effort) for process, port in three) for _ in range(5)]
        one_by_one = _latencies(ours[1], bodies, 500, 1_000)
    share, without = (spread([rounds[index].rate / rounds[1].rate for rounds in pairs]) for index in (0, 2))
    rates = [spread([rounds[index].rate for rounds in pairs]) for index in range(3)]
    yield Line("http", WHERE, "")
    met = share.median >= 0.5
    yield Line("http", "evaluation, synced log", rate(rates[0]), "≥ 50 % of the echo", _percent(share), met)
    yield Line("http", "evaluation, log `written`: nothing waits for the disk", rate(rates[2]), "", _percent(without))
    yield Line("http", "the same server's bare JSON echo", rate(rates[1]))
    ours_cpu, echo_cpu = (spread([rounds[index].cpu for rounds in pairs]) for index in (0, 1))
    shown = f"{echo_cpu / ours_cpu:.0%}"
    yield Line("http", "CPU of the worker for one evaluation", microseconds(ours_cpu), "", shown)
    yield Line("http", "CPU of the worker for one echo", microseconds(echo_cpu))
    yield Line("http", "evaluation, one after the other, 500/s: p50 and p99", _two(one_by_one))


def _percent(share: Spread) -> str:
    return f"{share.median:.0%} ({share.low:.0%}..{share.high:.0%})"


class Round(NamedTuple):
    rate: float  # requests a second
    cpu: float  # microseconds of the worker for each of them


def _round(parent: int, port: int, script: Path, effort: Effort) -> Round:
    worker = worker_of(parent, port)
    before = procs.cpu_seconds(worker)
    asked, count = wrk(port, script, effort.seconds)
    return Round(asked, (procs.cpu_seconds(worker) - before) / count * 1e6)


def worker_of(parent: int, port: int) -> int:
    """The process that answers: with one worker, the one that answers us now."""
    client = Client(port, EVALUATION)
    try:
        client.ask(questions()[0])
        return procs.worker(parent, port)
    finally:
        client.close()


def _two(figures: list[float]) -> str:
    return f"{percentile(figures, 50):.2f} ms, {percentile(figures, 99):.2f} ms"


def _latencies(port: int, bodies: list[bytes], per_second: int, count: int) -> list[float]:
    """Milliseconds of `count` requests sent at fixed moments; late ones count from when they were due. Sorted."""
    client = Client(port, EVALUATION)
    taken = []
    try:
        begin = time.perf_counter()
        for number in range(count):
            due = begin + number / per_second
            while (left := due - time.perf_counter()) > 0:
                time.sleep(left)
            client.ask(bodies[number % len(bodies)])
            taken.append((time.perf_counter() - due) * 1_000)
    finally:
        client.close()
    return sorted(taken)


def start(effort: Effort) -> Iterator[Line]:
    """From the command to the first decision with policies/hospital; what a worker holds then."""
    body = questions()[0]
    taken, held = [], []
    for _ in range(max(3, effort.load_rounds)):
        with tempfile.TemporaryDirectory(prefix="chaperone-bench-") as name:
            began = time.perf_counter()
            with chaperone(HOSPITAL, Path(name)) as (process, port):
                first_answer(port, EVALUATION, body)
                taken.append(time.perf_counter() - began)
                for each in questions():
                    first_answer(port, EVALUATION, each)
                held.append(procs.resident_megabytes(worker_of(process.pid, port)))
    figure = spread(taken)
    yield Line("start", "from the command to the first decision", seconds(figure), "≤ 1.5 s", "", figure.median <= 1.5)
    memory = spread(held)
    shown = f"{memory.median:.0f} MiB ({memory.low:.0f}..{memory.high:.0f})"
    yield Line("start", "memory of a decision worker (resident)", shown, "≤ 80 MiB", "", memory.median <= 80)


def change(effort: Effort) -> Iterator[Line]:
    """p99 at rest, and while a policy change is built and swapped in, again and again."""
    bodies = questions()
    count = round(500 * effort.seconds * 2)
    with tempfile.TemporaryDirectory(prefix="chaperone-bench-") as name:
        policies = Path(name, "policies")
        shutil.copytree(HOSPITAL, policies)
        with chaperone(policies, Path(name)) as (_, port):
            first_answer(port, EVALUATION, bodies[0])
            _latencies(port, bodies, 500, 500)
            rest, during = [], []
            for number in range(3):
                rest.append(percentile(_latencies(port, bodies, 500, count), 99))
                during.append(percentile(_while_changing(policies, number, port, bodies, count), 99))
        taken = swaps(Path(name, "audit"))
    at_rest, changing = spread(rest), spread(during)
    yield Line("change", "p99 at rest, 500/s", milliseconds(at_rest))
    ratio: Spread = spread([one / other for one, other in zip(during, rest, strict=True)])
    what = f"p99 while a rule changes each second ({taken} programs taken)"
    yield Line("change", what, milliseconds(changing), "≤ 2 x at rest", f"{ratio.median:.1f} x", ratio.median <= 2)


def swaps(audit: Path) -> int:
    """How many programs answered, after the first: from the records. Raises RuntimeError when none was swapped in."""
    payloads = (json.loads(frame.payload) for slot in slots(audit) for _, frame in slot.frames())
    digests = {each["dec"]["bundle"]["sha256"] for each in payloads if each["kind"] == "decision"}
    if len(digests) < 2:
        raise RuntimeError("no change was taken while we measured")
    return len(digests) - 1


def _while_changing(policies: Path, number: int, port: int, bodies: list[bytes], count: int) -> list[float]:
    """Latencies while a policy file is written each second. A process of its own writes: this one only waits."""
    writer = os.fork()
    if writer == 0:
        for turn in range(1_000):
            changed = policies / "care.ward"
            text = re.sub(r"within \d+ days", f"within {1_000 * number + turn + 8} days", changed.read_text("utf-8"))
            changed.with_suffix(".new").write_text(text, encoding="utf-8")
            changed.with_suffix(".new").rename(changed)
            time.sleep(1)
        os._exit(0)
    try:
        return _latencies(port, bodies, 500, count)
    finally:
        os.kill(writer, 15)
        os.waitpid(writer, 0)
