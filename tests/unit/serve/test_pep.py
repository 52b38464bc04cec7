"""Who asks: a wrong secret is nobody, and never falls back to a profile without one."""

import pytest

from pdp.config import Profile
from pdp.serve.pep import AMBIGUOUS, Peps, api_secret, proxy_secret

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
