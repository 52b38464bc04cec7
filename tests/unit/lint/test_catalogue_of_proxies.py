"""Every code of the linter: a text that triggers it, one near it that does not, and a page that is current."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import re

import pytest

from pdp.lint.catalogue import CATALOGUE, KINDS
from tests.unit.lint.examples import ROOT, found, placed

SHOWN = [code for code, entry in CATALOGUE.items() if entry.bad]


@pytest.mark.parametrize("code", SHOWN)
def test_checklist_32_the_bad_example_is_found_and_the_good_one_is_not(code: str) -> None:
    entry = CATALOGUE[code]
    bad, good = placed(entry)
    assert {each.severity for each in found(bad) if each.code == code} == {entry.severity}
    left = found(good)
    assert [each.message for each in left if each.code == code or not entry.alone] == []


@pytest.mark.parametrize("code", CATALOGUE)
def test_an_entry_is_written_as_agreed(code: str) -> None:
    entry = CATALOGUE[code]
    assert code.startswith(f"{entry.stage}-")
    assert entry.stage in KINDS
    assert not entry.summary.endswith(".")
    assert entry.explanation.endswith((".", ":"))


def test_every_code_in_use_is_in_the_catalogue_and_the_other_way_round() -> None:
    rooms = [path for path in (ROOT / "pdp" / "lint").rglob("*.py") if "catalogue" not in path.parts]
    texts = "\n".join(path.read_text("utf-8") for path in rooms)
    used = set(re.findall(r'"((?:proxy|envoy|istio|nginx)(?:-[a-z0-9]+)+)"', texts))
    assert used == set(CATALOGUE)


def test_the_page_is_current() -> None:
    loader = importlib.machinery.SourceFileLoader("make_catalogue", str(ROOT / "scripts" / "make-catalogue"))
    spec = importlib.util.spec_from_loader("make_catalogue", loader)
    assert spec is not None
    script = importlib.util.module_from_spec(spec)
    loader.exec_module(script)
    assert (ROOT / "docs/lint-proxy.md").read_text("utf-8") == script.lint_proxy(), "run scripts/make-catalogue"
