"""Tokens that are bound to a certificate or to a key: whoever cannot prove to hold it, gets nothing for the token."""

from __future__ import annotations

import fcntl
import multiprocessing
import time
from pathlib import Path
from typing import Any

import pytest

from pdp.identity.caller import Caller, Evidence, Unknown
from pdp.identity.identify import Identify
from pdp.identity.proofs import SHARES, SLOTS, Proofs
from tests.unit.identity.tokens import (
    ALGORITHMS,
    AUDIENCE,
    NOW,
    NOW_SECONDS,
    SECOND,
    assemble,
    b64,
    certificate,
    claims,
    identify,
    issuer,
    proof,
    signer,
    token,
    x5t,
)

URL = AUDIENCE + "/fhir/Record/r1"
HOLDER = signer("ES256", None)
BOUND = token(cnf={"jkt": HOLDER.thumbprint})


def ask(
    scheme: str,
    given: bytes,
    *proofs: bytes,
    by: Identify | None = None,
    certificate: bytes | None = None,
    now: int = NOW,
    method: str = "GET",
    url: str = URL,
) -> Caller:
    evidence = Evidence((scheme.encode() + b" " + given,), proofs, certificate, method, url)
    return (by or identify()).caller(evidence, ("token",), None, now)


def why(*args: Any, **named: Any) -> tuple[str, bytes]:
    with pytest.raises(Unknown) as refused:
        ask(*args, **named)
    return refused.value.kind, refused.value.challenge


# --------------------------------------------------------------------------------------------------------- certificate


def test_checklist_22_a_certificate_bound_token_needs_its_certificate() -> None:
    mine, other = certificate(), certificate("spiffe://hospital.example/other")
    bound = token(cnf={"x5t#S256": x5t(mine)})
    assert ask("Bearer", bound, certificate=mine).subject_id == "dora"
    assert why("Bearer", bound)[0] == "certificate-missing"
    assert why("Bearer", bound, certificate=other)[0] == "certificate-mismatch"
    by = identify()
    assert ask("Bearer", bound, certificate=mine, by=by)
    assert why("Bearer", bound, certificate=other, by=by)[0] == "certificate-mismatch"  # From the cache, too.
    assert why("Bearer", bound, by=by)[0] == "certificate-missing"


@pytest.mark.parametrize(
    "cnf",
    [
        {},
        [],
        "x",
        None,
        {"kid": "k1"},
        {"jwk": HOLDER.public},
        {"x5t": "a" * 43},
        {"x5t#S256": "a" * 43, "kid": "k1"},
        {"x5t#S256": ""},
        {"x5t#S256": 7},
        {"x5t#S256": ["a" * 43]},
        {"jkt": "é" * 43},
        {"jkt": HOLDER.thumbprint + "="},
    ],
)
def test_checklist_22_a_binding_that_nobody_can_check_is_refused(cnf: Any) -> None:
    header = {"alg": "ES256", "typ": "at+jwt", "kid": "k1"}
    given = assemble(header, {**claims(), "cnf": cnf}, signer())
    assert why("Bearer", given, certificate=certificate())[0] == "unknown-confirmation"


def test_checklist_22_an_issuer_that_binds_its_tokens_is_held_to_it() -> None:
    by = identify(sender_constrained=True)
    assert why("Bearer", token(), by=by, certificate=certificate())[0] == "not-sender-constrained"
    bound = token(cnf={"x5t#S256": x5t(certificate())})
    assert ask("Bearer", bound, by=by, certificate=certificate()).subject_id == "dora"


# ---------------------------------------------------------------------------------------------------------------- DPoP


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_proof_by_the_bound_key_opens(algorithm: str) -> None:
    holder = signer(algorithm, None)
    bound = token(cnf={"jkt": holder.thumbprint})
    assert ask("DPoP", bound, proof(holder, bound)).subject_id == "dora"


def test_checklist_22_a_dpop_token_is_no_bearer_token() -> None:
    kind, challenge = why("Bearer", BOUND, proof(HOLDER, BOUND))
    assert kind == "wrong-scheme"
    assert challenge.startswith(b'DPoP error="invalid_token", algs="')
    plain = token()
    assert why("DPoP", plain, proof(HOLDER, plain))[0] == "wrong-scheme"


def test_checklist_22_exactly_one_proof() -> None:
    kind, challenge = why("DPoP", BOUND)
    assert kind == "dpop-missing"
    assert challenge.startswith(b'DPoP error="invalid_dpop_proof", algs="')
    two = proof(HOLDER, BOUND, jti="a"), proof(HOLDER, BOUND, jti="b")
    assert why("DPoP", BOUND, *two)[0] == "dpop-several"
    assert why("DPoP", BOUND, b",".join(two))[0] == "dpop-malformed"  # as a proxy joins them


def test_checklist_22_both_bindings_have_to_hold() -> None:
    both = token(cnf={"jkt": HOLDER.thumbprint, "x5t#S256": x5t(certificate())})
    assert ask("DPoP", both, proof(HOLDER, both), certificate=certificate()).subject_id == "dora"
    assert why("DPoP", both, proof(HOLDER, both))[0] == "certificate-missing"
    assert why("Bearer", both, certificate=certificate())[0] == "wrong-scheme"


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({"htm": "POST"}, "dpop-wrong-method"),
        ({"htm": "get"}, "dpop-wrong-method"),
        ({"htm": None}, "dpop-wrong-method"),
        ({"htu": None}, "dpop-wrong-url"),
        ({"htu": URL + "/"}, "dpop-wrong-url"),
        ({"htu": URL.replace("https", "http")}, "dpop-wrong-url"),
        ({"htu": URL.replace("hospital", "HOSPITAL")}, "dpop-wrong-url"),
        ({"htu": URL.replace("r1", "%72%31")}, "dpop-wrong-url"),
        ({"htu": URL.replace(".example", ".example:443")}, "dpop-wrong-url"),
        ({"htu": "/fhir/Record/r1"}, "dpop-wrong-url"),
        ({"htu": [URL]}, "dpop-wrong-url"),
        ({"iat": NOW_SECONDS - 60}, "dpop-expired"),
        ({"iat": NOW_SECONDS + 6}, "dpop-expired"),
        ({"iat": None}, "dpop-malformed"),
        ({"iat": str(NOW_SECONDS)}, "dpop-malformed"),
        ({"iat": float(NOW_SECONDS)}, "dpop-malformed"),
        ({"iat": True}, "dpop-malformed"),
        ({"iat": 2**62}, "dpop-malformed"),
        ({"ath": None}, "dpop-wrong-token"),
        ({"ath": ""}, "dpop-wrong-token"),
        ({"ath": 7}, "dpop-wrong-token"),
        ({"ath": "é"}, "dpop-wrong-token"),
        ({"ath": b64(b"\0" * 32)}, "dpop-wrong-token"),
        ({"jti": None}, "dpop-malformed"),
        ({"jti": ""}, "dpop-malformed"),
        ({"jti": 7}, "dpop-malformed"),
        ({"jti": "j" * 257}, "dpop-malformed"),
    ],
)
def test_checklist_22_a_proof_is_for_one_request_with_one_token_now(changed: dict[str, Any], kind: str) -> None:
    assert why("DPoP", BOUND, proof(HOLDER, BOUND, **changed))[0] == kind


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "JWT"},
        {"typ": None},
        {"typ": "DPOP+JWT"},
        {"typ": "at+jwt"},
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": "RS256"},
        {"alg": None},
        {"jwk": None},
        {"jwk": "x"},
        {"jwk": {**HOLDER.public, "d": "AAAA"}},
        {"jwk": {**HOLDER.public, "crv": "P-384"}},
        {"jwk": {"kty": "oct", "k": "AAAA"}},
        {"kid": "k1"},
        {"jku": "https://evil.example"},
        {"crit": ["x"]},
    ],
)
def test_checklist_22_a_proof_has_a_public_key_and_an_asymmetric_signature(header: dict[str, Any]) -> None:
    assert why("DPoP", BOUND, proof(HOLDER, BOUND, header=header))[0] == "dpop-malformed"


def test_checklist_22_a_proof_is_short() -> None:
    assert why("DPoP", BOUND, proof(HOLDER, BOUND, pad="x" * 4_096))[0] == "dpop-malformed"


def test_checklist_22_a_proof_by_another_key_is_none() -> None:
    thief = signer("ES256", "thief")
    assert why("DPoP", BOUND, proof(thief, BOUND))[0] == "dpop-wrong-key"
    assert why("DPoP", BOUND, proof(thief, BOUND, header={"jwk": HOLDER.public}))[0] == "dpop-malformed"


def test_checklist_22_the_token_itself_is_no_proof() -> None:
    assert why("DPoP", BOUND, BOUND)[0] == "dpop-malformed"


def test_the_query_is_no_part_of_the_url() -> None:
    assert ask("DPoP", BOUND, proof(HOLDER, BOUND, htu=URL + "?_count=1#x"))


def test_without_a_known_origin_no_proof_is_good() -> None:
    assert why("DPoP", BOUND, proof(HOLDER, BOUND, htu=""), url="")[0] == "dpop-no-origin"
    assert why("DPoP", BOUND, proof(HOLDER, BOUND, htm=""), method="")[0] == "dpop-wrong-method"


def test_checklist_22_a_proof_counts_once() -> None:
    by, once = identify(), proof(HOLDER, BOUND)
    assert ask("DPoP", BOUND, once, by=by)
    assert why("DPoP", BOUND, once, by=by)[0] == "dpop-replayed"
    resigned = proof(HOLDER, BOUND)  # ECDSA: the same claims with another signature
    assert resigned != once
    assert why("DPoP", BOUND, resigned, by=by, now=NOW + 59 * SECOND)[0] == "dpop-replayed"
    assert why("DPoP", BOUND, once, by=by, now=NOW + 60 * SECOND)[0] == "dpop-expired"
    assert ask("DPoP", BOUND, proof(HOLDER, BOUND, jti="p-2"), by=by)


def test_a_proof_that_was_refused_is_not_used_up() -> None:
    by, once = identify(), proof(HOLDER, BOUND)
    assert why("DPoP", BOUND, once, by=by, method="PUT")[0] == "dpop-wrong-method"
    assert ask("DPoP", BOUND, once, by=by)


# --------------------------------------------------------------------------------------------------------- used proofs


def used(proofs: Proofs, number: int, now: int = NOW, holder: str = "") -> str:
    """Each by another key, where no `holder` is named."""
    try:
        proofs.use(holder or f"k-{number}", f"p-{number}", now + 60 * SECOND, now)
    except Unknown as unknown:
        return unknown.kind
    return ""


def test_checklist_22_what_cannot_be_remembered_is_refused() -> None:
    proofs = Proofs(buckets=1)
    found = [used(proofs, number) for number in range(10 * SLOTS)]
    assert found.count("") == SLOTS
    assert set(found) == {"", "dpop-too-many"}
    assert {used(proofs, number) for number, word in enumerate(found) if not word} == {"dpop-replayed"}
    assert used(proofs, 10 * SLOTS) == "dpop-too-many"
    assert used(proofs, 10 * SLOTS, NOW + 65 * SECOND) == ""  # The old ones would be refused by their age now.


def test_checklist_22_a_key_that_floods_the_table_is_refused_alone() -> None:
    proofs = Proofs(buckets=64)
    share = 64 * SLOTS // SHARES
    flood = [used(proofs, number, holder="one") for number in range(4 * share)]
    assert flood == [""] * share + ["dpop-too-many"] * 3 * share
    assert {used(proofs, number, holder="one") for number in range(share)} == {"dpop-replayed"}
    assert {used(proofs, number) for number in range(share)} == {""}
    assert used(proofs, 4 * share, NOW + 2 * SECOND, "one") == "", "its share comes back as time goes"


def test_a_share_that_was_used_at_a_later_time_comes_back_after_a_clock_steps_back() -> None:
    proofs = Proofs(buckets=64)
    assert used(proofs, 1, NOW + 7_200 * SECOND, "one") == ""
    assert used(proofs, 2, holder="one") == "dpop-too-many"
    assert used(proofs, 3, NOW + 2 * SECOND, "one") == ""


def test_nobody_can_know_which_proofs_meet_in_one_bucket() -> None:
    def refused(proofs: Proofs) -> set[int]:
        return {number for number in range(400) if used(proofs, number) == "dpop-too-many"}

    assert refused(Proofs(buckets=4)) != refused(Proofs(buckets=4))


def test_checklist_22_a_proof_of_before_the_service_began_is_refused() -> None:
    by = Identify([issuer()], proofs=Proofs(buckets=64, began=NOW))
    for jti, issued in (("a", NOW_SECONDS - 1), ("b", NOW_SECONDS), ("c", NOW_SECONDS + 5)):
        later = NOW + 10 * SECOND
        assert why("DPoP", BOUND, proof(HOLDER, BOUND, jti=jti, iat=issued), by=by, now=later)[0] == "dpop-before-start"
    assert ask("DPoP", BOUND, proof(HOLDER, BOUND, iat=NOW_SECONDS + 6), by=by, now=NOW + 6 * SECOND)


def test_a_worker_that_starts_later_takes_over_when_the_service_began(tmp_path: Path) -> None:
    assert Proofs(tmp_path / "proofs", began=NOW).began == NOW
    assert Proofs(tmp_path / "proofs", began=NOW + 1).began == NOW


def _in_another_process(file: Path, number: int) -> None:
    raise SystemExit(3 if used(Proofs(file), number) == "dpop-replayed" else 0)


def test_checklist_22_workers_share_what_was_used(tmp_path: Path) -> None:
    file = tmp_path / "proofs"
    mine = Proofs(file)
    assert used(mine, 7) == ""
    assert used(Proofs(file), 7) == "dpop-replayed"
    context = multiprocessing.get_context("spawn")
    for number, code in ((7, 3), (8, 0)):
        child = context.Process(target=_in_another_process, args=(file, number))
        child.start()
        child.join(30)
        assert child.exitcode == code
    assert used(mine, 8) == "dpop-replayed"
    assert file.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["proofs"]


def test_two_workers_with_one_file_accept_a_proof_once(tmp_path: Path) -> None:
    one, two = (Identify([issuer()], proofs=Proofs(tmp_path / "proofs")) for _ in range(2))
    once = proof(HOLDER, BOUND)
    assert ask("DPoP", BOUND, once, by=one)
    assert why("DPoP", BOUND, once, by=two)[0] == "dpop-replayed"


def _hold(file: Path, held: Any) -> None:
    with file.open("r+b") as opened:
        fcntl.lockf(opened, fcntl.LOCK_EX)
        held.set()
        time.sleep(60)


def test_a_worker_that_was_stopped_while_it_held_the_lock_stops_no_other(tmp_path: Path) -> None:
    proofs = Proofs(tmp_path / "proofs")
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    child = context.Process(target=_hold, args=(tmp_path / "proofs", held), daemon=True)
    child.start()
    try:
        assert held.wait(30)
        began = time.monotonic()
        assert used(proofs, 1) == "dpop-unavailable"
        assert time.monotonic() - began < 5
    finally:
        child.kill()
        child.join(30)
    assert used(proofs, 1) == "", "nothing was remembered, and the lock went with its process"
