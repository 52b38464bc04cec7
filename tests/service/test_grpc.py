"""The gRPC door as it is served: real workers, a shared port, and callers that do not play by the rules."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest

from pdp.doors.envoy_messages import CheckResponse
from tests.service.asker import ALONE, CHECK, Asker, asker
from tests.service.server import Server, alive, descendants, free_port, serving, until, write_policies
from tests.unit.doors.asking import check_request

pytestmark = pytest.mark.service

SERVICE = "envoy.service.auth.v3.Authorization"
HEALTH_CHECK, HEALTH_WATCH = "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"
SERVING, NOT_SERVING, SERVICE_UNKNOWN = 1, 2, 3
SECRET = "a-secret-that-only-envoy-knows"
SETTINGS = '[pep.envoy]\ndoor = "grpc"\nmay_assert = []\n'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("grpc")
    policies = write_policies(directory / "policies", SETTINGS)
    with serving(directory, policies, PDP_TRUST_UNVERIFIED_SUBJECT_HEADER="x-user", PDP_WORKERS="2") as running:
        yield running


@pytest.fixture
def envoy(server: Server) -> Iterator[Asker]:
    with asker(server.grpc) as found:
        yield found


def test_it_allows_denies_and_records(server: Server, envoy: Asker) -> None:
    answer = envoy.ask()
    assert answer.status.code == 0
    said = {each.header.key: each.header.value for each in answer.ok_response.headers}
    assert (said["x-pdp-subject"], said["x-user"]) == ("nina", "nina")
    assert not envoy.allowed(path="/fhir/Record/sealed")
    assert not envoy.allowed(method="PUT")
    assert envoy.allowed("dora", method="PUT")
    records = {each["decision_id"]: each for each in server.records()}
    found = records[said["x-pdp-decision"]]
    assert (found["door"], found["pep"], found["effect"]) == ("grpc", "envoy", "allow")


@pytest.mark.parametrize("data", [b"", b"\xff\xff\xff", b"{}", b"\x0a\x00", b"\x0a\x02\x22\x00"])
def test_checklist_04_bytes_that_ask_nothing_are_denied_in_a_call_that_succeeds(envoy: Asker, data: bytes) -> None:
    answer = envoy.raw(data)
    assert (answer.status.code, answer.denied_response.status.code) == (7, 403)


def test_checklist_31_a_long_message_is_denied_in_a_call_that_succeeds(envoy: Asker) -> None:
    message = check_request("/fhir/Record/r1", ("x-user", b"nina"), ("x-long", b"a" * 1_400_000))
    answer = envoy.raw(message.SerializeToString())
    assert (answer.status.code, answer.denied_response.status.code) == (7, 403)
    assert envoy.allowed()


def test_checklist_31_large_metadata_of_a_call_fails_no_check(envoy: Asker) -> None:
    """An Envoy that puts more into a call than a server takes would see an error, and might let the request pass."""
    assert envoy.allowed("nina", "/fhir/Record/r1", ("x-forwarded-for", "10.0.0.1, " * 3_000))


def test_an_unknown_method_is_no_door(envoy: Asker) -> None:
    with pytest.raises(grpc.RpcError) as error:
        envoy.channel.unary_unary("/envoy.service.auth.v2.Authorization/Check")(b"", timeout=5)
    assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED  # type: ignore[attr-defined]


def test_a_caller_who_cancels_harms_nobody(envoy: Asker) -> None:
    message = check_request("/fhir/Record/r1", ("x-user", b"nina")).SerializeToString()
    call = envoy.channel.unary_unary(CHECK)
    for _ in range(200):
        call.future(message).cancel()
    assert envoy.allowed()


@pytest.mark.parametrize("method", [CHECK, HEALTH_CHECK, HEALTH_WATCH])
def test_checklist_31_calls_whose_message_never_comes_hold_nobody(server: Server, method: str) -> None:
    """More of them than there are threads, on connections of their own."""
    ended = threading.Event()

    def never() -> Iterator[bytes]:
        ended.wait()
        return
        yield b""

    with ExitStack() as open_calls:
        open_calls.callback(ended.set)
        slow = []
        for _ in range(4):
            channel = open_calls.enter_context(grpc.insecure_channel(f"127.0.0.1:{server.grpc}", ALONE))
            slow += [channel.stream_unary(method).future(never(), timeout=30) for _ in range(20)]
        for _ in range(5):
            with asker(server.grpc) as envoy:
                message = check_request("/fhir/Record/r1", ("x-user", b"nina")).SerializeToString()
                assert envoy.raw(message, seconds=10).status.code == 0
        until(lambda: all(each.done() for each in slow), "they are ended")
        assert {each.code() for each in slow} == {grpc.StatusCode.CANCELLED}


def test_a_call_without_a_message_is_denied(envoy: Asker) -> None:
    answer = CheckResponse.FromString(envoy.channel.stream_unary(CHECK)(iter(()), timeout=5))
    assert answer.status.code == 7


# ------------------------------------------------------------------------------------------------------------ processes


def loads_grpc(pid: int) -> bool:
    return "cygrpc" in Path(f"/proc/{pid}/maps").read_text()


def test_checklist_30_every_worker_serves_the_port_and_only_workers_have_grpc(server: Server) -> None:
    assert server.process is not None
    below = descendants(server.process.pid)
    workers = [pid for pid in below if loads_grpc(pid)]
    assert len(workers) == 2
    assert not loads_grpc(server.process.pid)
    prefixes = set()

    def both() -> bool:
        with asker(server.grpc) as envoy:
            prefixes.add(envoy.ask().dynamic_metadata.fields["decision_id"].string_value.partition("-")[0])
        return len(prefixes) == 2

    until(both, "the kernel gives connections to both")


def test_checklist_30_a_foreign_owner_of_the_port_is_found_at_start(tmp_path: Path, server: Server) -> None:
    policies = write_policies(tmp_path / "policies", SETTINGS)
    foreign = socket.socket()
    foreign.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    foreign.bind(("127.0.0.1", 0))
    foreign.listen()
    with foreign:
        for port in (foreign.getsockname()[1], server.grpc):
            second = Server(tmp_path, policies, PDP_GRPC_LISTEN=f"127.0.0.1:{port}").start(wait=False)
            assert second.process is not None
            assert second.process.wait(timeout=20) == 2
            assert "grpc_listen: cannot listen" in second.log.read_text()
    with asker(server.grpc) as envoy:
        assert envoy.allowed()


def test_checklist_30_a_worker_that_dies_is_replaced_on_the_same_port(tmp_path: Path) -> None:
    policies = write_policies(tmp_path / "policies", SETTINGS)
    with serving(tmp_path, policies, PDP_TRUST_UNVERIFIED_SUBJECT_HEADER="x-user") as server:
        assert server.process is not None
        (worker,) = [pid for pid in descendants(server.process.pid) if loads_grpc(pid)]
        os.kill(worker, signal.SIGKILL)
        with pytest.raises(OSError, match="in use"), socket.socket() as foreign:
            foreign.bind(("127.0.0.1", server.grpc))  # Held while nobody serves it.

        def served() -> bool:
            try:
                with asker(server.grpc) as envoy:
                    return envoy.allowed()
            except grpc.RpcError:
                return False

        until(served, "served again")
        below = descendants(server.process.pid)
        with asker(server.grpc) as envoy:
            watch = envoy.watch()
            assert next(watch).status == SERVING
            assert server.stop() == 0
            assert [each.status for each in watch] == [NOT_SERVING]
    assert not any(map(alive, below))


def test_port_0_is_no_door_and_no_grpc(tmp_path: Path) -> None:
    with serving(tmp_path, write_policies(tmp_path / "policies"), PDP_GRPC_LISTEN="127.0.0.1:0") as server:
        assert server.process is not None
        assert not any(map(loads_grpc, descendants(server.process.pid)))
        assert "gRPC" not in server.log.read_text()


def test_checklist_29_without_the_secret_nobody_is_answered(tmp_path: Path) -> None:
    policies = write_policies(tmp_path / "policies", SETTINGS + 'secret_file = "envoy.secret"\n')
    (policies / "envoy.secret").write_text(SECRET)
    with (
        serving(tmp_path, policies, PDP_TRUST_UNVERIFIED_SUBJECT_HEADER="x-user") as server,
        asker(server.grpc) as envoy,
    ):
        path = "/fhir/Record/r1"
        assert envoy.allowed("nina", path, ("x-pdp-secret", SECRET))
        assert not envoy.allowed("nina", path)
        assert not envoy.allowed("nina", path, ("x-pdp-secret", SECRET[:-1]))
        assert not envoy.allowed("nina", path, ("x-pdp-secret", SECRET), ("x-pdp-secret", SECRET))
        assert envoy.health() == SERVING
        assert SECRET not in server.log.read_text()
        assert SECRET not in str(server.records())


# --------------------------------------------------------------------------------------------------------------- health


def test_health_is_told_and_watched(server: Server, envoy: Asker) -> None:
    assert envoy.health() == envoy.health(SERVICE) == SERVING
    with pytest.raises(grpc.RpcError) as error:
        envoy.health("another.Service")
    assert error.value.code() is grpc.StatusCode.NOT_FOUND  # type: ignore[attr-defined]
    watch, unknown = envoy.watch(SERVICE), envoy.watch("another.Service")
    assert (next(watch).status, next(unknown).status) == (SERVING, SERVICE_UNKNOWN)
    watch.cancel()
    unknown.cancel()


def test_checklist_31_watchers_are_bounded_and_hold_no_thread(server: Server, envoy: Asker) -> None:
    watches = [envoy.watch() for _ in range(70)]
    told = []
    for each in watches:
        try:
            told.append(next(each).status)
        except grpc.RpcError as error:
            told.append(error.code())  # type: ignore[attr-defined]
    assert sorted(map(str, told)) == [str(SERVING)] * 64 + ["StatusCode.RESOURCE_EXHAUSTED"] * 6
    assert envoy.allowed()
    for each in watches:
        each.cancel()

    def room() -> bool:
        watch = envoy.watch()
        try:
            return bool(next(watch).status == SERVING)
        except grpc.RpcError:
            return False
        finally:
            watch.cancel()

    until(room, "there is room again")


def test_a_worker_that_cannot_record_is_not_healthy(tmp_path: Path) -> None:
    policies = write_policies(tmp_path / "policies", SETTINGS)
    with (
        serving(tmp_path, policies, PDP_TRUST_UNVERIFIED_SUBJECT_HEADER="x-user") as server,
        asker(server.grpc) as envoy,
    ):
        assert envoy.allowed()
        watch = envoy.watch()
        assert next(watch).status == SERVING
        server.audit.rename(tmp_path / "moved")
        server.audit.write_text("not a directory")
        assert next(watch).status == NOT_SERVING
        assert not envoy.allowed()
        assert envoy.health() == NOT_SERVING
        server.audit.unlink()
        (tmp_path / "moved").rename(server.audit)
        assert next(watch).status == SERVING
        until(envoy.allowed, "it decides again")


def test_a_policy_change_under_load_gives_old_or_new_answers_alone(tmp_path: Path) -> None:
    """Checklist 30: each check has one snapshot."""
    policies = write_policies(tmp_path / "policies", SETTINGS)
    with (
        serving(tmp_path, policies, PDP_TRUST_UNVERIFIED_SUBJECT_HEADER="x-user") as server,
        asker(server.grpc) as envoy,
    ):
        before = server.ready()["program"]["digest"]
        text = (policies / "b-forbids.ward").read_text()
        (policies / "b-forbids.ward").write_text(text.replace("unless resource.open", "unless resource.open and false"))
        until(lambda: not envoy.allowed() or None, "the new rule decides")
        digests = {each["program_digest"]: each["effect"] for each in server.records()}
        assert digests[before] == "allow"
        assert set(digests.values()) == {"allow", "deny"}
        assert len(digests) == 2


def test_the_port_is_free_once_it_has_ended(tmp_path: Path) -> None:
    policies, port = write_policies(tmp_path / "policies", SETTINGS), free_port()
    for _ in range(2):
        with serving(tmp_path, policies, PDP_GRPC_LISTEN=f"127.0.0.1:{port}") as server, asker(port) as envoy:
            assert envoy.health() == SERVING
            assert server.stop() == 0
