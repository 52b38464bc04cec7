from __future__ import annotations

import pytest

from pdp.audit.verb import known, verb


@pytest.mark.parametrize(
    ("action", "method", "letter"),
    [
        ("read", "", "R"),
        ("vread", "", "R"),
        ("create", "", "C"),
        ("add", "POST", "C"),
        ("update", "PUT", "U"),
        ("patch", "", "U"),
        ("delete", "", "D"),
        ("search", "GET", "Q"),
        ("list", "GET", "Q"),
        ("search-type", "", "Q"),
        ("disclose", "POST", "T"),
        ("export", "GET", "T"),
        ("bill", "POST", "E"),
        ("frobnicate", "", "E"),
        ("frobnicate", "POST", "E"),
        ("frobnicate", "GET", "R"),
        ("frobnicate", "DELETE", "D"),
        ("can_read_user", "", "R"),
        ("can_update_todo", "", "U"),
        ("write_off", "", "U"),
        ("patientRead", "", "R"),
        ("", "", "E"),
        ("", "PATCH", "U"),
        ("read+export", "", "T"),
        ("read+update", "PUT", "U"),
        ("list+read", "", "Q"),
    ],
)
def test_what_is_done_in_one_letter(action: str, method: str, letter: str) -> None:
    assert verb(action, method) == letter


@pytest.mark.parametrize("action", ["\ud800", "x" * 100_000, "+" * 50, "\0", "İ"])
def test_any_text_has_one(action: str) -> None:
    assert verb(action) == "E"


def test_a_method_that_a_client_made_up_is_not_on_record() -> None:
    assert (known("GET"), known("get"), known("MRN-4711")) == ("GET", "other", "other")
