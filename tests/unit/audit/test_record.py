from __future__ import annotations

import json
from typing import Any

import pytest

from pdp.audit import record as records
from pdp.audit.evidence import EvidenceError
from pdp.audit.journal.frames import MAX_PAYLOAD
from pdp.audit.journal.wal import STAMP_ROOM
from pdp.audit.log import Found, Record, Who
from pdp.model.decision import Decision, Effect, Fields, Obligation, Reason, RuleError
from pdp.model.request import Request

NOW = 1_700_000_000_123_456
REQUEST = Request("user", "alice", "read", "record", "record-1")
PERMIT = Decision(Effect.ALLOW, Reason.PERMITTED, ("readers",), program_digest="p", data_revision="d")
SECRET = ("alice", "record-1", "bob", "act-as")


def made(**more: Any) -> dict[str, Any]:
    given = {"time": NOW, "decision_id": "id-1", "door": "authzen", "pep": "portal", "decision": PERMIT}
    (payload,) = records.payloads(Record(**given | {"request": REQUEST} | more))
    found: dict[str, Any] = json.loads(payload)
    return found


def test_every_member_of_a_decision_has_its_place() -> None:
    decision = Decision(
        Effect.ALLOW,
        Reason.PERMITTED,
        ("readers",),
        (RuleError("readers", "type-error", "said 'alice'", "policy.ward:1:2"),),
        (Obligation("notify", (("to", "alice"),), "readers"),),
        fields=Fields(frozenset({"/a"}), frozenset({"/b"})),
        program_digest="p",
        data_revision="d",
    )
    found = made(decision=decision, discarded=("subject.role",), cached=True)
    n = found.pop("n")
    assert len(bytes.fromhex(n)) == 16
    assert found == {
        "v": 1,
        "id": "id-1",
        "kind": "decision",
        "ts": "2023-11-14T22:13:20.123456Z",
        "door": "authzen",
        "pep": "portal",
        "dec": {
            "effect": "allow",
            "reason": "permitted",
            "rule": ["readers"],
            "bundle": {"sha256": "p", "version": "d"},
            "cache_hit": True,
            "errors": [{"rule": "readers", "code": "type-error", "where": "policy.ward:1:2"}],
            "discarded": ["subject.role"],
            "obligations": [{"name": "notify", "rule": "readers"}],
            "fields": {"released": ["/a"], "masked": ["/b"]},
        },
        "act": {"action": "read", "verb": "R"},
        "res": {"type": "record"},
        "sub": {"type": "user"},
        "detail": {"res": {"id": "record-1"}, "sub": {"id": "alice"}},
    }


def test_ids_stand_under_detail_and_nowhere_else() -> None:
    who = Who("user", "alice", "token", "https://idp", "app", ("act-as", "bob"), ("read",), ("weak",))
    found = made(who=who)
    detail = found.pop("detail")
    assert detail == {"sub": {"id": "alice"}, "actors": ["act-as", "bob"], "res": {"id": "record-1"}}
    clear = json.dumps(found)
    assert not any(each in clear for each in SECRET)
    assert found["sub"] == {"type": "user"}
    assert found["identity"] == {
        "via": "token",
        "issuer": "https://idp",
        "scopes": ["read"],
        "warnings": ["weak"],
        "actors": 2,
    }
    assert found["client"] == {"id": "app"}


def test_who_was_asked_about_and_who_was_established_are_both_told_where_they_differ() -> None:
    same = made(who=Who("user", "alice", "token"))
    other = made(who=Who("user", "nina", "token"))
    none = made(request=None, who=Who("user", "nina", "token"))
    assert (same["identity"], same["detail"]["sub"]) == ({"via": "token"}, {"id": "alice"})
    assert "identity" not in same["detail"]
    assert other["identity"] == {"via": "token", "type": "user"}
    assert (other["detail"]["sub"], other["detail"]["identity"]) == ({"id": "alice"}, {"id": "nina"})
    assert (none["sub"], none["detail"]) == ({"type": "user"}, {"sub": {"id": "nina"}})


def test_a_refusal_before_evaluation_has_its_word_and_no_subject() -> None:
    found = made(decision=Decision(Effect.DENY, Reason.NO_ROUTE), request=None, detail="dot-segment", count=3)
    assert found["dec"]["status"] == "dot-segment"
    assert found["count"] == 3
    assert "sub" not in found
    assert found["detail"] == {}


def test_no_two_records_are_alike() -> None:
    assert made()["n"] != made()["n"]


def test_an_identifier_cannot_forge_a_member_or_a_line() -> None:
    evil = 'x"},"dec":{"effect":"allow"}}\n\u2028\x1b'
    (payload,) = records.payloads(
        Record(NOW, "i", "authzen", "p", Decision(Effect.DENY, Reason.NO_RULE), Request("user", evil, "read", "r", "1"))
    )
    assert payload.isascii()
    assert b"\n" not in payload
    found = json.loads(payload)
    assert found["dec"]["effect"] == "deny"
    assert found["detail"]["sub"]["id"] == evil


def test_what_cannot_be_encoded_is_an_error() -> None:
    with pytest.raises(EvidenceError):
        made(request=Request("user", "\ud800", "read", "record", "r"))


def test_a_search_names_everything_it_gave_away_in_as_many_records_as_that_takes() -> None:
    names = tuple(f"patient-{each:05d}-" + "é" * 20 for each in range(3_000))
    parts = records.payloads(
        Record(NOW, "id-1", "authzen", "p", PERMIT, REQUEST, found=Found("resource", names, 3_000, 0, False))
    )
    assert len(parts) > 1
    assert max(map(len, parts)) + STAMP_ROOM <= MAX_PAYLOAD
    found = [json.loads(each) for each in parts]
    assert [name for each in found for name in each["detail"]["results"]] == list(names)
    assert found[0]["search"]["found"] == 3_000
    assert [each["kind"] for each in found[1:]] == ["decision.results"] * (len(parts) - 1)
    assert {each["id"] for each in found} == {"id-1"}
    assert [each["part"] for each in found[1:]] == list(range(2, len(parts) + 1))


def test_what_is_too_long_is_replaced_by_digest_and_length() -> None:
    rules = tuple(f"rule-{each}" * 10 for each in range(5_000))
    found = made(decision=Decision(Effect.ALLOW, Reason.PERMITTED, rules, program_digest="p"))
    assert found["dec"]["rule"]["length"] > 65_535
    assert len(found["dec"]["rule"]["sha256"]) == 64
    assert found["dec"]["effect"] == "allow"
    assert found["detail"]["sub"] == {"id": "alice"}


def test_names_of_a_megabyte_fit_into_one_record() -> None:
    long = "\u1234" * 1_000_000
    who = Who(long, long, "token", long, long, (long,) * 100, (long,) * 100)
    found = made(request=Request(long, long, long, long, long), who=who, discarded=[long] * 100)
    assert len(json.dumps(found)) + STAMP_ROOM <= MAX_PAYLOAD


def test_what_the_log_says_of_itself_is_a_record_too() -> None:
    found = json.loads(records.status(NOW * 1_000, {"event": "started"}))
    assert found["kind"] == "audit.status"
    assert found["ts"] == "2023-11-14T22:13:20.123456Z"
