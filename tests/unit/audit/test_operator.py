"""Who runs a command is what the system says, not what they say."""

import os
import pwd

import pytest

from pdp.audit.operator import operator


def test_the_environment_makes_nobody_another(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "another")
    assert operator() == pwd.getpwuid(os.getuid()).pw_name


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getuid", lambda: 54_321)
    assert operator() == "54321"
