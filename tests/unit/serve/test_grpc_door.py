"""The gRPC door without a socket: whatever goes wrong is an explicit deny in a call that succeeds, and is recorded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from pdp.audit.log import EvidenceError
from pdp.config import Profile, Settings
from pdp.doors import envoy_grpc
from pdp.doors.envoy_messages import CheckResponse
from pdp.serve import arrivals, grpc_door
from pdp.serve.arrivals import Arrivals
from pdp.serve.grpc_door import LAST_RESORT, Door, largest_message
from pdp.serve.hands import Hands
from tests.service.certificates import Authority
from tests.unit.doors.asking import check_request
from tests.unit.serve.test_app import World

SECRET = b"a-secret-of-envoy"
ALICE = ("x-user", b"alice")


class Call:
    """What grpcio tells a handler of its call."""

    def __init__(self, left: float | None = 1.0, *metadata: tuple[str, str | bytes], pem: bytes | None = None) -> None:
        self.left = [left]
        self.metadata = metadata
        self.pem = pem
        self.active = True
        self.cancelled = False

    def time_remaining(self) -> float | None:
        return self.left.pop(0) if len(self.left) > 1 else self.left[0]

    def invocation_metadata(self) -> Any:
        return self.metadata

    def auth_context(self) -> dict[str, list[bytes]]:
        return {} if self.pem is None else {"x509_pem_cert": [self.pem]}

    def is_active(self) -> bool:
        return self.active

    def cancel(self) -> None:
        self.cancelled = True


class Place:
    """A door, and what it answers and records."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        self.world = World(directory, **settings)
        self.desk = self.world.app._desk
        self.hands = Hands(1, 1)
        self.arrivals = Arrivals()
        self.door = Door(self.desk, self.world.app._proxy._check, self.hands, self.arrivals)

    def ask(self, data: bytes | None = None, call: Call | None = None, user: bytes = b"alice") -> Any:
        message = check_request("/fhir/Record/r1", ("x-user", user)).SerializeToString() if data is None else data
        return self.answered(iter([message]), call or Call())

    def answered(self, messages: Iterator[bytes], call: Call) -> Any:
        found = self.door.answered(messages, call)  # type: ignore[arg-type]
        assert isinstance(found, bytes)
        assert found, "the default message is a permit"
        return CheckResponse.FromString(found)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def denied(response: Any, status: int = 403) -> str:
    """The decision id of an explicit deny."""
    assert not envoy_grpc.allows(response)
    assert response.denied_response.status.code == status
    found: str = response.denied_response.body.removeprefix("denied ")
    return found


def test_a_permit_leaves_with_its_record(place: Place) -> None:
    response = place.ask()
    assert envoy_grpc.allows(response)
    (record,) = place.world.records()
    assert (record["door"], record["effect"]) == ("grpc", "allow")
    assert response.dynamic_metadata.fields["decision_id"].string_value == record["decision_id"]


def test_a_deny_leaves_with_its_record(place: Place) -> None:
    identifier = denied(place.ask(user=b"mallory"))
    (record,) = place.world.records()
    assert (record["decision_id"], record["effect"], record["reason"]) == (identifier, "deny", "no_rule")


@pytest.mark.parametrize("data", [b"", b"\xff\xff", b"{}"])
def test_checklist_02_what_cannot_be_read_is_an_explicit_deny(place: Place, data: bytes) -> None:
    denied(place.ask(data))
    assert place.world.records()[0]["reason"] == "bad_request"


def test_checklist_02_a_call_without_a_message_is_an_explicit_deny(place: Place) -> None:
    denied(place.answered(iter(()), Call()))
    assert place.world.records()[0]["detail"] == "no-message"


def test_checklist_31_a_message_that_is_too_long_is_an_explicit_deny(place: Place) -> None:
    longest = largest_message(place.desk.settings)
    denied(place.ask(b"x" * (longest + 1)))
    assert place.world.records()[0]["detail"] == "too-long"


def test_checklist_02_a_fault_is_an_explicit_deny_that_tells_nothing(place: Place) -> None:
    response = place.ask(user=b"boom")
    identifier = denied(response)
    assert b"078-05-1120" not in response.SerializeToString()
    (record,) = place.world.records()
    assert (record["decision_id"], record["reason"], record["detail"]) == (identifier, "fault", "RuntimeError")
    assert place.desk.metrics.faults == 1


def test_checklist_02_a_fault_in_telling_of_a_fault_is_a_deny(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(place.desk.worker, "report", fail)
    denied(place.ask(user=b"boom"))


def test_checklist_01_the_last_resort_is_a_deny() -> None:
    denied(CheckResponse.FromString(LAST_RESORT))


def test_checklist_02_a_caller_that_leaves_before_its_message_gets_no_permit(place: Place) -> None:
    def gone() -> Iterator[bytes]:
        raise grpc.RpcError
        yield b""

    denied(place.answered(gone(), Call()))
    assert not place.world.records()


def test_checklist_02_without_a_program_nothing_is_permitted(place: Place) -> None:
    place.world.app.worker.snapshot = None
    denied(place.ask())
    assert place.world.records()[0]["detail"] == "no-program"


def test_checklist_34_what_cannot_be_recorded_is_not_permitted(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_records: object) -> None:
        raise EvidenceError("no space left")

    monkeypatch.setattr(place.desk._log, "hand", fail)
    denied(place.ask())


# ---------------------------------------------------------------------------------------------------------- too late


@pytest.mark.parametrize("left", [0.0, 0.001, -1.0])
def test_checklist_31_a_call_without_time_left_is_not_evaluated(place: Place, left: float) -> None:
    denied(place.ask(call=Call(left)), 429)
    assert not place.world.engine.asked
    assert place.world.records()[0]["reason"] == "overloaded"
    assert place.desk.metrics.shed == 1


def test_a_call_without_a_deadline_has_all_the_time(place: Place) -> None:
    assert envoy_grpc.allows(place.ask(call=Call(None)))
    assert envoy_grpc.allows(place.ask(call=Call(float("inf"))))


def test_checklist_02_a_permit_that_comes_too_late_is_a_deny_with_a_record_of_its_own(place: Place) -> None:
    call = Call()
    call.left = [0.5, 0.0]
    identifier = denied(place.ask(call=call), 429)
    permit, deny = place.world.records()
    assert (permit["effect"], deny["effect"], deny["detail"]) == ("allow", "deny", "too-late")
    assert deny["decision_id"] == identifier != permit["decision_id"]
    assert deny["pep"] == "default"


def test_checklist_02_a_permit_for_a_cancelled_call_is_a_deny(place: Place) -> None:
    call = Call()
    call.active = False
    denied(place.ask(call=call), 429)


def test_checklist_06_a_permit_that_cannot_be_carried_is_a_deny_with_a_record(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pdp.doors.envoy_grpc.MAX_SAID_BYTES", 10)
    identifier = denied(place.ask())
    assert [each["effect"] for each in place.world.records()] == ["allow", "deny"]
    deny = place.world.records()[1]
    assert (deny["decision_id"], deny["reason"], deny["detail"]) == (identifier, "fault", "unsound-mutation")


@pytest.mark.parametrize("why", ["open", "waited", "late"])
def test_checklist_31_too_many_at_once_is_an_explicit_429(place: Place, why: str) -> None:
    if why == "open":
        place.hands.open = place.desk.settings.max_in_flight + 1
    elif why == "waited":
        place.hands._local.waited = 1.5
    else:
        place.desk.worker.late = True
    denied(place.ask(), 429)
    assert not place.world.engine.asked


def test_checklist_31_a_call_whose_message_does_not_come_is_ended(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(arrivals, "monotonic", lambda: now)
    call = Call()

    def slow() -> Iterator[bytes]:
        nonlocal now
        now += arrivals.MESSAGE_SECONDS - 0.1
        place.arrivals.end_silent()
        assert not call.cancelled
        now += 0.2
        place.arrivals.end_silent()
        assert call.cancelled
        raise grpc.RpcError
        yield b""

    denied(place.answered(slow(), call))
    assert not place.arrivals._silent


def test_checklist_29_31_nobody_waits_for_the_message_of_somebody_unknown(tmp_path: Path) -> None:
    place = Place(tmp_path, profiles=(Profile("envoy", SECRET, doors=frozenset({"grpc"})),))

    def never() -> Iterator[bytes]:
        raise AssertionError("was waited for")
        yield b""

    denied(place.answered(never(), Call()))
    assert place.world.records()[0]["reason"] == "unknown_pep"


# ------------------------------------------------------------------------------------------------------- who is asking


def secret(*values: str | bytes) -> Call:
    return Call(1.0, *[("x-pdp-secret", value) for value in values], ("x-forwarded-for", "10.0.0.1"))


@pytest.mark.parametrize(
    ("call", "known"),
    [
        (secret(SECRET.decode()), True),
        (secret(), False),
        (secret("another-secret-here"), False),
        (secret(SECRET.decode(), SECRET.decode()), False),
        (secret(SECRET.decode(), "x"), False),
        (secret(""), False),
        (secret("\u00e9"), False),
        (Call(1.0, ("X-Pdp-Secret", SECRET.decode())), False),
        (Call(1.0, ("authorization", "Bearer " + SECRET.decode())), False),
    ],
)
def test_checklist_29_only_the_secret_makes_a_point_known(tmp_path: Path, call: Call, known: bool) -> None:
    place = Place(tmp_path, profiles=(Profile("envoy", SECRET, frozenset({"grpc"})),))
    response = place.ask(call=call)
    if known:
        assert envoy_grpc.allows(response)
        return
    denied(response)  # 403: a 401 would send the client to log in.
    record = place.world.records()[0]
    assert (record["pep"], record["reason"]) == ("-", "unknown_pep")


def test_checklist_29_a_secret_in_the_request_of_the_client_is_none(tmp_path: Path) -> None:
    place = Place(tmp_path, profiles=(Profile("envoy", SECRET, frozenset({"grpc"})),))
    denied(place.ask(check_request("/fhir/Record/r1", ALICE, ("x-pdp-secret", SECRET)).SerializeToString()))


def test_checklist_29_a_profile_for_other_doors_is_unknown_here(tmp_path: Path) -> None:
    place = Place(tmp_path, profiles=(Profile("envoy", SECRET, frozenset({"ext_authz"})),))
    denied(place.ask(call=secret(SECRET.decode())))


def test_a_point_is_known_by_its_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "certificates")
    ours = authority.leaf(uris=["spiffe://hospital.example/envoy"])
    liar = authority.leaf(dns=["spiffe://hospital.example/envoy"])
    profile = Profile("envoy", None, frozenset({"grpc"}), certificates=("spiffe://hospital.example/envoy",))
    place = Place(tmp_path, profiles=(profile,))
    assert envoy_grpc.allows(place.ask(call=Call(1.0, pem=ours.pem)))
    for pem in (liar.pem, authority.leaf(uris=["spiffe://hospital.example/envoy"], days=-1).pem, b"", b"\xff", None):
        denied(place.ask(call=Call(1.0, pem=pem)))


def test_what_a_certificate_says_of_the_client_is_not_what_says_who_asks(tmp_path: Path) -> None:
    """`source.certificate` is the client's, and the client's it stays."""
    ours = Authority(tmp_path / "certificates").leaf(uris=["spiffe://hospital.example/envoy"])
    profile = Profile("envoy", None, frozenset({"grpc"}), certificates=("spiffe://hospital.example/envoy",))
    place = Place(tmp_path, profiles=(profile,))
    request = check_request("/fhir/Record/r1", ALICE)
    request.attributes.source.certificate = ours.pem.decode()
    denied(place.ask(request.SerializeToString()))


def test_the_doors_bounds_are_those_of_the_settings() -> None:
    assert largest_message(Settings(max_body_bytes=2_000)) == 2_000 + grpc_door.ROOM_BYTES
