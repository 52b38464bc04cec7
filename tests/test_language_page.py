"""The language page is normative, so its examples run and its tables are held against the tables of the code."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from pdp.diagnostics.diagnostic import PolicyError, Severity
from pdp.diagnostics.source import Source
from pdp.language.core import PolicySet
from pdp.language.operators import BY_SYMBOL, CONSTANTS
from tests.generators import SIGNATURES

PAGE: Final = Path(__file__).parent.parent / "grammar" / "LANGUAGE.md"
TEXT: Final = PAGE.read_text("utf-8")


@dataclass(frozen=True, slots=True)
class Example:
    """A fenced block. `kind`: "", "fragment", or the code of the diagnostic that is due."""

    line: int
    kind: str
    text: str

    @property
    def source(self) -> Source:
        """Under the page's name and at the page's lines, so that a diagnostic leads to the example."""
        needs_prelude = self.kind == "fragment" and "module " not in self.text
        header = "use prelude" if needs_prelude else ""
        return Source(f"LANGUAGE.md block at line {self.line}", f"{header}\n{self.text}")


def examples() -> list[Example]:
    found = []
    for match in re.finditer(r"^```ward(?: (fragment|error=([a-z-]+)))?\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL):
        line = TEXT.count("\n", 0, match.start()) + 1
        found.append(Example(line, match[2] or match[1] or "", match[3]))
    return found


EXAMPLES: Final = examples()
WHOLE_SETS: Final = [each for each in EXAMPLES if not each.kind]
FRAGMENTS: Final = [each for each in EXAMPLES if each.kind == "fragment"]
REFUSED: Final = [each for each in EXAMPLES if each.kind not in ("", "fragment")]


def checked(*parts: Example) -> PolicySet:
    from pdp.language import check, parse

    return check.policies([parse.policy(each.source) for each in parts])[0]


def test_the_page_has_examples_of_every_sort() -> None:
    assert WHOLE_SETS
    assert FRAGMENTS
    assert REFUSED
    assert TEXT.count("```ward") == len(EXAMPLES)


@pytest.mark.parametrize("example", WHOLE_SETS, ids=lambda each: f"line {each.line}")
def test_a_whole_example_checks_as_it_stands(example: Example) -> None:
    checked(example)


@pytest.mark.parametrize("example", FRAGMENTS, ids=lambda each: f"line {each.line}")
def test_a_fragment_checks_on_the_prelude_and_the_fragments_before_it(example: Example) -> None:
    checked(WHOLE_SETS[0], *FRAGMENTS[: FRAGMENTS.index(example) + 1])


@pytest.mark.parametrize("example", REFUSED, ids=lambda each: f"line {each.line}")
def test_a_refused_example_is_refused_for_the_reason_it_names(example: Example) -> None:
    with pytest.raises(PolicyError) as caught:
        checked(example)
    errors = [each.code for each in caught.value.diagnostics if each.severity is Severity.ERROR]
    assert errors == [example.kind]


def test_the_tests_on_the_page_pass() -> None:
    from pdp.analyze.case import from_policy
    from pdp.analyze.coverage import Recorder
    from pdp.analyze.testing import run
    from pdp.compile.program import compile_program

    policies = checked(WHOLE_SETS[0], *FRAGMENTS)
    cases = [from_policy(each, policies.schema) for each in policies.tests]
    results = list(run(compile_program(policies), cases, Recorder(policies)))
    assert len(results) == TEXT.count('\ntest "') > 0
    assert [
        (each.case.title, each.failures, each.problem, each.disagreement) for each in results if not each.passed
    ] == []


# The tables of operators ----------------------------------------------------------------------------------------------


def first_column(heading: str) -> list[str]:
    """The first cells of the table below the line that begins so."""
    start = TEXT.index(f"\n| {heading} |")
    rows = TEXT[start + 1 :].split("\n\n", 1)[0].splitlines()[2:]
    return [re.split(r"(?<!\\)\|", each)[1] for each in rows]


def written_functions() -> dict[str, int]:
    """Function -> how many arguments the page gives it."""
    found = {}
    for cell in first_column("function"):
        for name, arguments in re.findall(r"`([a-z_]+)\((.*?)\)`", cell):
            found[name] = len(arguments.split(","))
    return found


INFIX_WORDS: Final = {"in", "contains", "overlaps", "subset of", "like", "matches", "within", "between"}
NODES: Final = {"is", "has"}  # node kinds of their own, not in the table of operators


def written_infixes() -> set[str]:
    found = set()
    for cell in first_column("operator"):
        for code in re.findall(r"`([^`]+)`", cell):
            without_patterns = re.sub(r'"[^"]*"', "", code)
            words = re.findall(r"subset of|[a-z]{2,}|[=!<>]=|[<>*+-]", without_patterns)
            found |= {word for word in words if word not in ("and", "re")}
    return found


def test_the_page_has_every_function_and_no_other() -> None:
    functions = {symbol for symbol in BY_SYMBOL if re.fullmatch(r"[a-z_]+", symbol)} - INFIX_WORDS
    assert set(written_functions()) == functions | set(CONSTANTS)


def test_the_page_gives_functions_the_arguments_they_take() -> None:
    for name, count in written_functions().items():
        taken = {len(each) for each in SIGNATURES[name]} if name not in CONSTANTS else {1}
        assert taken == {count}, name


def test_the_page_has_every_operator_and_no_other() -> None:
    symbols = set(BY_SYMBOL) - set(written_functions())
    assert written_infixes() - NODES == symbols


def test_the_page_lists_the_reserved_words() -> None:
    grammar = PAGE.with_name("ward.lark").read_text("utf-8")
    page = re.search(r"They are:\n  ```\n(.*?)```", TEXT, re.DOTALL)
    assert page is not None
    assert set(page[1].split()) == set(re.findall(r'"([a-z_]+)"', grammar))
