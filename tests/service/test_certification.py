"""The AuthZEN certification scenario over real HTTP, every level and case of it (reference/authzen.md)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.service.server import ROOT, Server, serving

pytestmark = pytest.mark.service

ALICE = {"type": "user", "id": "alice"}
BOB = {"type": "user", "id": "bob"}
RECORD = {"type": "record", "id": "record-1"}
READ, WRITE = {"name": "read"}, {"name": "write"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("certification")
    policies = ROOT / "policies/authzen-certification"
    with serving(directory, policies, PDP_PUBLIC_URL="https://pdp.example") as running:
        yield running


def question(subject: dict[str, Any], action: dict[str, Any], resource: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"subject": subject, "action": action, "resource": resource} | more


def has(entity: dict[str, Any], **properties: Any) -> dict[str, Any]:
    return entity | {"properties": properties}


RULES = {
    "1": (question(ALICE, READ, RECORD), True),
    "2": (question(ALICE, WRITE, RECORD), True),
    "3": (question(BOB, READ, RECORD), True),
    "4": (question(BOB, WRITE, RECORD), False),
    "5": (question(ALICE, WRITE, has(RECORD, status="archived")), False),
    "5 on record-2": (question(ALICE, WRITE, has({"type": "record", "id": "record-2"}, status="archived")), False),
    "6": (question(has(BOB, role="admin"), WRITE, has(RECORD, status="archived")), True),
    "6 by alice": (question(has(ALICE, role="admin"), WRITE, has(RECORD, status="archived")), True),
    "7": (question(ALICE, has({"name": "delete"}, soft=True), RECORD), True),
    "8": (question(ALICE, has({"name": "delete"}, soft=False), RECORD), False),
}


@pytest.mark.parametrize("rule", list(RULES))
def test_basic_each_rule_decides_as_the_scenario_says_each_time(server: Server, rule: str) -> None:
    payload, expected = RULES[rule]
    for _ in range(3):
        answer = server.post("/access/v1/evaluation", payload)
        assert answer.status == 200
        assert answer.json["decision"] is expected
        assert isinstance(answer.json.get("context", {}), dict)


def test_basic_context_and_unknown_members_change_nothing(server: Server) -> None:
    payload = question(
        has(ALICE, department="x"),
        has(READ, method="GET"),
        has(RECORD, owner="bob"),
        context={"time": "2025-06-27T18:03-07:00", "ip": "203.0.113.7"},
        unknown={"a": [1]},
    )
    assert server.post("/access/v1/evaluation", payload).json["decision"] is True


@pytest.mark.parametrize("missing", ["subject", "action", "resource"])
def test_basic_a_missing_entity_is_400(server: Server, missing: str) -> None:
    payload = question(ALICE, READ, RECORD)
    del payload[missing]
    answer = server.post("/access/v1/evaluation", payload)
    assert (answer.status, answer.json["error"]["field"]) == (400, missing)


@pytest.mark.parametrize(
    "payload",
    [
        question({"id": "alice"}, READ, RECORD),
        question({"type": "user"}, READ, RECORD),
        question(ALICE, {}, RECORD),
        question(ALICE, READ, {"id": "record-1"}),
        question(ALICE, READ, {"type": "record"}),
        question("alice", READ, RECORD),  # type: ignore[arg-type]
        question(ALICE, {"name": 123}, RECORD),
    ],
)
def test_basic_a_missing_or_mistyped_member_is_400(server: Server, payload: object) -> None:
    assert server.post("/access/v1/evaluation", payload).status == 400


@pytest.mark.parametrize("body", [b"", b"{", b"not json", b"[]"])
def test_basic_a_body_that_is_no_json_object_is_400(server: Server, body: bytes) -> None:
    answer = server.ask("POST", "/access/v1/evaluation", body, {"Content-Type": "application/json"})
    assert answer.status == 400


def test_basic_another_content_type_is_400(server: Server) -> None:
    assert server.post("/access/v1/evaluation", RULES["1"][0], Content_Type="text/plain").status == 400


def test_basic_a_request_id_is_echoed_and_not_needed(server: Server) -> None:
    identifier = "bfe9eb29-ab87-4ca3-be83-a1d5d8305716"
    answer = server.post("/access/v1/evaluation", RULES["1"][0], X_Request_ID=identifier)
    assert answer.headers["X-Request-ID"] == identifier
    assert server.post("/access/v1/evaluation", RULES["1"][0]).headers["X-Request-ID"] is None


def batch(server: Server, payload: object) -> list[bool]:
    answer = server.post("/access/v1/evaluations", payload)
    assert answer.status == 200
    assert "decision" not in answer.json
    return [each["decision"] for each in answer.json["evaluations"]]


def test_batch_answers_come_in_order(server: Server) -> None:
    assert batch(server, {"evaluations": [payload for payload, _ in RULES.values()]}) == [
        expected for _, expected in RULES.values()
    ]


def test_batch_top_level_entities_are_defaults(server: Server) -> None:
    items = [{}, {"action": WRITE}, {"subject": BOB, "action": WRITE}, {"resource": has(RECORD, status="archived")}]
    assert batch(server, question(ALICE, READ, RECORD, evaluations=items)) == [True, True, False, True]


def test_batch_a_context_is_inherited_or_replaced(server: Server) -> None:
    items = [{}, {"context": {"time": "later"}}]
    assert batch(server, question(ALICE, READ, RECORD, context={"ip": "x"}, evaluations=items)) == [True, True]


def test_batch_an_incomplete_item_is_false_alone(server: Server) -> None:
    payload = {"subject": ALICE, "action": READ, "evaluations": [{"resource": RECORD}, {}]}
    assert batch(server, payload) == [True, False]


@pytest.mark.parametrize("extra", [{}, {"evaluations": []}])
def test_batch_without_items_is_a_single_evaluation(server: Server, extra: dict[str, Any]) -> None:
    answer = server.post("/access/v1/evaluations", question(ALICE, READ, RECORD, **extra))
    assert answer.status == 200
    assert answer.json["decision"] is True
    assert "evaluations" not in answer.json


def test_batch_properties_stay_with_their_item(server: Server) -> None:
    archived = has(RECORD, status="archived")
    items = [{"resource": RECORD}, {"resource": archived}, {"subject": has(BOB, role="admin"), "resource": archived}]
    assert batch(server, {"subject": ALICE, "action": WRITE, "evaluations": items}) == [True, False, True]


@pytest.mark.parametrize(
    ("semantic", "expected"),
    [
        ("execute_all", [True, False, True]),
        ("deny_on_first_deny", [True, False]),
        ("permit_on_first_permit", [True]),
    ],
)
def test_batch_semantics(server: Server, semantic: str, expected: list[bool]) -> None:
    items = [{"subject": ALICE}, {"subject": BOB}, {"subject": ALICE}]
    payload = {"action": WRITE, "resource": RECORD, "evaluations": items}
    assert batch(server, payload | {"options": {"evaluations_semantic": semantic}}) == expected


# ------------------------------------------------------------------------------------------------------------- search

SUBJECTS = "/access/v1/search/subject"
RESOURCES = "/access/v1/search/resource"
ACTIONS = "/access/v1/search/action"
USER, ANY_RECORD = {"type": "user"}, {"type": "record"}
CONTEXT = {"time": "2025-06-27T18:03-07:00", "ip": "192.168.1.1"}
ARCHIVED = has({"type": "record", "id": "record-2"}, status="archived")
ADMIN = has(BOB, role="admin")

SEARCHES: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "S1": (SUBJECTS, question(USER, READ, RECORD), ["alice", "bob"]),
    "S2": (RESOURCES, question(ALICE, READ, ANY_RECORD), ["record-1", "record-2"]),
    "S3": (ACTIONS, {"subject": ALICE, "resource": RECORD}, ["read", "write"]),
    "S4": (SUBJECTS, question(USER, WRITE, ARCHIVED), ["bob"]),
    "S5": (RESOURCES, question(ADMIN, WRITE, ANY_RECORD), ["record-2"]),
    "S6": (ACTIONS, {"subject": ADMIN, "resource": ARCHIVED}, ["read", "write"]),
}


def found(server: Server, path: str, payload: object) -> list[str]:
    """The names in the results of the one page there is; each result has exactly the members that it must have."""
    answer = server.post(path, payload)
    assert answer.status == 200, answer.body
    assert answer.json["page"] == {
        "next_token": "",
        "count": len(answer.json["results"]),
        "total": len(answer.json["results"]),
    }
    if path == ACTIONS:
        assert all(each.keys() == {"name"} for each in answer.json["results"])
        return [each["name"] for each in answer.json["results"]]
    searched = "user" if path == SUBJECTS else "record"
    assert all(each == {"type": searched, "id": each["id"]} for each in answer.json["results"])
    return [each["id"] for each in answer.json["results"]]


@pytest.mark.parametrize("search", list(SEARCHES))
def test_search_finds_what_the_scenario_says_each_time(server: Server, search: str) -> None:
    path, payload, expected = SEARCHES[search]
    for _ in range(3):
        assert found(server, path, payload) == expected


@pytest.mark.parametrize("search", ["S1", "S2", "S3"])
def test_search_a_context_changes_nothing(server: Server, search: str) -> None:
    path, payload, expected = SEARCHES[search]
    assert found(server, path, payload | {"context": CONTEXT, "unknown": [1]}) == expected


@pytest.mark.parametrize(("search", "member"), [("S1", "subject"), ("S2", "resource")])
@pytest.mark.parametrize("identifier", ["alice", "record-1", "nobody", "", 7])
def test_search_the_id_of_the_searched_is_ignored(server: Server, search: str, member: str, identifier: object) -> None:
    path, payload, expected = SEARCHES[search]
    assert found(server, path, payload | {member: payload[member] | {"id": identifier}}) == expected


@pytest.mark.parametrize(
    ("path", "payload"),
    [
        (ACTIONS, {"subject": {"type": "user", "id": "nonexistent-user"}, "resource": RECORD}),
        (ACTIONS, {"subject": ALICE, "resource": {"type": "record", "id": "nonexistent-record"}}),
        (ACTIONS, {"subject": {"type": "robot", "id": "alice"}, "resource": RECORD}),
        (ACTIONS, {"subject": ALICE, "resource": {"type": "spaceship", "id": "record-1"}}),
        (SUBJECTS, question({"type": "robot"}, READ, RECORD)),
        (SUBJECTS, question(USER, READ, {"type": "record", "id": "nonexistent-record"})),
        (SUBJECTS, question(USER, READ, {"type": "spaceship", "id": "record-1"})),
        (SUBJECTS, question(USER, {"name": "fly"}, RECORD)),
        (RESOURCES, question({"type": "user", "id": "nonexistent-user"}, READ, ANY_RECORD)),
        (RESOURCES, question({"type": "robot", "id": "alice"}, READ, ANY_RECORD)),
        (RESOURCES, question(ALICE, READ, {"type": "spaceship"})),
    ],
)
def test_search_what_nobody_knows_is_an_empty_list(server: Server, path: str, payload: dict[str, Any]) -> None:
    answer = server.post(path, payload)
    assert (answer.status, answer.json["results"]) == (200, [])


@pytest.mark.parametrize("search", ["S1", "S2", "S3"])
@pytest.mark.parametrize("missing", ["subject", "action", "resource", "subject.type", "resource.type"])
def test_search_a_missing_member_is_400(server: Server, search: str, missing: str) -> None:
    path, payload, _ = SEARCHES[search]
    member, _, inner = missing.partition(".")
    if member not in payload:
        return  # An action search has no action.
    payload = {**payload, member: {"id": "x"}} if inner else {key: payload[key] for key in payload if key != member}
    answer = server.post(path, payload)
    assert (answer.status, answer.json["error"]["field"]) == (400, missing)


@pytest.mark.parametrize(
    ("search", "member", "value"),
    [
        ("S1", "subject", "user"),
        ("S1", "action", {"name": 123}),
        ("S1", "resource", {"type": "record"}),
        ("S2", "subject", {"type": "user"}),
        ("S3", "resource", []),
        ("S3", "page", "x"),
        ("S3", "context", "x"),
    ],
)
def test_search_a_mistyped_member_is_400(server: Server, search: str, member: str, value: object) -> None:
    path, payload, _ = SEARCHES[search]
    assert server.post(path, payload | {member: value}).status == 400


@pytest.mark.parametrize("path", [SUBJECTS, RESOURCES, ACTIONS])
@pytest.mark.parametrize("body", [b"", b"{", b"[]"])
def test_search_a_body_that_is_no_json_object_is_400(server: Server, path: str, body: bytes) -> None:
    assert server.ask("POST", path, body, {"Content-Type": "application/json"}).status == 400
    assert server.ask("POST", path, b"{}", {"Content-Type": "text/plain"}).status == 400


def test_search_a_request_id_is_echoed(server: Server) -> None:
    path, payload, _ = SEARCHES["S1"]
    assert server.post(path, payload, X_Request_ID="abc-1").headers["X-Request-ID"] == "abc-1"


def test_search_pages_go_on_until_the_token_is_empty(server: Server) -> None:
    """As the scenario sends them: the limit only with the first page."""
    path, payload, _ = SEARCHES["S1"]
    first = server.post(path, payload | {"page": {"limit": 1}})
    assert (first.json["results"], first.json["page"]["count"]) == ([{"type": "user", "id": "alice"}], 1)
    token = first.json["page"]["next_token"]
    assert isinstance(token, str)
    assert token
    second = server.post(path, payload | {"page": {"token": token}})
    assert (second.status, second.json["results"]) == (200, [{"type": "user", "id": "bob"}])
    assert second.json["page"]["next_token"] == ""


# ---------------------------------------------------------------------------------------------------------- discovery


def test_discovery(server: Server) -> None:
    answer = server.ask("GET", "/.well-known/authzen-configuration", headers={"Host": "evil.example"})
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    base = "https://pdp.example"
    assert answer.json == {
        "policy_decision_point": base,
        "access_evaluation_endpoint": f"{base}/access/v1/evaluation",
        "access_evaluations_endpoint": f"{base}/access/v1/evaluations",
        "search_subject_endpoint": f"{base}/access/v1/search/subject",
        "search_resource_endpoint": f"{base}/access/v1/search/resource",
        "search_action_endpoint": f"{base}/access/v1/search/action",
    }


def test_discovery_of_a_tenant_that_is_not_configured_is_404(server: Server) -> None:
    assert server.ask("GET", "/.well-known/authzen-configuration/tenant1").status == 404
