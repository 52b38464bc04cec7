"""Sessions and revocations in a real service of two workers: in force in both, over kill -9 and restart."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pdp.identity.events import CAEP, SSF
from tests.service.asker import asker
from tests.service.server import DATA, ROOT, Server, descendants, serving, until
from tests.unit.doors.asking import check_request
from tests.unit.identity.tokens import AUDIENCE, ISSUER, Signer, assemble

pytestmark = pytest.mark.service

EVENTS = "https://pdp.hospital.example/events"
KEY = Signer("ES256", "k1")
SECRET = "the-secret-of-the-operator"
TRANSMITTER_SECRET = "the-secret-of-the-transmitter"

POLICY = """\
module little

entity User as "user" { role: Text  acr: Text? from token }
entity Record as "record" { open: Bool }

action read, write on Record by User

route GET "/fhir/Record/{record}" does read on Record record
route PUT "/fhir/Record/{record}" does write on Record record

permit read, write on Record as staff
    "Nurses and doctors read and write"
    cites "45 CFR 164.506(c)"
    when subject.role == "nurse" or subject.role == "doctor"

forbid write on Record as weak-login
    "Who writes has authenticated with two factors"
    cites "45 CFR 164.312(d)"
    unless subject has acr and subject.acr == "urn:hospital:mfa"
    because "a stronger login is needed"
    cure step_up

forbid write on Record as sealed
    "A sealed record is not written to"
    cites "45 CFR 164.522(a)"
    unless resource.open
"""

SETTINGS = f"""\
[issuer.idp]
issuer = "{ISSUER}"
audience = "{AUDIENCE}"
keys_file = "keys.json"
claims = {{ acr = "acr" }}

[transmitter.idp]
issuer = "{ISSUER}"
audience = "{EVENTS}"
keys_file = "keys.json"
secret_file = "transmitter.secret"

[sessions]
idle_seconds = 3
absolute_seconds = 36000
revocations_file = "revoked.jsonl"
step_up_acr_values = ["urn:hospital:mfa"]
step_up_max_age_seconds = 300
"""


def write_policies(directory: Path, text: str = SETTINGS) -> Path:
    (directory / "data").mkdir(parents=True)
    (directory / "little.ward").write_text(POLICY)
    (directory / "data/world.json").write_text(json.dumps(DATA))
    (directory / "pdp.toml").write_text(text)
    (directory / "keys.json").write_text(json.dumps({"keys": [KEY.jwk()]}))
    (directory / "revoked.jsonl").write_text("")
    (directory / "transmitter.secret").write_text(TRANSMITTER_SECRET)
    (directory / "management.secret").write_text(SECRET)
    return directory


def two_workers(directory: Path, text: str = SETTINGS) -> Server:
    policies = directory / "policies"
    if not policies.exists():
        write_policies(policies, text)
    secret = str(policies / "management.secret")
    return Server(directory, policies, PDP_WORKERS="2", PDP_MANAGEMENT_SECRET_FILE=secret)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = two_workers(tmp_path_factory.mktemp("sessions"), SETTINGS.replace("idle_seconds = 3\n", ""))
    try:
        yield made.start()
    finally:
        made.stop()


def token(subject: str = "dora", session: str = "s-1", number: str = "", **changed: Any) -> str:
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": subject,
        "sid": session,
        "client_id": "portal",
        "jti": number or os.urandom(8).hex(),
        "iat": now - 5,
        "auth_time": now - 60,
        "exp": now + 600,
    } | changed
    return assemble({"alg": "ES256", "typ": "at+jwt", "kid": "k1"}, claims, KEY).decode()


def event(
    kind: str = "session-revoked", base: str = CAEP, by: Signer = KEY, typ: str = "secevent+jwt", **changed: Any
) -> bytes:
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": EVENTS,
        "jti": os.urandom(8).hex(),
        "iat": now,
        "sub_id": {"format": "iss_sub", "iss": ISSUER, "sub": "dora"},
        "events": {base + kind: {"event_timestamp": now}},
    } | changed
    return assemble({"alg": "ES256", "typ": typ, "kid": "k1"}, claims, by)


class Doors:
    """Connections to each of the workers, kept open: what all of them answer."""

    def __init__(self, server: Server, workers: int = 2) -> None:
        self._server = server
        self._by_worker: dict[str, http.client.HTTPConnection] = {}
        until(lambda: self._found(workers), "a connection to each worker")

    def _found(self, workers: int) -> bool:
        spare = []
        for _ in range(16):
            if len(self._by_worker) == workers:
                break
            connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=10)
            worker = _ask(connection, "GET", "nobody").worker
            if worker in self._by_worker:
                spare.append(connection)
            else:
                self._by_worker[worker] = connection
        for each in spare:
            each.close()
        return len(self._by_worker) == workers

    def statuses(self, shown: str, method: str = "GET", record: str = "r1") -> list[int]:
        return [self.each(shown, method, record)[worker].status for worker in sorted(self._by_worker)]

    def each(self, shown: str, method: str = "GET", record: str = "r1") -> dict[str, SimpleNamespace]:
        return {worker: _ask(each, method, shown, record) for worker, each in self._by_worker.items()}

    def close(self) -> None:
        for each in self._by_worker.values():
            each.close()


def _ask(connection: http.client.HTTPConnection, method: str, shown: str, record: str = "r1") -> SimpleNamespace:
    connection.request(method, f"/ext_authz/fhir/Record/{record}", headers={"Authorization": f"Bearer {shown}"})
    answer = connection.getresponse()
    answer.read()
    identifier = answer.headers["x-pdp-decision"]
    return SimpleNamespace(
        status=answer.status, worker=identifier.partition("-")[0], challenge=answer.headers["WWW-Authenticate"]
    )


@pytest.fixture
def doors(server: Server) -> Iterator[Doors]:
    found = Doors(server)
    yield found
    found.close()


def manage(server: Server, method: str, path: str, payload: object = None, **headers: str) -> SimpleNamespace:
    usual = {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/json"}
    named = usual | {key.replace("_", "-"): value for key, value in headers.items()}
    return server.ask(method, path, None if payload is None else json.dumps(payload).encode(), named, server.management)


def revoke(server: Server, **members: Any) -> SimpleNamespace:
    return manage(server, "POST", "/api/revocations", {"issuer": ISSUER} | members)


def push(server: Server, sent: bytes, name: str = "idp", secret: str = TRANSMITTER_SECRET) -> SimpleNamespace:
    headers = {"Content-Type": "application/secevent+jwt", "Authorization": f"Bearer {secret}"}
    return server.ask("POST", f"/events/{name}", sent, headers, server.management)


def refused(doors: Doors, shown: str) -> Callable[[], bool]:
    return lambda: doors.statuses(shown) == [401, 401]


# ------------------------------------------------------------------------------------------------------------- the API


def test_checklist_23_a_revocation_is_in_force_in_every_worker_whatever_they_have_cached(
    server: Server, doors: Doors
) -> None:
    shown = token("dora", "api-1")
    for _ in range(5):
        assert doors.statuses(shown) == [200, 200]
    answer = revoke(server, subject="dora")
    assert answer.status == 201
    until(refused(doors, shown), "refused in both workers")
    assert 'error="invalid_token"' in next(iter(doors.each(shown).values())).challenge
    renewed = token("dora", "api-1")  # from the login of before
    assert doors.statuses(renewed) == [401, 401]
    now = int(time.time())
    again = token("dora", "api-2", iat=now + 2, auth_time=now + 2)
    assert doors.statuses(again) == [200, 200]


def test_it_is_in_force_at_the_grpc_door_too(server: Server) -> None:
    shown = token("nina", "grpc-1")
    message = check_request("/fhir/Record/r1", ("authorization", f"Bearer {shown}".encode())).SerializeToString()
    with asker(server.grpc) as envoy:
        assert envoy.raw(message).status.code == 0
        assert revoke(server, session="grpc-1").status == 201
        until(lambda: envoy.raw(message).status.code != 0, "refused over gRPC")
        assert envoy.raw(message).denied_response.status.code == 401


def test_each_kind_is_refused_and_nothing_else(server: Server, doors: Doors) -> None:
    one, other = token("nina", "kinds-1", "kinds-jti"), token("nina", "kinds-2")
    assert revoke(server, token="kinds-jti").status == 201
    until(refused(doors, one), "that token")
    assert doors.statuses(other) == [200, 200]
    assert revoke(server, session="kinds-2").status == 201
    until(refused(doors, other), "that session")
    assert doors.statuses(token("nina", "kinds-3")) == [200, 200]
    elsewhere = token("nina", "kinds-4", client_id="a-lost-client")
    assert revoke(server, client="a-lost-client").status == 201
    until(refused(doors, elsewhere), "that client")
    assert doors.statuses(token("nina", "kinds-4")) == [200, 200]


def test_the_same_again_is_the_same_revocation_and_the_list_has_it_once(server: Server) -> None:
    first = revoke(server, session="again", reason="a lost phone")
    second = revoke(server, session="again", reason="a lost phone")
    assert first.status == second.status == 201
    assert first.json == second.json
    assert first.json["not_before"] == "forever"
    listed, after = [], 0
    while after is not None:
        page = manage(server, "GET", f"/api/revocations?limit=1&after={after}").json
        listed += page["revocations"]
        after = page["next"]
    assert [each for each in listed if each["value"] == "again"] == [first.json]
    assert first.json["reason"] == "a lost phone"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b'{"issuer":"i","subject":"a","subject":"b"}',
        b'{"issuer":"i","subject":"s","x":1}',
        b'{"issuer":"*","session":null}',
    ],
)
def test_what_is_not_understood_is_400_and_names_the_member(server: Server, body: bytes) -> None:
    headers = {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/json"}
    assert server.ask("POST", "/api/revocations", body, headers, server.management).status == 400


def test_a_revocation_that_could_refuse_nobody_is_not_accepted(server: Server) -> None:
    answer = manage(server, "POST", "/api/revocations", {"issuer": ISSUER + "/", "subject": "dora"})
    assert (answer.status, answer.json["error"]["field"]) == (400, "issuer")
    assert manage(server, "POST", "/api/revocations", {"issuer": "*", "subject": "somebody"}).status == 201


def test_checklist_26_an_event_is_no_access_token(doors: Doors) -> None:
    assert doors.statuses(event().decode()) == [401, 401]
    assert (
        doors.statuses(event(typ="at+jwt", aud=AUDIENCE, exp=int(time.time()) + 60, sub="dora").decode()) == [401] * 2
    )


def test_only_the_operator_revokes_and_nobody_takes_it_back(server: Server) -> None:
    for headers in ({"Authorization": "Bearer wrong"}, {"Authorization": f"Bearer {TRANSMITTER_SECRET}"}):
        assert manage(server, "POST", "/api/revocations", {"issuer": "i", "subject": "s"}, **headers).status == 401
        assert manage(server, "GET", "/api/revocations", **headers).status == 401
    assert manage(server, "POST", "/api/revocations", {}, Content_Type="text/plain").status == 400
    assert manage(server, "DELETE", "/api/revocations").status == 405
    # On the plane that decides there is no such thing.
    assert server.ask("POST", "/api/revocations", b"{}").status == 404
    assert server.ask("POST", "/events/idp", b"").status == 404


def test_the_command_revokes(server: Server, doors: Doors) -> None:
    shown = token("nina", "command-1")
    assert doors.statuses(shown) == [200, 200]
    command = [sys.executable, "-m", "pdp", "revoke", "--issuer", ISSUER, "--session", "command-1"]
    done = subprocess.run(
        command, env=server.environment, cwd=server.directory, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "session command-1" in done.stdout
    until(refused(doors, shown), "refused in both workers")
    wrong = subprocess.run(
        [*command, "--not-before", "yesterday"], env=server.environment, cwd=ROOT, capture_output=True, text=True
    )
    assert wrong.returncode == 2


def test_a_line_in_the_file_is_in_force_and_stays_when_the_file_is_emptied(server: Server, doors: Doors) -> None:
    shown = token("nina", "file-1")
    assert doors.statuses(shown) == [200, 200]
    path = server.directory / "policies/revoked.jsonl"
    path.write_text(json.dumps({"issuer": ISSUER, "session": "file-1"}) + "\nbroken\n")
    until(refused(doors, shown), "refused in both workers")
    until(lambda: "the file of revocations" in server.ready()["problems"], "the broken line is said")
    path.write_text("")
    until(lambda: "the file of revocations" not in server.ready()["problems"], "mended")
    assert doors.statuses(shown) == [401, 401]


# ---------------------------------------------------------------------------------------------------------- the events


def test_an_event_ends_a_session_in_every_worker(server: Server, doors: Doors) -> None:
    shown = token("nina", "caep-1")
    assert doors.statuses(shown) == [200, 200]
    subject = {
        "format": "complex",
        "user": {"format": "iss_sub", "iss": ISSUER, "sub": "nina"},
        "session": {"format": "opaque", "id": "caep-1"},
    }
    answer = push(server, event(sub_id=subject))
    assert (answer.status, answer.body) == (202, b"")
    until(refused(doors, shown), "refused in both workers")
    assert doors.statuses(token("nina", "caep-2")) == [200, 200]


def test_the_stream_is_verified(server: Server) -> None:
    sent = event(
        "verification",
        SSF,
        sub_id={"format": "opaque", "id": "stream-1"},
        events={SSF + "verification": {"state": "abc"}},
    )
    assert push(server, sent).status == 202


def test_checklist_26_forged_and_misdirected_events_end_nothing(server: Server, doors: Doors) -> None:
    shown = token("otto", "forged-1")
    subject = {"format": "iss_sub", "iss": ISSUER, "sub": "otto"}
    for code, sent in (
        ("authentication_failed", event(by=Signer("ES256", "k1"), sub_id=subject)),
        ("invalid_audience", event(aud="https://elsewhere.example", sub_id=subject)),
        ("invalid_issuer", event(iss="https://elsewhere.example", sub_id=subject)),
        ("invalid_request", event(typ="at+jwt", sub_id=subject)),
        ("invalid_request", event(iat=int(time.time()) + 3_600, sub_id=subject)),
        ("access_denied", event(sub_id=subject | {"iss": "https://elsewhere.example"})),
        ("invalid_request", b"nonsense"),
        ("invalid_request", token("otto").encode()),
    ):
        answer = push(server, sent)
        assert (answer.status, answer.json["err"]) == (400, code)
        assert answer.json["description"]
    assert push(server, event(sub_id=subject), secret="wrong").status == 401
    assert push(server, event(sub_id=subject), secret=SECRET).status == 401
    assert push(server, event(sub_id=subject), name="nobody").status == 404
    wrong = {"Content-Type": "application/jwt", "Authorization": f"Bearer {TRANSMITTER_SECRET}"}
    assert server.ask("POST", "/events/idp", event(sub_id=subject), wrong, server.management).status == 400
    assert not any(each["value"] == "otto" for each in _all(server))
    assert doors.statuses(shown) == [403, 403]  # known and alive, though no rule is for him


def test_an_event_does_not_open_the_operators_doors(server: Server) -> None:
    headers = {"Authorization": f"Bearer {TRANSMITTER_SECRET}"}
    for path in ("/events/../api/revocations", "/events/idp/../../api/revocations", "//events/idp", "/events/"):
        assert server.ask("GET", path, None, headers, server.management).status in (301, 308, 401, 404, 405)


def _all(server: Server) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = manage(server, "GET", "/api/revocations?limit=1000").json["revocations"]
    return found


# -------------------------------------------------------------------------------------------------------------- step-up


def test_a_deny_that_a_stronger_login_lifts_is_a_challenge(server: Server, doors: Doors) -> None:
    weak, strong = token("nina", "weak"), token("nina", "strong", acr="urn:hospital:mfa")
    assert doors.statuses(weak) == [200, 200]
    for answer in doors.each(weak, "PUT").values():
        assert answer.status == 401
        assert 'error="insufficient_user_authentication"' in answer.challenge
        assert 'acr_values="urn:hospital:mfa"' in answer.challenge
        assert 'max_age="300"' in answer.challenge
    assert doors.statuses(strong, "PUT") == [200, 200]
    # What stays denied after a stronger login is no reason to log in.
    for answer in doors.each(weak, "PUT", "sealed").values():
        assert (answer.status, answer.challenge) == (403, None)


# ------------------------------------------------------------------------------------------------ kill -9, and restart


def test_what_was_answered_survives_kill_9_of_everything(tmp_path: Path) -> None:
    server = two_workers(tmp_path, SETTINGS.replace("idle_seconds = 3\n", "")).start()
    shown, sent = token("dora", "kill-1"), event()
    try:
        doors = Doors(server)
        assert doors.statuses(shown) == [200, 200]
        assert push(server, sent).status == 202
        assert server.process is not None
        pids = [*descendants(server.process.pid), server.process.pid]
        assert revoke(server, session="kill-2").status == 201
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        server.process.wait(timeout=20)
        doors.close()
        server.start()
        doors = Doors(server)
        assert doors.statuses(shown) == [401, 401]  # from the first answer on
        assert doors.statuses(token("nina", "kill-2")) == [401, 401]
        # The event once more: acknowledged, and no jti of the past is good for another event.
        assert push(server, sent).status == 202
        said = json.loads(_payload(sent)) | {"sub_id": {"format": "iss_sub", "iss": ISSUER, "sub": "nina"}}
        again = push(server, event(**said))
        assert (again.status, again.json["err"]) == (400, "invalid_request")
        assert doors.statuses(token("nina", "kill-3")) == [200, 200]
        doors.close()
    finally:
        server.stop()


def _payload(sent: bytes) -> bytes:
    from base64 import urlsafe_b64decode

    part = sent.split(b".")[1]
    return urlsafe_b64decode(part + b"=" * (-len(part) % 4))


def test_use_in_one_worker_keeps_a_session_alive_in_the_other_and_idleness_ends_it_in_both(tmp_path: Path) -> None:
    server = two_workers(tmp_path).start()
    try:
        doors = Doors(server)
        here, there = doors._by_worker.values()
        shown = token("dora", "idle-1", iat=int(time.time()))
        began = time.monotonic()
        assert _ask(there, "GET", shown).status == 200
        # Longer than the limit, in one worker alone.
        until(lambda: _ask(here, "GET", shown).status != 200 or time.monotonic() - began > 5, "five seconds of use")
        assert _ask(there, "GET", shown).status == 200
        rested = time.monotonic()
        until(lambda: time.monotonic() - rested > 3.2, "a rest that is longer than the limit")
        assert _ask(here, "GET", shown).status == 401
        assert _ask(there, "GET", shown).status == 401
        now = int(time.time())
        assert doors.statuses(token("dora", "idle-1", iat=now, auth_time=now - 60)) == [401, 401]  # renewed
        doors.close()
        server.stop()
        server.start()
        doors = Doors(server)
        assert doors.statuses(token("dora", "idle-1", iat=now, auth_time=now - 60)) == [401, 401]
        assert doors.statuses(token("dora", "idle-2", iat=int(time.time()))) == [200, 200]
        doors.close()
        assert {each["detail"] for each in server.records() if each.get("reason") == "session_ended"} == {"idle"}
    finally:
        server.stop()


def test_a_damaged_store_is_a_reason_not_to_start(tmp_path: Path) -> None:
    server = two_workers(tmp_path)
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state/sessions.db").write_bytes(b"not a database" * 999)
    server.start(wait=False)
    assert server.process is not None
    assert server.process.wait(timeout=20) == 2
    assert "state_dir" in server.log.read_text()
    assert "sessions.db" in server.log.read_text()


def test_when_the_store_is_taken_away_the_api_says_so_and_ready_too(tmp_path: Path) -> None:
    with serving(tmp_path, write_policies(tmp_path / "policies"), PDP_WORKERS="1") as server:
        headers = {"Content-Type": "application/json", "Host": f"127.0.0.1:{server.management}"}
        body = json.dumps({"issuer": ISSUER, "subject": "dora"}).encode()
        ask: Callable[[], SimpleNamespace] = lambda: server.ask(  # noqa: E731
            "POST", "/api/revocations", body, headers, server.management
        )
        assert ask().status == 201
        (tmp_path / "state/sessions.db").unlink()
        assert ask().status == 503
        until(lambda: "sessions" in server.ready()["problems"], "said by /ready")
