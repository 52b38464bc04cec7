"""What a decision worker carries: neither the parser nor the checker, and no web framework."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.service.server import ROOT, write_policies

pytestmark = pytest.mark.service

PROBE = """
import sys
from pathlib import Path
from pdp.serve.runtime import Runtime
runtime = Runtime(Path(sys.argv[2]))
if sys.argv[1] == "build":
    from pdp.serve.builder import Builder
    builder = Builder(Path(sys.argv[3]), runtime)
    assert not builder.step(1.0)  # A first look, to compare the next one with.
    assert builder.step(1.0)
else:
    import pdp.serve.decisions
    from pdp.serve.snapshot import load
    assert load(runtime, 10).engine.program.rule_count == 3
    print(*sorted(name for name in sys.modules))
"""


def run(*arguments: str) -> str:
    command = [sys.executable, "-c", PROBE, *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def test_a_decision_worker_imports_neither_parser_nor_checker_nor_flask(tmp_path: Path) -> None:
    policies = write_policies(tmp_path / "policies")
    (tmp_path / "runtime").mkdir(mode=0o700)
    run("build", str(tmp_path / "runtime"), str(policies))
    modules = run("load", str(tmp_path / "runtime")).split()
    for unwanted in (
        "lark",
        "flask",
        "jinja2",
        "pdp.language.parse",
        "pdp.language.check",
        "pdp.console",
        "prometheus_client",
    ):
        assert unwanted not in modules
