"""`scripts/demo` from its table to its clean-up: a real Envoy, every answer as expected, nothing left behind."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "scripts" / "demo.d" / "demo.py"

pytestmark = pytest.mark.service


def test_the_demo_answers_as_its_table_says_and_ends() -> None:
    if not (shutil.which("envoy", path=sysconfig.get_path("scripts")) or shutil.which("envoy")):
        pytest.skip("Envoy is not installed (the `demo` extra)")
    done = subprocess.run([sys.executable, str(DEMO)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Every answer is as expected." in done.stdout
    assert "NOT AS EXPECTED" not in done.stdout
    # With Chaperone gone, the last row: nobody gets in.
    assert "503" in done.stdout.splitlines()[-3]
