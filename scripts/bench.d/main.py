"""scripts/bench: the table of docs/bench.md. A timing is never a test; a disagreement between engines ends the run."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

import audit_rows
import detection_rows
import grpc_rows
import http_rows
import rows
from table import TITLES, Line, printed

ROWS: dict[str, Callable[[rows.Effort], Iterator[Line]]] = {
    "cached": rows.cached,
    "scenarios": rows.scenarios,
    "hospital": rows.departments,
    "starter": http_rows.starter,
    "load": rows.loading,
    "entities": rows.entities,
    "http": http_rows.throughput,
    "grpc": grpc_rows.grpc,
    "envoy": grpc_rows.envoy,
    "audit": audit_rows.audit,
    "detection": detection_rows.detection,
    "start": http_rows.start,
    "change": http_rows.change,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and sizes: about a minute")
    parser.add_argument("--only", choices=list(ROWS), metavar="ROW", action="append", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--list", action="store_true", help="name the rows and stop")
    arguments = parser.parse_args()
    if arguments.list:
        for name, row in ROWS.items():
            print(f"{name:12}{(row.__doc__ or '').splitlines()[0]}")
        return 0
    effort = rows.QUICK if arguments.quick else rows.FULL
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}, {platform.system()}")
    printed([TITLES])
    for name in arguments.only or ROWS:
        try:
            printed(ROWS[name](effort))
        except rows.Disagreement as error:
            print(f"{name:12}NOT THE SAME ANSWERS: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
