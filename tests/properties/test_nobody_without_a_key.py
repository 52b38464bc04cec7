"""Whoever has no key gets nothing: every header, the path, the method and the token's text are theirs to choose.

The attacker knows the issuer, its public keys, the audience, a subject who may, and every profile's secret header but
its value. What is made here is as near to a good request as can be made without a private key of the issuer.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.x509 import load_der_x509_certificate
from hypothesis import given
from hypothesis import strategies as st

from pdp.config import Profile
from pdp.identity.spiffe import TrustDomain
from tests.unit.identity import tokens
from tests.unit.serve.test_app import World

SECRET = b"the-secret-of-the-proxy"
ATTACKER = tokens.signer("ES256", "k1-of-the-attacker")
PUBLIC = tokens.signer().public
DOMAIN = TrustDomain("hospital.example", "user", (("*",),), "last-segment")


def profiles() -> tuple[Profile, ...]:
    """Proxies that announce a certificate in every way there is, and one that announces none."""
    plain = [
        Profile(kind, SECRET + kind.encode(), frozenset({"ext_authz"}), client_certificate=kind)
        for kind in ("none", "xfcc", "header")
    ]
    return (*plain, Profile("nginx", SECRET + b"nginx", frozenset({"forward_auth"}), convention="nginx"))


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with tempfile.TemporaryDirectory() as directory:
        yield World(
            Path(directory),
            trust_unverified_subject_header="",
            issuers=(tokens.issuer(),),
            trust_domains={DOMAIN.name: DOMAIN},
            profiles=profiles(),
        )


def now_claims(**changed: Any) -> dict[str, Any]:
    now = int(time.time())
    return tokens.claims(**{"sub": "alice", "iat": now - 5, "exp": now + 300, **changed})


def ask(world: World, headers: list[tuple[bytes, bytes]], path: bytes = b"/fhir/Record/r1", method: str = "GET") -> int:
    return int(world.ask(method, b"/ext_authz" + path, b"", [(b"host", b"ehr.example"), *headers]).status)


def bearer(token: bytes) -> tuple[bytes, bytes]:
    return (b"authorization", b"Bearer " + token)


def good(**changed: Any) -> bytes:
    return tokens.assemble({"alg": "ES256", "typ": "at+jwt", "kid": "k1"}, now_claims(**changed), tokens.signer())


def test_the_world_is_open_to_whoever_has_the_key(world: World) -> None:
    """Else nothing below would show anything."""
    assert ask(world, [(b"x-pdp-secret", SECRET + b"none"), bearer(good())]) == 200
    assert ask(world, [(b"x-pdp-secret", SECRET + b"none"), bearer(good(sub="bob"))]) == 403


# ------------------------------------------------------------------------------------------------ what an attacker has

pem = load_der_x509_certificate(tokens.certificate("spiffe://lab.example/alice")).public_bytes(
    serialization.Encoding.PEM
)
CERTIFICATES = st.sampled_from(
    [
        quote(pem).encode(),
        b'Hash=00;Cert="' + quote(pem).encode() + b'"',
        b"By=spiffe://hospital.example/pdp;URI=spiffe://hospital.example/alice",
        b'Subject="CN=alice";URI=spiffe://hospital.example/alice;DNS=alice',
        b"URI=spiffe://lab.example/x;URI=spiffe://hospital.example/alice",
        b"",
        b"-----BEGIN CERTIFICATE-----",
    ]
)
HEADERS = st.fixed_dictionaries(
    {"alg": st.sampled_from(["ES256", "RS256", "none", "None", "HS256", "EdDSA", "", "ES256K", 1, None])},
    optional={
        "typ": st.sampled_from(["at+jwt", "JWT", "application/at+jwt", "AT+JWT"]),
        "kid": st.sampled_from(["k1", "", "../k1", "' or 1=1 --", "k1-of-the-attacker", None, 1, ["k1"]]),
        "jwk": st.sampled_from([PUBLIC, ATTACKER.public]),
        "jku": st.just("https://attacker.example/keys"),
        "x5c": st.just([base64.b64encode(tokens.certificate()).decode()]),
        "crit": st.sampled_from([["alg"], [], ["b64"]]),
        "b64": st.booleans(),
    },
)


@st.composite
def forged(draw: st.DrawFn) -> bytes:
    """A token that no issuer signed."""
    header, payload = draw(HEADERS), now_claims(iss=draw(st.sampled_from([tokens.ISSUER, tokens.ISSUER + "/", "x"])))
    signed = ".".join(tokens.b64(json.dumps(each).encode()) for each in (header, payload)).encode()
    stolen = good(sub="bob")  # A real token of somebody who may nothing: its signature is the attacker's to copy.
    signature = draw(
        st.sampled_from(
            [
                b"",
                tokens.b64(ATTACKER.sign(signed, "ES256")).encode(),
                tokens.b64(hmac.digest(json.dumps(PUBLIC).encode(), signed, "sha256")).encode(),
                tokens.b64(bytes(64)).encode(),
                stolen.rpartition(b".")[2],
                tokens.b64(hashlib.sha256(signed).digest()).encode(),
            ]
        )
    )
    return signed + b"." + signature


@st.composite
def bent(draw: st.DrawFn) -> bytes:
    """The token of somebody who may nothing, with bytes of it changed."""
    token = bytearray(good(sub="bob"))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(token) - 1))
        change = draw(st.sampled_from(["replace", "insert", "delete"]))
        if change == "replace":
            token[at] = draw(st.integers(0x21, 0x7E))
        elif change == "insert":
            token[at:at] = draw(st.binary(min_size=1, max_size=4))
        else:
            del token[at]
    return bytes(token)


NAMES = st.sampled_from(
    [
        b"authorization", b"dpop", b"cookie", b"x-user", b"x-pdp-subject", b"x_pdp_subject", b"x-pdp-decision",
        b"x-pdp-subject-token", b"x-client-certificate", b"x-forwarded-client-cert", b"x-forwarded-user",
        b"x-forwarded-uri", b"x-forwarded-method", b"x-original-uri", b"x-original-method", b"x-envoy-internal",
        b"x-envoy-auth-partial-body", b"x-http-method-override", b"x-envoy-auth-failure-mode-allowed", b"host",
        b"content-type", b"transfer-encoding", b"x-request-id",
    ]
)  # fmt: skip
VALUES = st.one_of(
    st.sampled_from([b"alice", b"user:alice", b"/fhir/Record/r1", b"GET", b"true", b"false", b"Basic YWxpY2U6YQ=="]),
    forged().map(lambda token: b"Bearer " + token),
    bent().map(lambda token: b"Bearer " + token),
    forged().map(lambda token: b"DPoP " + token),
    CERTIFICATES,
    st.binary(max_size=40),
)
METHODS = st.sampled_from(["GET", "PUT", "HEAD", "OPTIONS", "get", "CONNECT", "*"])
PATHS = st.sampled_from([b"/fhir/Record/r1", b"//fhir/Record/r1", b"/x/../fhir/Record/r1", b"/%66hir/Record/r1", b""])


@given(
    st.sampled_from([b"", SECRET + b"none", SECRET + b"xfcc", SECRET + b"header", SECRET + b"nginx", SECRET]),
    st.lists(st.tuples(NAMES, VALUES), max_size=6),
    METHODS,
    PATHS,
)
def test_checklist_20_without_a_key_every_header_is_worth_nothing(
    world: World, secret: bytes, headers: list[tuple[bytes, bytes]], method: str, path: bytes
) -> None:
    added = [(b"x-pdp-secret", secret)] if secret else []
    assert ask(world, [*added, *headers], path, method) in (401, 403, 429)


@given(forged() | bent(), CERTIFICATES, st.sampled_from(["none", "xfcc", "header"]))
def test_checklist_20_one_forged_token_is_nobody(world: World, token: bytes, shown: bytes, kind: str) -> None:
    headers = [(b"x-pdp-secret", SECRET + kind.encode()), bearer(token)]
    headers += [(b"x-forwarded-client-cert", shown), (b"x-client-certificate", shown)]
    assert ask(world, headers) in (401, 403)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=8))
def test_checklist_16_no_header_opens_forward_auth_either(world: World, headers: list[tuple[bytes, bytes]]) -> None:
    told = [(b"host", b"pdp"), (b"x-pdp-secret", SECRET + b"nginx")]
    answer = world.ask("GET", b"/forward-auth", b"", [*told, *headers])
    assert answer.status in (401, 403)


@given(st.sampled_from([b"Bearer ", b"bearer ", b"DPoP ", b"", b"Basic ", b"Bearer  "]), st.integers(0, 3))
def test_checklist_15_a_good_token_beside_another_credential_is_nobody(world: World, scheme: bytes, more: int) -> None:
    lines = [(b"authorization", scheme + good()), *[bearer(good())] * more, bearer(good(sub="bob"))]
    assert ask(world, [(b"x-pdp-secret", SECRET + b"none"), *lines]) == 401
    assert ask(world, [(b"x-pdp-secret", SECRET + b"none"), (b"authorization", b", ".join(v for _, v in lines))]) == 401
