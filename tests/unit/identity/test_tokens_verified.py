"""What a token has to be: each of these would have been let in by a library with its usual settings, or was once."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pdp.identity import jose
from pdp.identity.caller import Caller, Evidence, Unknown
from pdp.identity.identify import Identify
from pdp.identity.issuer import ALGORITHMS as EVERY
from pdp.identity.issuer import KeySource
from tests.unit.identity.tokens import (
    ALGORITHMS,
    AUDIENCE,
    ISSUER,
    NOW,
    NOW_SECONDS,
    SECOND,
    assemble,
    b64,
    claims,
    identify,
    issuer,
    signer,
    token,
)


def ask(given: bytes, by: Identify | None = None, now: int = NOW) -> Caller:
    evidence = Evidence((b"Bearer " + given,), method="GET", url=AUDIENCE + "/fhir/Record/r1")
    return (by or identify()).caller(evidence, ("token",), None, now)


def why(given: bytes, by: Identify | None = None, now: int = NOW) -> str:
    with pytest.raises(Unknown) as refused:
        ask(given, by, now)
    return refused.value.kind


ALL = frozenset(EVERY)
GOOD_HEADER = {"alg": "ES256", "typ": "at+jwt", "kid": "k1"}


def raw(payload: bytes) -> bytes:
    return assemble(GOOD_HEADER, payload, signer())


def with_text(text: str) -> bytes:
    """A token whose payload is the good one with this text put in front of its last brace."""
    return raw((json.dumps(claims())[:-1] + text + "}").encode())


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_good_token_says_who_asks(algorithm: str) -> None:
    by = signer(algorithm)
    found = ask(token(by, sid="s-1", acr="urn:mfa", amr=["pwd", "otp"], auth_time=NOW_SECONDS - 60), identify(by))
    assert (found.subject_type, found.subject_id, found.via) == ("user", "dora", "token")
    assert (found.issuer, found.client, found.token_id, found.session) == (ISSUER, "portal", "t-1", "s-1")
    assert (found.acr, found.amr) == ("urn:mfa", ("pwd", "otp"))
    assert (found.issued, found.authenticated) == ((NOW_SECONDS - 10) * SECOND, (NOW_SECONDS - 60) * SECOND)
    assert found.expires == (NOW_SECONDS + 300) * SECOND
    assert found.scopes is None


@pytest.mark.parametrize("name", ["none", "None", "nOnE", ""])
@pytest.mark.parametrize("signature", ["", "AAAA"])
def test_checklist_20_alg_none_is_refused(name: str, signature: str) -> None:
    header = b64(json.dumps({**GOOD_HEADER, "alg": name}).encode())
    given = f"{header}.{b64(json.dumps(claims()).encode())}.{signature}".encode()
    assert why(given) in ("algorithm", "malformed-token")


@pytest.mark.parametrize("secret", ["pem", "jwk", "empty"])
def test_checklist_20_a_public_key_is_no_hmac_secret(secret: str) -> None:
    by = signer("RS256")
    pem = by.private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    key = {"pem": pem, "jwk": json.dumps(by.jwk()).encode(), "empty": b""}[secret]
    signed = ".".join(b64(json.dumps(each).encode()) for each in ({**GOOD_HEADER, "alg": "HS256"}, claims())).encode()
    given = signed + b"." + b64(hmac.new(key, signed, hashlib.sha256).digest()).encode()
    assert why(given, identify(by)) == "algorithm"


def test_checklist_20_an_algorithm_that_the_issuer_does_not_use_is_refused() -> None:
    by = signer("RS256")
    only_es = identify(by, algorithms=frozenset({"ES256"}))
    assert why(token(by), only_es) == "algorithm"


def test_checklist_20_a_key_verifies_only_the_algorithm_that_it_is_for() -> None:
    by = signer("RS256")  # `alg: RS256` in its JWK
    assert why(assemble({**GOOD_HEADER, "alg": "PS256"}, claims(), by, "PS256"), identify(by)) == "algorithm"
    assert why(token(header={"alg": "EdDSA"})) == "algorithm"
    assert why(token(header={"alg": "ES384"}), identify(algorithms=frozenset({"ES384"}))) == "algorithm"


@pytest.mark.parametrize(
    "kid", ["../../../../dev/null", "k1' OR '1'='1", "k1\0", "K1", "k1 ", "https://evil.example/k", "k2"]
)
def test_checklist_20_kid_is_only_looked_up(kid: str) -> None:
    assert why(token(header={"kid": kid})) == "unknown-key"


@pytest.mark.parametrize("kid", ["", "k" * 257, 7, ["k1"], {"k": "k1"}, True])
def test_checklist_20_a_kid_of_an_odd_shape_is_refused(kid: Any) -> None:
    assert why(token(header={"kid": kid})) == "malformed-token"


@pytest.mark.parametrize(
    "member",
    [
        {"jwk": signer("ES256", "evil").public},
        {"jku": "https://evil.example/keys"},
        {"x5u": "https://evil.example/chain"},
        {"x5c": ["MIIB"]},
        {"crit": ["exp"]},
        {"crit": []},
        {"crit": ["b64"], "b64": True},
        {"b64": False},
        {"zip": "DEF"},
        {"cty": "JWT"},
        {"enc": "A256GCM"},
        {"p2c": 1_000_000},
        {"x": 1},
    ],
)
def test_checklist_20_a_header_that_brings_keys_or_rules_is_refused(member: dict[str, Any]) -> None:
    assert why(token(header=member)) == "header-member"
    assert why(token(signer("ES256", "evil"), header=member)) == "header-member"


def test_checklist_20_an_embedded_key_is_never_used() -> None:
    evil = signer("ES256", "evil")
    assert why(token(evil, header={"kid": "k1"})) == "bad-signature"
    assert why(token(evil, header={"kid": None})) == "bad-signature"


@pytest.mark.parametrize(
    "kind", [None, "", "JWT", "jwt", "id+jwt", "logout+jwt", "secevent+jwt", "dpop+jwt", "at+jwtx", " at+jwt"]
)
def test_checklist_20_what_does_not_say_that_it_is_an_access_token_is_none(kind: str | None) -> None:
    assert why(token(header={"typ": kind})) == "wrong-type"


@pytest.mark.parametrize("kind", ["at+jwt", "application/at+jwt", "AT+JWT"])
def test_checklist_20_access_tokens_say_so(kind: str) -> None:
    assert ask(token(header={"typ": kind})).subject_id == "dora"


@pytest.mark.parametrize("member", ["nonce", "at_hash", "c_hash", "s_hash", "events"])
def test_checklist_20_an_id_token_is_no_access_token_where_types_are_not_said(member: str) -> None:
    plain = identify(kind="jwt")
    assert ask(token(header={"typ": "JWT"}), plain).subject_id == "dora"
    assert ask(token(header={"typ": None}, client_id=None, jti=None), plain).subject_id == "dora"
    assert why(token(header={"typ": "JWT"}, **{member: "x"}), plain) == "wrong-type"


@pytest.mark.parametrize(("name", "value"), [("typ", "ID"), ("typ", "Refresh"), ("token_use", "id")])
def test_checklist_20_a_token_that_says_in_its_claims_that_it_is_another_is_refused(name: str, value: str) -> None:
    assert why(token(header={"typ": "JWT"}, **{name: value}), identify(kind="jwt")) == "wrong-type"


@pytest.mark.parametrize("kind", ["id+jwt", "logout+jwt", "secevent+jwt", "dpop+jwt"])
def test_checklist_20_other_types_stay_refused_where_types_are_not_said(kind: str) -> None:
    assert why(token(header={"typ": kind}), identify(kind="jwt")) == "wrong-type"


def test_checklist_20_each_issuer_is_verified_by_its_own_keys_alone() -> None:
    other = signer("ES256", "k2")
    second = issuer(other)
    two = Identify([issuer(), type(second)("other", "https://other.example", second.audiences, keys=second.keys)])
    assert ask(token(), two).issuer == ISSUER
    assert ask(token(other, iss="https://other.example"), two).issuer == "https://other.example"
    assert why(token(other), two) == "unknown-key"
    assert why(token(other, header={"kid": "k1"}), two) == "bad-signature"
    assert why(token(iss="https://other.example"), two) == "unknown-key"


def test_a_token_counts_only_at_points_that_accept_its_issuer() -> None:
    by = identify()
    evidence = Evidence((b"Bearer " + token(),))
    assert by.caller(evidence, ("token",), frozenset({"idp"}), NOW)
    for _ in range(2):  # Also when it is in the cache.
        with pytest.raises(Unknown, match="unknown-issuer"):
            by.caller(evidence, ("token",), frozenset({"another"}), NOW)


@pytest.mark.parametrize(
    "iss", [None, ISSUER + "/", ISSUER.upper(), "https://evil.example", "", [ISSUER], 7, ISSUER[:-1]]
)
def test_checklist_21_the_issuer_is_exact(iss: Any) -> None:
    assert why(token(iss=iss)) == "unknown-issuer"


@pytest.mark.parametrize(
    "aud", [None, [], "", 7, {AUDIENCE: True}, AUDIENCE + "/x", AUDIENCE[:-1], [AUDIENCE, 7], [[AUDIENCE]], True]
)
def test_checklist_21_the_audience_names_us(aud: Any) -> None:
    assert why(token(aud=aud)) == "wrong-audience"


def test_checklist_21_one_audience_of_several_may_be_ours() -> None:
    assert ask(token(aud=["https://billing.example", AUDIENCE])).subject_id == "dora"


@pytest.mark.parametrize("exp", ["", str(NOW_SECONDS + 300), float(NOW_SECONDS + 300), True, [], {}, -1, 2**63, 10**18])
def test_checklist_21_exp_is_a_whole_number_of_seconds(exp: Any) -> None:
    assert why(token(exp=exp)) == "malformed-claims"


def test_checklist_21_exp_is_needed_and_sane() -> None:
    assert why(token(exp=None)) == "missing-claim"
    assert why(token(exp=NOW_SECONDS + 10 * 365 * 86_400)) == "lifetime"
    assert why(token(header={"typ": "JWT"}, iat=None, exp=NOW_SECONDS + 86_402), identify(kind="jwt")) == "lifetime"


@pytest.mark.parametrize(
    "text", [', "exp2": NaN', ', "exp2": Infinity', ', "exp2": -Infinity', ', "exp2": ' + "9" * 31]
)
def test_checklist_21_numbers_that_are_none_are_refused(text: str) -> None:
    assert why(with_text(text)) == "malformed-token"


@pytest.mark.parametrize("name", ["nbf", "iat", "auth_time"])
@pytest.mark.parametrize("value", ["1", 1.5, True, -1, [], 2**60])
def test_checklist_21_times_are_whole_numbers(name: str, value: Any) -> None:
    assert why(token(**{name: value})) == "malformed-claims"


def test_checklist_21_the_edges_of_time() -> None:
    ends = NOW + 300 * SECOND
    assert ask(token(), now=ends - 1).expires == ends
    assert why(token(), now=ends) == "expired"  # No leeway: no decision holds longer than its token.
    begins = NOW_SECONDS + 30
    assert ask(token(nbf=begins, iat=begins, auth_time=begins))
    for name in ("nbf", "iat", "auth_time"):
        assert why(token(**{name: begins}), now=NOW - 1) == "not-yet-valid"


@pytest.mark.parametrize("name", ["client_id", "iat", "jti", "sub"])
def test_checklist_21_an_access_token_has_what_rfc_9068_wants(name: str) -> None:
    assert why(token(**{name: None})) == "missing-claim"


@pytest.mark.parametrize(
    "sub", ["", "x" * 513, 7, ["dora"], {"id": "dora"}, True, "do\0ra", "e\u0301", "\ufb01e\u0301"]
)
def test_checklist_21_the_subject_is_an_identifier(sub: Any) -> None:
    assert why(token(sub=sub)) == "malformed-claims"


@pytest.mark.parametrize("name", ["jti", "sid", "client_id", "azp"])
@pytest.mark.parametrize("value", [7, "", [], "x" * 513])
def test_checklist_21_what_a_revocation_may_name_is_a_text(name: str, value: Any) -> None:
    if name == "azp" and value != "":
        return  # Read only where there is no `client_id`.
    changed = {name: value} | ({"client_id": None} if name == "azp" else {})
    kind = identify(kind="jwt")
    assert why(token(header={"typ": "JWT"}, **changed), kind) == "malformed-claims"


@pytest.mark.parametrize("name", ["sub", "exp", "iss", "aud"])
def test_checklist_21_duplicate_claims_are_refused(name: str) -> None:
    value = {"sub": '"admin"', "exp": str(NOW_SECONDS + 9_999), "iss": f'"{ISSUER}"', "aud": f'"{AUDIENCE}"'}[name]
    assert why(with_text(f', "{name}": {value}')) == "malformed-token"
    assert why(with_text(f', "\\u{ord(name[0]):04x}{name[1:]}": {value}')) == "malformed-token"


def test_checklist_21_a_duplicate_in_the_header_is_refused() -> None:
    header = b'{"alg":"ES256","typ":"at+jwt","kid":"k1","kid":"k1"}'
    assert why(assemble(header, claims(), signer())) == "malformed-token"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_checklist_21_other_encodings_and_byte_order_marks_are_refused(encoding: str) -> None:
    assert why(raw(json.dumps(claims()).encode(encoding))) == "malformed-token"


@pytest.mark.parametrize("text", ['"\\ud800"', '"\\udfff x"', '{"\\ud800": 1}'])
def test_checklist_21_lone_surrogates_are_refused(text: str) -> None:
    assert why(with_text(f', "x": {text}')) == "malformed-token"


def test_checklist_21_sizes_and_depths_are_bounded() -> None:
    assert why(token(pad="x" * 16_384)) == "token-too-long"
    assert why(token(pad="x" * 600), identify(max_token_bytes=900)) == "token-too-long"
    assert why(with_text(', "x": ' + "[" * 13 + "]" * 13)) == "malformed-token"
    assert why(with_text(', "x": ' + "[" * 6_000)) == "malformed-token"
    assert why(token(header={"kid": "k1", "x5t": "x" * 3_000})) == "malformed-token"


@pytest.mark.parametrize("payload", [b"[]", b'"x"', b"7", b"null", b"true", b"", b"{", b"{}{}", b"{'iss':1}", b"\xff"])
def test_checklist_21_the_payload_is_one_object(payload: bytes) -> None:
    given = assemble(GOOD_HEADER, payload, signer())
    assert why(given) in ("malformed-token", "malformed-authorization")


def test_checklist_23_a_token_has_one_spelling() -> None:
    good = token()
    head, body, signature = good.split(b".")
    by = identify()
    assert ask(good, by)
    for other in (
        good + b"=",
        good + b"==",
        b".".join((head + b"=", body, signature)),
        b".".join((head, body + b"=", signature)),
        good + b".",
        b"." + good,
        good + b".x",
        head + b"." + body,
        good.replace(b".", b"..", 1),
        good[:-1] + bytes([good[-1] + 1]),  # the bits of the last character that nobody reads
    ):
        with pytest.raises(Unknown):
            ask(other, by)


def test_checklist_23_left_over_bits_in_any_part_are_refused() -> None:
    # 4 characters hold 3 bytes; 2 or 3 characters hold bits that are left over, and each has one good spelling.
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    good = token(header={"x5t": "a"})
    for number, part in enumerate(good.split(b".")):
        if len(part) % 4 == 0:
            continue
        for other in alphabet:
            changed = good.split(b".")
            changed[number] = part[:-1] + bytes([other])
            if changed[number] != part:
                assert why(b".".join(changed)) in ("malformed-token", "bad-signature")


@pytest.mark.parametrize(
    "signature", [b"\0" * 64, b"", b"\x30\x06\x02\x01\x01\x02\x01\x01", b"\xff" * 64, b"\0" * 63, b"\0" * 65]
)
def test_checklist_20_signatures_that_are_none(signature: bytes) -> None:
    signed = token().rpartition(b".")[0]
    assert why(signed + b"." + b64(signature).encode()) in ("bad-signature", "malformed-token")


def test_checklist_20_a_der_signature_is_refused() -> None:
    signed = token().rpartition(b".")[0]
    der = signer().private.sign(signed, ec.ECDSA(hashes.SHA256()))
    assert why(signed + b"." + b64(der).encode()) == "bad-signature"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_checklist_20_every_bit_of_a_token_is_signed(algorithm: str) -> None:
    by = signer(algorithm)
    good = token(by)
    verifier = identify(by)
    for place in range(0, len(good), 7):
        changed = bytearray(good)
        changed[place] ^= 1
        with pytest.raises(Unknown):
            ask(bytes(changed), verifier)


def test_checklist_20_keys_for_something_else_verify_nothing() -> None:
    for other in ({"use": "enc"}, {"key_ops": ["sign"]}, {"key_ops": "verify"}, {"use": "jwt-svid"}, {"alg": "RS256"}):
        unfit = replace(issuer(), keys=KeySource(inline=(signer().jwk(**other),)))
        assert why(token(), Identify([unfit])) == "unknown-key"


def test_checklist_20_without_kid_only_one_key_may_fit() -> None:
    no_kid = {"kid": None}
    rs, es, other = signer("RS256"), signer(), signer("ES256", "k2")
    assert ask(token(es, header=no_kid), identify(rs, es)).subject_id == "dora"
    assert why(token(es, header=no_kid), identify(es, other)) == "ambiguous-key"
    unnamed = signer("ES256", None)
    assert ask(token(unnamed), identify(unnamed)).subject_id == "dora"
    assert why(token(unnamed, header={"kid": "k1"}), identify(unnamed)) == "unknown-key"


def test_checklist_20_one_kid_for_two_keys_is_told_apart_by_the_algorithm_or_refused() -> None:
    rs, es = signer("RS256", "same"), signer("ES256", "same")
    both = identify(rs, es)
    assert ask(token(rs), both)
    assert ask(token(es), both)
    assert ask(token(es), identify(es, es)).subject_id == "dora"  # listed twice is one
    twins = issuer(es, signer("ES256", "k2"))
    keys = KeySource(inline=(es.jwk(), signer("ES256", "k2").jwk(kid="same")))
    assert why(token(es), Identify([replace(twins, keys=keys)])) == "ambiguous-key"


def test_checklist_20_a_library_that_gives_up_has_verified_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def verify(self, *_: object) -> bool:
            raise ValueError("odd")

    monkeypatch.setitem(jose._MODELS, "ES256", Broken())
    assert why(token()) == "bad-signature"


def test_every_curve_verifies_its_own_algorithm() -> None:
    by = signer("ES384")
    assert ask(token(by), identify(by, algorithms=frozenset({"ES384"}))).subject_id == "dora"
    assert ask(token(signer("EdDSA"), header={"alg": "Ed25519"}), identify(signer("EdDSA"), algorithms=ALL)).subject_id


def test_checklist_21_the_size_is_judged_before_anything_is_read() -> None:
    good = token()
    assert jose.parse(good, len(good)).signed
    with pytest.raises(Unknown, match="token-too-long"):
        jose.parse(good, len(good) - 1)


def test_a_refusal_tells_the_client_nothing_of_why() -> None:
    for given in (token(exp=1), token(header={"kid": "k2"}), b"x", token(aud="x")):
        with pytest.raises(Unknown) as refused:
            ask(given)
        assert refused.value.challenge == b'Bearer error="invalid_token"'
