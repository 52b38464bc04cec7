"""Stories: a policy directory each, and what it must answer. No code of ours but the path that a service takes.

`tests/cases/decisions/<story>/{policy.ward, data/, cases.json}`. A case holds an AuthZEN `request`, what others say
(`token`, `certificate`, `route`), `now`, what the enforcement point `can` do, and the whole answer that is due.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pdp.bundle.build import build
from pdp.decide.admit import admit
from pdp.decide.engine import Engine
from pdp.doors.authzen import read_evaluation
from pdp.language.wire import instant
from pdp.model.decision import Capabilities, Decision, RuleError

STORIES = Path(__file__).parent / "cases" / "decisions"
NOW = "2026-03-04T16:00:00Z"
MEMBERS = {
    *("name", "request", "token", "certificate", "route", "searching", "now", "can"),
    *("decision", "reason", "rules", "errors", "fields", "obligations", "refusals", "discarded"),
}


def _cases() -> list[Any]:
    found = []
    for path in sorted(STORIES.glob("*/cases.json")):
        for case in json.loads(path.read_text())["cases"]:
            found.append(pytest.param(path.parent, case, id=f"{path.parent.name}: {case['name']}"))
    return found


@cache
def _engine(story: Path) -> Engine:
    built = build(story)
    return Engine(built.program, built.entities)


@pytest.mark.parametrize(("story", "case"), _cases())
def test_story(story: Path, case: dict[str, Any]) -> None:
    assert set(case) <= MEMBERS
    engine = _engine(story)
    request = read_evaluation(b"application/json", json.dumps(case["request"]).encode())
    request, discarded = admit(request, engine.program.schema, frozenset({"*"}))
    request = replace(
        request,
        token=case.get("token"),
        certificate=case.get("certificate"),
        route=case.get("route"),
        searched_fields=frozenset(case.get("searching", ())),
    )
    can = case.get("can", {"fields": True, "obligations": list(engine.program.schema.obligations)})
    capabilities = Capabilities(can["fields"], frozenset(can.get("obligations", ())))
    now = instant(case.get("now", NOW))
    for decide in (engine.decide_uncached, engine.decide, engine.decide):
        _expect(story, case, decide(request, now, capabilities))
    assert list(discarded) == case.get("discarded", [])


def _expect(story: Path, case: dict[str, Any], decision: Decision) -> None:
    assert (decision.effect, decision.reason) == (case["decision"], case["reason"])
    assert list(decision.rules) == case.get("rules", [])
    assert [_error(story, each) for each in decision.errors] == [
        (each["rule"], each["code"]) for each in case.get("errors", [])
    ]
    for error, expected in zip(decision.errors, case.get("errors", []), strict=True):
        assert _text_at(story, error.where).startswith(expected["text"])
    if "fields" in case:
        released = decision.fields.released
        assert (None if released is None else sorted(released)) == case["fields"]["released"]
        assert sorted(decision.fields.masked) == case["fields"]["masked"]
    if "obligations" in case:
        assert [
            {"name": each.name, "arguments": dict(each.arguments), "binding": each.binding}
            for each in decision.obligations
        ] == case["obligations"]
    if "refusals" in case:
        assert [
            {
                "rule": each.rule,
                "erred": each.erred,
                "because": each.because,
                "exception": each.exception,
                "cures": list(each.cures),
            }
            for each in decision.refusals
        ] == case["refusals"]


def _error(_story: Path, error: RuleError) -> tuple[str, str]:
    return error.rule, error.code


def _text_at(story: Path, where: str) -> str:
    """The policy's text from the place of an error on."""
    name, line, column = where.rsplit(":", 2)
    text = (story / Path(name).name).read_text()
    return text.splitlines()[int(line) - 1][int(column) - 1 :]


def test_every_story_is_told() -> None:
    assert len(list(STORIES.glob("*/policy.ward"))) == len(list(STORIES.glob("*/cases.json"))) >= 9
