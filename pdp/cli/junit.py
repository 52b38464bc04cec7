"""Test results as JUnit XML, the form that build servers read: a suite for each file, a case for each test."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement, indent, tostring

if TYPE_CHECKING:
    from pdp.cli.test import Ran


def document(name: str, ran: list[Ran]) -> str:
    """One document. A test that could not run, and a fault of ours, are errors; the rest are failures."""
    root = Element("testsuites", {"name": _xml(name), **_totals(ran)})
    ordered = sorted(ran, key=lambda each: each.result.case.suite)
    for suite, members in groupby(ordered, key=lambda each: each.result.case.suite):
        tests = list(members)
        element = SubElement(root, "testsuite", {"name": _xml(suite), **_totals(tests)})
        for each in tests:
            _case(element, each)
    indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode")


def _totals(ran: list[Ran]) -> dict[str, str]:
    errors = sum(_is_error(each) for each in ran)
    return {
        "tests": str(len(ran)),
        "failures": str(sum(not each.result.passed for each in ran) - errors),
        "errors": str(errors),
        "skipped": "0",
        "time": f"{sum(each.seconds for each in ran):.6f}",
    }


def _is_error(ran: Ran) -> bool:
    return bool(ran.result.problem or ran.result.disagreement or ran.result.fault)


def _case(suite: Element, ran: Ran) -> None:
    from pdp.analyze.report import explanation_text
    from pdp.cli.test import reasons

    result = ran.result
    case = SubElement(
        suite,
        "testcase",
        {"name": _xml(result.case.title), "classname": _xml(result.case.suite), "time": f"{ran.seconds:.6f}"},
    )
    if result.passed:
        return
    why = list(reasons(result))
    kind = "error" if _is_error(ran) else "failure"
    element = SubElement(case, kind, {"message": _xml("; ".join(why)), "type": kind})
    explained = "" if result.explanation is None else "\n\n" + explanation_text(result.explanation)
    element.text = _xml(f"{result.case.where}\n" + "\n".join(why) + explained)


def _xml(text: str) -> str:
    """XML 1.0 has no place for most control characters, not even escaped."""
    return "".join(each if each.isprintable() or each in "\n\t" else "�" for each in text)
