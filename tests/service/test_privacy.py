"""What the log of a running service says to whoever has no keys: asked at every door, about real patients."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pdp.audit.leaf import CLEAR, ERASED, Leaf, leaves
from pdp.audit.veil.privacy import Keys, vault_of
from tests.service.asker import asker
from tests.service.server import ROOT, Server, serving, until
from tests.unit.doors.asking import check_request

pytestmark = pytest.mark.service

DOORS = {
    "authzen": 'door = "authzen"\nsearch = true\nmay_assert = ["context.purpose"]\nfields = true\n',
    "ext_authz": 'door = "ext_authz"\nmay_assert = []\n',
    "grpc": 'door = "grpc"\nmay_assert = []\n',
    "forward_auth": 'door = "forward_auth"\nconvention = "traefik"\nmay_assert = []\n',
    "opa-envoy": 'door = "opa"\nopa_input = "envoy"\nmay_assert = []\n',
    "opa-authzen": 'door = "opa"\nopa_input = "authzen"\nmay_assert = []\n',
}
SECRETS = {name: f"a-secret-of-{name}-and-nobody-else" for name in DOORS}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SAID = {"X-Request-ID": "request-0815", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
HIDDEN = ("pat-100", "pat-200", "pat-300", "rec-1001", "rec-3001", "anna", "MRN-4711", "note-of-somebody")
RULED = ("no_rule", "forbidden", "indeterminate", "undeclared")
DOCTOR = {"type": "user", "id": "dr-osei"}


def policies(directory: Path) -> Path:
    shutil.copytree(ROOT / "policies/hospital", directory)
    text = 'audit_patient_subject_types = ["member"]\n'
    for name, said in DOORS.items():
        (directory / f"{name}.secret").write_text(SECRETS[name])
        text += f'[pep.{name}]\nsecret_file = "{name}.secret"\n{said}'
    (directory / "pdp.toml").write_text(text)
    return directory


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("privacy")
    where = policies(directory / "policies")
    with serving(directory, where, PDP_TRUST_UNVERIFIED_SUBJECT_HEADER="x-user", PDP_WORKERS="2") as running:
        ask_at_every_door(running)
        yield running


def ask_at_every_door(server: Server) -> None:
    def post(pep: str, path: str, payload: object) -> Any:
        return server.ask(
            "POST",
            path,
            json.dumps(payload).encode(),
            {"Content-Type": "application/json", "X-Pdp-Secret": SECRETS[pep], **SAID},
        )

    def asked(subject: object, action: str, kind: str, identifier: str, **more: object) -> dict[str, Any]:
        return {"subject": subject, "action": {"name": action}, "resource": {"type": kind, "id": identifier}, **more}

    treat = {"context": {"purpose": "TREAT"}}
    for _ in range(3):  # From the cache, too.
        post("authzen", "/access/v1/evaluation", asked(DOCTOR, "read", "Record", "rec-1001", **treat))
    post("authzen", "/access/v1/evaluation", asked(DOCTOR, "read", "Record", "rec-3001"))
    post("authzen", "/access/v1/evaluation", asked({"type": "member", "id": "anna"}, "read", "Patient", "pat-100"))
    post("authzen", "/access/v1/evaluation", asked({"type": "Patient", "id": "pat-100"}, "read", "Patient", "pat-100"))
    post("authzen", "/access/v1/evaluation", asked(DOCTOR, "read MRN-4711", "Record", "rec-1001"))
    post("authzen", "/access/v1/evaluation", asked(DOCTOR, "read", "note-of-somebody", "MRN-4711"))
    post(
        "authzen", "/access/v1/evaluation", asked(DOCTOR, "read", "Record", "MRN-4711", context={"purpose": "MRN-4711"})
    )
    each = [{"resource": {"type": "Record", "id": name}} for name in ("rec-1001", "rec-3001", "MRN-4711")]
    post(
        "authzen",
        "/access/v1/evaluations",
        asked(DOCTOR, "read", "Record", "rec-1001", evaluations=[*each, {"resource": 1}]),
    )
    search = {"subject": DOCTOR, "action": {"name": "read"}, "resource": {"type": "Patient"}}
    assert post("authzen", "/access/v1/search/resource", search).json["results"]
    post("authzen", "/access/v1/search/subject", asked({"type": "user"}, "read", "Patient", "pat-100"))
    post("authzen", "/access/v1/search/action", {"subject": DOCTOR, "resource": {"type": "Patient", "id": "pat-100"}})
    post("authzen", "/access/v1/evaluation", {"subject": DOCTOR, "MRN-4711": 1})
    post("opa-authzen", "/v1/data/chaperone", {"input": asked(DOCTOR, "read", "Record", "rec-1001")})
    path = "/fhir/Patient/pat-100/Record/rec-1001"
    http = {
        "method": "GET",
        "path": path,
        "host": "ehr",
        "headers": {"x-user": "dr-osei", "x-request-id": "request-0815"},
    }
    post("opa-envoy", "/v1/data/chaperone", {"input": {"attributes": {"request": {"http": http}}}})
    for target in (path, "/fhir/Patient/pat-200", "/nowhere/MRN-4711", "/fhir/Patient/pat-300/../pat-100"):
        client = {"Host": "ehr", "x-user": "dr-osei", **SAID}
        server.ask("GET", f"/ext_authz{target}", None, {"X-Pdp-Secret": SECRETS["ext_authz"], **client})
        server.ask("MRN-4711", f"/ext_authz{target}", None, {"X-Pdp-Secret": SECRETS["ext_authz"], **client})
        server.ask("GET", f"/ext_authz{target}", None, {"X-Pdp-Secret": "nobody's", **client})
        forwarded = {"X-Forwarded-Method": "GET", "X-Forwarded-Host": "ehr", "X-Forwarded-Uri": target}
        server.ask("GET", "/forward-auth", None, {"X-Pdp-Secret": SECRETS["forward_auth"], **forwarded, **client})
        with asker(server.grpc) as envoy:
            lines = [(name.lower(), value.encode()) for name, value in SAID.items()]
            message = check_request(target, ("x-user", b"dr-osei"), *lines)
            envoy.raw(message.SerializeToString(), ("x-pdp-secret", SECRETS["grpc"]))


def found(server: Server) -> list[Leaf]:
    vault = vault_of(server.audit)
    assert vault is not None
    return list(leaves(server.audit, Keys(vault)))


def decisions(server: Server, **wanted: str) -> list[Leaf]:
    every = [each for each in found(server) if each.kind == "decision"]
    return [each for each in every if all(each.members[name] == value for name, value in wanted.items())]


def test_no_file_of_the_log_names_a_patient_or_what_they_have(server: Server) -> None:
    files = [each for each in server.audit.rglob("*") if each.is_file()]
    assert any(each.suffix == ".wal" for each in files)
    until(lambda: any("entries" in each.parts for each in server.audit.rglob("*")), "sealed")
    for path in server.audit.rglob("*"):
        if "policies" in path.relative_to(server.audit).parts:
            continue  # The policy sets that were in force: their own tests name people.
        data = path.read_bytes() if path.is_file() else b""
        for name in HIDDEN:
            assert name.encode() not in data, (path, data[data.find(name.encode()) - 300 :][:400])


def test_with_the_keys_every_record_opens_and_names_whom_it_is_about(server: Server) -> None:
    every = decisions(server)
    assert {each.opened for each in every} == {CLEAR}
    assert {each.members["door"] for each in every} == {"authzen", "ext_authz", "forward_auth", "grpc", "opa"}
    told = {json.dumps(dict(each.detail)) for each in every}
    for name in HIDDEN:
        if name not in ("pat-200", "MRN-4711"):
            assert any(name in each for each in told), name
    for door in ("authzen", "ext_authz", "forward_auth", "grpc", "opa"):
        of = [each.detail for each in decisions(server, door=door)]
        assert {"id": "pat-100"} in [each.get("patient") for each in of], door


def test_a_patient_is_followed_by_pseudonym_at_every_door(server: Server) -> None:
    vault = vault_of(server.audit)
    assert vault is not None
    names = Keys(vault).names("Patient", "pat-100")
    seen = {each.members["door"] for each in decisions(server) if each.members.get("res", {}).get("patient_p") in names}
    assert seen == {"authzen", "ext_authz", "forward_auth", "grpc", "opa"}


def test_what_every_record_of_a_decision_says(server: Server) -> None:
    """R53: who, what, when, where from, what came of it, by which rules."""
    kinds = {
        "allow": [each for each in decisions(server) if each.members["dec"]["effect"] == "allow"],
        "deny": [each for each in decisions(server) if each.members["dec"]["reason"] in RULED],
        "refusal": [each for each in decisions(server) if each.members["dec"]["reason"] in ("no_route", "unknown_pep")],
        "search": [each for each in decisions(server) if "search" in each.members],
        "batch": [each for each in decisions(server) if "." in each.id],
    }
    for kind, those in kinds.items():
        assert those, kind
        for each in those:
            said = each.members
            always = {"v", "id", "kind", "ts", "stream", "seq", "prev", "door", "pep", "dec", "n", "detail"}
            assert always <= said.keys(), kind
            assert {"effect", "reason", "rule", "bundle"} <= said["dec"].keys()
            assert said["stream"]
            assert each.time > 0
            if said["dec"]["reason"] not in ("unknown_pep", "no_route", "bad_request"):
                assert {"type"} <= said["sub"].keys()
                assert {"action", "verb"} <= said["act"].keys()
                assert {"type"} <= said["res"].keys()
                assert said["dec"]["bundle"]["sha256"]
            if said["dec"]["reason"] != "unknown_pep":
                assert said["ctx"]["request_id"] == "request-0815"
            if said["door"] in ("ext_authz", "forward_auth", "grpc") and said["dec"]["reason"] != "unknown_pep":
                assert said["act"]["method"] in ("GET", "other")
                assert said["ctx"]["trace"] == TRACE


def test_a_proxied_request_is_on_record_by_its_route_and_never_by_its_path(server: Server) -> None:
    (first, *_) = [each for each in decisions(server, door="ext_authz") if each.members["dec"]["effect"] == "allow"]
    assert first.members["act"] == {
        "action": "read",
        "verb": "R",
        "method": "GET",
        "route": "/fhir/Patient/{patient}/Record/{record}",
    }


def test_the_purpose_that_was_asserted_and_where_the_answer_came_from_are_on_record(server: Server) -> None:
    of = [
        each.members for each in decisions(server, door="authzen") if each.members.get("pou") == {"asserted": "TREAT"}
    ]
    assert len(of) == 3
    assert False in [each["dec"]["cache_hit"] for each in of]
    every = [each.members["dec"].get("cache_hit") for each in decisions(server) if "rule" in each.members["dec"]]
    assert True in every


def test_a_policy_set_is_on_record_before_the_first_decision_by_it(server: Server) -> None:
    (activated,) = [each for each in found(server) if each.kind == "policy.activate"]
    first = min(each.time for each in decisions(server))
    bundles = {each.members["dec"]["bundle"]["sha256"] for each in decisions(server)} - {""}
    assert {activated.members["bundle"]["sha256"]} == bundles
    assert activated.members["rules"] > 20
    assert activated.time <= first


def test_the_keys_are_for_their_owner_alone(server: Server) -> None:
    for path in (server.audit / "privacy").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_workers_take_a_new_epoch_without_a_restart_and_erased_days_stay_sealed(server: Server) -> None:
    vault = vault_of(server.audit)
    assert vault is not None
    vault.rotate_pseudonyms()

    def renamed() -> bool:
        server.ask(
            "GET",
            "/ext_authz/fhir/Patient/pat-100",
            None,
            {"Host": "ehr", "x-user": "dr-osei", "X-Pdp-Secret": SECRETS["ext_authz"]},
        )
        of = [
            each.members["res"]["patient_p"] for each in decisions(server) if "patient_p" in each.members.get("res", {})
        ]
        return any(name.startswith("p2-") for name in of)

    until(renamed, "a record under the new epoch")
    names = Keys(vault).names("Patient", "pat-100")
    seen = {each.members["res"].get("patient_p") for each in decisions(server) if "res" in each.members}
    assert len(names & seen) == 2
    today = next(each for each in vault.days() if not each.erased)
    vault.erase(today.kid, "now")

    def again() -> bool:
        renamed()
        return CLEAR in {
            each.opened for each in decisions(server) if each.members["detail"].get("kid") not in (None, today.kid)
        }

    until(again, "a record under another key")
    assert ERASED in {each.opened for each in decisions(server)}


def test_keys_that_others_may_read_keep_it_from_starting(tmp_path: Path) -> None:
    server = Server(tmp_path, policies(tmp_path / "policies"))
    server.start().stop()
    (server.audit / "privacy/master.key").chmod(0o644)
    process = server.start(wait=False).process
    assert process is not None
    assert process.wait(20) != 0
    assert "open to others" in server.log.read_text()
