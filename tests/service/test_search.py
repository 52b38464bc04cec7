"""Searching over real HTTP: who may, what is on record, pages that nobody moves, and decisions that do not wait."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.service.server import Server, serving, until, write_policies

pytestmark = pytest.mark.service

SETTINGS = """\
max_search_candidates = 40

[pep.portal]
secret_file = "portal.secret"
door = "authzen"
search = true

[pep.console]
secret_file = "console.secret"
door = "authzen"
search = true

[pep.gateway]
secret_file = "gateway.secret"
door = "authzen"
"""
SECRETS = {name: f"{name}-secret-0123456789" for name in ("portal", "console", "gateway")}
RESOURCES = "/access/v1/search/resource"
BY_NINA = {"subject": {"type": "user", "id": "nina"}, "action": {"name": "read"}, "resource": {"type": "record"}}
OPEN, SEALED = 5, 100


def policies(directory: Path) -> Path:
    """What `write_policies` writes, with more records: 0 to 4 are open, 105 others sealed, 2 of nobody knows what."""
    write_policies(directory, SETTINGS)
    for name, secret in SECRETS.items():
        (directory / f"{name}.secret").write_text(secret)
    records = [{"type": "record", "id": f"a{n}", "attributes": {"open": True}} for n in range(OPEN)]
    records += [{"type": "record", "id": f"z{n:03}", "attributes": {"open": False}} for n in range(SEALED)]
    records += [{"type": "record", "id": f"zz{n}", "attributes": {}} for n in range(2)]
    (directory / "data/records.json").write_text(json.dumps(records))
    return directory


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("search")
    with serving(directory, policies(directory / "policies"), PDP_WORKERS="2") as running:
        yield running


def search(server: Server, payload: object = BY_NINA, pep: str = "portal", path: str = RESOURCES) -> Any:
    return server.post(path, payload, X_Pdp_Secret=SECRETS.get(pep, pep))


def page(server: Server, token: str, pep: str = "portal", **more: Any) -> Any:
    return search(server, BY_NINA | {"page": {"token": token, **more}}, pep)


def record_of(server: Server, answer: Any) -> dict[str, Any]:
    identifier = answer.headers["x-pdp-decision"]
    (found,) = [each for each in server.records() if each["decision_id"] == identifier]
    return dict(found)


def test_checklist_29_every_search_wants_a_known_enforcement_point(server: Server) -> None:
    for kind in ("subject", "resource", "action"):
        path = f"/access/v1/search/{kind}"
        assert server.post(path, BY_NINA).status == 401
        assert search(server, pep="not-the-secret-of-anybody", path=path).status == 401


def test_checklist_29_an_enforcement_point_that_may_not_search_is_refused_and_recorded(server: Server) -> None:
    answer = search(server, pep="gateway")
    assert answer.status == 403
    record = record_of(server, answer)
    assert (record["effect"], record["detail"], record["pep"]) == ("deny", "may-not-search", "gateway")
    assert search(server, {"broken": 1}, "gateway").status == 403
    assert server.post("/access/v1/evaluation", BY_NINA, X_Pdp_Secret=SECRETS["gateway"]).status == 400


def test_a_page_is_recorded_with_all_that_it_gives_away(server: Server) -> None:
    answer = search(server)
    assert [each["id"] for each in answer.json["results"]] == ["a0", "a1", "a2", "a3", "a4", "r1"]
    assert answer.json["page"]["next_token"]  # 40 candidates were looked at, there are more
    record = record_of(server, answer)
    assert record["search"] == {
        "for": "resource",
        "results": ["a0", "a1", "a2", "a3", "a4", "r1"],
        "looked_at": 40,
        "undecided": 0,
        "more": True,
    }
    assert (record["effect"], record["reason"], record["rules"]) == ("allow", "permitted", ["readers-read"])
    assert record["subject"] == {"type": "user", "id": "nina"}
    assert record["resource"] == {"type": "record", "id": ""}


def test_pages_bounded_by_work_come_to_an_end_and_count_what_could_not_be_decided(server: Server) -> None:
    tokens, undecided, found, answer = [""], 0, [], search(server)
    while True:
        found += [each["id"] for each in answer.json["results"]]
        undecided += answer.json["context"].get("undecided", 0)
        token = answer.json["page"]["next_token"]
        if not token:
            break
        tokens.append(token)
        answer = page(server, token)
        assert answer.status == 200
    assert found == ["a0", "a1", "a2", "a3", "a4", "r1"]
    assert (len(tokens), undecided) == (3, 2)
    record = record_of(server, answer)
    assert (record["effect"], record["reason"]) == ("deny", "indeterminate")
    assert b"zz" not in answer.body  # How many, but not which.


def first_token(server: Server, limit: int = 2) -> str:
    token = search(server, BY_NINA | {"page": {"limit": limit}}).json["page"]["next_token"]
    assert isinstance(token, str)
    return token


def test_a_token_is_good_in_every_worker_as_often_as_it_is_used(server: Server) -> None:
    token = first_token(server)
    for _ in range(12):  # Connections land on either worker.
        answer = page(server, token, limit=2)
        assert [each["id"] for each in answer.json["results"]] == ["a2", "a3"]


def test_checklist_29_a_token_of_another_enforcement_point_or_request_is_refused(server: Server) -> None:
    token = first_token(server)
    others = [
        page(server, token, pep="console"),
        page(server, token, limit=3),
        page(server, token + "A"),
        page(server, token[:-1] + ("A" if token[-1] != "A" else "B")),
        page(server, token, properties={"searched_fields": ["/a"]}),
        search(server, BY_NINA | {"subject": {"type": "user", "id": "dora"}, "page": {"token": token}}),
        search(server, BY_NINA | {"action": {"name": "write"}, "page": {"token": token}}),
        search(server, BY_NINA | {"context": {"ip": "x"}, "page": {"token": token}}),
        search(server, BY_NINA | {"page": {"token": token}}, path="/access/v1/search/action"),
    ]
    assert [each.status for each in others] == [400] * len(others)
    assert {each.json["error"]["field"] for each in others} <= {"page.token", "page.limit", "subject", "resource.id"}
    assert page(server, token).status == 200


def test_a_search_of_actions_and_of_subjects_is_authorised_by_the_same_rules(server: Server) -> None:
    asked = {"subject": {"type": "user", "id": "dora"}, "resource": {"type": "record", "id": "r1"}}
    found = search(server, asked, path="/access/v1/search/action").json["results"]
    assert found == [{"name": "read"}, {"name": "write"}]
    asked = {"subject": {"type": "user"}, "action": {"name": "write"}, "resource": {"type": "record", "id": "r1"}}
    found = search(server, asked, path="/access/v1/search/subject").json["results"]
    assert found == [{"type": "user", "id": "dora"}]


def test_what_the_caller_may_not_assert_finds_nothing_and_is_named_in_the_record(server: Server) -> None:
    asked = BY_NINA | {"resource": {"type": "record", "properties": {"open": True}}}
    answer = search(server, asked)
    assert answer.json["results"] == search(server).json["results"]
    assert record_of(server, answer)["discarded"] == ["resource.open"]
    asked = BY_NINA | {"subject": {"type": "user", "id": "mallory", "properties": {"role": "nurse"}}}
    assert search(server, asked).json["results"] == []


def test_get_is_not_a_search(server: Server) -> None:
    answer = server.ask("GET", RESOURCES, headers={"x-pdp-secret": SECRETS["portal"]})
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


def test_a_token_does_not_outlive_a_change_of_the_policies(tmp_path: Path) -> None:
    directory = policies(tmp_path / "policies")
    with serving(tmp_path, directory) as server:
        token = first_token(server)
        before = server.ready()["program"]["data_revision"]
        (directory / "data/more.json").write_text(
            json.dumps([{"type": "user", "id": "nick", "attributes": {"role": "x"}}])
        )
        until(lambda: server.ready()["program"]["data_revision"] != before, "the new data")
        answer = page(server, token)
        assert answer.status == 400
        assert "start again" in answer.json["error"]["message"]
        assert search(server).status == 200


def test_a_search_whose_record_cannot_be_written_gives_nothing_away(tmp_path: Path) -> None:
    directory = policies(tmp_path / "policies")
    with serving(tmp_path, directory) as server:
        assert search(server).json["results"]
        shutil.rmtree(server.audit)
        server.audit.write_text("in the way")
        answer = search(server)
        assert answer.status == 500
        assert b'"a0"' not in answer.body
