"""Real tokens with SMART scopes, and JWT-SVIDs, at a real server: what they were not granted they do not get."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.service.server import Server, serving
from tests.unit.identity import tokens

pytestmark = pytest.mark.service

POLICY = """\
module ward
entity Person as "user" { scopes_matter: Bool? }
entity Service as "service"
entity Patient
entity Observation { patient: Patient }
action read, update, search on Observation by Person, Service
action read, everything on Patient by Person
route GET "/fhir/Patient/{patient}" does read on Patient patient
route GET "/fhir/Patient/{patient}/$everything" does everything on Patient patient
route GET "/fhir/Observation" does search on Observation "all" query "category"?, "_include"?
route GET "/fhir/Observation/{observation}" does read on Observation observation
route PUT "/fhir/Observation/{observation}" does update on Observation observation
route GET "/fhir/Patient/{patient}/Observation/{observation}" does read on Observation observation
    with patient = Patient patient
# Everything is permitted to everybody: what is refused here is refused by scopes.
permit any on any as whoever-asks "All" cites "45 CFR 164.506(c)" when subject == subject
"""

DATA = [
    {"type": "user", "id": "anna", "attributes": {}},
    {"type": "Patient", "id": "mine", "attributes": {}},
    {"type": "Patient", "id": "theirs", "attributes": {}},
    {"type": "Observation", "id": "o-mine", "attributes": {"patient": "mine"}},
    {"type": "Observation", "id": "o-theirs", "attributes": {"patient": "theirs"}},
]

SETTINGS = f"""\
[pep.envoy]
door = "ext_authz"
may_assert = []

[issuer.idp]
issuer = "{tokens.ISSUER}"
audience = "{tokens.AUDIENCE}"
keys_file = "keys.json"
profile = "smart"
algorithms = ["ES256"]

[issuer.mesh]
token = "svid"
issuer = "hospital.example"
audience = "{tokens.AUDIENCE}"
keys_file = "svid-keys.json"
algorithms = ["ES256"]

[trust_domain."hospital.example"]
subject_type = "service"
paths = ["/ns/*/sa/*"]

[smart.needs]
"everything on Patient" = ["Patient.r", "Observation.s"]
"""
SVIDS = tokens.Signer("ES256", "s1")
WORKLOAD = "spiffe://hospital.example/ns/prod/sa/lab"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("smart")
    policies: Path = directory / "policies"
    (policies / "data").mkdir(parents=True)
    (policies / "ward.ward").write_text(POLICY)
    (policies / "data/all.json").write_text(json.dumps(DATA))
    (policies / "pdp.toml").write_text(SETTINGS)
    (policies / "keys.json").write_text(json.dumps({"keys": [tokens.signer().jwk()]}))
    (policies / "svid-keys.json").write_text(json.dumps({"keys": [SVIDS.jwk(use="jwt-svid")]}))
    with serving(directory, policies) as server:
        yield server


def times() -> dict[str, int]:
    now = int(time.time())
    return {"iat": now - 10, "exp": now + 300}


def asked(server: Server, target: str, token: bytes, method: str = "GET") -> str:
    """ "" for an allow, else the word in the record."""
    headers = {"Authorization": f"Bearer {token.decode()}", "Host": "ehr.example"}
    answer = server.ask(method, "/ext_authz" + target, headers=headers)
    record = server.records()[-1]
    if answer.status == 200:
        return ""
    assert answer.status in (401, 403)
    assert "authorization" not in json.dumps(record).lower()
    return str(record.get("detail") or record["reason"])


def scoped(server: Server, scope: str | None, target: str, method: str = "GET", **claims: Any) -> str:
    said = times() | {"sub": "anna", "scope": scope} | claims
    return asked(server, target, tokens.token(**said), method)


MINE, THEIRS = "/fhir/Observation/o-mine", "/fhir/Observation/o-theirs"


def test_a_scope_lets_through_what_it_names(server: Server) -> None:
    assert scoped(server, "user/Observation.r", THEIRS) == ""
    assert scoped(server, "patient/Observation.rs", MINE, patient="mine") == ""
    assert scoped(server, "openid patient/*.read", "/fhir/Patient/mine", patient="mine") == ""


@pytest.mark.parametrize(
    "scope",
    [
        "openid",
        "user/Observation.s",
        "user/Patient.cruds",
        "user/Observation.sr",
        "user/Observation.Read",
        "USER/Observation.r",
        "user/Observation.r?category=lab",
        "user/Observation.write",
    ],
)
def test_checklist_25_what_a_scope_does_not_name_is_refused_though_every_rule_permits(
    server: Server, scope: str
) -> None:
    assert scoped(server, scope, MINE) in ("scope-not-granted", "scope-is-constrained")


def test_checklist_25_the_data_of_another_patient_stay_out_of_reach(server: Server) -> None:
    whole = "patient/*.cruds"
    assert scoped(server, whole, THEIRS, patient="mine") == "patient-of-another"
    assert scoped(server, whole, "/fhir/Patient/theirs", patient="mine") == "patient-of-another"
    assert scoped(server, whole, "/fhir/Patient/mine/Observation/o-theirs", patient="mine") == "patient-of-another"
    assert scoped(server, whole, "/fhir/Observation/o-new", "PUT", patient="mine") == "patient-not-known"
    assert scoped(server, whole, "/fhir/Observation", patient="mine") == "patient-not-known"
    assert scoped(server, whole, MINE) == "patient-not-known"
    assert scoped(server, whole, MINE, patient="Mine") == "patient-of-another"


def test_checklist_25_a_put_needs_u(server: Server) -> None:
    assert scoped(server, "user/Observation.cr", MINE, "PUT") == "scope-not-granted"
    assert scoped(server, "user/Observation.u", MINE, "PUT") == ""


def test_checklist_25_everything_needs_what_the_settings_say(server: Server) -> None:
    target = "/fhir/Patient/mine/$everything"
    assert scoped(server, "patient/Patient.r", target, patient="mine") == "scope-not-granted"
    assert scoped(server, "patient/Patient.r patient/Observation.s", target, patient="mine") == ""


def test_checklist_25_a_constrained_search(server: Server) -> None:
    scope = "user/Observation.s?category=laboratory"
    assert scoped(server, scope, "/fhir/Observation?category=laboratory") == ""
    assert scoped(server, scope, "/fhir/Observation?category=laboratory,vital-signs") == "scope-is-constrained"
    assert scoped(server, scope, "/fhir/Observation") == "scope-is-constrained"
    assert scoped(server, "user/*.cruds", "/fhir/Observation?_include=*") == "no-scope-for-this"


def svid(by: tokens.Signer = SVIDS, header: dict[str, Any] | None = None, **changed: Any) -> bytes:
    said = times() | {"sub": WORKLOAD, "aud": [tokens.AUDIENCE]} | changed
    return tokens.assemble({"alg": "ES256", "kid": "s1", "typ": "JWT", **(header or {})}, said, by)


def test_a_workload_with_a_jwt_svid(server: Server) -> None:
    assert asked(server, MINE, svid()) == ""
    assert server.records()[-1]["subject"] == {"type": "service", "id": WORKLOAD}


def test_checklist_19_a_jwt_svid_of_another_domain_path_or_signer_is_nobody(server: Server) -> None:
    for refused in (
        svid(sub="spiffe://hospital.example.evil/ns/prod/sa/lab"),
        svid(sub="spiffe://hospital.example/admin"),
        svid(sub="spiffe://hospital.example/ns/prod/sa/../lab"),
        svid(aud=["https://elsewhere.example"]),
        svid(header={"jku": "https://evil.example/keys"}),
        svid(header={"typ": "at+jwt"}),
        svid(by=tokens.Signer("ES256", "s1")),
        svid(by=tokens.signer(), header={"kid": "k1"}),
        tokens.token(**times(), sub=WORKLOAD),
        tokens.token(by=SVIDS, **times()),
    ):
        assert asked(server, MINE, refused) not in ("", "no_rule")
        assert "subject" not in server.records()[-1]
