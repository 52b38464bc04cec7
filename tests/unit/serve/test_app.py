"""The application without a socket: whatever goes wrong is a deny, and is recorded."""

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path
from time import time_ns
from types import SimpleNamespace
from typing import Any

import pytest

from pdp.audit.evidence import EvidenceError
from pdp.config import Profile, Settings
from pdp.doors.route import Table
from pdp.identity.issuer import KeySource
from pdp.identity.store import prepare
from pdp.model.decision import Capabilities, Decision, Effect, Reason
from pdp.model.entities import Entities
from pdp.model.request import Request
from pdp.serve import http
from pdp.serve.app import Application
from pdp.serve.runtime import Runtime
from pdp.serve.snapshot import Snapshot
from tests.audited import Kept
from tests.unit.doors.shop import route, schema
from tests.unit.identity import tokens

BODY = {
    "subject": {"type": "user", "id": "alice"},
    "action": {"name": "read"},
    "resource": {"type": "record", "id": "record-1"},
}
JSON = (b"content-type", b"application/json")


class FakeEngine:
    """The engine's contract: `alice` may, `boom` is a fault, everybody else may not."""

    def __init__(self) -> None:
        self.asked: list[tuple[Request, int, Capabilities]] = []
        self.entities = Entities()

    def decide(self, request: Request, now: int, capabilities: Capabilities, evaluated: list[bool]) -> Decision:
        self.asked.append((request, now, capabilities))
        if request.subject_id == "boom":
            raise RuntimeError("078-05-1120")
        if request.subject_id == "alice" and request.action == "read":
            return Decision(Effect.ALLOW, Reason.PERMITTED, ("rule",), program_digest="p", data_revision="d")
        return Decision(Effect.DENY, Reason.NO_RULE, program_digest="p", data_revision="d")


class World:
    """One application, its engine, and its records."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        state = directory / "state"
        chosen: dict[str, Any] = {
            "trust_unverified_subject_header": "x-user",
            "public_url": "http://pdp.example",
            "state_dir": state,
        } | settings
        (directory / "runtime").mkdir()
        prepare(state)
        self.log = Kept()
        self.engine = FakeEngine()
        self.app = Application(Settings(**chosen), Runtime(directory / "runtime"), self.log)
        self.app.worker.following.step(time_ns() // 1000, 0.0)
        self.app.worker.snapshot = Snapshot(
            self.engine,  # type: ignore[arg-type]
            schema(),
            Table(
                [route("GET", "/fhir/Record/{record}"), route("PUT", "/fhir/Record/{record}", "read share")], schema()
            ),
            "p",
            "d",
            "s",
            0.0,
        )

    def ask(
        self,
        method: str = "POST",
        path: bytes = b"/access/v1/evaluation",
        body: bytes | Iterable[bytes] = b"",
        headers: Iterable[tuple[bytes, bytes]] = (JSON,),
        query: bytes = b"",
    ) -> SimpleNamespace:
        """One HTTP request; what was sent back."""
        chunks = [body] if isinstance(body, bytes) else list(body)
        messages = [
            {"type": "http.request", "body": chunk, "more_body": index + 1 < len(chunks)}
            for index, chunk in enumerate(chunks)
        ] or [{"type": "http.disconnect"}]
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return messages.pop(0)

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {"type": "http", "method": method, "raw_path": path, "query_string": query, "headers": list(headers)}
        asyncio.run(self.app(scope, receive, send))
        if not sent:
            return SimpleNamespace(status=None, headers={}, body=b"", left=len(messages))
        start, end = sent
        return SimpleNamespace(
            status=start["status"], headers=dict(start["headers"]), body=end["body"], left=len(messages)
        )

    def evaluate(self, body: object = BODY, **more: Any) -> SimpleNamespace:
        return self.ask(body=json.dumps(body).encode(), **more)

    def check(self, path: bytes = b"/fhir/Record/r1", method: str = "GET", user: bytes = b"alice") -> SimpleNamespace:
        return self.ask(method, b"/ext_authz" + path, b"", [(b"host", b"ehr.example"), (b"x-user", user)])

    def records(self) -> list[dict[str, Any]]:
        return self.log.records()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def break_the_log(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_records: object) -> None:
        raise EvidenceError("no space left")

    monkeypatch.setattr(world.app._desk._log, "hand", fail)


def test_checklist_34_a_permit_is_recorded_before_it_leaves(world: World) -> None:
    answer = world.evaluate()
    assert answer.status == 200
    assert json.loads(answer.body)["decision"] is True
    (record,) = world.records()
    assert record["effect"] == "allow"
    assert answer.headers[b"x-pdp-decision"].decode() == record["decision_id"]
    assert answer.headers[b"cache-control"] == b"no-store"


def test_a_deny_is_an_answer_like_any_other(world: World) -> None:
    answer = world.evaluate(BODY | {"subject": {"type": "user", "id": "bob"}})
    assert answer.status == 200
    assert json.loads(answer.body)["decision"] is False
    assert world.records()[0]["reason"] == "no_rule"


def test_checklist_34_a_log_that_cannot_be_written_permits_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_the_log(world, monkeypatch)
    answers = [
        world.evaluate(),
        world.ask(path=b"/access/v1/evaluations", body=json.dumps(BODY | {"evaluations": [{}, {}]}).encode()),
        world.ask(path=b"/access/v1/evaluations", body=json.dumps(BODY).encode()),
        world.ask(body=b"{"),
    ]
    assert [each.status for each in answers] == [500] * 4
    assert all(b"true" not in each.body for each in answers)
    assert world.check().status == 403
    assert world.app.worker.metrics.audit_failures == 5
    assert json.loads(world.ask("GET", b"/ready").body)["status"] == "unavailable"


def test_checklist_02_a_fault_is_a_recorded_deny_that_tells_nothing(world: World) -> None:
    answer = world.evaluate(BODY | {"subject": {"type": "user", "id": "boom"}})
    assert answer.status == 500
    assert b"078-05" not in answer.body
    proxied = world.check(user=b"boom")
    assert proxied.status == 403
    assert b"078-05" not in proxied.body
    assert [each["reason"] for each in world.records()] == ["fault", "fault"]
    assert "078-05" not in json.dumps(world.records())


def test_a_fault_while_the_log_is_broken_is_still_a_deny(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    break_the_log(world, monkeypatch)
    assert world.evaluate(BODY | {"subject": {"type": "user", "id": "boom"}}).status == 500
    assert world.check(user=b"boom").status == 403


def test_checklist_02_without_a_program_nothing_is_permitted(world: World) -> None:
    world.app.worker.snapshot = None
    assert world.evaluate().status == 500
    assert (
        world.ask(path=b"/access/v1/evaluations", body=json.dumps(BODY | {"evaluations": [{}]}).encode()).status == 500
    )
    assert world.check().status == 403
    assert world.ask("GET", b"/ready").status == 503
    assert world.ask("GET", b"/live").status == 200


def test_checklist_31_overload_is_an_explicit_deny(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.app.worker.late = True
    assert world.evaluate().status == 429
    assert world.check().status == 429
    assert {each["reason"] for each in world.records()} == {"overloaded"}
    world.app.worker.late = False
    world.app._in_flight = world.app._settings.max_in_flight
    assert world.evaluate().status == 429
    world.app._in_flight = 0
    assert world.evaluate().status == 200


@pytest.mark.parametrize("path", [b"/access/v1/evaluation", b"/access/v1/evaluations"])
def test_a_bad_request_names_its_field_and_is_recorded(world: World, path: bytes) -> None:
    answer = world.ask(path=path, body=b'{"subject":{"type":"user"}}')
    assert answer.status == 400
    assert json.loads(answer.body)["error"]["field"] == "subject.id" or b"action" in answer.body
    assert world.records()[0]["reason"] == "bad_request"


def test_checklist_31_a_long_body_is_refused_before_it_is_read(tmp_path: Path) -> None:
    world = World(tmp_path, max_body_bytes=1_024)
    announced = world.ask(body=[b"x", b"y"], headers=[JSON, (b"content-length", b"999999999999")])
    assert (announced.status, announced.left) == (413, 2)
    chunked = world.ask(body=[b"x" * 600, b"x" * 600, b"x" * 600], headers=[JSON])
    assert (chunked.status, chunked.left) == (413, 1)
    assert world.ask(body=b"", headers=[JSON, (b"content-length", b"9" * 5_000)]).status == 413


def test_a_caller_that_leaves_gets_nothing_and_nothing_is_decided(world: World) -> None:
    assert world.ask(body=[]).status is None
    assert world.records() == []


def test_a_request_id_comes_back_whatever_the_answer(world: World) -> None:
    identifier = (b"x-request-id", b"req-1")
    assert world.evaluate(headers=[JSON, identifier]).headers[b"x-request-id"] == b"req-1"
    assert world.ask(body=b"{", headers=[JSON, identifier]).headers[b"x-request-id"] == b"req-1"
    dirty = world.evaluate(headers=[JSON, (b"x-request-id", b"a b")])
    assert b"x-request-id" not in dirty.headers


def test_checklist_30_a_batch_sees_one_snapshot_and_one_now(world: World) -> None:
    engine, app = world.engine, world.app
    decide = engine.decide

    def decide_and_swap(request: Request, now: int, capabilities: Capabilities, evaluated: list[bool]) -> Decision:
        app.worker.snapshot = None  # A swap in the middle of the batch.
        return decide(request, now, capabilities, evaluated)

    engine.decide = decide_and_swap  # type: ignore[method-assign]
    answer = world.ask(path=b"/access/v1/evaluations", body=json.dumps(BODY | {"evaluations": [{}] * 5}).encode())
    assert answer.status == 200
    assert [each["decision"] for each in json.loads(answer.body)["evaluations"]] == [True] * 5
    assert len({now for _, now, _ in engine.asked}) == 1
    identifiers = [each["decision_id"] for each in world.records()]
    assert len(set(identifiers)) == 5


@pytest.mark.parametrize(
    ("semantic", "expected"),
    [
        ("execute_all", [True, False, False, True]),
        ("deny_on_first_deny", [True, False]),
        ("permit_on_first_permit", [True]),
    ],
)
def test_a_short_circuit_cuts_the_answers_off(world: World, semantic: str, expected: list[bool]) -> None:
    items = [{}, {"subject": {"type": "user", "id": "bob"}}, {"subject": {"type": "user"}}, {}]
    body = BODY | {"evaluations": items, "options": {"evaluations_semantic": semantic}}
    answer = json.loads(world.ask(path=b"/access/v1/evaluations", body=json.dumps(body).encode()).body)
    assert [each["decision"] for each in answer["evaluations"]] == expected
    assert "decision" not in answer
    assert len(world.records()) == len(expected)


def test_an_unknown_enforcement_point_is_turned_away_and_recorded(tmp_path: Path) -> None:
    world = World(tmp_path, profiles=(Profile("portal", b"secret-of-the-portal"),))
    assert world.evaluate().status == 401
    assert world.evaluate(headers=[JSON, (b"authorization", b"Bearer wrong")]).status == 401
    assert b"www-authenticate" in world.evaluate().headers
    assert world.evaluate(headers=[JSON, (b"authorization", b"Bearer secret-of-the-portal")]).status == 200
    assert world.check().status == 403
    assert world.engine.asked[0][2] == Capabilities()
    refused = [(each["door"], each["pep"], each["detail"]) for each in world.records() if each["effect"] == "deny"]
    assert refused == [
        ("authzen", "-", "no-secret"),
        ("authzen", "-", "wrong-secret"),
        ("authzen", "-", "no-secret"),
        ("ext_authz", "-", "no-secret"),
    ]
    assert {each["reason"] for each in world.records() if each["effect"] == "deny"} == {"unknown_pep"}


def test_checklist_28_what_may_not_be_asserted_does_not_reach_the_engine_but_fixed_context_does(tmp_path: Path) -> None:
    world = World(tmp_path, profiles=(Profile("portal", may_assert=frozenset(), context={"purpose": "TREAT"}),))
    world.evaluate(BODY | {"context": {"purpose": "BTG"}})
    request = world.engine.asked[0][0]
    assert request.context["purpose"] == "TREAT"
    assert "context.purpose" not in request.refused


def test_checklist_05_every_method_reaches_the_proxy_door_and_only_a_route_opens(world: World) -> None:
    assert world.check().status == 200
    for method in ("HEAD", "OPTIONS", "TRACE", "POST", "PROPFIND", "get", "X"):
        assert world.check(method=method).status == 403
    assert world.check(method="PUT").status == 403  # `read` is permitted, `share` is not
    assert world.records()[-1]["action"] == "read+share"


@pytest.mark.parametrize(
    "path",
    [b"/fhir/Record/../Record/r1", b"//fhir/Record/r1", b"/fhir/Record/%2e%2e", b"/fhir/Record/r1/", b"/../live", b""],
)
def test_an_ambiguous_path_is_denied_and_recorded_without_the_path(world: World, path: bytes) -> None:
    assert world.check(path).status == 403
    (record,) = world.records()
    assert record["reason"] == "no_route"
    assert "Record" not in json.dumps(record)


def test_a_proxied_request_without_a_subject_is_401(world: World) -> None:
    answer = world.ask("GET", b"/ext_authz/fhir/Record/r1", b"", [(b"host", b"ehr.example")])
    assert answer.status == 401


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", b"/access/v1/evaluation", 405),
        ("PUT", b"/access/v1/evaluations", 405),
        ("POST", b"/live", 405),
        ("GET", b"/", 404),
        ("GET", b"/ext_authzX", 404),
        ("POST", b"//access/v1/evaluation", 404),
        ("POST", b"/access/v1/evaluation/", 404),
        ("POST", b"/access/v1/Evaluation", 404),
        ("GET", b"/.well-known/authzen-configuration", 200),
    ],
)
def test_there_are_no_other_doors(world: World, method: str, path: bytes, status: int) -> None:
    assert world.ask(method, path, json.dumps(BODY).encode()).status == status


def test_checklist_33_a_websocket_is_refused_before_it_opens(world: World) -> None:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(world.app({"type": "websocket"}, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_a_kept_permit_is_only_ever_the_operators_choice(tmp_path: Path) -> None:
    world = World(tmp_path, max_permit_age_seconds=30)
    assert world.evaluate().headers[b"cache-control"] == b"private, max-age=30"
    denied = world.evaluate(BODY | {"subject": {"type": "user", "id": "bob"}})
    assert denied.headers[b"cache-control"] == b"no-store"


def test_every_request_is_counted(world: World) -> None:
    world.evaluate()
    world.check()
    world.check(user=b"bob")
    counted = {tuple(key): count for *key, count in world.app.worker.metrics.as_json()["decisions"]}
    assert counted == {
        ("authzen", "allow", "permitted"): 1,
        ("ext_authz", "allow", "permitted"): 1,
        ("ext_authz", "deny", "no_rule"): 1,
    }
    assert sum(world.app.worker.metrics.buckets) == 3


def test_ready_says_what_is_amiss(world: World) -> None:
    runtime = world.app.worker._runtime
    runtime.write("children", {"builder": {"alive": False, "restarts": 2, "last_exit": "signal 9"}})
    runtime.write("builder", {"scanned_at": 1.0, "stale": True, "stale_since": 1.0, "problem": "does not check"})
    answer = world.ask("GET", b"/ready")
    state = json.loads(answer.body)
    assert answer.status == 200
    assert state["status"] == "degraded"
    assert state["problems"] == ["builder is not running", "the policy set is stale"]
    assert state["stale_seconds"] > 0
    assert state["children"]["builder"]["restarts"] == 2
    assert state["program"]["digest"] == "p"


def test_checklist_31_a_head_without_its_body_is_refused_after_a_while(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a thousand of them keep every place that requests in flight have, for ever."""
    monkeypatch.setattr(http, "BODY_SECONDS", 0)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    path, headers = b"/access/v1/evaluation", [JSON, (b"content-length", b"9")]
    scope = {"type": "http", "method": "POST", "raw_path": path, "query_string": b"", "headers": headers}
    asyncio.run(asyncio.wait_for(world.app(scope, receive, send), 5))
    assert sent[0]["status"] == 408


def test_the_answer_to_a_head_has_no_body_that_a_server_would_have_to_complain_of(world: World) -> None:
    got, headed = world.check(method="GET", user=b"nobody"), world.check(method="HEAD", user=b"nobody")
    assert headed.status == 403
    assert headed.body == b""
    assert len(got.body) == int(got.headers[b"content-length"])
    assert int(headed.headers[b"content-length"]) > 0


def test_a_key_file_that_broke_is_told_the_operator(tmp_path: Path) -> None:
    """It is as old as the last one that was whole, with keys that were meant to go."""
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": [tokens.signer().jwk()]}))
    issuer = tokens.issuer(keys=KeySource(file=file))
    world = World(tmp_path, trust_unverified_subject_header="", issuers=(issuer,))
    headers = [(b"host", b"ehr.example"), (b"authorization", b"Bearer " + tokens.token())]
    for whole, content in ((True, file.read_text()), (False, file.read_text()[:40]), (True, file.read_text())):
        file.write_text(content)
        keys = world.app._callers._identify._keys["idp"]
        keys._fetch(0)
        world.ask("GET", b"/ext_authz/fhir/Record/r1", headers=headers)
        world.app.each_second()
        assert (b"an identity provider" in world.ask("GET", b"/ready").body) is not whole
