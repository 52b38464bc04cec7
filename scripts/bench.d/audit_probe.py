"""One part of the log in a process of its own: what it costs, as JSON. Pinned to a core by whoever starts it.

audit_probe.py write DIRECTORY SECONDS IN_FLIGHT synced|written encrypted|clear
audit_probe.py seal DIRECTORY                    once a second, until something comes on standard input
audit_probe.py batches DIRECTORY RECORDS BATCH   writes and seals by turns, so many records at a time
audit_probe.py verify|read DIRECTORY
audit_probe.py patient DIRECTORY PATIENT
"""

from __future__ import annotations

import asyncio
import json
import resource
import select
import sys
from itertools import count, cycle
from pathlib import Path
from time import perf_counter, process_time, time_ns
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from pdp.audit.checking.verify import verify
from pdp.audit.decided import Record, Who
from pdp.audit.journal.wal import Wal
from pdp.audit.leaf import PLAIN, Opener, leaves
from pdp.audit.record import payloads
from pdp.audit.tree.keys import published
from pdp.audit.tree.sealer import Sealer
from pdp.audit.veil.privacy import Keys, Veil, vault_of

ORIGIN: Final = "bench.example/host-1"
HEARTBEAT: Final = 60.0


def records() -> list[Record]:
    """Decisions on policies/hospital, as the HTTP door would hand them over."""
    from http_rows import HOSPITAL, STAFF, questions

    from pdp.bundle import build
    from pdp.decide.engine import Engine
    from pdp.doors import authzen

    made = build.build(HOSPITAL)
    engine = Engine(made.program, made.entities)
    asked = [authzen.read_evaluation(b"application/json", each) for each in questions()]
    assert len(asked) >= len(STAFF)
    return [
        Record(
            0,
            "",
            "authzen",
            "application",
            engine.decide(each, time_ns() // 1_000),
            each,
            cached=True,
            program_digest=made.program.digest,
            data_revision=made.revision,
            who=Who(each.subject_type, each.subject_id, "token", "hospital", "ehr"),
            purpose="TREAT",
            patient="pat-100",
        )
        for each in asked
    ]


def write(directory: Path, seconds: float, in_flight: int, durability: Any, details: str) -> dict[str, float]:
    """What a worker spends on records, and how long an answer waits for one."""
    veil = Veil(directory) if details == "encrypted" else None
    if veil is not None:
        veil.make()
    wal = Wal(directory, ORIGIN, durability=durability, heartbeat_seconds=HEARTBEAT)
    asked, numbers, taken = cycle(records()), count(1), list[float]()

    async def one(loop: asyncio.AbstractEventLoop, until: float) -> None:
        while (began := perf_counter()) < until:
            record = next(asked)
            record.time, record.decision_id = time_ns() // 1_000, f"bench-{next(numbers):x}"
            await wal.append(payloads(record, veil)).future(loop)
            taken.append(perf_counter() - began)

    async def all_of_them(seconds: float) -> None:
        loop, until = asyncio.get_running_loop(), perf_counter() + seconds
        await asyncio.gather(*(one(loop, until) for _ in range(in_flight)))

    with asyncio.Runner(loop_factory=_loop) as runner:
        runner.run(all_of_them(0.2))
        taken.clear()
        batches, cpu, began = wal.effort.batches, process_time(), perf_counter()
        runner.run(all_of_them(seconds))
        cpu, took, batches = process_time() - cpu, perf_counter() - began, wal.effort.batches - batches
    wal.close()
    made = len(taken)
    taken.sort()
    return {
        "records": made,
        "rate": made / took,
        "cpu": cpu / made * 1e6,
        "p50": taken[made // 2] * 1_000,
        "p99": taken[made * 99 // 100] * 1_000,
        "batch": made / batches,
    }


def _loop() -> asyncio.AbstractEventLoop:
    import uvloop

    return uvloop.new_event_loop()


def seal(directory: Path) -> dict[str, float]:
    """As the service does it, until told to end; then what is left."""
    sealer = Sealer(directory, ORIGIN, heartbeat_seconds=HEARTBEAT)
    sealer.step(time_ns())
    print("ready", flush=True)
    cpu, made, steps, ended = process_time(), 0, 0, False
    while not ended:
        ended = bool(select.select([sys.stdin], [], [], 1.0)[0])
        while True:
            sealed = sealer.step(time_ns())
            made, steps = made + sealed.records, steps + bool(sealed.records)
            if not sealed.more:
                break
    cpu = process_time() - cpu
    sealer.close()
    return {"records": made, "cpu": cpu / max(1, made) * 1e6, "batch": made / max(1, steps), "peak": _peak()}


def batches(directory: Path, wanted: int, batch: int) -> dict[str, float]:
    """What the sealer spends on batches of one size: as many as come in a second, at some load."""
    veil = Veil(directory)
    veil.make()
    wal = Wal(directory, ORIGIN, durability="written", heartbeat_seconds=HEARTBEAT)
    sealer = Sealer(directory, ORIGIN, heartbeat_seconds=HEARTBEAT)
    sealer.step(time_ns())
    asked, spent, made = cycle(records()), 0.0, 0
    while made < wanted:
        for number in range(batch):
            record = next(asked)
            record.time, record.decision_id = time_ns() // 1_000, f"batch-{made + number:x}"
            ticket = wal.append(payloads(record, veil))
        ticket.wait(30)
        began = process_time()
        made += sealer.step(time_ns()).records
        spent += process_time() - began
    sealer.close()
    wal.close()
    return {"records": made, "cpu": spent / made * 1e6}


def verified(directory: Path) -> dict[str, float]:
    began = perf_counter()
    report = verify(directory, published(directory / "keys"))
    took = perf_counter() - began
    return {"records": report.size, "findings": len(report.findings), "rate": report.size / took, "peak": _peak()}


def read(directory: Path) -> dict[str, float]:
    """Every record, its detail opened."""
    began = perf_counter()
    made = sum(1 for each in leaves(directory, _opener(directory)) if each.detail is not None)
    return {"records": made, "rate": made / (perf_counter() - began), "peak": _peak()}


def patient(directory: Path, asked: str) -> dict[str, float]:
    """Who saw this patient? As `pdp audit query --patient` goes through the log."""
    from pdp.audit.asking.asked import Asked
    from pdp.audit.asking.query import search

    began = perf_counter()
    looked = search(directory, Asked(patient=asked), _opener(directory))
    found = sum(1 for _ in looked.hits())
    took = perf_counter() - began
    return {"records": looked.tally.looked, "found": found, "rate": looked.tally.looked / took, "peak": _peak()}


def _opener(directory: Path) -> Opener:
    vault = vault_of(directory)
    return PLAIN if vault is None else Keys(vault)


def _peak() -> float:
    """MiB that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024


def main(kind: str, directory: Path, more: list[str]) -> dict[str, float]:
    match kind:
        case "write":
            return write(directory, float(more[0]), int(more[1]), more[2], more[3])
        case "seal":
            return seal(directory)
        case "batches":
            return batches(directory, int(more[0]), int(more[1]))
        case "verify":
            return verified(directory)
        case "read":
            return read(directory)
        case "patient":
            return patient(directory, more[0])
    raise SystemExit(f"no probe {kind}")


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])))
