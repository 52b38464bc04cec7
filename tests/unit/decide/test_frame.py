"""From what was said to what is known: provenance, and the three states (SEMANTICS 1, 5, 6, 21)."""

from __future__ import annotations

from typing import Any

import pytest

from pdp.decide.frame import Plan, identifies
from pdp.language.schema import Attribute
from pdp.model.entities import Entities
from pdp.model.frame import Frame
from pdp.model.value import ABSENT, UNKNOWN, entity
from tests.unit.decide.fakes import (
    ANN,
    OF_CONTEXT,
    OF_READ,
    OF_RECORD,
    OF_USER,
    SCHEMA,
    STORE,
    Function,
    Reads,
    asks,
    row,
)

TREAT = "urn:p|TREAT"


def frame(
    *attributes: str, resource_type: str = "Record", store: Entities = STORE, subject: str = "ann", **said: Any
) -> Frame:
    """The frame of a request where rules read these attributes: "subject.role"."""
    declared = {
        "subject": OF_USER,
        "resource": OF_RECORD if resource_type == "Record" else OF_USER,
        "context": OF_CONTEXT,
        "action": OF_READ,
    }

    def of(part: str) -> tuple[Attribute, ...]:
        names = [name.partition(".")[2] for name in attributes if name.startswith(part + ".")]
        return tuple(declared[part][name] for name in names)

    reads = Reads(
        context=of("context"),
        action=of("action"),
        subject_attributes={"User": of("subject")},
        resource_attributes=of("resource"),
        paths=frozenset(attributes),
    )
    function: Any = Function([], reads, resource_type=resource_type)
    request = asks(subject, resource_type={"Record": "record", "User": "user"}[resource_type], **said)
    return Plan(function, "User", SCHEMA).bind(request, store, 7)


def state(label: str, **said: Any) -> object:
    part, _, name = label.partition(".")
    made = frame(label, **said)
    rows = {
        "subject": (made.subject_row, OF_USER),
        "resource": (made.resource_row, OF_RECORD),
        "context": (made.context_row, OF_CONTEXT),
        "action": (made.action_row, OF_READ),
    }
    values, declared = rows[part]
    return values[declared[name].slot]


@pytest.mark.parametrize(
    ("label", "said", "expected"),
    [
        ("subject.role", {"token": {"role": "nurse"}}, "nurse"),
        ("subject.role", {"token": {}}, UNKNOWN),  # Required: a token without it does not make it absent.
        ("subject.role", {}, UNKNOWN),
        ("subject.role", {"token": {"role": None}}, UNKNOWN),
        ("subject.role", {"token": {"role": 7}}, UNKNOWN),
        ("subject.nick", {"token": {}}, ABSENT),
        ("subject.nick", {"token": {"nick": None}}, ABSENT),
        ("subject.nick", {}, UNKNOWN),  # No token: nobody who may say has said.
        ("subject.level", {}, ABSENT),
        ("subject.level", {"subject_properties": {"level": 3}}, 3),
        ("subject.level", {"subject_properties": {"level": True}}, UNKNOWN),
        ("subject.urgent", {}, UNKNOWN),
        ("subject.urgent", {"subject_properties": {"urgent": False}}, False),
        ("resource.folder", {"route": {"folder": "f"}}, "f"),
        ("resource.folder", {"route": {}}, ABSENT),
        ("resource.folder", {}, UNKNOWN),
        ("resource.note", {"resource_properties": {"note": "n"}}, "n"),
        ("resource.note", {}, ABSENT),
        ("context.mood", {"context": {"mood": "calm"}}, "calm"),
        ("context.mood", {}, ABSENT),
        ("context.mood", {"context": {"mood": ["calm"]}}, UNKNOWN),
        ("action.soft", {"action_properties": {"soft": True}}, True),
        ("action.soft", {}, UNKNOWN),
    ],
)
def test_semantics_01_the_three_states_of_what_a_request_says(label: str, said: Any, expected: object) -> None:
    assert state(label, **said) is expected or state(label, **said) == expected


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("subject.role", {"subject_properties": {"role": "chief"}}),
        ("subject.role", {"certificate": {"role": "chief"}}),
        ("subject.nick", {"token": {}, "subject_properties": {"nick": "x"}}),
        ("subject.nick", {"token": {}, "certificate": {"nick": "x"}}),
        ("subject.nick", {"token": {}, "refused": frozenset({"subject.nick"})}),
        ("subject.level", {"token": {"level": 3}}),
        ("subject.level", {"refused": frozenset({"subject.level"})}),
        ("resource.folder", {"route": {}, "resource_properties": {"folder": "f"}}),
        ("resource.note", {"route": {"note": "n"}}),
        ("context.mood", {"token": {"mood": "calm"}}),
        ("context.mood", {"certificate": {"mood": "calm"}}),
    ],
)
def test_semantics_05_what_another_place_offers_is_discarded_and_leaves_it_unknown(label: str, said: Any) -> None:
    assert state(label, **said) is UNKNOWN


def test_semantics_05_an_offer_does_not_spoil_what_the_owner_says() -> None:
    assert state("subject.role", token={"role": "nurse"}, subject_properties={"role": "chief"}) == "nurse"
    assert state("context.mood", context={"mood": "calm"}, token={"mood": "wild"}) == "calm"


def test_a_claim_declared_as_the_subjects_says_nothing_of_the_context() -> None:
    assert state("context.role", token={"role": "nurse"}) is ABSENT
    assert state("context.nick", token={"nick": "x"}) is ABSENT
    assert state("context.role", certificate={"role": "nurse"}) is UNKNOWN


def test_what_no_rule_reads_is_not_looked_at() -> None:
    made = frame("context.mood", context={"mood": "calm", "count": 3}, token={"role": "nurse"})
    assert made.context_row[OF_CONTEXT["count"].slot] is UNKNOWN
    assert made.subject_row[OF_USER["role"].slot] is UNKNOWN


def test_what_the_store_says_stands_beside_what_the_request_says() -> None:
    made = frame("subject.role", token={"role": "nurse"})
    assert made.subject_row[OF_USER["vip"].slot] is True
    assert made.subject_row[0] == frozenset()
    assert len(made.subject_row) == len(OF_USER) + 1


def test_semantics_01_a_subject_that_the_store_does_not_know_is_known_by_its_token_alone() -> None:
    made = frame("subject.role", token={"role": "nurse"}, subject="nobody")
    assert made.subject_row[OF_USER["role"].slot] == "nurse"
    assert made.subject_row[OF_USER["vip"].slot] is UNKNOWN
    assert made.subject_row[0] is UNKNOWN
    assert len(made.subject_row) == len(OF_USER) + 1
    assert len(frame("resource.note", resource="nothing").resource_row) == len(OF_RECORD) + 1


def test_semantics_05_a_caller_cannot_overwrite_the_store() -> None:
    made = frame("subject.vip", "resource.secret", subject_properties={"vip": False}, token={"vip": False})
    assert made.subject_row[OF_USER["vip"].slot] is True


# Routes (SEMANTICS 6).


@pytest.mark.parametrize(
    ("claim", "stated"),
    [("ann", True), ("bob", False), ("", False), (7, False), ({"type": "user", "id": "ann"}, True), (None, True)],
)
def test_semantics_06_a_claim_that_the_owner_does_not_confirm_is_unknown(claim: object, stated: bool) -> None:
    made = frame(route={"owner": claim})
    owner = made.resource_row[OF_RECORD["owner"].slot]
    assert owner == ANN if stated else owner is UNKNOWN


def test_semantics_06_a_claim_about_what_is_absent_or_not_found_proves_nothing() -> None:
    owner = OF_RECORD["owner"].slot
    orphan = Entities({entity("Record", "r1"): row(OF_RECORD, secret=False)}, "d")
    assert frame(route={"owner": "ann"}, store=orphan).resource_row[owner] is UNKNOWN
    assert frame(route={"owner": "ann"}, store=Entities()).resource_row[owner] is UNKNOWN
    assert frame(store=orphan).resource_row[owner] is ABSENT


def test_semantics_06_a_claim_is_held_against_what_the_caller_says_too() -> None:
    made = frame("resource.note", route={"note": "a"}, resource_properties={"note": "b"})
    assert made.resource_row[OF_RECORD["note"].slot] is UNKNOWN


# Purpose (SEMANTICS 21).

PROVISIONED = {"token": {"purposes": ["TREAT", "BTG"]}}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"context": {"purpose": "TREAT"}, **PROVISIONED}, TREAT),
        ({"context": {"purpose": "ETREAT"}, **PROVISIONED}, UNKNOWN),  # Not provisioned.
        ({"context": {"purpose": "BTG"}, **PROVISIONED}, UNKNOWN),  # Provisioned, and still an emergency.
        ({"context": {"purpose": ["TREAT", "BTG"]}, **PROVISIONED}, UNKNOWN),
        ({"context": {"purpose": ["TREAT"]}, **PROVISIONED}, UNKNOWN),
        ({"context": {"purpose": "TREAT"}}, UNKNOWN),  # Nobody has said what the subject may assert.
        ({"context": {"purpose": "TREAT"}, "token": {}}, UNKNOWN),
        ({"context": {"purpose": "TREAT"}, "subject_properties": {"purposes": ["TREAT"]}}, UNKNOWN),
        ({"context": {}, **PROVISIONED}, ABSENT),
    ],
)
def test_semantics_21_a_purpose_must_be_provisioned_and_no_emergency(said: Any, expected: object) -> None:
    got = state("context.purpose", **said)
    assert got is expected or got == expected


def test_semantics_21_an_emergency_asserted_elsewhere_in_the_context_is_unknown_too() -> None:
    assert state("context.aim", context={"aim": "BTG"}) is UNKNOWN
    assert state("context.aim", context={"aim": "TREAT"}) == TREAT


def test_semantics_21_an_emergency_is_asserted_by_whatever_speaks_of_the_context_or_for_the_caller() -> None:
    assert state("context.granted", token={"granted": "BTG"}) is UNKNOWN
    assert state("context.granted", token={"granted": "TREAT"}) == TREAT
    assert state("subject.goal", subject_properties={"goal": "BTG"}) is UNKNOWN
    assert state("subject.goal", subject_properties={"goal": "TREAT"}) == TREAT


def test_semantics_21_a_subject_that_cannot_be_provisioned_has_no_purpose() -> None:
    function: Any = Function([], Reads(context=(OF_CONTEXT["purpose"],)))
    made = Plan(function, "Robot", SCHEMA).bind(asks(context={"purpose": "TREAT"}), STORE, 7)
    assert made.context_row[OF_CONTEXT["purpose"].slot] is UNKNOWN


def test_semantics_21_being_provisioned_for_emergencies_asserts_none() -> None:
    made = frame("subject.purposes", **PROVISIONED)
    assert made.subject_row[OF_USER["purposes"].slot] == frozenset({TREAT, "urn:p|BTG"})


# One entity in two parts.


@pytest.mark.parametrize(
    ("as_subject", "as_resource", "expected"),
    [
        ({"level": 3}, {"level": 3}, 3),
        ({"level": 3}, {"level": 4}, UNKNOWN),
        ({"level": 3}, {}, 3),
        ({}, {"level": 4}, 4),
        ({}, {}, ABSENT),
        ({"level": 3}, {"level": "x"}, UNKNOWN),
        ({"level": "x"}, {}, UNKNOWN),
    ],
)
@pytest.mark.parametrize("read", ["subject.level", "resource.level"])
def test_one_entity_has_one_row_and_contradictions_make_it_unknown(
    as_subject: Any, as_resource: Any, expected: object, read: str
) -> None:
    made = frame(
        read, resource_type="User", resource="ann", subject_properties=as_subject, resource_properties=as_resource
    )
    assert made.subject_row is made.resource_row
    assert made.row(ANN) is made.subject_row
    got = made.subject_row[OF_USER["level"].slot]
    assert got is expected or got == expected


def test_one_entity_of_which_nothing_is_said_is_absent_only_where_it_may_be() -> None:
    def of(name: str, **said: Any) -> object:
        made = frame(f"subject.{name}", resource_type="User", resource="ann", **said)
        return made.subject_row[OF_USER[name].slot]

    assert of("urgent") is UNKNOWN
    assert of("nick") is UNKNOWN
    assert of("nick", token={}) is ABSENT
    assert of("nick", token={}, subject_properties={"nick": "x"}) is UNKNOWN
    assert of("nick", token={}, resource_properties={"nick": "x"}) is UNKNOWN
    assert of("nick", token={}, refused=frozenset({"resource.nick"})) is UNKNOWN


def test_semantics_06_a_claim_about_a_resource_that_is_the_subject_disputes_both() -> None:
    for read in ([], ["subject.level"]):
        made = frame(*read, resource_type="User", resource="ann", route={"peer": "eve"})
        assert made.subject_row is made.resource_row
        assert made.subject_row[OF_USER["peer"].slot] is UNKNOWN
        agreed = frame(*read, resource_type="User", resource="ann", route={"peer": "bob"})
        assert agreed.subject_row[OF_USER["peer"].slot] == "User::bob"


def test_one_entity_has_what_its_token_says_whichever_way_it_is_read() -> None:
    made = frame("resource.role", resource_type="User", resource="ann", token={"role": "nurse"})
    assert made.resource_row[OF_USER["role"].slot] == "nurse"
    other = frame("resource.role", resource_type="User", resource="bob", token={"role": "nurse"})
    assert other.resource_row[OF_USER["role"].slot] is UNKNOWN


# What looks through references.


@pytest.mark.parametrize(
    ("paths", "through"),
    [
        (["subject.vip", "context.mood", "resource.owner"], False),
        (["resource.owner.vip"], True),
        (["subject.peer.peer"], True),
        (["subject"], False),
        (["context.nothing"], True),  # Not understood: in doubt, yes.
        (["x"], False),
        (["subject.(parents)", "resource.(parents)"], False),
        (["resource.owner.(parents)"], True),
        (["subject.purposes[*]"], False),
        (["subject.purposes.vip"], True),
        (["User::ann"], False),
        (["User::ann.vip"], True),
    ],
)
def test_a_plan_knows_whether_it_looks_through_references(paths: list[str], through: bool) -> None:
    function: Any = Function([], Reads(paths=frozenset(paths)))
    assert Plan(function, "User", SCHEMA).through is through


def test_identifiers() -> None:
    assert identifies("a" * 512)
    assert identifies("é")
    assert not identifies("a" * 513)
