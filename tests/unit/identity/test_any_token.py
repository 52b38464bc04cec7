"""Whatever an issuer signs, and whatever is done to a token of its: a caller, or Unknown. Nothing else."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pdp.identity.caller import Evidence, Unknown
from pdp.identity.claims import PROFILES
from pdp.identity.identify import Identify
from tests.unit.identity.tokens import (
    AUDIENCE,
    ISSUER,
    NOW,
    NOW_SECONDS,
    assemble,
    claims,
    identify,
    issuer,
    signer,
    token,
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from([ISSUER, AUDIENCE, NOW_SECONDS, NOW_SECONDS + 60]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
READ = [
    *(
        "iss",
        "aud",
        "sub",
        "exp",
        "iat",
        "nbf",
        "jti",
        "sid",
        "azp",
        "client_id",
        "acr",
        "amr",
        "auth_time",
        "act",
        "cnf",
    ),
    *("scope", "patient", "extensions", "typ", "token_use", "nonce", "events", "groups"),
]
EXTENSIONS = st.fixed_dictionaries({"extensions": st.dictionaries(st.sampled_from(["ihe_iua", "hl7-b2b"]), JSON)})
IDENTIFIERS = [Identify([issuer(profile=name, kind=kind)]) for name in PROFILES for kind in ("access", "jwt")]


def let_in(by: Identify, line: bytes) -> bool:
    try:
        found = by.caller(Evidence((line,)), ("token",), None, NOW)
    except Unknown:
        return False
    assert found.issuer == ISSUER
    assert found.expires > NOW
    assert 0 < len(found.subject_id) <= 512
    assert found.subject_type == "user"
    return True


@given(st.dictionaries(st.sampled_from(READ), JSON) | EXTENSIONS, st.sampled_from(IDENTIFIERS))
def test_checklist_21_any_claims_of_an_issuer_give_a_caller_or_a_refusal(changed: dict[str, Any], by: Identify) -> None:
    let_in(by, b"Bearer " + assemble({"alg": "ES256", "typ": "at+jwt", "kid": "k1"}, {**claims(), **changed}, signer()))


@given(st.dictionaries(st.sampled_from(["alg", "typ", "kid", "x5t", "crit", "jwk", "b64"]), JSON))
def test_checklist_20_any_header_of_a_stranger_is_refused(header: dict[str, Any]) -> None:
    stranger = signer("ES256", "stranger")
    assert not let_in(
        identify(), b"Bearer " + assemble({"alg": "ES256", "typ": "at+jwt", **header}, claims(), stranger)
    )


GOOD = token()


@given(st.integers(0, len(GOOD)), st.integers(0, 8), st.binary(max_size=8))
def test_checklist_20_a_token_that_was_touched_is_refused(start: int, length: int, put: bytes) -> None:
    touched = GOOD[:start] + put + GOOD[start + length :]
    assert let_in(identify(), b"Bearer " + touched) == (touched == GOOD)


@given(st.binary(max_size=200))
def test_checklist_15_any_line_is_refused(line: bytes) -> None:
    assert not let_in(identify(), line)
    assert not let_in(identify(), b"Bearer " + line)
