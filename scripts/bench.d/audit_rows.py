"""The rows of the log: what a record costs the worker and the sealer, how long an answer waits, how fast it is read."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from measure import Spread, spread
from rows import Effort
from server import HERE, ROOT, clean, pinned
from table import Line, microseconds, milliseconds, rate

PROBE = HERE / "audit_probe.py"
IN_FLIGHT = 16
ROUNDS = 3
WORKER_BAR = 20.0  # µs of the worker for the record of one decision
SEALER_BAR = 10.0
BUSY, QUIET = 5_000, 500
"""Records a second, as many as the sealer then finds in each of its steps."""
PATIENT = "pat-100"
WHERE = "writing on core 0, sealing on core 1, reading on core 1"

Probed = dict[str, float]


def audit(effort: Effort) -> Iterator[Line]:
    """The audit log: CPU of worker and sealer for a record, how long an answer waits, verifying and querying."""
    yield Line("audit", WHERE, "")
    with tempfile.TemporaryDirectory(prefix="chaperone-bench-") as name:
        yield from _written(Path(name), effort)
        yield from _sealed(Path(name))
        yield from _read(Path(name), effort)


def _written(place: Path, effort: Effort) -> Iterator[Line]:
    rounds: dict[str, list[Probed]] = {"synced": [], "one": [], "written": [], "clear": []}
    sealed: list[Probed] = []
    for number in range(ROUNDS):
        for kind, found in rounds.items():
            directory = place / f"{kind}-{number}"
            directory.mkdir()
            durability = "written" if kind == "written" else "synced"
            details = "clear" if kind == "clear" else "encrypted"
            flying = "1" if kind == "one" else str(IN_FLIGHT)
            seconds = str(max(1.0, effort.seconds / 2))
            with _sealing(directory, sealed if kind == "synced" else []):
                found.append(_probe(0, "write", directory, seconds, flying, durability, details))
    many, one = rounds["synced"], rounds["one"]
    cpu = _of(many, "cpu")
    shown = f"{cpu.median / WORKER_BAR:.0%} of the bar"
    what = f"CPU of the worker for a record, synced, {IN_FLIGHT} in flight"
    yield Line("audit", what, microseconds(cpu), f"≤ {WORKER_BAR:.0f} µs", shown, cpu.median <= WORKER_BAR)
    yield Line("audit", "the same, details in clear", microseconds(_of(rounds["clear"], "cpu")))
    yield Line("audit", "the same, `written`: nothing waits for the disk", microseconds(_of(rounds["written"], "cpu")))
    yield Line("audit", "the same, synced, one in flight: a batch for each", microseconds(_of(one, "cpu")))
    for what, found in (("one in flight", one), (f"{IN_FLIGHT} in flight", many), ("`written`", rounds["written"])):
        figures = f"{milliseconds(_of(found, 'p50'))}, {milliseconds(_of(found, 'p99'))}"
        yield Line("audit", f"until a record is on disk, {what}: p50, p99", figures)
    figures = f"{_of(many, 'batch').median:.1f} and {_of(one, 'batch').median:.1f}"
    yield Line("audit", f"records in a batch, {IN_FLIGHT} in flight and one", figures)
    yield Line("audit", f"records that one worker writes, {IN_FLIGHT} in flight", rate(_of(many, "rate")))
    shown = f"{_of(sealed, 'batch').median:,.0f} a step"
    yield Line("audit", "CPU of the sealer for each of them, meanwhile", microseconds(_of(sealed, "cpu")), "", shown)


def _sealed(place: Path) -> Iterator[Line]:
    """At loads that one sees: the sealer comes once a second, so a step has as many records as a second."""
    for batch, bar in ((BUSY, SEALER_BAR), (QUIET, 0.0)):
        found = []
        for number in range(ROUNDS):
            directory = place / f"batches-{batch}-{number}"
            directory.mkdir()
            found.append(_probe(1, "batches", directory, str(batch * (4 if batch == BUSY else 20)), str(batch)))
        cpu = _of(found, "cpu")
        what = f"CPU of the sealer for a record, at {batch:,} a second"
        if bar:
            shown = f"{cpu.median / bar:.0%} of the bar"
            yield Line("audit", what, microseconds(cpu), f"≤ {bar:.0f} µs", shown, cpu.median <= bar)
        else:
            yield Line("audit", what, microseconds(cpu))


def _read(place: Path, effort: Effort) -> Iterator[Line]:
    directory = place / f"synced-{ROUNDS - 1}"
    for kind, what in (
        ("verify", "verified: every hash, signature, chain and heartbeat"),
        ("read", "read, each detail decrypted"),
        ("patient", "searched: who saw one patient"),
    ):
        more = (PATIENT,) if kind == "patient" else ()
        found = [_probe(1, kind, directory, *more) for _ in range(max(1, effort.load_rounds))]
        if kind == "verify" and found[0]["findings"]:
            raise RuntimeError("the log that was just written does not verify")
        peak = f"peak {max(each['peak'] for each in found):.0f} MiB"
        yield Line("audit", f"{what}, {found[0]['records']:,.0f} records", rate(_of(found, "rate")), "", peak)


@contextmanager
def _sealing(directory: Path, found: list[Probed]) -> Iterator[None]:
    """A sealer beside the writer, on the other core."""
    command = pinned(1, [sys.executable, str(PROBE), "seal", str(directory)])
    with subprocess.Popen(command, env=clean(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        yield
        process.stdin.write("end\n")
        process.stdin.close()
        found.append(json.loads(process.stdout.read()))


def _probe(core: int, kind: str, directory: Path, *more: str) -> Probed:
    command = pinned(core, [sys.executable, str(PROBE), kind, str(directory), *more])
    done = subprocess.run(command, env=clean(), cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    found: Probed = json.loads(done.stdout)
    return found


def _of(rounds: list[Probed], name: str) -> Spread:
    return spread([each[name] for each in rounds])
