"""What is said before a start, and by `pdp serve --check-settings`, which starts nothing."""

import os
from pathlib import Path

import pytest

from pdp.cli.main import main
from pdp.config import ConfigError, Settings, load
from pdp.serve import preflight
from tests.service.server import write_policies

SECRET = "a-secret-that-is-long-enough"


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_policies(tmp_path / "policies/hospital")
    monkeypatch.chdir(tmp_path)
    for name in [each for each in os.environ if each.startswith("PDP_")]:
        monkeypatch.delenv(name)
    return tmp_path


def settings(directory: Path, text: str) -> Settings:
    (directory / "pdp.toml").write_text(text)
    (directory / "secret").write_text(SECRET)
    return load({}, directory)


def said(directory: Path, text: str) -> str:
    return "\n".join(preflight.weaknesses(settings(directory, text)))


def test_what_travels_in_clear_beyond_loopback_is_warned_of(directory: Path) -> None:
    found = said(directory, 'http_listen = "0.0.0.0:1"\ngrpc_listen = "0.0.0.0:2"\npep_secret_file = "secret"')
    assert "http_listen: 0.0.0.0:1 is not loopback" in found
    assert "grpc_listen: 0.0.0.0:2 is not loopback" in found
    assert "in clear" not in said(directory, "")


@pytest.mark.parametrize("text", ['pep_secret_file = "secret"', '[pep.a]\nsecret_file = "secret"'])
def test_a_secret_that_others_can_read_is_warned_of(directory: Path, text: str) -> None:
    found = settings(directory, text)
    os.chmod(directory / "secret", 0o640)
    assert "secret and may be read" in "\n".join(preflight.weaknesses(found))
    os.chmod(directory / "secret", 0o600)
    assert preflight.weaknesses(found) == []


def test_nothing_listens_for_grpc_where_no_profile_has_the_door(directory: Path) -> None:
    profile = '[pep.a]\ndoor = "authzen"\n'
    assert "no profile has the door `grpc`" in said(directory, 'grpc_listen = "127.0.0.1:9"\n' + profile)
    assert said(directory, profile) == ""
    assert said(directory, 'grpc_listen = "127.0.0.1:0"\n' + profile) == ""


def test_where_records_and_sessions_are_kept_is_said_with_the_whole_path(directory: Path) -> None:
    found = preflight.places(settings(directory, 'audit_dir = "/var/log/pdp"'))
    assert f"sessions and revocations in {directory}/state" in found
    assert "records in /var/log/pdp" in found
    assert "(state_dir not set: below the working directory)" in found


def checked(capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = main(["serve", "--check-settings"])
    return code, "".join(capsys.readouterr())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('policies = "nowhere"', "nowhere is not a directory"),
        ('tls_certificate_file = "secret"\ntls_key_file = "secret"', "holds no certificate"),
        ('audit_dir = "secret/below"', "audit_dir: "),
        ('state_dir = "secret"', "state_dir: "),
        ('metadata_key_file = "secret"', "metadata_key_file: "),
    ],
)
def test_what_a_start_would_refuse_is_said_without_one(
    directory: Path, capsys: pytest.CaptureFixture[str], text: str, problem: str
) -> None:
    settings(directory, text)
    code, found = checked(capsys)
    assert code == 2
    assert problem in found


def test_a_policy_set_that_does_not_check_is_said_too(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings(directory, "")
    (directory / "policies/hospital/c.ward").write_text("permit")
    assert checked(capsys)[0] == 3


def test_what_would_be_warned_of_is_said_and_nothing_is_made(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings(directory, '[pep.a]\nobligations = ["call_back"]')
    code, found = checked(capsys)
    assert code == 0
    assert "WARNING: [pep.a]: `obligations` names `call_back`" in found
    assert not (directory / "audit").exists()
    assert not (directory / "state").exists()


@pytest.mark.parametrize(
    "profile",
    [
        'door = "ext_authz"\nclient_certificate = "peer"',
        'door = "grpc"\nevidence = ["certificate"]',
        'evidence = ["certificate"]\nclient_certificate = "none"',
    ],
)
def test_a_profile_at_whose_doors_nobody_could_be_known_is_refused(directory: Path, profile: str) -> None:
    with pytest.raises(ConfigError):
        settings(directory, f"[pep.a]\n{profile}")


def test_a_certificate_that_has_its_place_is_none_of_these(directory: Path) -> None:
    settings(directory, '[pep.a]\nevidence = ["certificate"]\nclient_certificate = "peer"')
    settings(directory, '[pep.a]\ndoor = "authzen"\nevidence = ["certificate"]')


@pytest.mark.parametrize(
    ("origin", "generated"),
    [
        ("3f2b1c9a0d4e/pdp", True),
        ("pdp-7d9c5b8f64-x2x9q/pdp", True),
        ("host-1/pdp", False),
        ("pdp.example/host-1", False),
    ],
)
def test_a_log_named_after_a_container_is_warned_of(directory: Path, origin: str, generated: bool) -> None:
    from dataclasses import replace

    found = replace(settings(directory, ""), audit_origin=origin)
    assert any("would be another log" in each for each in preflight.ground(found)) is generated
    chosen = replace(found, given=frozenset({"audit_origin"}))
    assert not any("would be another log" in each for each in preflight.ground(chosen))


def test_a_file_system_that_keeps_no_promise_is_warned_of(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "unsound", lambda where: "btrfs is weak" if "audit" in where.name else "")
    assert any("btrfs is weak" in each for each in preflight.ground(settings(directory, "")))


MISSING = '[ship.events]\nkind = "nats"\nservers = ["nats://127.0.0.1:4222"]\nstream = "pdp"\nsubject = "pdp"\n'


def everything(directory: Path) -> set[str]:
    return {str(each.relative_to(directory)) for each in directory.rglob("*")}


@pytest.mark.parametrize("how", [["serve"], ["serve", "--check-settings"]], ids=" ".join)
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (MISSING, "needs the extra `ship-nats`"),
        ('tls_certificate_file = "secret"\ntls_key_file = "secret"', "holds no certificate"),
        ('policies = "nowhere"', "nowhere is not a directory"),
        ('state_dir = "secret"', "state_dir: "),
    ],
)
def test_a_start_that_is_refused_makes_no_keys(
    directory: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    how: list[str],
    text: str,
    problem: str,
) -> None:
    from pdp.audit.ship import targets

    monkeypatch.setattr(targets, "find_spec", lambda _: None)
    ports = '\nhttp_listen = "127.0.0.1:0"\nmanagement_listen = "127.0.0.1:0"\ngrpc_listen = "127.0.0.1:0"\n'
    (directory / "secret").write_text(SECRET)
    (directory / "pdp.toml").write_text(ports + text)
    before = everything(directory)
    assert main(how) == 2
    assert problem in "".join(capsys.readouterr())
    assert everything(directory) == before


def test_a_port_in_use_makes_no_keys(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings(directory, f'http_listen = "127.0.0.1:{port}"\nmanagement_listen = "127.0.0.1:0"')
        before = everything(directory)
        assert main(["serve"]) == 2
    assert "http_listen" in "".join(capsys.readouterr())
    assert everything(directory) == before


def test_a_target_that_is_told_in_clear_is_warned_of(directory: Path) -> None:
    to = '[ship.siem]\nkind = "syslog"\nurl = "{}"\n'
    plain = settings(directory, to.format("tcp://10.0.0.1:514") + "trust_plain_text_network = true")
    assert any("[ship.siem]" in each and "in clear" in each for each in preflight.weaknesses(plain))
    assert not any(
        "[ship." in each for each in preflight.weaknesses(settings(directory, to.format("tls://siem.example")))
    )
