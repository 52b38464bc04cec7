"""The step-up sample of docs/sessions.md checks on the hospital's policies, and asks only whom a login would help."""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path

import pytest

from pdp.bundle.build import build
from pdp.decide.engine import Engine
from pdp.doors.stepup import StepUp, step_up
from pdp.model.decision import Decision, Reason
from pdp.model.request import Request

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/sessions.md").read_text("utf-8")
NOW = 1_793_613_600_000_000  # 2026-11-02T10:00:00Z, a day after rec-9001 was made by dr-osei
ENTITY = 'entity Staff as "user" {\n'
ASKED = StepUp(("urn:hospital:mfa",))


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    directory = tmp_path_factory.mktemp("page") / "hospital"
    shutil.copytree(ROOT / "policies/hospital", directory)
    attribute, rule = blocks("ward")
    schema = directory / "schema.ward"
    text = schema.read_text("utf-8")
    assert ENTITY in text
    schema.write_text(text.replace(ENTITY, ENTITY + attribute), "utf-8")
    (directory / "logins.ward").write_text(rule, "utf-8")
    built = build(directory)
    return Engine(built.program, built.entities)


def asked(engine: Engine, who: str, what: str, token: dict[str, str] | None) -> Decision:
    return engine.decide(Request("user", who, "update", "Record", what, token=token), NOW)


def test_the_author_of_an_open_record_is_asked_to_log_in_again_and_then_let_in(engine: Engine) -> None:
    weak = asked(engine, "dr-osei", "rec-9001", {"acr": "urn:hospital:pwd"})
    assert (weak.reason, weak.rules) == (Reason.FORBIDDEN, ("weak-login",))
    assert step_up(weak, ASKED) is not None
    assert asked(engine, "dr-osei", "rec-9001", {"acr": "urn:hospital:mfa"}).allowed


@pytest.mark.parametrize(("who", "what"), [("dr-osei", "rec-1001"), ("dr-lindqvist", "rec-9001")])
def test_whom_no_login_would_help_is_not_asked_to_log_in(engine: Engine, who: str, what: str) -> None:
    weak = asked(engine, who, what, {})
    assert weak.rules == ("weak-login",)
    assert step_up(weak, ASKED) is None
    assert not asked(engine, who, what, {"acr": "urn:hospital:mfa"}).allowed


def test_without_a_token_the_rule_cannot_be_evaluated_and_nothing_is_promised(engine: Engine) -> None:
    named = asked(engine, "dr-osei", "rec-9001", None)
    assert (named.allowed, named.reason) == (False, Reason.FORBIDDEN)
    assert step_up(named, ASKED) is None


def test_what_the_page_asks_for_is_what_its_rule_wants() -> None:
    (issuer_and_sessions,) = (tomllib.loads(each) for each in blocks("toml"))
    assert issuer_and_sessions["sessions"]["step_up_acr_values"] == list(ASKED.acr_values)
    assert issuer_and_sessions["issuer"]["hospital"]["claims"] == {"acr": "acr"}
    assert f'subject.acr == "{ASKED.acr_values[0]}"' in blocks("ward")[1]
