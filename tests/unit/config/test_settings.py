import json
from pathlib import Path

import pytest

from pdp.config import Address, ConfigError, load, reference
from pdp.model.decision import Capabilities
from tests.unit.identity.tokens import signer

SECRET = "a-secret-that-is-long-enough"


def problems(environment: dict[str, str], directory: Path) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as error:
        load(environment, directory)
    return error.value.problems


def test_the_defaults_are_safe(tmp_path: Path) -> None:
    settings = load({}, tmp_path)
    assert settings.http_listen == Address("127.0.0.1", 8181)
    assert settings.management_listen == Address("127.0.0.1", 8282)
    assert settings.policies == tmp_path / "policies/hospital"
    assert settings.public_url == "http://127.0.0.1:8181"
    assert settings.trust_unverified_subject_header == ""
    assert settings.max_permit_age_seconds == 0
    (profile,) = settings.profiles
    assert profile.may_assert == {"context.*"}
    assert profile.capabilities == Capabilities(fields=False, obligations=frozenset())


def test_a_variable_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "pdp.toml").write_text('workers = 2\ncache_size = 7\npolicies = "sets/mine"\n')
    settings = load({"PDP_WORKERS": "3"}, tmp_path)
    assert (settings.workers, settings.cache_size, settings.policies) == (3, 7, tmp_path / "sets/mine")


def test_a_policy_directory_brings_its_own_file_unless_the_operator_has_one(tmp_path: Path) -> None:
    policies = tmp_path / "set"
    policies.mkdir()
    (policies / "pdp.toml").write_text('[pep.portal]\nmay_assert = ["*"]\n')
    assert load({"PDP_POLICIES": "set"}, tmp_path).profiles[0].may_assert == {"*"}
    (tmp_path / "pdp.toml").write_text("workers = 2\n")
    assert load({"PDP_POLICIES": "set"}, tmp_path).profiles[0].may_assert == {"context.*"}


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    (tmp_path / "pdp.toml").write_text('worker = 2\nmax_depth = "deep"\n[pep.a]\ndoors = "authzen"\n')
    found = problems({"PDP_POLICYS": "x", "PDP_HTTP_LISTEN": "nowhere", "PDP_PUBLIC_URL": "ftp://x"}, tmp_path)
    text = "\n".join(found)
    for part in (
        "`worker`; did you mean `workers`?",
        "max_depth",
        "`doors`",
        "did you mean `PDP_POLICIES`?",
        "HTTP_LISTEN",
    ):
        assert part in text
    assert "PDP_PUBLIC_URL" in text


@pytest.mark.parametrize(
    "value",
    ["0.0.0.0:8181", "[::]:8181", "10.1.2.3:80", "192.0.2.1:8181", "[2001:db8::1]:1"],
)
def test_without_a_secret_only_loopback_is_listened_on(tmp_path: Path, value: str) -> None:
    assert any("no secret" in each for each in problems({"PDP_HTTP_LISTEN": value}, tmp_path))


@pytest.mark.parametrize("value", ["127.0.0.1:1", "localhost:1", "[::1]:1", "127.8.8.8:1"])
def test_loopback_needs_no_secret(tmp_path: Path, value: str) -> None:
    assert load({"PDP_HTTP_LISTEN": value}, tmp_path).http_listen.loopback


def test_with_a_secret_any_address_may_be_listened_on(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET + "\n")
    settings = load({"PDP_HTTP_LISTEN": "0.0.0.0:8181", "PDP_PEP_SECRET_FILE": "secret"}, tmp_path)
    assert settings.profiles[0].secret == SECRET.encode()
    assert SECRET not in repr(settings)


@pytest.mark.parametrize("text", ["", "short", "x" * 513, "sixteen or more with blanks", "sixteen-or-more-\x01"])
def test_a_bad_secret_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "secret").write_text(text)
    assert any("16 to 512" in each for each in problems({"PDP_PEP_SECRET_FILE": "secret"}, tmp_path))


def test_a_missing_secret_file_is_not_no_secret(tmp_path: Path) -> None:
    assert any("cannot be read" in each for each in problems({"PDP_PEP_SECRET_FILE": "gone"}, tmp_path))


@pytest.mark.parametrize("listener", ["PDP_HTTP_LISTEN", "PDP_GRPC_LISTEN"])
def test_the_unverified_subject_header_is_refused_off_loopback(tmp_path: Path, listener: str) -> None:
    (tmp_path / "secret").write_text(SECRET)
    environment = {
        listener: "0.0.0.0:1",
        "PDP_PEP_SECRET_FILE": "secret",
        "PDP_TRUST_UNVERIFIED_SUBJECT_HEADER": "x-user",
    }
    assert any("trust_unverified_subject_header" in each for each in problems(environment, tmp_path))


@pytest.mark.parametrize("name", ["X-User", "x_user", "authorization", "x-pdp-secret", "a b", "x:y"])
def test_a_subject_header_that_could_be_another_is_refused(tmp_path: Path, name: str) -> None:
    assert problems({"PDP_TRUST_UNVERIFIED_SUBJECT_HEADER": name}, tmp_path)


def test_management_off_loopback_needs_its_own_secret(tmp_path: Path) -> None:
    assert any("management" in each for each in problems({"PDP_MANAGEMENT_LISTEN": "0.0.0.0:8282"}, tmp_path))
    (tmp_path / "secret").write_text(SECRET)
    environment = {"PDP_MANAGEMENT_LISTEN": "0.0.0.0:8282", "PDP_MANAGEMENT_SECRET_FILE": "secret"}
    assert load(environment, tmp_path).management_secret == SECRET.encode()


@pytest.mark.parametrize(
    "section", ["[pep.app]", '[transmitter.idp]\nissuer = "https://idp.example"\naudience = "us"\nkeys_file = "keys"']
)
def test_nobody_who_asks_has_the_secret_of_the_operator(tmp_path: Path, section: str) -> None:
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "same").write_text(SECRET + "\n")
    (tmp_path / "keys").write_text(json.dumps({"keys": [signer().jwk()]}))
    issuer = '[issuer.idp]\nissuer = "https://idp.example"\naudience = "us"\nkeys_file = "keys"\n'
    (tmp_path / "pdp.toml").write_text(f'management_secret_file = "secret"\n{issuer}{section}\nsecret_file = "same"\n')
    assert any("all that an operator can" in each for each in problems({}, tmp_path))


@pytest.mark.parametrize("name", ["PEP_SECRET", "MANAGEMENT_SECRET", "TLS_CLIENT_CA", "TLS_CERTIFICATE"])
def test_a_file_whose_variable_is_empty_is_not_no_file(tmp_path: Path, name: str) -> None:
    assert any("is empty" in each for each in problems({f"PDP_{name}_FILE": ""}, tmp_path))


@pytest.mark.parametrize("name", ['"-"', '"a\\nb"', '"a\\u2028b"'])
def test_a_profile_is_not_called_nobody_or_two_lines(tmp_path: Path, name: str) -> None:
    (tmp_path / "pdp.toml").write_text(f"[pep.{name}]\n")
    assert any("a profile's name" in each for each in problems({}, tmp_path))


def test_two_profiles_may_not_share_a_secret_at_one_door(tmp_path: Path) -> None:
    (tmp_path / "pdp.toml").write_text("[pep.a]\n[pep.b]\n")
    assert any("same secret" in each for each in problems({}, tmp_path))
    (tmp_path / "pdp.toml").write_text('[pep.a]\ndoor = "authzen"\n[pep.b]\ndoor = "ext_authz"\n')
    assert len(load({}, tmp_path).profiles) == 2


HEX = "0a" * 32


@pytest.mark.parametrize(
    ("one", "other", "told_apart"),
    [
        ('["dns:a"]', '["dns:b"]', True),
        ('["dns:a"]', '["dns:a"]', False),
        ('["dns:a", "dns:b"]', '["dns:b", "dns:c"]', False),
        (f'["sha256:{HEX}"]', f'["sha256:{":".join(["0A"] * 32)}"]', False),
        ('["dns:a"]', "[]", False),  # Whoever shows that certificate fits both.
    ],
)
@pytest.mark.parametrize("secret", ["", 'secret_file = "own.secret"\n'])
def test_profiles_whose_certificates_do_not_tell_them_apart_are_an_error(
    tmp_path: Path, one: str, other: str, told_apart: bool, secret: str
) -> None:
    (tmp_path / "own.secret").write_text(SECRET)
    head = 'tls_certificate_file = "c"\ntls_key_file = "k"\ntls_client_ca_file = "a"\n'
    first, second = (f"{secret}certificate = {each}\n" for each in (one, other))
    (tmp_path / "pdp.toml").write_text(f"{head}[pep.a]\n{first}[pep.b]\n{second}")
    if told_apart:
        assert len(load({}, tmp_path).profiles) == 2
    else:
        assert all("[pep.a] and [pep.b] have the same secret, or none" in each for each in problems({}, tmp_path))
    (tmp_path / "pdp.toml").write_text(f'{head}[pep.a]\ndoor = "authzen"\n{first}[pep.b]\ndoor = "grpc"\n{second}')
    assert len(load({}, tmp_path).profiles) == 2


def test_a_profile_says_what_its_enforcement_point_can_do(tmp_path: Path) -> None:
    (tmp_path / "own.secret").write_text(SECRET)
    (tmp_path / "pdp.toml").write_text(
        '[pep.portal]\nsecret_file = "own.secret"\ndoor = "authzen"\nmay_assert = ["context.purpose", "subject.*"]\n'
        'obligations = ["notify"]\nfields = true\ncontext = { purpose = "TREAT" }\n'
    )
    (profile,) = load({}, tmp_path).profiles
    assert profile.secret == SECRET.encode()
    assert profile.doors == {"authzen"}
    assert profile.may_assert == {"context.purpose", "subject.*"}
    assert profile.capabilities == Capabilities(fields=True, obligations=frozenset({"notify"}))
    assert profile.context == {"purpose": "TREAT"}


@pytest.mark.parametrize(
    "line",
    [
        'may_assert = "context.*"',
        'may_assert = ["token.role"]',
        'may_assert = ["subject"]',
        "fields = 1",
        'obligations = "notify"',
        'door = "telnet"',
        "context = { at = 2026-01-01 }",
        "context = { share = 0.5 }",
        'secret_file = ""',
    ],
)
def test_a_profile_with_a_mistake_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "pdp.toml").write_text(f"[pep.a]\n{line}\n")
    assert any("[pep.a]" in each for each in problems({}, tmp_path))


def test_an_unreadable_or_broken_file_is_a_problem_not_a_default(tmp_path: Path) -> None:
    assert any("cannot be read" in each for each in problems({"PDP_CONFIG": "gone.toml"}, tmp_path))
    (tmp_path / "pdp.toml").write_text("workers = ")
    assert any("not TOML" in each for each in problems({}, tmp_path))


def test_the_settings_page_is_current() -> None:
    page = (Path(__file__).parents[3] / "docs/settings.md").read_text()
    assert reference() in page, "run scripts/make-catalogue"


@pytest.mark.parametrize(
    "name",
    ["dns:*.hospital.example", "dns:", "dns:Envoy", "sha256:12", "spiffe://", "spiffe://h.example/../x", "CN=envoy"],
)
def test_a_certificate_name_that_nobody_can_have_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "pdp.toml").write_text(f'[pep.envoy]\ncertificate = ["{name}"]\n')
    assert any("`certificate` must list" in each for each in problems({}, tmp_path))
