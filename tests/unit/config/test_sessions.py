"""`[sessions]` and `[transmitter.NAME]`: what they say, and every mistake that would let somebody go on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pdp.config import ConfigError, Settings, load
from pdp.config.sessions import SessionSettings
from pdp.doors.stepup import StepUp
from pdp.identity.sessions import Limits
from tests.unit.identity.tokens import AUDIENCE, ISSUER, signer

ISSUERS = f'[issuer.idp]\nissuer = "{ISSUER}"\naudience = "{AUDIENCE}"\nkeys_file = "keys.json"\n'
SENDER = f'[transmitter.idp]\nissuer = "{ISSUER}"\naudience = "https://pdp.example"\nkeys_file = "keys.json"\n'


@pytest.fixture(autouse=True)
def _keys(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [signer().jwk()]}))


def settings(directory: Path, text: str) -> Settings:
    (directory / "pdp.toml").write_text(text)
    return load({}, directory)


def test_sessions_end_also_where_nobody_has_said_when(tmp_path: Path) -> None:
    assert load({}, tmp_path).sessions.limits == Limits(900, 43_200)
    assert load({}, tmp_path).transmitters == ()


def test_an_issuer_has_limits_of_its_own_and_the_usual_ones_beside(tmp_path: Path) -> None:
    table = "[sessions]\nidle_seconds = 600\nabsolute_seconds = 3600\n[sessions.issuer.idp]\nidle_seconds = 60\n"
    found = settings(tmp_path, ISSUERS + table)
    assert found.sessions.by_iss(found.issuers) == {ISSUER: Limits(60, 3_600)}
    assert found.sessions.limits == Limits(600, 3_600)


def test_of_two_sections_of_one_issuer_the_stricter_limits_hold(tmp_path: Path) -> None:
    one, other = Limits(60, 0), Limits(0, 900)
    found = settings(tmp_path, ISSUERS)
    made = SessionSettings(by_issuer={"a": one, "b": other})
    twins = [replace(found.issuers[0], name=name) for name in ("a", "b")]
    assert made.by_iss(twins) == {ISSUER: Limits(60, 900)}


def test_limits_that_are_off_are_said(tmp_path: Path) -> None:
    found = settings(tmp_path, ISSUERS + "[sessions]\nidle_seconds = 0\n")
    assert found.sessions.warnings(found.issuers) == [
        "a session of [issuer.idp] ends never for being idle, only when revoked"
    ]
    assert load({}, tmp_path / "nowhere").sessions.warnings(found.issuers) == []


def test_a_step_up_says_what_is_asked_for(tmp_path: Path) -> None:
    table = '[sessions]\nstep_up_acr_values = ["urn:mfa"]\nstep_up_amr_values = ["otp"]\nstep_up_max_age_seconds = 9\n'
    assert settings(tmp_path, table).sessions.step_up == StepUp(("urn:mfa",), ("otp",), 9)


def test_a_transmitter_speaks_of_its_own_subjects_unless_others_are_named(tmp_path: Path) -> None:
    (tmp_path / "sent.secret").write_text("a-long-enough-secret")
    found = settings(tmp_path, ISSUERS + SENDER + 'secret_file = "sent.secret"\n').transmitters[0]
    assert (found.name, found.subjects, found.secret) == ("idp", {ISSUER}, b"a-long-enough-secret")
    assert found.signer.audiences == {"https://pdp.example"}
    assert "a-long-enough-secret" not in repr(found)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("sessions = 7", "must be a table"),
        ("[sessions]\nidle = 7", "unknown key `idle`"),
        ("[sessions]\nidle_seconds = -1", "`idle_seconds` must be a whole number"),
        ('[sessions]\nidle_seconds = "never"', "`idle_seconds` must be a whole number"),
        ("[sessions]\nremember_seconds = 60", "`remember_seconds` must be a whole number"),
        ("[sessions]\nunread_seconds = 0", "`unread_seconds` must be a whole number"),
        ("[sessions.issuer.nobody]\nidle_seconds = 60", "there is no [issuer.nobody]"),
        ("[sessions.issuer.idp]\nidle_second = 60", "unknown key `idle_second`"),
        ("[sessions.issuer]\nidle_seconds = 60", "must hold tables"),
        ("[sessions]\nabsolute_seconds = 8000000", "less than absolute_seconds"),
        ("[sessions]\nremember_seconds = 86400\nidle_seconds = 86401", "less than idle_seconds"),
        ('[sessions]\nstep_up_acr_values = ["a\\"b"]', "`step_up_acr_values` must list values of visible ASCII"),
        ('[sessions]\nstep_up_acr_values = ["a b"]', "`step_up_acr_values` must list values of visible ASCII"),
        (SENDER.replace("audience", "#audience"), "`audience` must list"),
        (SENDER.replace("issuer =", "#issuer ="), "`issuer` must say"),
        (SENDER.replace("keys_file", "#keys_file"), "needs one of `keys`"),
        (SENDER.replace("transmitter.idp", 'transmitter."a/b"'), "its name is part of a URL"),
        (SENDER + "issuers = []", "`issuers` must list"),
        (SENDER + 'issuers = ["idp"]', "which is `issuer` of no [issuer.NAME]"),
        (SENDER + 'secret_file = "nowhere"', "`secret_file`"),
        (SENDER + "max_age_seconds = 8000000", "less than [transmitter.idp] max_age_seconds"),
        (SENDER + "exp = 7", "unknown key `exp`"),
    ],
)
def test_a_mistake_is_said_and_nothing_of_the_file_is_used(tmp_path: Path, table: str, expected: str) -> None:
    with pytest.raises(ConfigError) as error:
        settings(tmp_path, f"{table}\n{ISSUERS}")
    assert expected in "\n".join(error.value.problems)


def test_what_is_forgotten_is_older_than_any_token(tmp_path: Path) -> None:
    table = ISSUERS + "max_lifetime_seconds = 2592000\n[sessions]\nremember_seconds = 86400\n"
    with pytest.raises(ConfigError, match=r"less than \[issuer.idp\] max_lifetime_seconds"):
        settings(tmp_path, table)
