"""Every link of a page leads somewhere, and every variable, command and option that a page names is there."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from pdp.cli.main import main
from pdp.config.settings import READERS

ROOT: Final = Path(__file__).parent.parent
PAGES: Final = sorted(
    [
        *ROOT.glob("*.md"),
        *(each for room in ("docs", "deploy", "grammar", "policies") for each in (ROOT / room).rglob("*.md")),
        ROOT / "tests" / "README.md",
    ]
)
DEPLOYED: Final = [ROOT / "Dockerfile", *sorted((ROOT / "deploy").rglob("*.y*ml"))]
LINK: Final = re.compile(r"\]\(([^)\s]+)\)")
VARIABLE: Final = re.compile(r"\bPDP_([A-Z][A-Z_]*[A-Z])\b")
COMMAND: Final = re.compile(r"(?:`|bin/|^|\| )pdp ((?:[a-z][a-z-]* ?)+)([^`\n|]*)", re.MULTILINE)
OPTION: Final = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
NO_SETTINGS: Final = {"CONFIG", "NAME", "AUDIT"}
"""What names the file, what stands for any setting, and the name of a stream at a broker."""


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """As the forges make them of headings."""
    heads = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.strip().lower()).replace(" ", "-") for each in heads}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text("utf-8")):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        assert target.exists(), link
        assert not anchor or target.suffix != ".md" or anchor in anchors(target), link


@pytest.mark.parametrize("page", [*PAGES, *DEPLOYED], ids=name_of)
def test_variables_are_settings(page: Path) -> None:
    named = set(VARIABLE.findall(page.read_text("utf-8"))) - NO_SETTINGS
    assert not {each for each in named if not each.startswith("TEST_") and each.lower() not in READERS}


@cache
def help_of(verb: tuple[str, ...]) -> str:
    """ "": there is no such verb."""
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(io.StringIO()):
        try:
            return said.getvalue() if main([*verb, "--help"]) == 0 else ""
        except SystemExit as end:
            return said.getvalue() if end.code == 0 else ""


def commands(page: Path) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each command that the page names, its verbs and the rest of its line."""
    for words, rest in COMMAND.findall(page.read_text("utf-8")):
        verb: tuple[str, ...] = ()
        for word in words.split():
            if not re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", help_of(verb)) or not help_of((*verb, word)):
                break
            verb = (*verb, word)
        yield verb, rest


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_have_the_options_that_are_shown(page: Path) -> None:
    for verb, rest in commands(page):
        assert verb, rest
        for option in OPTION.findall(rest):
            assert option in help_of(verb), (verb, option)
