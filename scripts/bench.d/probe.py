"""Loads something in a process of its own, so that nothing else is in its memory, and prints the cost as JSON.

CPU seconds: loading is one thread that computes, and the clock says more when others compute too.

probe.py policies DIRECTORY | probe.py data DIRECTORY
"""

from __future__ import annotations

import gc
import json
import resource
import sys
from pathlib import Path
from time import process_time

from pdp.bundle import data
from pdp.compile.program import compile_program
from pdp.diagnostics.source import Source
from pdp.language import check, parse


def main(kind: str, directory: Path) -> dict[str, float]:
    gc.disable()
    files = sorted(directory.rglob("*.ward"))
    before, began = _megabytes(), process_time()
    modules = [parse.policy(Source(str(each), each.read_text(encoding="utf-8"))) for each in files]
    parsed = process_time()
    policies, _ = check.policies(modules)
    checked = process_time()
    if kind == "policies":
        compile_program(policies)
        compiled = process_time()
        return {
            "parse": parsed - began,
            "check": checked - parsed,
            "compile": compiled - checked,
            "cpu": compiled - began,
            "megabytes": _megabytes() - before,
        }
    before, began = _megabytes(), process_time()
    entities = data.load(directory, policies.schema)
    return {"count": len(entities), "cpu": process_time() - began, "megabytes": _megabytes() - before}


def _megabytes() -> float:
    """What this process holds now, after the garbage is gone."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1_048_576


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]))))
