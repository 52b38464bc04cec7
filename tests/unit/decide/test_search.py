"""Search finds exactly what evaluation permits, whatever the steps and the pages (SEMANTICS 26)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from pdp.bundle import build
from pdp.compile.program import compile_program
from pdp.decide.engine import Engine
from pdp.decide.search import Catalogue, Kind, Walk, candidates, undecided
from pdp.diagnostics.source import Source
from pdp.language import check, parse
from pdp.model.decision import Capabilities, Decision, Effect, Fields, Reason, Refusal, RuleError
from pdp.model.entities import Entities
from pdp.model.request import Request
from pdp.model.value import ABSENT, UNKNOWN, Row, State, entity, entity_id

NOW = 1_790_000_000_000_000
CAN = Capabilities(True, frozenset({"tell"}))

POLICY = """\
module searched

obligation tell(whom: Text)

entity Team
entity User in Team as "user" { level: Int, cleared: Bool?, role: Text? from caller, badge: Text? from token }
entity Record in Team as "record" { sealed: Bool, owner: User?, level: Int, note: Text? from caller }
entity Folder as "folder" { }

action read, write on Record by User
action erase on Record by User { soft: Bool from caller }
action open on Folder by User
action page on User by User

context { purpose: Text? from caller }

permit read on Record as levels
    "Who is as high as the record reads it"
    cites "45 CFR 164.506(c)"
    when subject.level >= resource.level

permit read on Record as owners
    "An owner reads, and somebody is told"
    cites "45 CFR 164.506(c)"
    when resource has owner and resource.owner == subject
    require tell(whom: "privacy")

permit write on Record as cleared
    "Who is cleared writes what is said to be a draft"
    cites "45 CFR 164.506(c)"
    when subject has cleared and subject.cleared
     and resource has note and resource.note == "draft"

permit erase on Record as admins
    "An admin erases what can be brought back"
    cites "45 CFR 164.506(c)"
    when subject has role and subject.role == "admin" and action.soft

permit page on User as colleagues
    "Who is as high pages, and everybody themselves, with a badge"
    cites "45 CFR 164.506(c)"
    when subject.level >= resource.level and subject has badge and subject.badge == "b"
     and (subject == resource or not (resource has role) or resource.role != "admin")

forbid any on Record as sealed
    "What is sealed is closed"
    cites "45 CFR 164.522(a)"
    when resource.sealed

mask /note on Record as low
    when subject.level < 3
"""


def program(text: str = POLICY) -> Any:
    return compile_program(check.policies([parse.policy(Source("searched.ward", text))])[0])


PROGRAM = program()


def row(*values: object, lies_in: State = frozenset()) -> Row:
    return (lies_in, *values)


def catalogue(rows: Mapping[Any, Row], listed: bool = True) -> Catalogue:
    made = Catalogue(Entities(rows))
    while listed and not made.list_some(3):
        pass
    return made


def user(level: State = 1, cleared: State = ABSENT) -> Row:
    return row(level, cleared, UNKNOWN, UNKNOWN)


def record(sealed: State = False, owner: State = ABSENT, level: State = 1) -> Row:
    return row(sealed, owner, level, UNKNOWN)


ROWS = {
    entity("User", "ann"): user(3),
    entity("User", "bob"): user(1),
    entity("User", "cis"): user(UNKNOWN),
    entity("Record", "r1"): record(level=1),
    entity("Record", "r2"): record(level=2, owner=entity("User", "bob")),
    entity("Record", "r3"): record(sealed=True),
    entity("Record", "r4"): record(sealed=UNKNOWN),
    entity("Record", "r5"): record(level=UNKNOWN),
    entity("Record2", "x"): (),
    entity("Folder", "f"): row(),
}
BY_ANN = Request("user", "ann", "read", "record", "")


def walked(
    asked: Request,
    kind: Kind = Kind.RESOURCE,
    rows: Mapping[Any, Row] = ROWS,
    capabilities: Capabilities = CAN,
    position: int = 0,
    limit: int = 1_000,
    most: int = 1_000,
    step: int = 2,
) -> Walk:
    walk = Walk(
        Engine(PROGRAM, Entities(rows, "r1")), catalogue(rows), kind, asked, NOW, capabilities, position, limit, most
    )
    while walk.more:
        walk.step(step)
    return walk


def names(walk: Walk) -> list[str]:
    return [hit.name for hit in walk.hits]


def test_resources_that_are_permitted_are_found_and_the_undecided_counted() -> None:
    walk = walked(BY_ANN)
    assert names(walk) == ["r1", "r2"]
    assert walk.undecided == 2  # r4: nobody knows whether it is sealed; r5: nor how high it is
    assert (walk.looked_at, walk.next_position) == (5, -1)


def test_subjects_that_are_permitted_are_found() -> None:
    assert names(walked(Request("user", "", "read", "record", "r2"), Kind.SUBJECT)) == ["ann", "bob"]


def test_actions_that_are_permitted_are_found_among_those_declared_for_the_pair() -> None:
    assert names(walked(Request("user", "ann", "", "record", "r1"), Kind.ACTION)) == ["read"]
    asked = Request("user", "ann", "", "folder", "f")
    assert candidates(Kind.ACTION, asked, Engine(PROGRAM, Entities(ROWS)), catalogue(ROWS)) == ["open"]


@pytest.mark.parametrize(
    ("kind", "asked"),
    [
        (Kind.SUBJECT, Request("nobody", "", "read", "record", "r1")),
        (Kind.SUBJECT, Request("user", "", "read", "nothing", "r1")),
        (Kind.SUBJECT, Request("user", "", "fly", "record", "r1")),
        (Kind.SUBJECT, Request("user", "", "read", "record", "r99")),
        (Kind.SUBJECT, Request("user", "", "read", "record", "\0")),
        (Kind.RESOURCE, Request("user", "mallory", "read", "record", "")),
        (Kind.RESOURCE, Request("user", "ann", "read", "user", "")),
        (Kind.RESOURCE, Request("record", "r1", "read", "record", "")),
        (Kind.ACTION, Request("nobody", "ann", "", "record", "r1")),
        (Kind.ACTION, Request("user", "ann", "", "nothing", "r1")),
        (Kind.ACTION, Request("user", "ann", "", "record", "r99")),
    ],
)
def test_what_nobody_knows_finds_nobody(kind: Kind, asked: Request) -> None:
    walk = walked(asked, kind)
    assert (names(walk), walk.next_position) == ([], -1)


def test_a_permit_that_the_enforcement_point_cannot_carry_out_finds_nothing() -> None:
    asked = replace(BY_ANN, subject_id="bob")
    assert names(walked(asked, capabilities=CAN)) == ["r1", "r2"]
    assert names(walked(asked, capabilities=Capabilities(True))) == ["r1"]
    assert names(walked(asked, capabilities=Capabilities())) == []  # /note is masked for the low


def test_semantics_18_a_search_over_a_masked_field_finds_nothing() -> None:
    asked = replace(BY_ANN, subject_id="bob")
    assert names(walked(asked)) == ["r1", "r2"]
    assert names(walked(replace(asked, searched_fields=frozenset({"/note"})))) == []
    assert names(walked(replace(asked, searched_fields=frozenset({"/title"})))) == ["r1", "r2"]
    assert names(walked(replace(BY_ANN, searched_fields=frozenset({"/note"})))) == ["r1", "r2"]


def test_what_is_said_of_the_searched_is_said_of_each() -> None:
    rows = ROWS | {entity("User", "dan"): user(0, True)}
    asked = Request("user", "dan", "write", "record", "", resource_properties={"note": "draft"})
    assert names(walked(asked, rows=rows)) == ["r1", "r2", "r5"]
    assert names(walked(replace(asked, resource_properties={}), rows=rows)) == []


def test_an_action_that_needs_to_be_told_more_is_undecided() -> None:
    asked = Request("user", "ann", "", "record", "r1", subject_properties={"role": "admin"})
    walk = walked(asked, Kind.ACTION)
    assert (names(walk), walk.undecided) == (["read"], 1)  # erase: soft or not, nobody said


def test_what_the_callers_token_does_not_cover_is_not_even_asked_about() -> None:
    asked: list[str] = []

    def within(request: Request) -> bool:
        asked.append(request.resource_id)
        return request.resource_id != "r1"

    walk = Walk(Engine(PROGRAM, Entities(ROWS)), catalogue(ROWS), Kind.RESOURCE, BY_ANN, NOW, CAN, 0, 9, 9, within)
    walk.step(9)
    assert (names(walk), asked) == (["r2"], ["r1", "r2", "r3", "r4", "r5"])
    assert (walk.looked_at, walk.next_position) == (5, -1)


@pytest.mark.parametrize("kind", Kind)
def test_each_candidate_is_asked_about_with_all_that_was_said(kind: Kind) -> None:
    said = {each.name: f"the {each.name}" for each in fields(Request)}
    engine = Engine(PROGRAM, Entities(ROWS))
    walk = Walk(engine, catalogue(ROWS), kind, Request(**said), NOW, CAN, 0, 1, 1)  # type: ignore[arg-type]
    member = {Kind.SUBJECT: "subject_id", Kind.RESOURCE: "resource_id", Kind.ACTION: "action"}[kind]
    about = walk._about("the one")
    assert {each.name: getattr(about, each.name) for each in fields(Request)} == said | {member: "the one"}


# -------------------------------------------------------------------------------------------------------------- pages


def pages(asked: Request, rows: Mapping[Any, Row], limit: int, most: int = 1_000) -> Iterator[list[str]]:
    position = 0
    while position >= 0:
        walk = walked(asked, rows=rows, position=position, limit=limit, most=most)
        yield names(walk)
        position = walk.next_position


def many(count: int, permitted: set[int]) -> dict[Any, Row]:
    people = {entity("User", "ann"): user(3)}
    return people | {entity("Record", f"r{n:03}"): record(level=1 if n in permitted else 9) for n in range(count)}


def test_a_last_page_is_known_to_be_the_last() -> None:
    assert list(pages(BY_ANN, many(10, {0, 4, 5}), 2)) == [["r000", "r004"], ["r005"]]
    assert list(pages(BY_ANN, many(10, {0, 4}), 2)) == [["r000", "r004"]]
    assert list(pages(BY_ANN, many(10, set()), 2)) == [[]]


def test_a_page_ends_where_its_work_ends() -> None:
    assert list(pages(BY_ANN, many(10, {0, 4, 9}), 5, most=3)) == [["r000"], ["r004"], [], ["r009"]]


def test_a_page_of_none_looks_at_nobody() -> None:
    walk = walked(BY_ANN, limit=0)
    assert (names(walk), walk.looked_at, walk.next_position) == ([], 0, 0)


def test_a_position_beyond_the_end_finds_nothing() -> None:
    walk = walked(BY_ANN, position=10**9)
    assert (names(walk), walk.next_position) == ([], -1)


@given(
    count=st.integers(0, 12),
    permitted=st.sets(st.integers(0, 11)),
    limit=st.integers(1, 5),
    most=st.integers(1, 13),
    step=st.integers(1, 4),
)
def test_pages_together_are_the_whole_whatever_their_size(
    count: int, permitted: set[int], limit: int, most: int, step: int
) -> None:
    rows = many(count, permitted)
    whole = names(walked(BY_ANN, rows=rows, step=step))
    assert [name for page in pages(BY_ANN, rows, limit, most) for name in page] == whole
    assert whole == [f"r{n:03}" for n in sorted(permitted) if n < count]


def test_the_order_is_that_of_the_references_however_the_data_was_loaded() -> None:
    backwards = dict(reversed(many(6, {1, 2, 5}).items()))
    assert names(walked(BY_ANN, rows=backwards)) == ["r001", "r002", "r005"]


@pytest.mark.parametrize("most", [1, 2, 9, 10, 11])
def test_listing_goes_in_steps_and_parts_types_that_begin_alike(most: int) -> None:
    made = catalogue(ROWS, listed=False)
    steps = 0
    while not made.list_some(most):
        steps += 1
    assert steps == len(ROWS) // most
    assert [entity_id(each) for each in made.of_type("Record")] == ["r1", "r2", "r3", "r4", "r5"]
    assert made.list_some(1)


# ------------------------------------------------------------------------------------- exactly what evaluation permits


def one_of(*states: State) -> st.SearchStrategy[State]:
    """`sampled_from`, which would hash what it is given: no use of UNKNOWN goes unnoticed."""
    return st.integers(0, len(states) - 1).map(states.__getitem__)


USERS = st.builds(user, one_of(2, 2, 3, 1, 0, UNKNOWN), one_of(True, False, ABSENT, UNKNOWN))
RECORDS = st.builds(
    record,
    one_of(False, False, False, False, True, UNKNOWN),
    one_of(ABSENT, UNKNOWN, *(entity("User", f"u{n}") for n in range(4))),
    one_of(0, 0, 1, 2, 3, UNKNOWN),
)
SAID = st.sampled_from(["draft", "draft", "admin", "admin", None, "x", 5, True, Decimal("1.5"), ["draft"], {}])


def said(name: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.one_of(st.just({}), SAID.map(lambda value: {name: value}))


def mostly(usual: object, *others: object) -> st.SearchStrategy[Any]:
    """So that most searches find something: what is wrong in one place is enough to find nothing."""
    return st.sampled_from([*[usual] * 4 * len(others), *others])


REQUESTS = st.builds(
    Request,
    mostly("user", "record", "nobody"),
    mostly("u0", "u1", "mallory", "\0"),
    st.sampled_from(["read", "read", "write", "erase", "page", "page", "fly"]),
    st.sampled_from(["record", "record", "record", "user", "user", "folder", "nothing"]),
    st.sampled_from(["r0", "r1", "u0", "u1", "u2", "r99"]),
    said("role"),
    said("soft"),
    st.one_of(said("note"), said("role")),
    said("purpose"),
    token=mostly({"badge": "b"}, None, {}, {"badge": 5}),
    searched_fields=st.sampled_from([frozenset(), frozenset({"/note"}), frozenset({"/title"})]),
    refused=mostly(frozenset(), frozenset({"subject.role"}), frozenset({"resource.note"})),
)


@given(
    users=st.lists(USERS, min_size=1, max_size=4),
    records=st.lists(RECORDS, min_size=1, max_size=5),
    questions=st.lists(REQUESTS, min_size=3, max_size=6),
    capabilities=st.sampled_from(
        [CAN, CAN, CAN, Capabilities(), Capabilities(True), Capabilities(False, CAN.obligations)]
    ),
    limit=st.integers(1, 3),
)
def test_checklist_29_search_finds_exactly_what_a_plain_loop_over_evaluation_permits(
    users: list[Row], records: list[Row], questions: list[Request], capabilities: Capabilities, limit: int
) -> None:
    rows = {entity("User", f"u{n}"): each for n, each in enumerate(users)}
    rows |= {entity("Record", f"r{n}"): each for n, each in enumerate(records)}
    rows[entity("Folder", "f")] = row()
    engine = Engine(PROGRAM, Entities(rows, "r1"), cache_size=0)
    for question in questions:
        for kind in Kind:
            asked = replace(question, action_properties={}) if kind is Kind.ACTION else question
            answers = by_a_plain_loop(engine, asked, kind, capabilities)
            found, position, doubtful = [], 0, 0
            while position >= 0:
                walk = walked(asked, kind, rows, capabilities, position, limit)
                found += walk.hits
                doubtful += walk.undecided
                position = walk.next_position
            assert [hit.name for hit in found] == [name for name, answer in answers.items() if answer.allowed]
            for hit in found:
                answer = answers[hit.name]
                assert (hit.decision.obligations, hit.decision.fields) == (answer.obligations, answer.fields)
                assert hit.decision.rules == answer.rules
            assert doubtful == sum(map(undecided, answers.values()))
            event(f"{kind}: {min(len(found), 2)} found, {min(doubtful, 1)} undecided")


def by_a_plain_loop(engine: Engine, asked: Request, kind: Kind, capabilities: Capabilities) -> dict[str, Decision]:
    """What evaluation says of each that could be found."""
    if kind is Kind.ACTION:
        member, names = "action", ["erase", "open", "page", "read", "write"]
    else:
        member = "subject_id" if kind is Kind.SUBJECT else "resource_id"
        searched = asked.subject_type if kind is Kind.SUBJECT else asked.resource_type
        type_name = {"user": "User", "record": "Record", "folder": "Folder"}.get(searched, "")
        names = sorted(entity_id(each) for each in engine.entities.of_type(type_name))
    return {name: engine.decide(replace(asked, **{member: name}), NOW, capabilities) for name in names}


# ---------------------------------------------------------------------------------------------------------- undecided

ERROR = RuleError("void", "unknown-value", "not known", "a:1:1")


@pytest.mark.parametrize(
    ("decision", "is_undecided"),
    [
        (Decision(Effect.ALLOW, Reason.PERMITTED, errors=(ERROR,)), False),
        (Decision(Effect.DENY, Reason.NO_RULE), False),
        (Decision(Effect.DENY, Reason.INDETERMINATE), True),
        (Decision(Effect.DENY, Reason.UNSUPPORTED, errors=(ERROR,)), False),
        (Decision(Effect.DENY, Reason.UNDECLARED), False),
        (Decision(Effect.DENY, Reason.BAD_REQUEST), False),
        (Decision(Effect.DENY, Reason.FORBIDDEN, refusals=(Refusal("a"),)), False),
        (Decision(Effect.DENY, Reason.FORBIDDEN, refusals=(Refusal("a"), Refusal("b", True))), False),
        (Decision(Effect.DENY, Reason.FORBIDDEN, refusals=(Refusal("b", True),)), True),
        (Decision(Effect.DENY, Reason.MASKED, ("void",), (ERROR,)), True),
        (Decision(Effect.DENY, Reason.MASKED, ("plain",), (ERROR,), fields=Fields(None, frozenset({"/a"}))), False),
    ],
)
def test_undecided_is_a_deny_that_only_an_error_made(decision: Decision, is_undecided: bool) -> None:
    assert undecided(decision) is is_undecided


def test_a_search_says_the_same_of_the_hospital_as_evaluation_does() -> None:
    made = build.build(Path(__file__).parents[3] / "policies/hospital")
    engine = Engine(made.program, made.entities)
    listing = Catalogue(made.entities)
    listing.list_some(10**6)
    for subject in ("dr-osei", "nurse-adeyemi", "trainee-park", "bill-novak", "res-varga"):
        for kind in ("Record", "Observation", "Patient"):
            for purpose in ("TREAT", "HPAYMT", "BTG", "ETREAT"):
                asked = Request("user", subject, "read", kind, "", context={"purpose": purpose})
                walk = Walk(engine, listing, Kind.RESOURCE, asked, NOW, CAN, 0, 1_000, 1_000)
                walk.step(1_000)
                ids = sorted(entity_id(each) for each in made.entities.of_type(kind))
                permitted = [each for each in ids if engine.decide(replace(asked, resource_id=each), NOW, CAN).allowed]
                assert names(walk) == permitted
