"""`pdp eval`: the request from every side, the answer in both forms, and the exit codes."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from .conftest import NOW, Pdp

NINA = ("--subject", "user:nina", "--action", "read", "--resource", "Record:r1", *NOW)
TREAT = ("--context", '{"purpose": "TREAT"}')
REQUEST: dict[str, Any] = {
    "subject": {"type": "user", "id": "nina"},
    "action": {"name": "read"},
    "resource": {"type": "Record", "id": "r1"},
    "context": {"purpose": "TREAT"},
}


def test_an_allow_says_rules_fields_and_obligations(pdp: Pdp) -> None:
    ran = pdp("eval", "clinic", *NINA, *TREAT)
    assert ran.code == 0
    assert ran.out == (
        "allow  permitted\n"
        "  rules        care-team\n"
        "  masked       /ssn\n"
        '  obligation   notify(whom: "p1")  by care-team\n'
    )


def test_a_deny_is_an_answer_too_unless_the_exit_code_is_asked_for(pdp: Pdp) -> None:
    assert pdp("eval", "clinic", *NINA).code == 0
    denied = pdp("eval", "clinic", *NINA, "--exit-code")
    assert (denied.code, denied.out.splitlines()[0]) == (1, "deny  indeterminate")
    assert pdp("eval", "clinic", *NINA, *TREAT, "--exit-code").code == 0


def test_json_holds_the_whole_decision(pdp: Pdp) -> None:
    said = json.loads(pdp("eval", "clinic", *NINA, *TREAT, "--output", "json").out)
    assert said["decision"] == "allow"
    assert said["rules"] == ["care-team"]
    assert said["fields"] == {"released": None, "masked": ["/ssn"]}
    assert said["obligations"] == [
        {"name": "notify", "arguments": {"whom": "p1"}, "rule": "care-team", "binding": True}
    ]
    assert len(said["program_digest"]) == 64
    assert said["valid_until"] is None


def test_an_error_is_shown_with_its_place(pdp: Pdp) -> None:
    said = json.loads(pdp("eval", "clinic", *NINA, "--output", "json").out)
    assert [(each["rule"], each["code"]) for each in said["errors"]] == [("care-team", "unknown-value")]
    assert said["errors"][0]["where"].startswith("clinic/policy.ward:")


def test_a_request_from_a_file_and_from_stdin(pdp: Pdp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "request.json"
    file.write_text(json.dumps(REQUEST))
    from_file = pdp("eval", "clinic", "--request", file, *NOW)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(file.read_bytes())))
    assert pdp("eval", "clinic", "--request", "-", *NOW) == from_file
    assert from_file.out.startswith("allow")


def test_flags_replace_parts_of_the_request(pdp: Pdp, tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_text(json.dumps(REQUEST))
    assert pdp("eval", "clinic", "--request", file, "--resource", "Record:r2", *NOW).out.startswith("deny  forbidden")
    assert pdp("eval", "clinic", "--request", file, "--context", "{}", *NOW).out.startswith("deny  indeterminate")


def test_what_another_place_owns_is_discarded_and_named(pdp: Pdp) -> None:
    ran = pdp("eval", "clinic", *NINA, *TREAT, "--subject-properties", '{"clearance": 9, "shift": "day", "hat": 1}')
    assert "discarded    subject.clearance, subject.shift: said by a place that does not own it" in ran.out


def test_a_point_that_cannot_carry_out_the_duty_gets_a_deny(pdp: Pdp) -> None:
    assert pdp("eval", "clinic", *NINA, *TREAT, "--can", "none").out.startswith("deny  unsupported_obligation")
    assert pdp("eval", "clinic", *NINA, *TREAT, "--can", "fields").out.startswith("deny  unsupported_obligation")
    assert pdp("eval", "clinic", *NINA, *TREAT, "--can", "fields,notify").out.startswith("allow")
    assert "there is no obligation 'notfy'" in pdp("eval", "clinic", *NINA, "--can", "notfy").err


def test_a_search_over_a_masked_field(pdp: Pdp) -> None:
    search = ("--subject", "user:nina", "--action", "search", "--resource", "Patient:p1", *NOW)
    assert pdp("eval", "clinic", *search).out.startswith("allow")
    assert pdp("eval", "clinic", *search, "--searching", "/name,/ssn").out.startswith("deny  masked")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--action", "read", "--resource", "Record:r1"), "the request has no subject"),
        (("--subject", "nina", "--action", "read", "--resource", "Record:r1"), "--subject 'nina' is not TYPE:ID"),
        ((*NINA, "--context", "{purpose: TREAT}"), "--context: not JSON"),
        ((*NINA, "--context", '["TREAT"]'), "--context: must be a JSON object"),
        ((*NINA, "--context", '{"a": 1, "a": 2}'), "occurs twice"),
        ((*NINA[:-1], "yesterday"), '--now: expected Instant such as "2026-03-01T10:00:00Z"'),
        (("--request", "no-such-file.json"), "there is no file or directory no-such-file.json"),
        (("--request", "clinic/policy.ward"), "the request cannot be read: not JSON"),
        (("--request", "clinic"), "cannot read clinic: Is a directory"),
    ],
)
def test_a_request_that_cannot_be_read_is_usage_in_one_line(pdp: Pdp, arguments: tuple[str, ...], message: str) -> None:
    ran = pdp("eval", "clinic", *arguments)
    assert ran.code == 2
    assert ran.err.startswith("pdp: ")
    assert message in ran.err
    assert len(ran.err.splitlines()) <= 2
    assert ran.out == ""


def test_a_field_of_the_request_that_is_wrong_is_named(pdp: Pdp, tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_text(json.dumps({**REQUEST, "subject": {"type": "user"}}))
    assert "subject.id: is missing" in pdp("eval", "clinic", "--request", file).err


def test_a_huge_request_is_refused_unread(pdp: Pdp, tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    with file.open("wb") as huge:
        huge.truncate(1 << 34)
    ran = pdp("eval", "clinic", "--request", file)
    assert (ran.code, ran.err) == (2, "pdp: the request is larger than 1 MiB\n")


def test_without_a_token_what_it_owns_is_unknown(pdp: Pdp, clinic: Path) -> None:
    policy = clinic / "policy.ward"
    policy.write_text(policy.read_text() + "\npermit read on Record as by-day when subject has shift\n")
    night = ("--subject", "user:zoe", "--action", "read", "--resource", "Record:r2", *NOW, *TREAT, "--output", "json")
    none = json.loads(pdp("eval", clinic, *night).out)
    assert [each["rule"] for each in none["errors"]] == ["by-day"]
    assert json.loads(pdp("eval", clinic, *night, "--token", "{}").out)["errors"] == []
    assert json.loads(pdp("eval", clinic, *night, "--token", '{"shift": "day"}').out)["rules"] == ["by-day"]


def test_the_answer_does_not_depend_on_how_the_path_is_written(pdp: Pdp) -> None:
    assert pdp("eval", "./clinic/", *NINA, *TREAT).out == pdp("eval", "clinic", *NINA, *TREAT).out
