"""What an application sends along with its question: the subject's own token, and what it can carry out."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from tests.service.server import Server, serving
from tests.unit.identity import tokens

pytestmark = pytest.mark.service

POLICY = """\
module ward

obligation notification(to: Text, body: Text, topic: Text)
obligation watermark(text: Text)

entity Person as "user" { role: Text? from token, level: Text? from token }
entity Patient
entity Observation as "observation" { patient: Patient, tagged: Bool, secret: Bool }

action read, share, sign on Observation by Person

permit read on Observation as nurses-read
    "Nurses read"
    cites "45 CFR 164.506(c)"
    when subject has role and subject.role == "nurse"

permit share on Observation as nurses-share
    "Nurses share, and privacy hears of it"
    cites "45 CFR 164.506(c)"
    when subject has role and subject.role == "nurse" and not resource.tagged
    require notification(to: "privacy", body: "shared", topic: "sharing")
    advise watermark(text: "copy")

permit share on Observation as tagged-share
    "What is tagged is shared with a watermark"
    cites "45 CFR 164.506(c)"
    when subject has role and subject.role == "nurse" and resource.tagged
    require watermark(text: "tagged")

permit sign on Observation as nurses-sign
    "Nurses sign"
    cites "45 CFR 164.506(c)"
    when subject has role and subject.role == "nurse"

forbid sign on Observation as sign-strongly
    "Who signs has logged in with two factors"
    cites "45 CFR 164.312(d)"
    unless subject has level and subject.level == "high"
    cure step_up

forbid any on Observation as secret
    "What is secret is closed"
    cites "45 CFR 164.522(a)"
    when resource.secret
"""

DATA = [
    {"type": "user", "id": "nina", "attributes": {}},
    {"type": "user", "id": "mallory", "attributes": {}},
    {"type": "Patient", "id": "p1", "attributes": {}},
    {"type": "Patient", "id": "p2", "attributes": {}},
    *(
        {"type": "observation", "id": name, "attributes": {"patient": patient, "tagged": tagged, "secret": secret}}
        for name, patient, tagged, secret in (
            ("o1", "p1", False, False),
            ("o2", "p1", True, False),
            ("o3", "p2", False, False),
            ("o4", "p2", False, True),
        )
    ),
]

SETTINGS = f"""\
metadata_key_file = "metadata.pem"
public_url = "https://pdp.example/tenant1"

[pep.portal]
secret_file = "portal.secret"
door = "authzen"
search = true
fields = true
obligations = ["notification", "watermark"]

[pep.strict]
secret_file = "strict.secret"
door = "authzen"
search = true
subject_token = "required"

[issuer.idp]
issuer = "{tokens.ISSUER}"
audience = "{tokens.AUDIENCE}"
keys_file = "keys.json"
profile = "smart"
algorithms = ["ES256"]
claims = {{ role = "role", level = "level" }}

[sessions]
step_up_acr_values = ["urn:hospital:loa3"]
step_up_amr_values = ["mfa"]

[smart.needs]
"read on observation" = ["Observation.r"]
"share on observation" = ["Observation.r"]
"sign on observation" = ["Observation.u"]
"""
METADATA_KEY = tokens.Signer("ES256", None)
SECRETS = {"portal": "portal-secret-0123456789", "strict": "strict-secret-0123456789"}


def pem(signer: tokens.Signer) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return bytes(signer.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("tokens")
    policies: Path = directory / "policies"
    (policies / "data").mkdir(parents=True)
    (policies / "ward.ward").write_text(POLICY)
    (policies / "data/all.json").write_text(json.dumps(DATA))
    (policies / "pdp.toml").write_text(SETTINGS)
    (policies / "keys.json").write_text(json.dumps({"keys": [tokens.signer().jwk()]}))
    (policies / "metadata.pem").write_bytes(pem(METADATA_KEY))
    for name, secret in SECRETS.items():
        (policies / f"{name}.secret").write_text(secret)
    with serving(directory, policies) as server:
        yield server


def token(sub: str = "nina", **claims: Any) -> str:
    now = int(time.time())
    said = {"sub": sub, "iat": now - 10, "exp": now + 300, "role": "nurse", "scope": "user/*.cruds"} | claims
    return tokens.token(**said).decode()


def question(action: str = "read", record: str = "o1", subject: str = "nina", **more: Any) -> dict[str, Any]:
    return {
        "subject": {"type": "user", "id": subject},
        "action": {"name": action},
        "resource": {"type": "observation", "id": record},
    } | more


def ask(server: Server, payload: object, subject_token: str = "", pep: str = "portal", path: str = "evaluation") -> Any:
    headers = {"X_Pdp_Secret": SECRETS[pep]} | ({"x_pdp_subject_token": subject_token} if subject_token else {})
    return server.post(f"/access/v1/{path}", payload, **headers)


def told(answer: Any) -> tuple[bool, str]:
    assert answer.status == 200, answer.body
    return answer.json["decision"], answer.json["context"]["reasons"][0]["code"]


# ---------------------------------------------------------------------------------------------------------- the token


def test_what_only_a_token_says_is_known_with_the_token_alone(server: Server) -> None:
    assert told(ask(server, question())) == (False, "indeterminate")
    answer = ask(server, question(), token())
    assert told(answer) == (True, "permitted")
    assert answer.headers["cache-control"] == "no-store"
    record = server.records()[-1]
    assert (record["subject"], record["identity"]["issuer"]) == ({"type": "user", "id": "nina"}, tokens.ISSUER)


def test_checklist_28_what_the_caller_says_never_stands_in_for_the_token(server: Server) -> None:
    forged = {"subject": {"type": "user", "id": "nina", "properties": {"role": "nurse"}}}
    assert told(ask(server, question() | forged)) == (False, "indeterminate")
    assert server.records()[-1]["discarded"] == ["subject.role"]
    assert told(ask(server, question() | forged, token(role="cook"))) == (False, "no_rule")


def test_a_token_of_somebody_else_is_a_deny(server: Server) -> None:
    assert told(ask(server, question(subject="mallory"), token())) == (False, "unauthenticated")
    assert server.records()[-1]["detail"] == "another-subject"
    asked = question() | {"subject": {"type": "patient", "id": "nina"}}
    assert told(ask(server, asked, token())) == (False, "unauthenticated")


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        ("x", "malformed-token"),
        (token(exp=1), "expired"),
        (token(iss="https://elsewhere.example"), "unknown-issuer"),
        (token()[:-4] + "AAAA", "bad-signature"),
        (token(aud="https://elsewhere.example"), "wrong-audience"),
    ],
)
def test_a_token_that_proves_nothing_is_a_deny_and_never_recorded_itself(server: Server, bad: str, word: str) -> None:
    assert told(ask(server, question(), bad)) == (False, "unauthenticated")
    record = server.records()[-1]
    assert record["reason"] == "unauthenticated"
    assert record["detail"] in (word, "malformed-token")
    assert bad not in json.dumps(server.records()[-1]) or bad == "x"


def test_two_tokens_are_a_bad_request(server: Server) -> None:
    headers = [("Content-Type", "application/json"), ("x-pdp-secret", SECRETS["portal"])]
    body = json.dumps(question()).encode()
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.putrequest("POST", "/access/v1/evaluation")
    for name, value in (*headers, ("x-pdp-subject-token", token()), ("x-pdp-subject-token", token())):
        connection.putheader(name, value)
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    response = connection.getresponse()
    assert response.status == 400
    assert json.loads(response.read())["error"]["field"] == "x-pdp-subject-token"
    connection.close()


def test_a_token_that_is_required_and_missing_is_a_deny(server: Server) -> None:
    assert told(ask(server, question(), pep="strict")) == (False, "unauthenticated")
    assert server.records()[-1]["detail"] == "no-subject-token"
    assert told(ask(server, question(), token(), pep="strict")) == (True, "permitted")


def test_in_a_batch_the_token_is_for_its_own_subject_alone(server: Server) -> None:
    payload = {"evaluations": [question(), question(subject="mallory"), question("share")]}
    answer = ask(server, payload, token(), path="evaluations")
    assert [each["decision"] for each in answer.json["evaluations"]] == [True, False, True]


def test_checklist_25_scopes_of_the_token_narrow_what_is_asked(server: Server) -> None:
    narrow = {"scope": "patient/Observation.r", "patient": "p1"}
    assert told(ask(server, question(record="o1"), token(**narrow))) == (True, "permitted")
    assert told(ask(server, question(record="o3"), token(**narrow))) == (False, "insufficient_scope")
    assert told(ask(server, question("sign"), token(**narrow, level="high"))) == (False, "insufficient_scope")


# ------------------------------------------------------------------------------------------------------------- search


def search(
    server: Server, payload: dict[str, Any], subject_token: str = "", kind: str = "resource", **more: Any
) -> Any:
    answer = ask(server, payload, subject_token, path=f"search/{kind}", **more)
    assert answer.status == 200, answer.body
    return answer.json


def ids(found: Any) -> list[str]:
    return [each.get("id") or each["name"] for each in found["results"]]


def test_a_search_knows_what_the_token_says_and_stays_within_its_scopes(server: Server) -> None:
    asked = question()
    del asked["resource"]["id"]
    assert ids(search(server, asked)) == []
    assert search(server, asked)["context"]["undecided"] == 3
    assert ids(search(server, asked, token())) == ["o1", "o2", "o3"]
    assert ids(search(server, asked, token(scope="patient/Observation.r", patient="p1"))) == ["o1", "o2"]
    assert ids(search(server, asked, token(scope="user/Patient.r"))) == []
    of_actions = {"subject": asked["subject"], "resource": {"type": "observation", "id": "o1"}}
    assert ids(search(server, of_actions, token(level="high"), "action")) == ["read", "share", "sign"]
    narrow = token(level="high", scope="user/Observation.u")
    assert ids(search(server, of_actions, narrow, "action")) == ["sign"]


def test_a_search_with_a_token_of_somebody_else_finds_nothing(server: Server) -> None:
    asked = question(subject="mallory")
    answer = search(server, asked, token())
    assert (answer["results"], answer["context"]["reasons"]) == ([], [{"code": "unauthenticated"}])
    assert server.records()[-1]["detail"] == "another-subject"
    assert search(server, question(), pep="strict")["context"]["reasons"] == [{"code": "unauthenticated"}]


def test_a_search_for_subjects_has_no_subject_to_show_a_token_of(server: Server) -> None:
    answer = ask(server, question(), token(), path="search/subject")
    assert (answer.status, answer.json["error"]["field"]) == (400, "x-pdp-subject-token")
    assert ask(server, question(), pep="strict", path="search/subject").status == 400


# -------------------------------------------------------------------------------------------------------- obligations


def test_a_deny_that_a_step_up_lifts_says_so_as_an_obligation(server: Server) -> None:
    answer = ask(server, question("sign"), token())
    assert told(answer) == (False, "step_up")
    identifier = answer.json["context"]["decision_id"]
    assert answer.json["context"]["obligations"] == [
        {
            "id": f"{identifier}.0",
            "type": "step-up",
            "properties": {"acr_value": "urn:hospital:loa3", "amr_values": ["mfa"]},
            "binding": True,
        }
    ]
    assert server.records()[-1]["reason"] == "step_up"
    assert told(ask(server, question("sign"), token(level="high"))) == (True, "permitted")
    assert told(ask(server, question("sign", "o4"), token())) == (False, "forbidden")  # It would stay closed.
    payload = {"evaluations": [question("sign"), question()]}
    first, _ = ask(server, payload, token(), path="evaluations").json["evaluations"]
    assert [each["type"] for each in first["context"]["obligations"]] == ["step-up"]


def obligations(answer: Any) -> list[str]:
    return [each["type"] for each in answer.json["context"]["obligations"]]


def test_an_obligation_is_named_as_its_duty_and_advice_stands_apart(server: Server) -> None:
    answer = ask(server, question("share"), token())
    identifier = answer.json["context"]["decision_id"]
    assert answer.json["context"]["obligations"] == [
        {
            "id": f"{identifier}.0",
            "type": "notification",
            "properties": {"to": "privacy", "body": "shared", "topic": "sharing"},
            "binding": True,
        }
    ]
    assert [each["type"] for each in answer.json["context"]["advice"]] == ["watermark"]


@pytest.mark.parametrize(
    ("supported", "plain", "tagged"),
    [
        (None, True, True),
        (["notification", "watermark"], True, True),
        (["notification"], True, False),
        (["watermark"], False, True),
        (["custom"], False, True),
        (["notification", "custom", "teleport"], True, True),
        ([], False, False),
        (["teleport"], False, False),
    ],
)
def test_semantics_19_a_request_narrows_what_its_point_can_carry_out(
    server: Server, supported: list[str] | None, plain: bool, tagged: bool
) -> None:
    context = {"context": {"supported_obligations": supported}}
    assert ask(server, question("share") | context, token()).json["decision"] is plain
    assert ask(server, question("share", "o2") | context, token()).json["decision"] is tagged
    payload = {"evaluations": [question("share") | context, question("share", "o2") | context, question()]}
    answers = ask(server, payload, token(), path="evaluations").json["evaluations"]
    assert [each["decision"] for each in answers] == [plain, tagged, True]
    asked = question("share") | context
    del asked["resource"]["id"]
    expected = (["o1"] if plain else []) + (["o2"] if tagged else []) + (["o3"] if plain else [])
    assert ids(search(server, asked, token())) == expected


def test_semantics_19_no_request_widens_what_its_point_can_carry_out(server: Server) -> None:
    asked = question("share", context={"supported_obligations": ["notification", "watermark"]})
    assert told(ask(server, asked, token(), pep="strict")) == (False, "unsupported_obligation")


@pytest.mark.parametrize("supported", ["notification", 5, [1], {"notification": True}, [["notification"]]])
def test_checklist_27_supported_obligations_of_the_wrong_type_are_400(server: Server, supported: object) -> None:
    context = {"context": {"supported_obligations": supported}}
    answer = ask(server, question("share") | context, token())
    assert (answer.status, answer.json["error"]["field"]) == (400, "context.supported_obligations")
    payload = {"evaluations": [question("share") | context, question()]}
    answers = ask(server, payload, token(), path="evaluations").json["evaluations"]
    assert [each["decision"] for each in answers] == [False, True]


# ----------------------------------------------------------------------------------------------------------- metadata


def test_the_metadata_is_signed_by_the_operators_key(server: Server) -> None:
    found = server.ask("GET", "/.well-known/authzen-configuration/tenant1").json
    assert found["policy_decision_point"] == "https://pdp.example/tenant1"
    assert found["search_action_endpoint"] == "https://pdp.example/tenant1/access/v1/search/action"
    assert found["supported_obligations"] == ["notification", "step-up", "watermark"]
    assert "capabilities" not in found
    signed = jwt.decode(found.pop("signed_metadata"), ECKey.import_key(METADATA_KEY.public), algorithms=["ES256"])
    assert signed.header == {"alg": "ES256", "typ": "JWT", "kid": METADATA_KEY.thumbprint}
    assert signed.claims.pop("iat") <= time.time()
    assert signed.claims == found | {"iss": "https://pdp.example/tenant1"}


@pytest.mark.parametrize("path", ["/tenant2", "/tenant1/", "/", "tenant1", "/tenant1/more"])
def test_the_metadata_of_another_tenant_is_nobodys(server: Server, path: str) -> None:
    assert server.ask("GET", "/.well-known/authzen-configuration" + path).status == 404
