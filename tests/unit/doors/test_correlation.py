from __future__ import annotations

import pytest

from pdp.doors.correlation import names, trace

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01".encode()


def test_both_are_found_among_other_headers() -> None:
    headers = [(b"host", b"x"), (b"traceparent", PARENT), (b"x-request-id", b"abc-1"), (b"accept", b"*/*")]
    assert names(headers) == ("abc-1", TRACE)
    assert names([]) == ("", "")


@pytest.mark.parametrize("value", [b"", b"a b", b"a\tb", b"\xff", b"x" * 129, "é".encode()])
def test_a_request_id_is_short_and_visible_or_none(value: bytes) -> None:
    assert names([(b"x-request-id", value)]) == ("", "")


def test_two_of_a_kind_are_none() -> None:
    assert names([(b"x-request-id", b"a"), (b"x-request-id", b"b")]) == ("", "")
    assert names([(b"traceparent", PARENT), (b"traceparent", PARENT)]) == ("", "")


@pytest.mark.parametrize(
    "parent",
    [
        b"",
        TRACE.encode(),
        PARENT.upper(),
        PARENT + b"-00",
        PARENT + b"\n",
        PARENT.replace(b"00-", b"ff-", 1),
        PARENT.replace(TRACE.encode(), b"0" * 32),
        PARENT.replace(b"00f067aa0ba902b7", b"0" * 16),
        PARENT[:-1],
        b"00-" + b"g" * 32 + b"-00f067aa0ba902b7-01",
    ],
)
def test_a_trace_that_is_none_is_none(parent: bytes) -> None:
    assert trace(parent) == ""


def test_a_later_version_may_say_more() -> None:
    assert trace(PARENT.replace(b"00-", b"01-", 1) + b"-more") == TRACE
