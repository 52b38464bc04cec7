"""Between reading and answering, at every proxy door: nobody is decided about who was not established."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from pdp.config import Profile
from pdp.config.limits import Limit, Limiting
from pdp.config.sessions import SessionSettings
from pdp.doors.original import Original
from pdp.doors.stepup import StepUp
from pdp.doors.verdict import Verdict
from pdp.identity.issuer import KeySource
from pdp.identity.revocations import Revocation
from pdp.identity.scopes import Need, Smart
from pdp.model.decision import Decision, Effect, Reason, Refusal
from pdp.serve.limits import make
from tests.unit.identity import tokens
from tests.unit.serve.test_app import World

PROFILE = Profile("envoy")


def ask(world: World, *headers: tuple[bytes, bytes], method: str = "GET", path: bytes = b"/fhir/Record/r1") -> Verdict:
    desk = world.app._desk
    exchange = desk.exchange("ext_authz")
    return world.app._proxy._check.asked_here(Original(method, path, b"", headers), PROFILE, exchange)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_proxied_request_is_one_question_for_each_action(world: World) -> None:
    ask(world, (b"x-user", b"nina"), method="PUT")
    asked = [request for request, _, _ in world.engine.asked]
    assert [each.action for each in asked] == ["read", "share"]
    for each in asked:
        assert (each.subject_type, each.subject_id) == ("user", "nina")
        assert (each.resource_type, each.resource_id) == ("record", "r1")
        assert not each.subject_properties
        assert not each.context


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ((b"x-user", b""),),
        ((b"x-user", b"nina,admin"),),
        ((b"x-user", b"nina"), (b"x-user", b"nina")),
        ((b"x-user", b"nina admin"),),
        ((b"x-user", b"n\x00"),),
        ((b"x-user", "nin\u00e4".encode()),),
        ((b"x-user", b"n" * 257),),
        ((b"x-users", b"nina"),),
    ],
)
def test_anything_but_one_clean_subject_is_unauthenticated(
    world: World, headers: tuple[tuple[bytes, bytes], ...]
) -> None:
    verdict = ask(world, *headers)
    assert verdict.decision.reason is Reason.UNAUTHENTICATED
    assert verdict.status == 401
    assert not world.engine.asked


def test_without_any_identity_configured_nobody_is_believed(tmp_path: Path) -> None:
    world = World(tmp_path, trust_unverified_subject_header="")
    assert ask(world, (b"", b"nina"), (b"x-user", b"nina")).status == 401


@pytest.mark.parametrize("path", [b"/fhir/../fhir/Record/r1", b"//fhir/Record/r1", b"/fhir/Record/a%2Fb", b"", b"/"])
def test_an_ambiguous_path_maps_to_nothing(world: World, path: bytes) -> None:
    verdict = ask(world, (b"x-user", b"alice"), path=path)
    assert (verdict.status, verdict.decision.reason) == (403, Reason.NO_ROUTE)


def test_checklist_14_a_method_override_is_not_read(world: World) -> None:
    verdict = ask(world, (b"x-user", b"alice"), (b"x-http-method-override", b"GET"), method="DELETE")
    assert verdict.status == 403


# ------------------------------------------------------------------------------------ who is known may still be told no


def known(directory: Path, **settings: Any) -> World:
    """A world where people come with tokens."""
    usual: dict[str, Any] = {"trust_unverified_subject_header": "", "issuers": (tokens.issuer(profile="smart"),)}
    return World(directory, **usual | settings)


def bearer(sub: str = "alice", **claims: Any) -> tuple[bytes, bytes]:
    now = int(time.time())
    usual: dict[str, Any] = {"sub": sub, "iat": now - 5, "exp": now + 300, "scope": "user/*.cruds"}
    return (b"authorization", b"Bearer " + tokens.token(**usual | claims))


NEEDS = Smart({("read", "record"): (Need("Record", "r"),)})


def test_a_verified_caller_is_decided_about_and_recorded(tmp_path: Path) -> None:
    world = known(tmp_path, smart=NEEDS)
    assert ask(world, bearer(act={"sub": "gateway"})).status == 200
    (request, _, _) = world.engine.asked[0]
    assert (request.subject_type, request.subject_id) == ("user", "alice")
    assert request.token is not None
    (record,) = world.records()
    assert record["identity"]["actors"] == ["gateway"]
    assert record["identity"]["client"] == "portal"
    assert "Bearer" not in str(record)


def test_a_token_that_does_not_count_is_recorded_with_its_issuer_and_nobody_is_established(tmp_path: Path) -> None:
    world = known(tmp_path)
    assert ask(world, bearer(exp=int(time.time()) - 1)).status == 401
    assert ask(world, bearer(iss="https://nobody.example")).status == 401
    assert ask(world, bearer("\ud800", exp=int(time.time()) - 1)).status == 401
    expired, strange, unwritable = world.records()
    assert expired["detail"] == "expired"
    assert expired["refused_token"] == {"issuer": tokens.issuer().name, "subject": {"type": "user", "id": "alice"}}
    assert "identity" not in expired
    assert "subject" not in expired
    assert "refused_token" not in strange
    assert "subject" not in unwritable.get("refused_token", {})


@pytest.mark.parametrize(
    ("scope", "kind"),
    [
        ("user/Observation.r", "scope-not-granted"),
        ("user/Record.sr", "scope-not-granted"),
        ("", "scope-not-granted"),
        ("patient/Record.r", "patient-not-known"),
    ],
)
def test_checklist_25_a_scope_only_narrows_what_the_rules_allow(tmp_path: Path, scope: str, kind: str) -> None:
    world = known(tmp_path, smart=NEEDS)
    verdict = ask(world, bearer(scope=scope))
    assert (verdict.status, verdict.decision.reason) == (403, Reason.INSUFFICIENT_SCOPE)
    assert b"insufficient_scope" in dict(verdict.denial_headers())[b"www-authenticate"]
    assert not world.engine.asked
    (record,) = world.records()
    assert (record["detail"], record["subject"]["id"], record["resource"]["id"]) == (kind, "alice", "r1")


def test_checklist_25_what_maps_to_no_scope_is_refused(tmp_path: Path) -> None:
    world = known(tmp_path)
    assert ask(world, bearer()).decision.reason is Reason.INSUFFICIENT_SCOPE


def test_checklist_23_a_revoked_session_is_401_from_the_next_request_on(tmp_path: Path) -> None:
    world = known(tmp_path, smart=NEEDS)
    assert ask(world, bearer()).status == 200
    revoked = Revocation(tokens.ISSUER, "subject", "alice", not_before=time.time_ns() // 1000)
    world.app.worker.following.sessions.revoked.add(revoked)
    verdict = ask(world, bearer())
    assert (verdict.status, verdict.decision.reason) == (401, Reason.SESSION_ENDED)
    assert b"invalid_token" in dict(verdict.denial_headers())[b"www-authenticate"]
    assert world.records()[-1]["subject"]["id"] == "alice"


def test_checklist_31_who_asks_too_often_waits(tmp_path: Path) -> None:
    world = known(tmp_path, smart=NEEDS, limits=Limiting(subject=Limit(1, 60, 2)))
    make(world.app._settings.limits, world.app.worker._runtime)
    assert [ask(world, bearer()).status for _ in range(3)] == [200, 200, 429]
    verdict = ask(world, bearer())
    assert verdict.decision.reason is Reason.RATE_LIMITED
    assert 0 < int(dict(verdict.denial_headers())[b"retry-after"]) <= 60
    assert ask(world, bearer("bob")).status == 403
    assert world.records()[-2]["detail"] == "subject-limit"


def test_a_deny_that_only_a_step_up_would_lift_challenges(tmp_path: Path) -> None:
    world = known(tmp_path, smart=NEEDS, sessions=SessionSettings(step_up=StepUp(("urn:hospital:mfa",))))
    refusal = Refusal("needs-mfa", cures=("step_up",))
    denied = Decision(Effect.DENY, Reason.FORBIDDEN, ("needs-mfa",), refusals=(refusal,))
    world.engine.decide = lambda *_: denied  # type: ignore[method-assign]
    verdict = ask(world, bearer())
    assert (verdict.status, verdict.decision.reason) == (401, Reason.STEP_UP)
    assert b'acr_values="urn:hospital:mfa"' in dict(verdict.denial_headers())[b"www-authenticate"]
    assert world.records()[-1]["reason"] == "step_up"


def test_a_token_that_ends_while_its_keys_are_fetched_opens_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": [tokens.signer().jwk()]}))
    issuer = tokens.issuer(keys=KeySource(file=file), subject_type="user")
    world = World(tmp_path, trust_unverified_subject_header="", issuers=(issuer,))
    now = time.time_ns() // 1_000_000_000
    token = tokens.token(sub="alice", iat=now - 10, exp=now + 60)
    assert ask(world, (b"authorization", b"Bearer " + token)).status == 200
    keys = world.app._callers._identify._keys["idp"]
    keys._state, keys._flight, keys._tried, keys._refresh = None, None, {}, 10**9  # As after a start, by URL.
    monkeypatch.setattr("pdp.serve.check.time_ns", lambda: (now + 61) * 1_000_000_000)
    assert ask(world, (b"authorization", b"Bearer " + token)).status == 401
    assert world.records()[-1]["detail"] == "expired"
