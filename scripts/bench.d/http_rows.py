"""The rows that need the service: throughput, start and memory, latency while a policy change is built."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from measure import Spread, percentile, spread
from rows import Effort
from server import ROOT, Client, chaperone, echo, first_answer, lua, wrk
from table import Line, milliseconds, rate, seconds

EVALUATION = "/access/v1/evaluation"
HOSPITAL = ROOT / "policies" / "hospital"
STAFF = (
    "dr-osei",
    "dr-lindqvist",
    "dr-moreau",
    "nurse-adeyemi",
    "trainee-park",
    "bill-novak",
    "res-varga",
    "reg-dubois",
)
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
                "context": {"purpose": "TREAT"},
            }
        ).encode()
        for who in STAFF
        for kind, identifier in THINGS
    ]


def throughput(effort: Effort) -> Iterator[Line]:
    """Evaluation over HTTP with the plain log, against the same server's bare JSON echo."""
    if shutil.which("wrk") is None:
        yield Line("http", "wrk is not installed (apt-get install wrk)", "")
        return
    bodies = questions()
    with (
        tempfile.TemporaryDirectory(prefix="chaperone-bench-") as name,
        chaperone(HOSPITAL, Path(name), core=0) as (_, ours),
        echo(Path(name), core=0) as bare,
    ):
        script = Path(name, "ask.lua")
        script.write_text(lua(EVALUATION, bodies), encoding="utf-8")
        for port in (ours, bare):
            first_answer(port, EVALUATION, bodies[0])
            wrk(port, script, 1)
        pairs = [(wrk(ours, script, effort.seconds), wrk(bare, script, effort.seconds)) for _ in range(5)]
        one_by_one = _latencies(ours, bodies, 500, 1_000)
    asked, echoed = spread([each for each, _ in pairs]), spread([each for _, each in pairs])
    share = spread([ours / bare for ours, bare in pairs])
    ratio = f"{share.median:.0%} ({share.low:.0%}..{share.high:.0%})"
    where = "one worker on core 0, wrk with 16 connections on core 1"
    yield Line("http", f"evaluation, plain log; {where}", rate(asked), "≥ 50 % of the echo", ratio, share.median >= 0.5)
    yield Line("http", "the same server's bare JSON echo", rate(echoed))
    yield Line("http", "evaluation, one after the other, 500/s: p50 and p99", _two(one_by_one))


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
                held.append(worker_megabytes(process.pid, port))
    figure = spread(taken)
    yield Line("start", "from the command to the first decision", seconds(figure), "≤ 1.5 s", "", figure.median <= 1.5)
    memory = spread(held)
    shown = f"{memory.median:.0f} MiB ({memory.low:.0f}..{memory.high:.0f})"
    yield Line("start", "memory of a decision worker (resident)", shown, "≤ 80 MiB", "", memory.median <= 80)


def worker_megabytes(parent: int, port: int) -> float:
    """Resident memory of the process that answers on the port: the busiest descendant."""
    found = []
    for pid in _descendants(parent):
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
        with_port = any(_listens(pid, port))
        children = list(_descendants(pid))
        if with_port and not children:
            found.append(resident / 1024)
    return max(found)


def _listens(pid: int, port: int) -> Iterator[bool]:
    inodes = {
        line.split()[9]
        for line in Path(f"/proc/{pid}/net/tcp").read_text(encoding="utf-8").splitlines()[1:]
        if line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A"
    }
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(descriptor)
        except OSError:
            continue
        yield target.startswith("socket:[") and target[8:-1] in inodes


def _descendants(pid: int) -> Iterator[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
    except OSError:
        return
    for child in map(int, children):
        yield child
        yield from _descendants(child)


def change(effort: Effort) -> Iterator[Line]:
    """p99 at rest, and while a policy change is built and swapped in, again and again."""
    bodies = questions()
    count = 500 * max(4, round(effort.seconds * 2))
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
    at_rest, changing = spread(rest), spread(during)
    yield Line("change", "p99 at rest, 500/s", milliseconds(at_rest))
    ratio: Spread = spread([one / other for one, other in zip(during, rest, strict=True)])
    what = "p99 while changes are built, one a second"
    yield Line("change", what, milliseconds(changing), "≤ 2 x at rest", f"{ratio.median:.1f} x", ratio.median <= 2)


def _while_changing(policies: Path, number: int, port: int, bodies: list[bytes], count: int) -> list[float]:
    """Latencies while a policy file is written each second. A process of its own writes: this one only waits."""
    writer = os.fork()
    if writer == 0:
        for turn in range(1_000):
            changed = policies / "care.ward"
            text = changed.read_text(encoding="utf-8").split("# changed")[0]
            changed.with_suffix(".new").write_text(f"{text}# changed {number}-{turn}\n", encoding="utf-8")
            changed.with_suffix(".new").rename(changed)
            time.sleep(1)
        os._exit(0)
    try:
        return _latencies(port, bodies, 500, count)
    finally:
        os.kill(writer, 15)
        os.waitpid(writer, 0)
