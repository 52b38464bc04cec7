"""Diagnostics as printed: the golden files in tests/golden/render, and what never may happen."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.diagnostics import render
from pdp.diagnostics.diagnostic import Diagnostic, PolicyError, Severity
from pdp.diagnostics.source import NOWHERE, Source, Span
from pdp.language import parse

GOLDEN = Path(__file__).parents[2] / "golden" / "render"

RECORDS = """\
permit read on Record as reads
\twhen subject.clearence >= resource.sensitivity
    and resource.author == "日本語" + subject.náme
    and resource.e\u0301 == 1

forbid any on any as closed
    "One"
    cites "two"
    when three
     and four
     and five
     and six
    because "seven"
"""


def finding(source: Source, start: str, end: str = "", **parts: object) -> Diagnostic:
    begin = source.text.index(start)
    stop = source.text.index(end, begin) + len(end) if end else begin + len(start)
    given = {"code": "unknown-attribute", "message": "`subject` has no attribute `clearence`"} | parts
    return Diagnostic(span=Span(source, begin, stop), **given)  # type: ignore[arg-type]


def of_records() -> list[Diagnostic]:
    source = Source("policies/records.ward", RECORDS)
    hint = "did you mean `clearance`? It is an Int, declared at policies/schema.ward:7"
    return [
        finding(source, "clearence", hint=hint),
        finding(source, '"日本語"', code="type-mismatch", message="expected Clinician, found Text"),
        finding(source, "náme", message="a name after wide characters"),
        finding(source, "e\u0301", message="a letter of two characters"),
        finding(source, "forbid", "closed", code="unreachable-rule", message="a", severity=Severity.WARNING),
        finding(source, "three", "five", message="three lines"),
        finding(source, "forbid", '"seven"', message="more lines than are shown"),
        finding(source, '"One"', severity=Severity.NOTE, message="a note", hint="With a hint."),
    ]


def of_long_lines() -> list[Diagnostic]:
    words = " ".join(f"word{number}" for number in range(100))
    source = Source("long.ward", f"{words} middle {words}\nstart {words}\n{words} end\n")
    return [
        finding(source, "middle", message="in the middle"),
        finding(source, "start", message="at the start"),
        finding(source, "end", message="at the end"),
        finding(source, "word0", "middle", message="longer than a line"),
    ]


def of_odd_places() -> list[Diagnostic]:
    source = Source("odd.ward", "entity A {\n\nb\x1b[31m\u202e\n")
    end = Span(source, len(source.text), len(source.text))
    return [
        Diagnostic("unexpected-end", end, "the text ends too early", "expected `}`"),
        Diagnostic("unexpected-end", Span(source, 10, 11), "a line end"),
        finding(source, "b\x1b[31m\u202e", message="shows \x1b[31m and \u202e by name"),
        Diagnostic("duplicate-name", NOWHERE, "`size` is built in"),
        Diagnostic("file-too-large", Span(Source("empty.ward", ""), 0, 0), "an empty file"),
    ]


def of_the_parser() -> list[Diagnostic]:
    text = (
        "permitt read on Record\n\npermit read on Record as x\n    when a = 'b' && c\n\nentity A {\n  a: Set[Text]\n}\n"
    )
    with pytest.raises(PolicyError) as raised:
        parse.policy(Source("policies/records.ward", text))
    return list(raised.value.diagnostics)


PAGES = {"records": of_records, "long-lines": of_long_lines, "odd-places": of_odd_places, "parser": of_the_parser}


def golden(name: str, printed: str) -> None:
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN") == "1":
        path.write_text(printed, "utf-8")
    assert printed == path.read_text("utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_text_is_as_reviewed(page: str) -> None:
    golden(f"{page}.txt", render.text(PAGES[page]()))


def test_json_is_as_reviewed() -> None:
    golden("records.json", json.dumps(render.as_json(of_records()), indent=2) + "\n")


def test_sarif_is_as_reviewed() -> None:
    golden("records.sarif", json.dumps(render.as_sarif(of_records()), indent=2) + "\n")


def test_sarif_has_what_the_standard_requires() -> None:
    document = render.as_sarif([*of_records(), *of_odd_places()])
    assert document["version"] == "2.1.0"
    (run,) = document["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert rules == sorted(set(rules))
    for result in run["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note")
        for location in result["locations"]:
            region = location["physicalLocation"]["region"]
            assert (region["endLine"], region["endColumn"]) >= (region["startLine"], region["startColumn"]) >= (1, 1)
            assert " " not in location["physicalLocation"]["artifactLocation"]["uri"]


def test_the_order_of_findings_does_not_matter() -> None:
    findings = of_records()
    assert render.text(findings) == render.text(reversed(findings))
    assert render.as_json(findings) == render.as_json(reversed(findings))


def test_the_caret_stands_under_what_is_meant() -> None:
    source = Source("x", "when subject.clearence >= 2")
    _, line, carets, _ = render.text([finding(source, "clearence")]).split("\n")
    assert line[carets.index("^") : carets.rindex("^") + 1] == "clearence"


@given(st.text(st.sampled_from("ab \n\t日e\u0301\x1b\u202e"), max_size=200), st.data())
def test_any_span_of_any_text_is_shown_without_what_does_not_show(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    shown = render.text([Diagnostic("unexpected-token", Span(Source("x", text), start, end), text, text)])
    assert not set("\t\x1b\u202e") & set(shown)
    assert not text or "^" in shown
    assert max(map(len, shown.split("\n")[1:-2]), default=0) < 2 * render.MAX_WIDTH or "= hint" in shown
