"""Every code has its paragraph, one text that triggers it and one near it that does not; the page is current."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from pdp.diagnostics.catalogue.entry import Entry
from pdp.diagnostics.codes import CATALOGUE
from pdp.diagnostics.diagnostic import Diagnostic, PolicyError
from pdp.language import parse
from pdp.language.check import policies

ROOT = Path(__file__).parent.parent
PRELUDE = re.findall(r"```ward\n(.*?)```", (ROOT / "grammar" / "LANGUAGE.md").read_text("utf-8"), re.DOTALL)[0]

SHOWN = {code: entry for code, entry in CATALOGUE.items() if entry.bad}
TESTED_ELSEWHERE = {code: entry for code, entry in CATALOGUE.items() if not entry.bad}


def found(text: str, entry: Entry) -> list[Diagnostic]:
    """What is said of a text in the stage of its entry. Bytes that are not UTF-8 stand in it as half characters."""
    return [each for each in everything(text, entry) if each.span.source.name == "2-example.ward"]


def everything(text: str, entry: Entry) -> list[Diagnostic]:
    try:
        module = parse.policy(parse.decode("2-example.ward", text.encode("utf-8", "surrogateescape")))
        if entry.stage == "parse":
            return []
        modules = [module] if entry.alone else [parse.policy(parse.decode("1-prelude.ward", PRELUDE.encode())), module]
        return list(policies(modules, notes=True)[1])
    except PolicyError as error:
        return list(error.diagnostics)


def on_prelude(text: str, entry: Entry) -> str:
    alone = entry.stage == "parse" or entry.alone or text.startswith(("module ", "layer ", "use "))
    return text if alone else f"use prelude\n{text}"


@pytest.mark.parametrize("code", SHOWN)
def test_the_bad_text_is_found_and_the_good_one_is_not(code: str) -> None:
    entry = CATALOGUE[code]
    text, times = entry.repeat
    bad = found(text * times + on_prelude(entry.bad, entry), entry)
    assert {each.severity for each in bad if each.code == code} == {entry.severity}
    good = found(on_prelude(entry.good, entry), entry)
    assert [each.message for each in good if each.code == code or each.severity == "error"] == []


@pytest.mark.parametrize("code", TESTED_ELSEWHERE)
def test_a_code_that_no_text_shows_has_its_test(code: str) -> None:
    assert f'"{code}"' in (ROOT / CATALOGUE[code].test).read_text("utf-8")


def used() -> set[str]:
    """The codes that stand where a finding is made."""
    call = re.compile(r'\b(?:Diagnostic|error|warning|note|report)\(\s*"([a-z0-9]+(?:-[a-z0-9]+)+)"')
    files = [path for path in (ROOT / "pdp").rglob("*.py") if "diagnostics" in path.read_text("utf-8")]
    return {code for path in files for code in call.findall(path.read_text("utf-8"))}


def test_every_code_in_use_is_in_the_catalogue() -> None:
    assert used() - CATALOGUE.keys() == set()


def test_every_code_of_the_catalogue_is_in_use() -> None:
    rooms = [path for path in (ROOT / "pdp").rglob("*.py") if "catalogue" not in path.parts]
    text = "\n".join(path.read_text("utf-8") for path in rooms)
    assert [code for code in CATALOGUE if f'"{code}"' not in text] == []


@pytest.mark.parametrize("code", CATALOGUE)
def test_an_entry_is_written_as_agreed(code: str) -> None:
    entry = CATALOGUE[code]
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", code)
    assert not entry.summary.endswith(".")
    assert entry.explanation.endswith((".", ":"))
    assert "\n" not in entry.summary + entry.explanation


def script() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("make_catalogue", str(ROOT / "scripts" / "make-catalogue"))
    spec = importlib.util.spec_from_loader("make_catalogue", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_the_page_is_current() -> None:
    written = (ROOT / "docs" / "diagnostics.md").read_text("utf-8")
    assert written == script().page(), "run scripts/make-catalogue"
