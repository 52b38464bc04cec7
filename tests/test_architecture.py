"""The rooms: import contract, the top level, and what may not be written anywhere."""

from __future__ import annotations

import ast
import importlib.resources
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_import_contract_holds() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_every_room_is_placed_in_the_contract() -> None:
    placed = (ROOT / "setup.cfg").read_text()
    rooms = [path.name for path in (ROOT / "pdp").iterdir() if path.is_dir() and path.name != "__pycache__"]
    assert [room for room in rooms if room not in placed] == []


def test_the_grammar_is_found_as_a_resource() -> None:
    files = importlib.resources.files("pdp.grammar")
    assert files.joinpath("ward.lark").is_file()
    assert files.joinpath("LANGUAGE.md").is_file()


def test_catching_everything_happens_in_serve_alone() -> None:
    catching = [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "pdp").rglob("*.py"))
        if "except Exception" in path.read_text() or "except BaseException" in path.read_text()
    ]
    assert [path for path in catching if not path.startswith("pdp/serve/")] == []


WORLD = {"time", "os", "socket", "subprocess", "logging", "random", "secrets", "threading", "asyncio", "shutil"}
PURE = ("model", "diagnostics", "language", "compile", "decide", "doors", "analyze", "lint")
ALLOWED = {
    ("decide/cache.py", "threading"),  # One lock, for writers of the cache.
}


def test_the_pure_rooms_import_neither_clock_nor_file_nor_network() -> None:
    found = set()
    for room in PURE:
        for path in sorted((ROOT / "pdp" / room).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                else:
                    names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                found |= {(str(path.relative_to(ROOT / "pdp")), name) for name in names if name.split(".")[0] in WORLD}
    assert found <= ALLOWED
