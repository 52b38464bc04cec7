"""Every word that a record says of a refusal by a door is on the page."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from pdp.identity.scopes import CONSTRAINED, NO_MAPPING, NOT_GRANTED, OTHER_PATIENT, UNKNOWN_PATIENT
from pdp.model.decision import Reason
from pdp.serve.limits import UNAVAILABLE, WORDS
from pdp.serve.strangers import WHY

ROOT = Path(__file__).parents[3]
RAISED = {"Refused", "NoRoute", "AmbiguousPath", "BadBody"}
REFUSED = {"refused", "refuse", "_refused", "_refuse", "record_refusal"}
NOT_WORDS = {"body", "latin-1", "http-"}


def words(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in RAISED or name in REFUSED or (name == "Unknown" and path.parent.name == "serve"):
                for argument in node.args:
                    for each in ast.walk(argument):
                        if isinstance(each, ast.Constant) and isinstance(each.value, str) and each.value:
                            yield each.value


def test_every_word_of_a_refusal_is_on_the_page() -> None:
    page = (ROOT / "docs/service.md").read_text("utf-8")
    known = set(re.findall(r"`([a-z0-9-]+)`", page))
    said = {word for room in ("doors", "serve") for path in (ROOT / "pdp" / room).glob("*.py") for word in words(path)}
    said |= {*WHY, *WORDS, UNAVAILABLE, NO_MAPPING, NOT_GRANTED, CONSTRAINED, UNKNOWN_PATIENT, OTHER_PATIENT}
    assert len(said) > 50
    assert sorted(said - known - NOT_WORDS) == []


def test_every_reason_of_the_table_exists() -> None:
    page = (ROOT / "docs/service.md").read_text("utf-8")
    table = page.partition("### Why it was refused before any rule")[2].partition("An enforcement point that")[0]
    found = set(re.findall(r"^\| `([a-z_]+)` \|", table, re.MULTILINE)) - {"reason"}
    assert found <= set(Reason)
    assert len(found) > 8
