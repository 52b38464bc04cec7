"""What is fuzzed: for each parser of bytes from outside, a function that takes any bytes and raises only for a fault.

`scripts/fuzz` runs them under a coverage-guided fuzzer; `test_corpus.py` replays what `tests/corpus/NAME/` keeps.
A refusal is no fault. Each target asserts what must hold where the parser accepts.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import orjson
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pdp.audit.veil import details
from pdp.doors import correlation, envoy_grpc, path
from pdp.doors.original import Refused, checked_host
from pdp.identity import bearer, certificate, claims, dpop, jose, registered, scopes, spiffe, xfcc
from pdp.identity.caller import Caller, Evidence, Unknown
from pdp.identity.identify import Identify
from pdp.identity.issuer import ALGORITHMS, Issuer, KeySource
from pdp.identity.jwk import key
from pdp.identity.keys import SourceError, key_set
from pdp.identity.proofs import Proofs
from pdp.model.request import RequestError, strict_json
from tests.fuzz.detecting import facts_file, judged_record, rules_file


def raw_path(data: bytes) -> None:
    try:
        found = path.segments(data)
    except path.AmbiguousPath:
        return
    for segment in found:
        assert segment
        assert segment.strip(".")
        assert not set(segment) & set("/\\%;?#\0")


def query(data: bytes) -> None:
    try:
        names = path.query_names(data)
    except path.AmbiguousPath:
        return
    assert len(names) <= data.count(b"&") + 1


def host(data: bytes) -> None:
    try:
        found = checked_host([data])
    except Refused:
        return
    assert not set(found) & set(", @/\\?#\r\n\0")


def json_text(data: bytes) -> None:
    try:
        strict_json(data)
    except RequestError:
        return
    data.decode("utf-8")


def client_certificate(data: bytes) -> None:
    """As each kind of header, and as what is inside of one."""
    for kind in certificate.KINDS:
        with suppress(Unknown):
            certificate.leaf(kind, data)
    try:
        found = certificate.peer(data, {}, 1_800_000_000_000_000)
    except Unknown:
        return
    assert not found.spiffe_id, "no trust domain is listed"


def xfcc_header(data: bytes) -> None:
    try:
        elements = xfcc.parse(data)
    except xfcc.Malformed:
        return
    assert elements
    assert all(element.pairs and {key for key, _ in element.pairs} <= xfcc.KEYS for element in elements)
    assert sum(len(element.pairs) for element in elements) <= data.count(b"=")


def spiffe_id(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    try:
        found = spiffe.parse(text)
    except spiffe.NotSpiffe:
        return
    assert str(found) == text
    assert not {"", ".", ".."} & set(found.segments)


def smart_scope(data: bytes) -> None:
    """A scope, a line feed, a query. No text is a scope for the data of another patient."""
    text, _, raw_query = data.partition(b"\n")
    scope = scopes.parse(text.decode("utf-8", "replace"))
    assert scope is None or text.startswith(f"{scope.level}/{scope.type}.".encode())
    caller = Caller("user", "anna", "token", scopes=(text.decode("utf-8", "replace"),), patient="a")
    why = scopes.refused(scopes.Smart(), caller, ("search",), "Observation", "b", raw_query)
    assert why or (scope is not None and scope.level != "patient" and "s" in scope.letters)


def authorization(data: bytes) -> None:
    """An `Authorization` line, before an issuer whose private key nobody has."""
    with suppress(Unknown):
        scheme, token = bearer.credentials([data])
        assert data[len(scheme) :] == b" " + token
        assert not set(token) & set(b", \t\r\n\0")
    with suppress(Unknown):
        found = IDENTIFY.caller(Evidence((data,)), ("token",), None, NOW)
        raise AssertionError(f"let in: {found.subject_type}")


def signed_token(data: bytes) -> None:
    try:
        jws = jose.parse(data)
    except Unknown:
        return
    assert data == jws.signed + b"." + urlsafe_b64encode(jws.signature).rstrip(b"="), "one token, one spelling"
    assert jose.TOKEN_MEMBERS.issuperset(jws.header)
    with suppress(Unknown):
        jose.verify(jws, key(KEY))
        raise AssertionError("a signature that nobody made")


def token_claims(data: bytes) -> None:
    """The claims of a token whose signature is good."""
    try:
        said = strict_json(data, jose.MAX_DEPTH)
    except RequestError:
        return
    if not isinstance(said, dict):
        return
    for issuer in ISSUERS:
        with suppress(Unknown):
            validity = registered.accepted(issuer, {"alg": "ES256", "typ": "at+jwt"}, said, NOW)
            found = claims.caller(issuer, said, validity, NOW)
            assert said["iss"] == issuer.issuer
            assert "a" in said["aud"]
            assert NOW < found.expires <= NOW + 86_400_000_000 + 30_000_000
            assert 0 < len(found.subject_id) <= 512
            assert issuer.profile != "smart" or found.scopes is not None
        with suppress(Unknown):
            assert dpop.confirmation(said) or "cnf" not in said


def keys_document(data: bytes) -> None:
    try:
        found = key_set(data)
    except SourceError:
        return
    for each in found.keys:
        assert each.algorithms <= set(ALGORITHMS)
        assert not each.native.is_private


def dpop_proof(data: bytes) -> None:
    bound = {"jkt": key(KEY).thumbprint}
    evidence = Evidence((b"DPoP x",), (data,), None, "GET", "https://a/b")
    with suppress(Unknown):
        dpop.proven(bound, True, evidence, "dpop", b"x", Proofs(buckets=1), NOW)
        raise AssertionError("a proof that nobody made")


def check_request(data: bytes) -> None:
    """Envoy's question over gRPC."""
    for kind in ("none", "peer", "xfcc", "header"):
        try:
            found = envoy_grpc.read(data, kind)
        except Refused:
            continue
        assert found.path.startswith(b"/")
        assert not set(found.path + found.query) & set(b"#\r\n\0 ")
        assert b"?" not in found.path
        assert found.host
        assert not [name for name, _ in found.headers if name.startswith(b":")]


NOW: Final = 1_780_000_000_000_000


def request_names(data: bytes) -> None:
    request_id, trace = correlation.names([(b"x-request-id", data[:200]), (b"traceparent", data)])
    assert len(request_id) <= 128
    assert all("!" <= each <= "~" for each in request_id)
    assert not trace or (len(trace) == 32 and set(trace) <= set("0123456789abcdef"))


def hidden_detail(data: bytes) -> None:
    """Whoever can write records, and has no key, makes nothing that opens."""
    with suppress(orjson.JSONDecodeError, details.Damaged):
        members = orjson.loads(data)
        if isinstance(members, dict):
            details.opened(AESGCM(bytes(32)), members)
            raise AssertionError("opened")


KEY: Final = {  # RFC 7515 appendix A.3
    "kty": "EC",
    "crv": "P-256",
    "kid": "k1",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}
ISSUERS: Final = tuple(
    Issuer(profile, "i", frozenset({"a"}), profile=profile, keys=KeySource(inline=(KEY,)))
    for profile in claims.PROFILES
)
IDENTIFY: Final = Identify(ISSUERS[:1])

TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "path": raw_path,
    "query": query,
    "host": host,
    "json": json_text,
    "check_request": check_request,
    "certificate": client_certificate,
    "xfcc": xfcc_header,
    "spiffe": spiffe_id,
    "scope": smart_scope,
    "authorization": authorization,
    "token": signed_token,
    "claims": token_claims,
    "keys": keys_document,
    "proof": dpop_proof,
    "request_names": request_names,
    "detail": hidden_detail,
    "judged_record": judged_record,
    "facts_file": facts_file,
    "rules_file": rules_file,
}
