"""JSON that is read strictly, or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.model.decision import NO_CAPABILITIES, Decision, Effect, Fields, Reason
from pdp.model.request import MAX_DEPTH, Request, RequestError, strict_json, strict_json_at

JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=8,
)


@given(JSON)
def test_what_is_json_comes_back(value: Any) -> None:
    assert strict_json(json.dumps(value)) == value
    assert strict_json(json.dumps(value, ensure_ascii=False).encode()) == value


@given(st.binary(max_size=40))
def test_any_bytes_are_a_value_or_a_request_error(data: bytes) -> None:
    with suppress(RequestError):
        strict_json(data)


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 2}',
        '{"a": {"b": 1, "b": 1}}',
        '[{"\\u0061": 1, "a": 2}]',
        "NaN",
        "Infinity",
        "-Infinity",
        "123456789012345678901",
        "0." + "1" * 60,
        '"\\ud800"',
        '{"\\udc00": 1}',
        '["a", {"b": ["\\ud83d"]}]',
        "\ufeff{}",
        b"\xff",
        b"\xed\xa0\x80",
        "",
        " ",
        "{} {}",
        "{'a': 1}",
        "01",
        "[1,]",
        '{"a": 1,}',
        '"\n"',
        "// x\n1",
        "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1),
        "[" * 200_000,
        '{"a":' * 200_000,
    ],
)
def test_what_two_readers_could_take_differently_is_refused(text: str | bytes) -> None:
    with pytest.raises(RequestError):
        strict_json(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("1.0", Decimal("1.0")),
        ("1e2", Decimal("1e2")),
        ("-0", 0),
        ("18446744073709551615", 2**64 - 1),
        ('"\\ud83d\\ude00"', "\U0001f600"),
        ('"\U0001f600"', "\U0001f600"),
        ("[" * MAX_DEPTH + "]" * MAX_DEPTH, None),
        ('"' + "[" * 500 + '"', "[" * 500),
        ('"\\"' + "{" * 500 + '"', '"' + "{" * 500),
    ],
)
def test_what_is_exact_stays_exact(text: str, value: object) -> None:
    read = strict_json(text)
    if value is not None:
        assert read == value
        assert type(read) is type(value)


def test_no_number_is_ever_a_float() -> None:
    assert type(strict_json("[0.1]")[0]) is Decimal


def test_one_value_out_of_a_longer_text() -> None:
    assert strict_json_at('xx{"a": 1} tail', 2) == ({"a": 1}, 10)
    with pytest.raises(RequestError):
        strict_json_at('{"a": 1, "a": 2}', 0)
    with pytest.raises(RequestError):
        strict_json_at("[" * 200_000, 0)
    with pytest.raises(ValueError):
        strict_json_at("nonsense", 0)


def test_an_error_names_its_field() -> None:
    error = RequestError("must be a text", "subject.id")
    assert (error.field, error.message, str(error)) == ("subject.id", "must be a text", "subject.id: must be a text")
    assert str(RequestError("not JSON")) == "not JSON"


def test_a_request_says_nothing_that_was_not_said() -> None:
    request = Request("user", "ann", "read", "record", "r1")
    assert (request.token, request.certificate, request.route) == (None, None, None)
    assert (dict(request.context), request.searched_fields, request.refused) == ({}, frozenset(), frozenset())
    assert request.context is not Request("user", "ann", "read", "record", "r1").context


# Decisions.


def test_only_allow_opens() -> None:
    for reason in Reason:
        assert not Decision(Effect.DENY, reason).allowed
    assert Decision(Effect.ALLOW, Reason.PERMITTED).allowed


@pytest.mark.parametrize("effect", ["ALLOW", "permit", "", None, 1, True])
def test_what_nobody_thought_of_is_a_deny(effect: Any) -> None:
    assert not Decision(effect, Reason.PERMITTED).allowed


def test_whoever_has_no_profile_can_do_nothing() -> None:
    assert (NO_CAPABILITIES.fields, NO_CAPABILITIES.obligations) == (False, frozenset())


def test_fields_are_limited_by_either() -> None:
    assert not Fields().limited
    assert Fields(frozenset()).limited
    assert Fields(None, frozenset({"/ssn"})).limited


@pytest.mark.parametrize("number", ["1e99999999999999999999", "-1.5e-99999999999999999999"])
def test_an_exponent_beyond_any_decimal_is_no_fault_of_ours(number: str) -> None:
    with pytest.raises(RequestError):
        strict_json(f'{{"x":{number}}}')


class _Read(str):
    """A text that knows how far it was read, one character at a time."""

    read = 0

    def __iter__(self) -> Iterator[str]:
        for each in super().__iter__():
            self.read += 1
            yield each


def test_what_is_nested_too_deep_is_read_no_further() -> None:
    text = _Read('["[",' * (MAX_DEPTH + 1) + "[1]," * 100_000)
    with pytest.raises(RequestError, match="nested deeper"):
        strict_json(text)
    assert text.read == MAX_DEPTH * 5 + 1


@given(st.text('[]{}"\\', max_size=40), st.integers(0, 4))
def test_what_is_not_too_deep_may_be_read(text: str, allowed: int) -> None:
    """Of what is JSON: the depth is that of the value."""
    try:
        value = json.loads(text)
    except ValueError:
        return
    depth = _depth_of(value)
    if depth > allowed:
        with pytest.raises(RequestError, match="nested deeper"):
            strict_json(text, allowed)
    else:
        assert strict_json(text, allowed) == value


def _depth_of(value: Any) -> int:
    if not isinstance(value, list | dict):
        return 0
    return 1 + max(map(_depth_of, value.values() if isinstance(value, dict) else value), default=0)
