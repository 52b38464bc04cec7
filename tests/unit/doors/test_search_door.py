"""AuthZEN search: what is read, what is refused with the field named, what is said of what was found."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.decide.search import Hit, Kind
from pdp.doors import search
from pdp.doors.pages import Place
from pdp.doors.search import MAX_LIMIT, Asked
from pdp.model.decision import Decision, Effect, Fields, Obligation, Reason
from pdp.model.request import Request, RequestError

JSON = b"application/json"
SUBJECT = {"subject": {"type": "user"}, "action": {"name": "read"}, "resource": {"type": "record", "id": "r1"}}
RESOURCE = {"subject": {"type": "user", "id": "a"}, "action": {"name": "read"}, "resource": {"type": "record"}}
ACTION = {"subject": {"type": "user", "id": "a"}, "resource": {"type": "record", "id": "r1"}}
WHOLE: dict[Kind, dict[str, Any]] = {Kind.SUBJECT: SUBJECT, Kind.RESOURCE: RESOURCE, Kind.ACTION: ACTION}
ALLOW = Decision(Effect.ALLOW, Reason.PERMITTED, ("secret-rule",))


def read(kind: Kind, payload: object) -> Asked:
    return search.read(kind, JSON, json.dumps(payload).encode())


def refused(kind: Kind, payload: object) -> str:
    with pytest.raises(RequestError) as error:
        read(kind, payload)
    return error.value.field


@pytest.mark.parametrize("kind", Kind)
def test_a_search_needs_no_name_of_what_it_searches(kind: Kind) -> None:
    asked = read(kind, WHOLE[kind])
    expected = {
        Kind.SUBJECT: Request("user", "", "read", "record", "r1"),
        Kind.RESOURCE: Request("user", "a", "read", "record", ""),
        Kind.ACTION: Request("user", "a", "", "record", "r1"),
    }
    assert asked.request == expected[kind]
    assert (asked.token, asked.limit) == ("", None)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("name", ["mallory", "", 5, None])
def test_a_searched_name_that_is_sent_is_ignored(kind: Kind, name: object) -> None:
    member = "name" if kind is Kind.ACTION else "id"
    payload = WHOLE[kind] | {str(kind): WHOLE[kind].get(kind, {}) | {member: name, "ignored": 1}}
    assert read(kind, payload).request == read(kind, WHOLE[kind]).request


def test_properties_of_an_action_that_is_searched_for_are_ignored() -> None:
    payload = ACTION | {"action": {"name": "x", "properties": {"soft": True}}}
    assert read(Kind.ACTION, payload).request == read(Kind.ACTION, ACTION).request


def test_properties_of_the_searched_entity_are_said_of_every_candidate() -> None:
    payload = RESOURCE | {"resource": {"type": "record", "properties": {"status": "archived"}}}
    assert read(Kind.RESOURCE, payload).request.resource_properties == {"status": "archived"}


@pytest.mark.parametrize(
    ("kind", "member"),
    [
        (Kind.SUBJECT, "subject"),
        (Kind.SUBJECT, "action"),
        (Kind.SUBJECT, "resource"),
        (Kind.SUBJECT, "subject.type"),
        (Kind.SUBJECT, "action.name"),
        (Kind.SUBJECT, "resource.type"),
        (Kind.SUBJECT, "resource.id"),
        (Kind.RESOURCE, "subject"),
        (Kind.RESOURCE, "action"),
        (Kind.RESOURCE, "resource"),
        (Kind.RESOURCE, "subject.id"),
        (Kind.RESOURCE, "resource.type"),
        (Kind.ACTION, "subject"),
        (Kind.ACTION, "resource"),
        (Kind.ACTION, "subject.id"),
        (Kind.ACTION, "resource.id"),
    ],
)
@pytest.mark.parametrize("how", ["gone", "null", "mistyped"])
def test_checklist_27_a_member_that_is_missing_null_or_mistyped_is_named(kind: Kind, member: str, how: str) -> None:
    payload = json.loads(json.dumps(WHOLE[kind]))
    *parents, last = member.split(".")
    at = payload[parents[0]] if parents else payload
    if how == "gone":
        del at[last]
    else:
        at[last] = None if how == "null" else 5
    assert refused(kind, payload) == member


@pytest.mark.parametrize(
    ("page", "field"),
    [
        ([], "page"),
        ("x", "page"),
        ({"limit": -1}, "page.limit"),
        ({"limit": True}, "page.limit"),
        ({"limit": "5"}, "page.limit"),
        ({"limit": 1.0}, "page.limit"),
        ({"limit": 2**32}, "page.limit"),
        ({"limit": 10**19}, "page.limit"),
        ({"token": 5}, "page.token"),
        ({"token": []}, "page.token"),
        ({"properties": []}, "page.properties"),
        ({"properties": {"searched_fields": "/a"}}, "page.properties.searched_fields"),
        ({"properties": {"searched_fields": [1]}}, "page.properties.searched_fields"),
        ({"properties": {"searched_fields": ["/a"] * 101}}, "page.properties.searched_fields"),
    ],
)
def test_checklist_27_a_page_of_the_wrong_type_is_named(page: object, field: str) -> None:
    assert refused(Kind.RESOURCE, RESOURCE | {"page": page}) == field


@pytest.mark.parametrize("body", [b'{"subject":{},"subject":{}}', b'{"page":{"limit":1,"limit":2}}', b"{", b"", b"[]"])
def test_checklist_27_duplicate_names_and_broken_json_are_refused(body: bytes) -> None:
    with pytest.raises(RequestError):
        search.read(Kind.ACTION, JSON, body)


@given(
    st.binary()
    | st.recursive(
        st.none() | st.integers() | st.text(),
        lambda e: st.dictionaries(
            st.sampled_from(["subject", "action", "resource", "type", "id", "page", "limit", "context"]), e
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_body_is_a_search_or_a_request_error(body: bytes) -> None:
    for kind in Kind:
        with suppress(RequestError):
            search.read(kind, JSON, body)


def test_the_fields_that_a_search_uses_go_with_it() -> None:
    page = {"properties": {"searched_fields": ["/birthDate", "/name/family"]}}
    assert read(Kind.RESOURCE, RESOURCE | {"page": page}).request.searched_fields == {"/birthDate", "/name/family"}


@pytest.mark.parametrize(("said", "used"), [(None, MAX_LIMIT), (3, 3), (0, 0), (10_000, MAX_LIMIT)])
def test_a_page_has_an_end(said: int | None, used: int) -> None:
    asked = read(Kind.RESOURCE, RESOURCE | {"page": {"limit": said}})
    assert asked.page_limit(None) == used


def test_a_next_page_may_leave_its_limit_out_but_not_change_it() -> None:
    place = Place(5, 3, 1)
    assert read(Kind.RESOURCE, RESOURCE | {"page": {"token": "t"}}).page_limit(place) == 3
    assert read(Kind.RESOURCE, RESOURCE | {"page": {"token": "t", "limit": 3}}).page_limit(place) == 3
    for limit in (2, 4, 0):
        with pytest.raises(RequestError) as error:
            read(Kind.RESOURCE, RESOURCE | {"page": {"token": "t", "limit": limit}}).page_limit(place)
        assert error.value.field == "page.limit"
    with pytest.raises(RequestError):
        read(Kind.RESOURCE, RESOURCE | {"page": {"token": "t", "limit": 3}}).page_limit(Place(5, None, 1))


def test_results_carry_what_must_be_done_with_them() -> None:
    duty = Obligation("notification", (("to", "privacy"), ("body", "seen")), "r")
    advice = Obligation("explain", (("text", "why"),), "r", binding=False)
    limited = Decision(
        Effect.ALLOW,
        Reason.PERMITTED,
        obligations=(duty, advice),
        fields=Fields(frozenset({"/id"}), frozenset({"/ssn"})),
    )
    asked = read(Kind.RESOURCE, RESOURCE)
    body = search.answer(asked, [Hit("r1", ALLOW), Hit("r2", limited)], 2, "more", False, "id-1")
    assert b"secret-rule" not in body
    assert json.loads(body) == {
        "page": {"next_token": "more", "count": 2},
        "context": {"decision_id": "id-1", "undecided": 2},
        "results": [
            {"type": "record", "id": "r1"},
            {
                "type": "record",
                "id": "r2",
                "obligations": [
                    {
                        "id": "id-1.1.0",
                        "type": "notification",
                        "properties": {"to": "privacy", "body": "seen"},
                        "binding": True,
                    }
                ],
                "advice": [{"id": "id-1.1.1", "type": "explain", "properties": {"text": "why"}, "binding": False}],
                "fields": {"masked": ["/ssn"], "released": ["/id"]},
            },
        ],
    }
    assert next(iter(json.loads(body))) == "page"  # So that a reader of a stream knows how much is coming.


def test_actions_have_names_and_the_last_page_an_empty_token() -> None:
    body = search.answer(read(Kind.ACTION, ACTION), [Hit("read", ALLOW)], 0, "", True, "id-1")
    assert json.loads(body) == {
        "page": {"next_token": "", "count": 1, "total": 1},
        "context": {"decision_id": "id-1"},
        "results": [{"name": "read"}],
    }
