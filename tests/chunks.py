"""Files of many small sources, parted by lines of `---`, that say themselves which findings are due.

    permit read Record as x  ### unexpected-token "Record"

`### code "text"` stands on the line where a finding begins; the text is what is underlined, or a part of the message or
of the hint. Two on one line are parted by `;`. Unexpected and missing findings both fail. Errors always count, warnings
only in a chunk that mentions a warning's code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pdp.diagnostics.diagnostic import Diagnostic, Severity
from pdp.diagnostics.source import Source

_DUE = re.compile(r'\s*([a-z0-9-]+)(?: "(.*?)")?\s*(?:;|$)')


@dataclass(frozen=True)
class Due:
    line: int
    code: str
    text: str

    def fits(self, found: Diagnostic) -> bool:
        line, _ = found.span.source.line_column(found.span.start)
        underlined = " ".join(found.span.text.split())
        said = self.text == underlined or self.text in found.message or self.text in found.hint
        return (self.line, self.code) == (line, found.code) and said


@dataclass(frozen=True)
class Chunk:
    """`source` begins with as many empty lines as stand before the chunk, so that lines are those of the file."""

    name: str
    source: Source
    due: tuple[Due, ...]

    def __str__(self) -> str:
        return self.name

    def judge(self, found: Iterable[Diagnostic]) -> None:
        """Raises AssertionError for what is missing and for what is not announced."""
        codes = {due.code for due in self.due}
        left = [each for each in found if each.severity is Severity.ERROR or each.code in codes]
        for due in self.due:
            match = next((each for each in left if due.fits(each)), None)
            assert match is not None, f"missing: {due}\nfound:\n{_listed(left)}"
            left.remove(match)
        assert not left, f"not announced:\n{_listed(left)}"


def _listed(found: Iterable[Diagnostic]) -> str:
    return "\n".join(
        f"{each.span.where} {each.code} `{each.span.text}`: {each.message} ({each.hint})" for each in found
    )


def chunks(path: Path) -> Iterator[Chunk]:
    """The chunks of a file."""
    before = 0
    for text in re.split(r"^---\n", path.read_text("utf-8"), flags=re.MULTILINE):
        lines = text.split("\n")
        due = tuple(
            Due(before + number, code, said)
            for number, line in enumerate(lines, 1)
            for code, said in _DUE.findall(line.partition("###")[2])
        )
        yield Chunk(f"{path.stem}:{before + 1}", Source(path.name, "\n" * before + text), due)
        before += len(lines)


def in_folder(folder: Path) -> list[Chunk]:
    found = [chunk for path in sorted(folder.glob("*.ward")) for chunk in chunks(path)]
    assert found, f"no cases in {folder}"
    return found
