"""The pages of tests/cases/types, each chunk of them a test."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.unit.language.checking import findings

PAGES = Path(__file__).parents[2] / "cases" / "types"
DUE = re.compile(r'\s*([a-z-]+)(?: "(.*?)")?\s*(?:;|$)')
QUIET = frozenset({"rule-without-id", "unused-name"})


@dataclass(frozen=True)
class Chunk:
    page: str
    line: int
    world: str
    text: str

    @property
    def due(self) -> list[tuple[int, str, str]]:
        """Line (from 1), code and text of every announced finding."""
        announced = []
        for number, line in enumerate(self.text.split("\n"), 1):
            for code, text in DUE.findall(line.partition("###")[2]):
                announced.append((number, code, text))
        return announced


def chunks() -> list[Chunk]:
    found = []
    for path in sorted(PAGES.glob("*.ward")):
        world, *rest = re.split(r"^---\n", path.read_text("utf-8"), flags=re.MULTILINE)
        line = world.count("\n") + 2
        found.append(Chunk(path.stem, 1, "", world))
        for text in rest:
            header = "use world\n" if "module world" in world else ""
            found.append(Chunk(path.stem, line, world, header + text))
            line += text.count("\n") + 1
    return found


@pytest.mark.parametrize("chunk", chunks(), ids=lambda chunk: f"{chunk.page}:{chunk.line}")
def test_a_page_says_exactly_what_is_found(chunk: Chunk) -> None:
    texts = (chunk.world, chunk.text) if chunk.world else (chunk.text,)
    quiet = QUIET if chunk.page != "lint" else frozenset()
    got = [
        each for each in findings(*texts) if each.code not in quiet and each.span.source.name == f"{len(texts)}.ward"
    ]
    left = list(got)
    for line, code, text in chunk.due:
        match = next(
            (
                each
                for each in left
                if each.code == code
                and each.span.source.line_column(each.span.start)[0] == line
                and (text == " ".join(each.span.text.split()) or text in each.message)
            ),
            None,
        )
        said = [f"{each.span.where} {each.code} `{each.span.text}`: {each.message}" for each in got]
        assert match is not None, f"not found: {code} {text!r}\n" + "\n".join(said)
        left.remove(match)
    assert not left, "\n".join(f"{each.code} `{each.span.text}`: {each.message}" for each in left)
