"""A test's own world: givens sorted by the places of their attributes, and refused where they cannot stand."""

from __future__ import annotations

import pytest

from pdp.analyze.world import BadWorld, Given, world
from pdp.model.value import ABSENT, UNKNOWN, UNKNOWN_ROW, entity

from .clinic import HOUSE, NINA, P1, R1, WARD, policy_set, question

SCHEMA = policy_set('permit read on Record as r "R"').schema


def given(type_name: str, id_: str, *parents: tuple[str, str], **attributes: object) -> Given:
    return Given(type_name, id_, parents, attributes)


def test_stored_attributes_are_typed_into_rows_and_parents_are_closed() -> None:
    rows = world(HOUSE, question(), SCHEMA).entities.rows
    ancestors, patient, author, routed, level = rows[entity("Record", "r1")]
    assert ancestors == {entity("Patient", "p1"), entity("Ward", "w")}
    assert (patient, author, routed, level) == ("Patient::p1", "User::nina", UNKNOWN, 2)
    assert rows[entity("User", "nobody")] is UNKNOWN_ROW


def test_semantics_01_optional_is_absent_and_required_is_unknown_where_not_given() -> None:
    rows = world((given("Record", "bare"),), question(), SCHEMA).entities.rows
    ancestors, patient, author, _, level = rows[entity("Record", "bare")]
    assert (ancestors, patient, author, level) == (frozenset(), UNKNOWN, ABSENT, UNKNOWN)


def test_semantics_05_each_value_goes_by_its_own_place() -> None:
    nina = given("User", "nina", role="nurse", level=2, friends=[], token_level=3, badge="b", said=True)
    record = given("Record", "r1", patient="p1", level=1, routed="p1")
    asked = question(context={"purpose": "x", "scope": "all"}, action_attributes={"soft": True})
    request = world((nina, record), asked, SCHEMA).request
    assert request.token == {"token_level": 3, "scope": "all"}
    assert request.certificate == {"badge": "b"}
    assert request.route == {"routed": "p1"}
    assert (request.subject_properties, request.context) == ({"said": True}, {"purpose": "x"})
    assert (request.resource_properties, request.action_properties) == ({}, {"soft": True})


def test_a_place_is_silent_where_nobody_is_given() -> None:
    request = world((WARD,), question(), SCHEMA).request
    assert (request.token, request.certificate, request.route) == (None, None, None)
    assert world((NINA,), question(), SCHEMA).request.token == {}


def test_what_another_entity_would_say_by_token_is_not_said() -> None:
    other = given("User", "omar", token_level=9)
    request = world((NINA, other), question(), SCHEMA).request
    assert request.token == {}


def test_later_givens_replace_earlier_ones_whole() -> None:
    rows = world((*HOUSE, given("User", "nina", level=9)), question(), SCHEMA).entities.rows
    assert rows[entity("User", "nina")][1:3] == (UNKNOWN, 9)


@pytest.mark.parametrize(
    ("givens", "message"),
    [
        ([given("Usr", "u")], "there is no entity type `Usr`"),
        ([given("User", "")], "identifier"),
        ([given("User", "u", levl=1)], 'given User "u": User has no attribute `levl`'),
        ([given("User", "u", level="1")], 'given User "u": `level`: expected Int'),
        ([given("Record", "r", ("Ward", "w")), WARD], "a Record cannot lie in a Ward"),
        ([R1], 'given Record "r1": its parent Patient "p1" is not given'),
        ([P1], 'its parent Ward "w" is not given'),
    ],
)
def test_givens_that_cannot_stand(givens: list[Given], message: str) -> None:
    with pytest.raises(BadWorld, match=message.replace("(", r"\(")):
        world(givens, question(), SCHEMA)


def test_a_context_attribute_that_is_none() -> None:
    with pytest.raises(BadWorld, match="given context: there is no attribute `purpse`"):
        world(HOUSE, question(context={"purpse": "x"}), SCHEMA)


def test_a_cycle_of_parents_and_a_tower_of_them() -> None:
    from pdp.diagnostics.source import Source
    from pdp.language.check import policies
    from pdp.language.parse import policy

    text = 'entity Box in Box\naction open on Box\npermit open on Box as r "R"'
    schema = policies([policy(Source("t.ward", text))])[0].schema
    loop = [given("Box", "a", ("Box", "b")), given("Box", "b", ("Box", "a"))]
    with pytest.raises(BadWorld, match="it lies in itself"):
        world(loop, question(), schema)
    tower = [given("Box", str(i), *([("Box", str(i + 1))] if i < 300 else [])) for i in range(301)]
    with pytest.raises(BadWorld, match="more than 200 parents"):
        world(tower, question(), schema)


def test_subject_and_context_share_one_token() -> None:
    from pdp.diagnostics.source import Source
    from pdp.language.check import policies
    from pdp.language.parse import policy

    text = 'entity U as "user" { s: Int from token }\nentity Record\naction read on Record by U\n'
    text += 'context { s: Int from token }\npermit read on Record as r "R"'
    schema = policies([policy(Source("t.ward", text))])[0].schema
    same = question(context={"s": 1})
    assert world([given("U", "nina", s=1)], same, schema).request.token == {"s": 1}
    with pytest.raises(BadWorld, match="the token says two different things about `s`"):
        world([given("U", "nina", s=2)], same, schema)
