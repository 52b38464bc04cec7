"""Who asks: a wrong secret is nobody, and never falls back to a profile without one."""

from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.config import Profile
from pdp.serve.pep import AMBIGUOUS, Peps, api_secret, expires, identity, proxy_secret
from pdp.serve.strangers import WHY
from tests.service.certificates import Authority

OPEN = Profile("open")
PORTAL = Profile("portal", b"secret-of-the-portal")
ENVOY = Profile("envoy", b"secret-of-the-envoy", frozenset({"ext_authz"}))


def test_a_secret_finds_its_profile_at_its_door_only() -> None:
    api, proxy = Peps([PORTAL, ENVOY], "authzen"), Peps([PORTAL, ENVOY], "ext_authz")
    assert api.of(b"secret-of-the-portal") is PORTAL
    assert api.of(b"secret-of-the-envoy") is None
    assert proxy.of(b"secret-of-the-envoy") is ENVOY
    assert api.of(None) is None


@pytest.mark.parametrize("secret", [b"", b"wrong", b"secret-of-the-portal ", b"SECRET-OF-THE-PORTAL", AMBIGUOUS])
def test_a_wrong_secret_never_falls_back(secret: bytes) -> None:
    assert Peps([OPEN, PORTAL], "authzen").of(secret) is None


def test_without_a_secret_the_open_profile_asks() -> None:
    assert Peps([OPEN, PORTAL], "authzen").of(None) is OPEN


@pytest.mark.parametrize(
    ("headers", "secret"),
    [
        ([], None),
        ([(b"authorization", b"Bearer abc")], b"abc"),
        ([(b"authorization", b"bearer  abc ")], b"abc"),
        ([(b"x-pdp-secret", b"abc")], b"abc"),
        ([(b"x-pdp-secret", b"abc"), (b"authorization", b"Bearer abc")], b"abc"),
        ([(b"x-pdp-secret", b"abc"), (b"authorization", b"Bearer abd")], AMBIGUOUS),
        ([(b"authorization", b"Bearer abc"), (b"authorization", b"Bearer abd")], AMBIGUOUS),
        ([(b"authorization", b"Basic abc")], AMBIGUOUS),
        ([(b"authorization", b"")], AMBIGUOUS),
        ([(b"authorization", b"Bearer")], b""),
    ],
)
def test_the_secret_of_an_api_request(headers: list[tuple[bytes, bytes]], secret: bytes | None) -> None:
    assert api_secret(headers) == secret


@pytest.mark.parametrize(
    ("headers", "secret"),
    [
        ([], None),
        ([(b"authorization", b"Bearer the-clients-own")], None),
        ([(b"x-pdp-secret", b"abc")], b"abc"),
        ([(b"x-pdp-secret", b"abc"), (b"x-pdp-secret", b"abc")], AMBIGUOUS),
    ],
)
def test_the_secret_of_a_proxied_request_is_never_the_clients(
    headers: list[tuple[bytes, bytes]], secret: bytes | None
) -> None:
    assert proxy_secret(headers) == secret


# -------------------------------------------------------------------------------------------------------- certificates

SPIFFE = "spiffe://hospital.example/envoy"
GATEWAY = Profile("gateway", certificates=(SPIFFE,))
MESH = Profile("mesh", certificates=("dns:mesh.hospital.example", "spiffe://hospital.example/mesh"))
BOTH = Profile("both", b"secret-of-the-both", certificates=("dns:both.hospital.example",))
CERTIFIED = [GATEWAY, MESH, BOTH, PORTAL]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def test_a_certificate_finds_its_profile(authority: Authority) -> None:
    asked = Peps(CERTIFIED, "authzen")
    assert asked.of(None, authority.leaf(uris=[SPIFFE]).der) is GATEWAY
    assert asked.of(None, authority.leaf(uris=["spiffe://hospital.example/mesh"]).der) is MESH
    assert asked.of(None, authority.leaf(dns=["x.example", "mesh.hospital.example"]).der) is MESH
    assert asked.of(b"secret-of-the-portal", authority.leaf().der) is PORTAL  # It needs no certificate.
    leaf = authority.leaf()
    plain = leaf.fingerprint
    for written in (plain, plain.upper(), ":".join(plain[at : at + 2] for at in range(0, 64, 2))):
        known = Profile("pinned", certificates=(f"sha256:{written}",))
        assert Peps([known], "authzen").of(None, leaf.der) is known
        assert Peps([known], "authzen").of(None, authority.leaf().der) is None


@pytest.mark.parametrize(
    "names",
    [
        {"dns": [SPIFFE]},
        {"cn": SPIFFE},
        {"cn": "mesh.hospital.example"},
        {"uris": [SPIFFE, "spiffe://hospital.example/other"]},
        {"uris": ["https://hospital.example", SPIFFE]},
        {"uris": [SPIFFE + "/"]},
        {"uris": [SPIFFE + "r"]},
        {"uris": ["spiffe://hospital.example.evil/envoy"]},
        {"uris": ["SPIFFE://hospital.example/envoy"]},
        {"uris": ["dns:mesh.hospital.example"]},
        {"uris": [SPIFFE + "\0.evil"]},
        {"dns": ["*.hospital.example"]},
        {"dns": ["mesh.hospital.example.evil"]},
        {"dns": ["evil.mesh.hospital.example"]},
        {"dns": ["mesh.hospital.example\0.evil"]},
        {"dns": ["mesh.hospital.example."]},
        {"dns": ["MESH.hospital.example"]},
        {},
    ],
)
def test_checklist_18_19_a_certificate_that_only_looks_like_it_is_nobody(
    authority: Authority, names: dict[str, list[str]]
) -> None:
    assert Peps(CERTIFIED, "authzen").of(None, authority.leaf(**names).der) is None  # type: ignore[arg-type]


def test_a_wildcard_is_a_name_for_nobody_also_in_a_profile(authority: Authority) -> None:
    known = Profile("wild", certificates=("dns:*.hospital.example",))
    for name in ("*.hospital.example", "mesh.hospital.example"):
        assert Peps([known], "authzen").of(None, authority.leaf(dns=[name]).der) is None


def test_who_needs_both_needs_both(authority: Authority) -> None:
    asked, der = Peps(CERTIFIED, "authzen"), authority.leaf(dns=["both.hospital.example"]).der
    assert asked.of(b"secret-of-the-both", der) is BOTH
    for secret, certificate in (
        (None, der),
        (b"secret-of-the-both", None),
        (b"secret-of-the-both", authority.leaf().der),
        (b"secret-of-the-portal-", der),
        (b"", der),
    ):
        assert asked.of(secret, certificate) is None


def test_a_wrong_secret_is_nobody_whatever_the_certificate_says(authority: Authority) -> None:
    asked, der = Peps([*CERTIFIED, OPEN], "authzen"), authority.leaf(uris=[SPIFFE]).der
    for secret in (b"wrong", b"", AMBIGUOUS, b"secret-of-the-portal "):
        assert asked.of(secret, der) is None


def test_who_fits_two_profiles_is_nobody(authority: Authority) -> None:
    der = authority.leaf(uris=[SPIFFE], dns=["mesh.hospital.example"]).der
    assert Peps(CERTIFIED, "authzen").of(None, der) is None
    assert Peps([OPEN, GATEWAY], "authzen").of(None, authority.leaf(uris=[SPIFFE]).der) is None
    assert Peps([OPEN, GATEWAY], "authzen").of(None, authority.leaf().der) is OPEN


def test_a_certificate_names_nobody_outside_its_time(authority: Authority) -> None:
    asked, der = Peps(CERTIFIED, "authzen"), authority.leaf(uris=[SPIFFE]).der
    known = identity(der)
    assert asked.of(None, der, known.begins) is GATEWAY
    assert asked.of(None, der, known.expires - 1) is GATEWAY
    assert asked.of(None, der, known.expires) is None
    assert asked.of(None, der, known.begins - 1) is None
    assert expires(der) == known.expires


@pytest.mark.parametrize("bad", [b"", b"x", b"\x30\x82", b"-----BEGIN CERTIFICATE-----", b"0" * 4_096])
def test_what_is_no_certificate_names_nobody(bad: bytes) -> None:
    hashed = Profile("hashed", certificates=("sha256:" + sha256(bad).hexdigest(),))
    assert Peps([*CERTIFIED, hashed], "authzen").of(None, bad) is None
    assert expires(bad) == 0


@cache
def a_certificate() -> bytes:
    with TemporaryDirectory() as directory:
        return Authority(Path(directory)).leaf(uris=[SPIFFE], dns=["mesh.hospital.example"]).der


@given(st.binary(max_size=400), st.integers(0, 400), st.integers(0, 255))
def test_bytes_of_any_kind_raise_nothing(noise: bytes, at: int, byte: int) -> None:
    der = bytearray(a_certificate())
    der[at % len(der)] = byte
    for each in (noise, bytes(der), bytes(der[: at % len(der)])):
        identity.__wrapped__(each)


# ----------------------------------------------------------------------------------------------------- why it is nobody


def test_why_nobody_is_known_is_told_in_one_word(authority: Authority) -> None:
    asked = Peps([*CERTIFIED, ENVOY], "authzen")
    both, strange = authority.leaf(dns=["both.hospital.example"]).der, authority.leaf().der
    for secret, certificate, word in (
        (b"wrong", None, "wrong-secret"),
        (b"wrong", strange, "wrong-secret"),
        (b"", None, "wrong-secret"),
        (AMBIGUOUS, both, "two-secrets"),
        (b"secret-of-the-envoy", None, "wrong-door"),
        (None, None, "no-certificate"),
        (b"secret-of-the-both", None, "no-certificate"),
        (b"secret-of-the-both", strange, "unknown-certificate"),
        (None, strange, "unknown-certificate"),
        (None, both, "no-secret"),
        (b"wrong", both, "wrong-secret"),
    ):
        assert asked.of(secret, certificate) is None
        assert asked.why(secret, certificate) == word
        assert word in WHY
    assert Peps([PORTAL, ENVOY], "authzen").why(None) == "no-secret"
    assert Peps([PORTAL, PORTAL], "authzen").why(PORTAL.secret) == "two-profiles"
    assert Peps([Profile("proxy", doors=frozenset({"grpc"}))], "authzen").why(None) == "wrong-door"


def test_a_certificate_that_has_expired_is_unknown(authority: Authority) -> None:
    der = authority.leaf(uris=[SPIFFE]).der
    assert Peps([GATEWAY], "authzen").why(None, der, expires(der) + 1) == "unknown-certificate"
