"""`[detect]` and `[alert.NAME]`: what they say, and every mistake by which an alert would go where it should not."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdp.audit.detect.wanted import Watching
from pdp.config import ConfigError, Settings, load

SECRET = "a-secret-of-twenty-five-ch"
HOOK = '[alert.desk]\nkind = "webhook"\nurl = "https://desk.example/x"\nsecret_file = "secret"\n'


def read(directory: Path, text: str) -> Settings:
    (directory / "secret").write_text(SECRET)
    (directory / "facts").mkdir(exist_ok=True)
    (directory / "pdp.toml").write_text(text)
    return load({}, directory)


def problems(directory: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(directory, text)
    assert SECRET not in str(caught.value)
    return str(caught.value)


def test_nothing_is_looked_for_where_nothing_is_said(tmp_path: Path) -> None:
    settings = read(tmp_path, "")
    assert (settings.detect, settings.alerts) == (None, ())


def test_detection_and_alerts_are_read(tmp_path: Path) -> None:
    more = 'min_score = 60\nrules = ["M3"]\n[alert.file]\nkind = "file"\nfile = "alerts"\ninclude_identities = true\n'
    settings = read(tmp_path, f'[detect]\ncontext_dir = "facts"\nevery_seconds = 5\n{HOOK}{more}')
    assert settings.detect == Watching(context=tmp_path / "facts", every_seconds=5)
    desk, file = settings.alerts
    assert (desk.url, desk.secret, desk.min_score, desk.rules) == (
        "https://desk.example/x",
        SECRET.encode(),
        60,
        frozenset({"M3"}),
    )
    assert (file.file, file.include_identities, desk.include_identities) == (tmp_path / "alerts", True, False)
    assert SECRET not in repr(settings)
    assert tmp_path / "secret" in settings.secret_files


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HOOK, "nothing is detected: there is no [detect]"),
        ('[detect]\ncontext_dir = "nowhere"', "is not a directory"),
        ('[detect]\ncontext = "facts"', "did you mean `context_dir`"),
        ('[detect]\nrules_file = "none.toml"', "cannot be read"),
        ("detect = 3", "must be a table"),
        ('[detect]\n[alert.x]\nkind = "pager"', "must be one of webhook, syslog, file"),
        ("[detect]\n[alert.x]\nmin_score = 3", "must be one of webhook, syslog, file"),
        ('[detect]\n[alert.x]\nkind = "webhook"\nsecret_file = "secret"', "`url` must be set"),
        ('[detect]\n[alert.x]\nkind = "webhook"\nurl = "https://a.example"', "anybody may send"),
        ('[detect]\n[alert.x]\nkind = "webhook"\nurl = "http://a.example"\nsecret_file = "secret"', "travel in clear"),
        ('[detect]\n[alert.x]\nkind = "syslog"\nurl = "tcp://a.example:514"', "travel in clear"),
        ('[detect]\n[alert.x]\nkind = "syslog"\nurl = "udp://a.example:514"', "must be tls://"),
        ('[detect]\n[alert.x]\nkind = "syslog"\nurl = "tls://me@a.example:514"', "must be tls://"),
        ('[detect]\n[alert.x]\nkind = "file"', "`file` must be set"),
        ('[detect]\n[alert.x]\nkind = "file"\nfile = "a"\nidentities = true', "unknown key `identities`"),
    ],
)
def test_mistakes_are_said(tmp_path: Path, text: str, said: str) -> None:
    assert said in problems(tmp_path, text)


def test_plain_text_is_for_this_machine_or_for_who_says_so(tmp_path: Path) -> None:
    own = HOOK.replace("https://desk.example", "http://127.0.0.1:9")
    assert read(tmp_path, f"[detect]\n{own}").alerts[0].url.startswith("http://127")
    known = HOOK.replace("https:", "http:") + "trust_plain_text_network = true\n"
    assert read(tmp_path, f"[detect]\n{known}").alerts[0].url == "http://desk.example/x"
