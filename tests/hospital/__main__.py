"""scripts/hospital: writes a synthetic hospital's audit log, what is known about it, and which accesses are misuse."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

from tests.hospital.hospital import AUDIT, CONTEXT, TRUTH, hospital, write
from tests.hospital.people import FULL, SMALL


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/hospital", description=__doc__)
    parser.add_argument("--to", type=Path, required=True, metavar="DIR", help="where to write; made, and must be empty")
    parser.add_argument("--days", type=int, default=0, help="how many (30; 14 with --small)")
    parser.add_argument("--seed", type=int, default=7, help="another seed is another hospital (7)")
    parser.add_argument("--small", action="store_true", help="60 staff and 700 patients, for a try")
    parser.add_argument("--noise", type=float, default=1.0, help="how much of what is legitimate nothing explains (1)")
    arguments = parser.parse_args()
    size = replace(SMALL if arguments.small else FULL, noise=arguments.noise)
    if arguments.days:
        size = replace(size, days=max(7, arguments.days))
    if arguments.to.exists() and any(arguments.to.iterdir()):
        print(f"{arguments.to} is not empty", file=sys.stderr)
        return 2
    began = time.perf_counter()

    def progress(done: int, of: int) -> None:
        print(f"\rday {done} of {of}", end="" if done < of else "\n", file=sys.stderr, flush=True)

    made = hospital(size, arguments.seed)
    records = write(made, arguments.to, progress)
    took = time.perf_counter() - began
    print(f"{records:,} decisions of {size.days} days in {took:.0f} s: {arguments.to / AUDIT}")
    print(f"what is known: {arguments.to / CONTEXT}; what is misuse: {arguments.to / TRUTH}")
    print(f"next: pdp audit verify {arguments.to / AUDIT}; two workers were silent on purpose, which is found (29)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
