"""Bundle data: typed, closed, refused whole, with a revision that neither files nor their order change."""

from __future__ import annotations

import json
import os
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pdp.bundle import ancestry, data
from pdp.diagnostics.diagnostic import Diagnostic, PolicyError
from pdp.diagnostics.source import NOWHERE
from pdp.language.schema import Attribute, EntityDeclaration, Schema, one
from pdp.language.types import BOOL, INT, IP, TEXT, CodeType, ListType, RecordField, RecordType, SetType
from pdp.language.vocabulary import Vocabulary, codes
from pdp.model.entities import Entities
from pdp.model.value import ABSENT, UNKNOWN, Entity, Ip

_ROLES = Vocabulary("Role", "urn:r", {"nurse": "nurse", "btg": "BTG"}, {}, False, frozenset({"btg"}), NOWHERE)


def _declared(name: str, wire: str, parents: set[str], *attributes: Attribute) -> EntityDeclaration:
    slots = {each.name: replace(each, slot=slot) for slot, each in enumerate(attributes, 1)}
    return EntityDeclaration(name, wire, frozenset(parents), slots)


_ENTITIES = [
    _declared("Group", "group", {"Group"}),
    _declared(
        "User",
        "user",
        {"Group"},
        Attribute("role", CodeType(frozenset({"Role"}))),
        Attribute("level", INT, optional=True),
        Attribute("active", BOOL, optional=True),
        Attribute("office", IP, optional=True),
        Attribute("boss", one("User"), optional=True),
        Attribute("token", TEXT, place="token"),
        Attribute("team", SetType(one("User")), place="source", source="care"),
        Attribute("shift", TEXT, optional=True, place="source", source="care"),
        Attribute("score", INT, optional=True, place="source", source="risk"),
        Attribute(
            "period",
            RecordType((RecordField("start", INT), RecordField("end", INT, optional=True))),
            optional=True,
        ),
        Attribute("names", ListType(TEXT), optional=True),
    ),
]
SCHEMA = Schema(
    {each.name: each for each in _ENTITIES},
    {},
    {},
    {},
    {},
    {},
    {},
    codes({"Role": _ROLES}),
    {each.wire: each.name for each in _ENTITIES},
    {},
)
SLOT = {name: attribute.slot for name, attribute in _ENTITIES[1].attributes.items()}


def user(name: str, *parents: str, **attributes: Any) -> dict[str, Any]:
    return {
        "type": "user",
        "id": name,
        "parents": [{"type": "group", "id": parent} for parent in parents],
        "attributes": {"role": "nurse", **attributes},
    }


def group(name: str, *parents: str) -> dict[str, Any]:
    return {"type": "group", "id": name, "parents": [{"type": "group", "id": parent} for parent in parents]}


def put(directory: Path, **files: Any) -> Path:
    """Files below `data`: `a__b_jsonl` is `a/b.jsonl`. Lists are written as JSON, texts as they are."""
    for name, content in files.items():
        stem, _, suffix = name.replace("__", "/").rpartition("_")
        path = directory / "data" / f"{stem}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if suffix == "jsonl" and not isinstance(content, str):
            content = "\n".join(map(json.dumps, content))
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return directory


def load(directory: Path, **files: Any) -> Entities:
    return data.load(put(directory, **files), SCHEMA)


def findings(directory: Path, **files: Any) -> tuple[Diagnostic, ...]:
    with pytest.raises(PolicyError) as raised:
        load(directory, **files)
    return raised.value.diagnostics


def row(entities: Entities, name: str) -> tuple[object, ...]:
    return entities.rows[Entity(name)]


# What is there.


def test_no_data_is_no_entities(tmp_path: Path) -> None:
    assert len(load(tmp_path)) == 0
    (tmp_path / "data").mkdir()
    assert load(tmp_path).revision == data.load(tmp_path / "nowhere", SCHEMA).revision


def test_values_are_typed_and_stand_in_their_slots(tmp_path: Path) -> None:
    given = [user("ann", level=3, active=True, office="10.0.0.0/8", boss="bob"), user("bob", period={"start": 1})]
    entities = load(tmp_path, people_json=given)
    ann = row(entities, "User::ann")
    assert len(ann) == len(SLOT) + 1
    assert ann[SLOT["role"]] == "urn:r|nurse"
    assert ann[SLOT["level"]] == 3
    assert ann[SLOT["active"]] is True
    assert ann[SLOT["office"]] == Ip(4, 10 << 24, 8)
    assert ann[SLOT["boss"]] == "User::bob"
    assert row(entities, "User::bob")[SLOT["period"]] == (1, ABSENT)


def test_semantics_01_what_is_not_given_is_absent_or_unknown(tmp_path: Path) -> None:
    entities = load(
        tmp_path,
        a_json=[user("ann"), {"type": "user", "id": "bob", "attributes": {"level": None}}],
        sources__care__c_json=[{"type": "user", "id": "ann", "attributes": {"team": []}}],
    )
    ann, bob = row(entities, "User::ann"), row(entities, "User::bob")
    assert ann[SLOT["level"]] is ABSENT
    assert bob[SLOT["level"]] is ABSENT  # null is the same as not given.
    assert bob[SLOT["role"]] is UNKNOWN  # Required, and nobody has said.
    assert ann[SLOT["token"]] is UNKNOWN  # Not the store's to say.
    assert (ann[SLOT["team"]], ann[SLOT["shift"]]) == (frozenset(), ABSENT)
    assert bob[SLOT["team"]] is UNKNOWN  # The source has never spoken of Bob.
    assert bob[SLOT["shift"]] is UNKNOWN
    assert ann[SLOT["score"]] is UNKNOWN


def test_semantics_01_an_entity_that_only_a_source_knows_has_parents_that_nobody_has_told(tmp_path: Path) -> None:
    entities = load(tmp_path, sources__care__c_jsonl=[{"type": "user", "id": "ann", "attributes": {"shift": "x"}}])
    ann = row(entities, "User::ann")
    assert ann[0] is UNKNOWN
    assert ann[SLOT["level"]] is UNKNOWN
    assert ann[SLOT["shift"]] == "x"


def test_semantics_21_data_may_say_who_is_provisioned_for_emergencies(tmp_path: Path) -> None:
    entities = load(tmp_path, a_json=[{"type": "user", "id": "ann", "attributes": {"role": "BTG"}}])
    assert row(entities, "User::ann")[SLOT["role"]] == "urn:r|BTG"


def test_true_and_one_do_not_become_one_value(tmp_path: Path) -> None:
    entities = load(tmp_path, a_json=[user("ann", level=1, active=True), user("bob", level=0, active=False)])
    for name, level, active in (("User::ann", 1, True), ("User::bob", 0, False)):
        assert type(row(entities, name)[SLOT["level"]]) is int
        assert row(entities, name)[SLOT["level"]] == level
        assert row(entities, name)[SLOT["active"]] is active


def test_equal_values_are_one_object(tmp_path: Path) -> None:
    entities = load(
        tmp_path,
        a_json=[group("g"), user("ann", "g", boss="bob", names=["x"]), user("bob", "g", boss="bob", names=["x"])],
    )
    ann, bob = row(entities, "User::ann"), row(entities, "User::bob")
    for slot in (0, SLOT["boss"], SLOT["role"], SLOT["names"]):
        assert ann[slot] is bob[slot]
    assert next(each for each in entities.rows if each == ann[SLOT["boss"]]) is ann[SLOT["boss"]]


def test_semantics_12_parents_are_closed_transitively(tmp_path: Path) -> None:
    entities = load(
        tmp_path,
        z_jsonl=[user("ann", "icu", "night"), group("icu", "house"), group("night")],
        a_json=[group("house", "world"), group("world")],
    )
    assert row(entities, "User::ann")[0] == {"Group::icu", "Group::house", "Group::world", "Group::night"}
    assert row(entities, "Group::world")[0] == frozenset()


def test_a_diamond_is_no_cycle(tmp_path: Path) -> None:
    entities = load(
        tmp_path, a_json=[group("a", "b", "c"), group("b", "d"), group("c", "d"), group("d"), user("u", "a", "d")]
    )
    assert row(entities, "Group::a")[0] == {"Group::b", "Group::c", "Group::d"}


def test_too_many_ancestors_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ancestry, "MAX_ANCESTRY", 50)
    chain = [group(f"g{n}", *([f"g{n + 1}"] if n < 12 else [])) for n in range(13)]
    assert {each.code for each in findings(tmp_path, a_json=chain)} == {"data-too-large"}
    monkeypatch.setattr(ancestry, "MAX_ANCESTRY", 78)
    assert len(load(tmp_path / "2", a_json=chain)) == 13


def test_a_long_chain_needs_no_recursion(tmp_path: Path) -> None:
    entities = load(tmp_path, a_json=[group(f"g{n}", *([f"g{n + 1}"] if n < 2_000 else [])) for n in range(2_001)])
    ancestors = row(entities, "Group::g0")[0]
    assert isinstance(ancestors, frozenset)
    assert len(ancestors) == 2_000


# The revision.


def test_the_revision_does_not_depend_on_files_or_order(tmp_path: Path) -> None:
    given = [group("g"), *(user(f"u{n}", "g", level=n, boss=f"u{n % 3}") for n in range(30))]
    revisions = set()
    for seed in range(4):
        shuffled = given.copy()
        random.Random(seed).shuffle(shuffled)
        entities = load(
            tmp_path / str(seed), a_json=shuffled[:seed], b_jsonl=shuffled[seed:20], x__y_json=shuffled[20:]
        )
        revisions.add(entities.revision)
        assert list(entities.rows) == sorted(entities.rows)
    assert len(revisions) == 1


def test_the_revision_does_not_depend_on_how_a_value_is_written(tmp_path: Path) -> None:
    one_way = load(tmp_path / "1", a_json=[user("ann", boss="bob", role="nurse", level=None)])
    other = load(
        tmp_path / "2",
        a_json=[user("ann", role={"system": "urn:r", "code": "nurse"}, boss={"type": "user", "id": "bob"})],
    )
    assert one_way.revision == other.revision


def test_the_revision_changes_with_every_part_of_the_content(tmp_path: Path) -> None:
    variants = [
        [group("g"), group("h"), user("ann")],
        [group("g"), group("h"), user("ann", "g")],
        [group("g"), group("h"), user("ann", "g", "h")],
        [group("g"), group("h"), user("bob")],
        [group("g"), group("h"), user("ann", level=1)],
        [group("g"), group("h"), user("ann", active=True)],
        [group("g"), user("ann")],
        [group("g"), group("h")],
    ]
    revisions = {load(tmp_path / str(n), a_json=each).revision for n, each in enumerate(variants)}
    care = {"sources__care__a_json": [{"type": "user", "id": "ann", "attributes": {}}]}
    risk = {"sources__risk__a_json": [{"type": "user", "id": "ann", "attributes": {}}]}
    revisions.add(load(tmp_path / "care", a_json=variants[0], **care).revision)
    revisions.add(load(tmp_path / "risk", a_json=variants[0], **risk).revision)
    assert len(revisions) == len(variants) + 2


# What is refused, and where.


@pytest.mark.parametrize(
    ("record", "code"),
    [
        (user("ann", level="3"), "data-ill-typed"),
        (user("ann", level=True), "data-ill-typed"),
        (user("ann", level=2**63), "data-ill-typed"),
        (user("ann", names=["a", 7]), "data-ill-typed"),
        (user("ann", office="10.0.0.1/8"), "data-ill-typed"),
        (user("ann", role="chief"), "data-ill-typed"),
        (user("ann", period={"end": 3}), "data-ill-typed"),
        (user("ann", levle=3), "data-unknown-attribute"),
        (user("ann", token="x"), "data-misplaced-attribute"),
        (user("ann", team=[]), "data-misplaced-attribute"),
        (user("ann", "nowhere"), "data-unknown-parent"),
        ({**user("ann"), "parents": [{"type": "user", "id": "ann"}]}, "data-bad-parent"),
        ({**user("ann"), "parents": [{"type": "group", "id": ""}]}, "data-bad-parent"),
        ({**user("ann"), "parents": ["g"]}, "data-bad-parent"),
        ({**user("ann"), "parents": {"type": "group", "id": "g"}}, "data-bad-parent"),
        ({**user("ann"), "type": "User"}, "data-unknown-type"),
        ({**user("ann"), "type": ["user"]}, "data-unknown-type"),
        ({**user("ann"), "id": ""}, "data-bad-identifier"),
        ({**user("ann"), "id": 7}, "data-bad-identifier"),
        ({**user("ann"), "id": "a\0b"}, "data-bad-identifier"),
        ({**user("ann"), "id": "e\u0301"}, "data-bad-identifier"),
        ({**user("ann"), "id": "a" * 513}, "data-bad-identifier"),
        ({"type": "user"}, "data-bad-identifier"),
        ({**user("ann"), "attribute": {}}, "data-not-an-entity"),
        ({**user("ann"), "attributes": []}, "data-not-an-entity"),
        ("ann", "data-not-an-entity"),
        ([], "data-not-an-entity"),
    ],
)
def test_a_bad_record_is_found_with_its_line(tmp_path: Path, record: object, code: str) -> None:
    text = "\n" + json.dumps(group("g")) + "\n\n" + json.dumps(record) + "\n"
    (found,) = findings(tmp_path, people_jsonl=text)
    assert found.code == code
    assert found.span.where == f"{(tmp_path / 'data' / 'people.jsonl').as_posix()}:4:1"
    in_array = findings(
        tmp_path / "2", people_json="[\n" + json.dumps(group("g")) + ",\n\n  " + json.dumps(record) + "]"
    )
    assert [(each.code, each.span.where.partition(".json")[2]) for each in in_array] == [(code, ":4:3")]


def test_findings_never_repeat_values_or_identifiers(tmp_path: Path) -> None:
    secret = "Eleanor-Rigby"
    given = [
        user(secret, level=secret),
        user(secret),
        user("x", secret),
        {**user(secret + "\0"), "parents": [{"type": secret, "id": secret}]},
        group("a" + secret, "b" + secret),
        group("b" + secret, "a" + secret),
    ]
    for found in findings(tmp_path, a_jsonl=given):
        assert secret not in found.message + found.hint


def test_many_findings_come_at_once_and_a_hundred_at_most(tmp_path: Path) -> None:
    assert len(findings(tmp_path, a_json=[user(f"u{n}", levle=1) for n in range(7)], b_json=[user("v", x=1)])) == 8
    assert len(findings(tmp_path / "2", a_jsonl=[user(f"u{n}", levle=1) for n in range(500)])) == 100


def test_a_misspelt_name_is_suggested(tmp_path: Path) -> None:
    assert findings(tmp_path, a_json=[user("ann", levle=1)])[0].hint == "did you mean `level`?"
    assert findings(tmp_path / "2", a_json=[{**user("ann"), "type": "usr"}])[0].hint == "did you mean `user`?"


def test_semantics_12_a_cycle_refuses_the_whole(tmp_path: Path) -> None:
    (found,) = findings(tmp_path, a_jsonl=[group("a", "b"), group("b", "c"), group("c", "a"), group("d", "a")])
    assert found.code == "data-cycle"
    assert found.span.where.endswith("a.jsonl:1:1")
    (itself,) = findings(tmp_path / "2", a_json=[group("a", "a")])
    assert itself.code == "data-cycle"


def test_an_entity_is_given_once_and_once_more_by_each_source(tmp_path: Path) -> None:
    once_more = {"type": "user", "id": "ann", "attributes": {}}
    entities = load(
        tmp_path, a_json=[user("ann")], sources__care__a_json=[once_more], sources__risk__a_json=[once_more]
    )
    assert len(entities) == 1
    (found,) = findings(tmp_path / "2", a_json=[user("ann")], b_json=[user("ann")])
    assert found.code == "data-given-twice"
    assert found.hint.endswith("a.json:1")
    (again,) = findings(
        tmp_path / "3", a_json=[user("ann")], sources__care__a_json=[once_more], sources__care__b_json=[once_more]
    )
    assert again.code == "data-given-twice"


def test_semantics_05_a_source_speaks_of_what_it_owns_and_of_nothing_else(tmp_path: Path) -> None:
    def of_care(**attributes: Any) -> Any:
        return [{"type": "user", "id": "ann", "attributes": attributes}]

    base = {"a_json": [user("ann"), group("g")]}
    for number, bad in enumerate(({"score": 3}, {"role": "nurse"}, {"token": "x"})):
        (found,) = findings(tmp_path / str(number), **base, sources__care__a_json=of_care(**bad))
        assert found.code == "data-misplaced-attribute"
    with_parents = [{"type": "user", "id": "ann", "parents": [{"type": "group", "id": "g"}]}]
    (found,) = findings(tmp_path / "p", **base, sources__care__a_json=with_parents)
    assert found.code == "data-misplaced-attribute"
    (found,) = findings(tmp_path / "u", **base, sources__crae__a_json=of_care())
    assert (found.code, found.hint) == ("data-unknown-source", "did you mean `care`?")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a_json", ""),
        ("a_json", "{}"),
        ("a_json", "["),
        ("a_json", "[{}"),
        ("a_json", "[1 2]"),
        ("a_json", "[] []"),
        ("a_json", '[{"type": "user", "type": "group", "id": "a"}]'),
        ("a_json", '[{"type": "user", "id": "a", "attributes": {"level": 1, "level": 2}}]'),
        ("a_json", '[{"type": "user", "id": "a", "attributes": {"level": NaN}}]'),
        ("a_json", "[" + "[" * 100_000),
        ("a_json", '[{"x": 123456789012345678901234567890}]'),
        ("a_json", "\ufeff[]"),
        ("a_jsonl", "{} {}"),
        ("a_jsonl", "{\n}"),
        ("a_jsonl", "nonsense"),
        ("a_jsonl", '{"type": "user"'),
    ],
)
def test_what_is_not_strict_json_is_refused(tmp_path: Path, name: str, text: str) -> None:
    assert "data-not-json" in {each.code for each in findings(tmp_path, **{name: text})}


# Files.


def test_hidden_files_and_other_endings_are_left_alone(tmp_path: Path) -> None:
    put(tmp_path, a_json=[user("ann")], b_txt="nonsense", c_yaml="nonsense")
    (tmp_path / "data" / ".hidden.json").write_text("nonsense")
    (tmp_path / "data" / ".git").mkdir()
    (tmp_path / "data" / ".git" / "x.json").write_text("nonsense")
    assert len(data.load(tmp_path, SCHEMA)) == 1


def test_bytes_that_are_no_text_are_one_finding(tmp_path: Path) -> None:
    put(tmp_path, a_json="[]")
    (tmp_path / "data" / "b.json").write_bytes(b"[\n\xff\xfe]")
    with pytest.raises(PolicyError) as raised:
        data.load(tmp_path, SCHEMA)
    assert [each.code for each in raised.value.diagnostics] == ["not-utf8"]


def test_a_link_within_counts_once_and_one_that_leads_outside_is_refused(tmp_path: Path) -> None:
    put(tmp_path, real_json=[user("ann")])
    (tmp_path / "data" / "link.json").symlink_to("real.json")
    (tmp_path / "data" / "loop").symlink_to(".")
    assert len(data.load(tmp_path, SCHEMA)) == 1
    (tmp_path / "secret.json").write_text("[]")
    (tmp_path / "data" / "out.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(PolicyError) as raised:
        data.load(tmp_path, SCHEMA)
    assert [each.code for each in raised.value.diagnostics] == ["link-leads-outside"]


def test_a_mounted_volume_is_read_through_its_links(tmp_path: Path) -> None:
    """As a cluster mounts a configuration: every file is a link into a hidden directory that is swapped whole."""
    mounted = tmp_path / "data" / "..2026"
    mounted.mkdir(parents=True)
    (mounted / "a.json").write_text(json.dumps([user("ann")]))
    (tmp_path / "data" / "..data").symlink_to("..2026")
    (tmp_path / "data" / "a.json").symlink_to("..data/a.json")
    assert len(data.load(tmp_path, SCHEMA)) == 1


def test_a_pipe_does_not_block_the_load(tmp_path: Path) -> None:
    put(tmp_path, a_json="[]")
    os.mkfifo(tmp_path / "data" / "pipe.json")
    with pytest.raises(PolicyError) as raised:
        data.load(tmp_path, SCHEMA)
    assert [each.code for each in raised.value.diagnostics] == ["unreadable-file"]
