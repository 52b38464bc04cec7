"""SEMANTICS 14 and 15 from policy text to answer: each condition is true, false, or cannot be evaluated."""

from __future__ import annotations

import pytest

from pdp.compile.program import compile_program
from pdp.decide.engine import Engine
from pdp.diagnostics.diagnostic import PolicyError
from pdp.diagnostics.source import Source
from pdp.language import check, parse
from pdp.model.entities import Entities
from pdp.model.request import Request

SCHEMA = """
entity User
entity Doc { ip: Ip from caller  at: Instant from caller  born: Date from caller }
action read on Doc by User
permit read on Doc as it when """

NOW = 1_772_366_400_000_000  # 2026-03-01T12:00:00Z, a Sunday

ANSWERS = {"permitted": True, "no_rule": False, "indeterminate": "error"}


def answer(condition: str, now: int = NOW, **properties: object) -> bool | str:
    policies, _ = check.policies([parse.policy(Source("it.ward", SCHEMA + condition))])
    engine = Engine(compile_program(policies), Entities())
    request = Request("User", "u", "read", "Doc", "d", resource_properties=properties)
    first, cached = engine.decide(request, now), engine.decide(request, now)
    assert first == cached
    return ANSWERS[first.reason]


@pytest.mark.parametrize(
    ("ip", "network", "expected"),
    [
        ("10.1.2.3", "10.0.0.0/8", True),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("::ffff:10.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "::/0", False),
        ("2001:db8::1", "::/0", True),
        ("2001:db8::1", "0.0.0.0/0", False),
        ("10.0.0.0/16", "10.0.0.0/8", True),
        ("10.0.0.0/8", "10.0.0.0/16", False),
        ("10.0.0.1/8", "10.0.0.0/8", "error"),  # Host bits: refused, so unknown.
        ("10.0.0.256", "10.0.0.0/8", "error"),
        ("010.0.0.1", "10.0.0.0/8", "error"),
        ("", "10.0.0.0/8", "error"),
    ],
)
def test_semantics_14_addresses_in_networks(ip: str, network: str, expected: bool | str) -> None:
    assert answer(f'resource.ip in ip("{network}")', ip=ip) == expected


def test_semantics_14_a_mapped_address_equals_the_one_it_maps() -> None:
    assert answer('resource.ip == ip("10.0.0.7")', ip="::ffff:10.0.0.7") is True
    assert answer('resource.ip == ip("::ffff:10.0.0.0/104")', ip="10.0.0.0/8") is True


def test_semantics_14_a_policy_cannot_write_a_network_with_host_bits() -> None:
    with pytest.raises(PolicyError) as refused:
        answer('resource.ip in ip("10.0.0.1/8")', ip="10.0.0.1")
    assert [each.code for each in refused.value.diagnostics] == ["invalid-literal"]


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-03-01T12:00:00Z", True),  # 0 <= now - t
        ("2026-03-01T11:45:00.000001Z", True),
        ("2026-03-01T11:45:00Z", False),  # now - t < d
        ("2026-03-01T12:00:00.000001Z", False),  # A stamp from the future.
        ("2026-03-01T13:50:00+02:00", True),
        ("2026-03-01T12:00:00", "error"),  # No offset.
        ("2026-03-01T12:00Z", "error"),  # No seconds.
        ("2026-02-30T12:00:00Z", "error"),
    ],
)
def test_semantics_15_within_looks_back_and_never_forward(at: str, expected: bool | str) -> None:
    assert answer("resource.at within 15 minutes", at=at) == expected


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-03-01T19:00:00Z", True),
        ("2026-03-01T23:59:59.999999Z", True),
        ("2026-03-02T00:00:00Z", True),
        ("2026-03-02T06:59:59Z", True),
        ("2026-03-02T07:00:00Z", False),
        ("2026-03-01T18:59:59.999999Z", False),
    ],
)
def test_semantics_15_clock_ranges_are_half_open_and_wrap_midnight(at: str, expected: bool) -> None:
    assert answer('clock_between(resource.at, "19:00", "07:00", "Etc/UTC")', at=at) is expected


@pytest.mark.parametrize(
    ("at", "hour"),
    [
        ("2026-03-08T07:59:59Z", 1),  # Chicago, the night the clock goes forward: 02:00 to 03:00 is not there.
        ("2026-03-08T08:00:00Z", 3),
        ("2026-11-01T06:30:00Z", 1),  # And the night it goes back: 01:30 comes twice, for two instants.
        ("2026-11-01T07:30:00Z", 1),
        ("2026-11-01T08:30:00Z", 2),
    ],
)
def test_semantics_15_local_time_derives_from_the_instant(at: str, hour: int) -> None:
    assert answer(f'hour(resource.at, "America/Chicago") == {hour}', at=at) is True


def test_semantics_15_a_day_is_24_hours_and_only_dates_know_the_calendar() -> None:
    assert answer('resource.at + 1 day == instant("2026-03-09T07:00:00Z")', at="2026-03-08T07:00:00Z") is True
    assert answer('add_months(resource.born, 1) == date("2024-02-29")', born="2024-01-31") is True
    assert answer('years_between(resource.born, date("2026-02-28")) == 17', born="2008-02-29") is True


def test_semantics_08_now_is_ours() -> None:
    assert answer('now == instant("2026-03-01T12:00:00Z")', now=NOW, at="1999-01-01T00:00:00Z") is True
