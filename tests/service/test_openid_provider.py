"""A real OpenID provider (npm `oidc-provider`) issues real tokens; a real service decides by them.

Its keys are rotated while requests run, it is killed and requests go on, and forged key ids cost it one fetch.
"""

from __future__ import annotations

import base64
import json
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.service.server import Server, free_port, serving, until
from tests.unit.identity.tokens import Signer, assemble, b64, proof

pytestmark = pytest.mark.service

HERE = Path(__file__).parent / "oidc"
SECRET = "a-secret-that-is-only-for-tests"
EHR = "https://ehr.hospital.example"
PATH = "/fhir/Record/r1"

POLICY = """\
module provided

entity User as "user" { role: Text from token }
entity Record as "record" { open: Bool }
action read, write on Record by User
route GET "/fhir/Record/{record}" does read on Record record
route PUT "/fhir/Record/{record}" does write on Record record

permit read on Record as readers-read "Nurses and doctors read" cites "45 CFR 164.506(c)"
    when subject.role == "nurse" or subject.role == "doctor"
permit write on Record as doctors-write "Doctors write" cites "45 CFR 164.506(c)" when subject.role == "doctor"
"""

SETTINGS = """\
[pep.proxy]
door = "ext_authz"
may_assert = []
origin = "https://ehr.hospital.example"

[issuer.provider]
issuer = "{url}"
audience = "https://ehr.hospital.example"
{keys}
cooldown_seconds = {cooldown}
timeout_milliseconds = 2000
claims = {{ role = "role" }}
shares_subjects = true

[issuer.opaque]
token = "opaque"
issuer = "{url}"
audience = "https://ehr.hospital.example/opaque"
introspection_url = "{url}/token/introspection"
introspection_cache_seconds = 1
client_id = "chaperone"
client_secret_file = "introspection.secret"
subject_claim = "client_id"
claims = {{ role = "role" }}
shares_subjects = true
"""


def private_jwk(kid: str) -> dict[str, str]:
    """A private RSA key as the provider reads it."""
    numbers = rsa.generate_private_key(65537, 2048).private_numbers()
    parts = {
        "n": numbers.public_numbers.n,
        "e": 65537,
        "d": numbers.d,
        "p": numbers.p,
        "q": numbers.q,
        "dp": numbers.dmp1,
        "dq": numbers.dmq1,
        "qi": numbers.iqmp,
    }
    written = {name: b64(value.to_bytes((value.bit_length() + 7) // 8)) for name, value in parts.items()}
    return {"kty": "RSA", "kid": kid, "use": "sig", **written}


class Provider:
    """The provider as a process; started again it has the same address, and the keys that it is given."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.keys, self.log = directory / "private.json", directory / "provider.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *keys: dict[str, str]) -> None:
        self.keys.write_text(json.dumps({"keys": keys}))
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                ["node", "provider.mjs", str(self.port), str(self.keys)], cwd=HERE, stdout=log, stderr=log
            )
        until(self.answers, "the provider answers")

    def answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        try:
            return requests.get(self.url + "/.well-known/openid-configuration", timeout=2).status_code == 200
        except requests.ConnectionError:
            return False

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(10)

    def restart(self, *keys: dict[str, str]) -> None:
        self.kill()
        self.start(*keys)

    def token(self, client: str = "dora", resource: str = EHR, **headers: str) -> bytes:
        form = {"grant_type": "client_credentials", "resource": resource, "scope": "ehr"}
        answer = requests.post(self.url + "/token", form, auth=(client, SECRET), headers=headers, timeout=5)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"]).encode()

    def fetches(self) -> int:
        return self.log.read_text().count("GET /jwks")


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Provider]:
    if shutil.which("node") is None or not (HERE / "node_modules").is_dir():
        pytest.skip("node, or what scripts/setup.sh installs for it, is missing")
    found = Provider(tmp_path)
    found.start(private_jwk("first"))
    try:
        yield found
    finally:
        found.kill()


def policies(directory: Path, provider: Provider, cooldown: int = 1, discovery: bool = False) -> Path:
    found = directory / "policies"
    (found / "data").mkdir(parents=True)
    (found / "a.ward").write_text(POLICY)
    (found / "data/world.json").write_text(json.dumps([{"type": "record", "id": "r1", "attributes": {"open": True}}]))
    keys = "discovery = true" if discovery else f'keys_url = "{provider.url}/jwks"'
    (found / "pdp.toml").write_text(SETTINGS.format(url=provider.url, keys=keys, cooldown=cooldown))
    (found / "introspection.secret").write_text(SECRET)
    return found


def ask(server: Server, token: bytes, method: str = "GET", scheme: str = "Bearer", **more: str) -> SimpleNamespace:
    headers = {"Authorization": f"{scheme} {token.decode()}", **more}
    return server.ask(method, "/ext_authz" + PATH, headers=headers)


def status(server: Server, token: bytes, method: str = "GET") -> int:
    return int(ask(server, token, method).status)


def unsigned_by(kid: str, token: bytes) -> bytes:
    """The same claims under another key id, signed by somebody else."""
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token.split(b".")[1] + b"=="))
    return assemble({"alg": "RS256", "typ": "at+jwt", "kid": kid}, claims, STRANGER)


STRANGER = Signer("RS256", "stranger")


def test_a_real_token_opens_what_its_role_may_and_nothing_more(tmp_path: Path, provider: Provider) -> None:
    with serving(tmp_path, policies(tmp_path, provider, discovery=True)) as server:
        doctor, nurse = provider.token("dora"), provider.token("nina")
        allowed = ask(server, doctor)
        assert allowed.status == 200
        assert allowed.headers["x-pdp-subject"] == "dora"
        assert (status(server, doctor, "PUT"), status(server, nurse), status(server, nurse, "PUT")) == (200, 200, 403)
        refused = ask(server, doctor[:-4] + b"AAAA")
        assert (refused.status, refused.headers["www-authenticate"]) == (401, 'Bearer error="invalid_token"')
        assert status(server, provider.token("dora", "https://billing.hospital.example")) == 401
        assert status(server, unsigned_by("first", doctor)) == 401
        assert provider.fetches() == 1
        files = b"".join(file.read_bytes() for file in server.audit.rglob("*") if file.is_file())
        kept = server.log.read_text() + json.dumps(server.records()) + files.decode("latin-1")
        assert doctor.split(b".")[2].decode() not in kept
        assert nurse.split(b".")[1].decode() not in kept


def test_checklist_24_keys_rotate_while_requests_run(tmp_path: Path, provider: Provider) -> None:
    first, second = private_jwk("first"), private_jwk("second")
    provider.restart(first)
    with serving(tmp_path, policies(tmp_path, provider)) as server:
        old = provider.token()
        tokens, seen, done = [old], [], threading.Event()

        def run() -> None:
            while not done.is_set():
                seen.append((len(tokens), status(server, tokens[-1])))

        assert status(server, old) == 200
        thread = threading.Thread(target=run)
        thread.start()
        try:
            provider.restart(second, first)  # signs with the second, still publishes the first
            tokens.append(provider.token())
            until(lambda: sum(number == 2 for number, _ in seen) > 20, "requests with a token by the new key")
            assert status(server, old) == 200
        finally:
            done.set()
            thread.join()
        assert {found for _, found in seen} == {200}
        provider.restart(second)
        # Whoever names an unknown key makes us look, at most once in a cooldown; then the old key is gone for good.
        until(
            lambda: status(server, unsigned_by("third", old)) == 401 and status(server, old) == 401, "the key is gone"
        )
        assert status(server, tokens[-1]) == 200
        provider.kill()
        time.sleep(1.1)  # the cooldown, so that a fetch is tried, which fails
        assert status(server, unsigned_by("fourth", old)) == 401
        assert status(server, old) == 401


def test_checklist_24_requests_go_on_without_the_provider(tmp_path: Path, provider: Provider) -> None:
    with serving(tmp_path, policies(tmp_path, provider)) as server:
        doctor, nurse = provider.token("dora"), provider.token("nina")
        assert status(server, doctor) == 200
        provider.kill()
        assert {status(server, doctor) for _ in range(50)} == {200}
        assert status(server, nurse, "PUT") == 403  # verified now for the first time, by the keys that were kept
        assert status(server, unsigned_by("made-up", doctor)) == 401
        assert status(server, doctor) == 200


def test_checklist_24_without_any_key_nobody_gets_in_until_the_provider_is_back(
    tmp_path: Path, provider: Provider
) -> None:
    key = private_jwk("first")
    provider.restart(key)
    token = provider.token()
    provider.kill()
    with serving(tmp_path, policies(tmp_path, provider)) as server:
        assert status(server, token) == 401
        provider.start(key)
        until(lambda: status(server, token) == 200, "the keys are there")


def test_checklist_20_a_storm_of_unknown_kids_costs_the_provider_one_fetch(tmp_path: Path, provider: Provider) -> None:
    with serving(tmp_path, policies(tmp_path, provider, cooldown=3_600)) as server:
        token = provider.token()
        assert status(server, token) == 200
        assert provider.fetches() == 1
        forged = [unsigned_by(f"made-up-{number}", token) for number in range(160)]

        def storm(part: list[bytes]) -> None:
            found.update(status(server, each) for each in part)

        found: set[int] = set()
        threads = [threading.Thread(target=storm, args=(forged[number::8],)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == {401}
        assert provider.fetches() == 2
        assert status(server, token) == 200


def test_opaque_tokens_are_asked_about_and_an_outage_lets_nobody_in(tmp_path: Path, provider: Provider) -> None:
    with serving(tmp_path, policies(tmp_path, provider)) as server:
        doctor, nurse = (provider.token(name, EHR + "/opaque") for name in ("dora", "nina"))
        assert (status(server, doctor, "PUT"), status(server, nurse), status(server, nurse, "PUT")) == (200, 200, 403)
        assert status(server, b"made-up") == 401
        requests.post(provider.url + "/token/revocation", {"token": doctor.decode()}, auth=("dora", SECRET), timeout=5)
        provider.restart(private_jwk("first"))  # It forgets every opaque token.
        until(
            lambda: status(server, doctor) == 401, "what the provider knows no more is refused after the cache's second"
        )
        fresh = provider.token("dora", EHR + "/opaque")
        assert status(server, fresh) == 200
        provider.kill()
        until(lambda: status(server, fresh) == 401, "nobody is let in by a provider that is away")


def test_checklist_22_a_dpop_token_of_a_real_provider_needs_a_proof_for_each_request(
    tmp_path: Path, provider: Provider
) -> None:
    holder = Signer("ES256", None)

    def proven(url: str, method: str, access: bytes = b"", **more: Any) -> str:
        claims = {"htu": url, "htm": method, "iat": int(time.time()), "jti": f"p-{time.monotonic_ns()}"}
        return proof(holder, access, **claims, **more).decode()

    with serving(tmp_path, policies(tmp_path, provider)) as server:
        token = provider.token("bound", DPoP=proven(provider.url + "/token", "POST", ath=None))
        until(
            lambda: ask(server, token, scheme="DPoP", DPoP=proven(EHR + PATH, "GET", token)).status == 200,
            "a proof counts that is later than the start of the service",
        )
        once = proven(EHR + PATH, "GET", token)
        assert ask(server, token, scheme="DPoP", DPoP=once).status == 200
        assert ask(server, token, scheme="DPoP", DPoP=once).status == 401
        assert ask(server, token, scheme="DPoP", DPoP=proven(EHR + PATH, "GET", token)).status == 200
        assert ask(server, token, scheme="DPoP", DPoP=proven(EHR + PATH, "PUT", token)).status == 401
        assert ask(server, token, scheme="DPoP").status == 401
        refused = ask(server, token)
        assert refused.status == 401
        assert refused.headers["www-authenticate"].startswith("DPoP ")
