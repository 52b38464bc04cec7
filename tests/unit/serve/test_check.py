"""Between reading and answering, at every proxy door: nobody is decided about who was not established."""

import pytest

from pdp.config import Profile
from pdp.doors.original import Original
from pdp.model.decision import Reason
from tests.unit.serve.test_app import World

PROFILE = Profile("envoy")


def ask(world: World, *headers: tuple[bytes, bytes], method: str = "GET", path: bytes = b"/fhir/Record/r1"):
    desk = world.app._desk
    exchange = desk.exchange("ext_authz")
    return world.app._proxy._check.asked_here(Original(method, path, b"", headers), PROFILE, exchange)


@pytest.fixture
def world(tmp_path) -> World:
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
def test_anything_but_one_clean_subject_is_unauthenticated(world: World, headers) -> None:
    verdict = ask(world, *headers)
    assert verdict.decision.reason is Reason.UNAUTHENTICATED
    assert verdict.status == 401
    assert not world.engine.asked


def test_without_any_identity_configured_nobody_is_believed(tmp_path) -> None:
    world = World(tmp_path, trust_unverified_subject_header="")
    assert ask(world, (b"", b"nina"), (b"x-user", b"nina")).status == 401


@pytest.mark.parametrize("path", [b"/fhir/../fhir/Record/r1", b"//fhir/Record/r1", b"/fhir/Record/a%2Fb", b"", b"/"])
def test_an_ambiguous_path_maps_to_nothing(world: World, path: bytes) -> None:
    verdict = ask(world, (b"x-user", b"alice"), path=path)
    assert (verdict.status, verdict.decision.reason) == (403, Reason.NO_ROUTE)


def test_checklist_14_a_method_override_is_not_read(world: World) -> None:
    verdict = ask(world, (b"x-user", b"alice"), (b"x-http-method-override", b"GET"), method="DELETE")
    assert verdict.status == 403
