"""Times as people say them."""

from __future__ import annotations

from datetime import UTC, timedelta
from zoneinfo import ZoneInfo

import pytest

from pdp.audit.asking.period import ALWAYS, BadPeriod, Period, period, shown, zone
from pdp.audit.leaf import instant

NOW = instant("2026-03-15T12:00:00Z")
BERLIN = ZoneInfo("Europe/Berlin")


def between(first: str, after: str) -> tuple[int, int]:
    return instant(first), instant(after)


@pytest.mark.parametrize(
    ("said", "first", "after"),
    [
        ("2026", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ("2026-03", "2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z"),
        ("2026-12", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ("2026-03-31", "2026-03-31T00:00:00Z", "2026-04-01T00:00:00Z"),
        ("2026-03-31T08:00", "2026-03-31T08:00:00Z", "2026-03-31T08:01:00Z"),
        ("2026-03-31T08:00:00.25+02:00", "2026-03-31T06:00:00.25Z", "2026-03-31T06:00:00.250001Z"),
    ],
)
def test_what_is_no_instant_means_all_of_it(said: str, first: str, after: str) -> None:
    found = period(NOW, within=said)
    assert (found.first, found.after) == between(first, after)
    assert period(NOW, begin=said).first == found.first
    assert period(NOW, end=said).after == found.after


def test_a_day_is_that_of_the_zone_also_when_the_clock_is_set_forward_or_back() -> None:
    assert (
        period(NOW, BERLIN, within="2026-03-29").after - period(NOW, BERLIN, within="2026-03-29").first
        == 82_800_000_000
    )
    assert (
        period(NOW, BERLIN, within="2026-10-25").after - period(NOW, BERLIN, within="2026-10-25").first
        == 90_000_000_000
    )
    twice = period(NOW, BERLIN, within="2026-10-25T02:30")
    assert (twice.first, twice.after) == between("2026-10-25T00:30:00Z", "2026-10-25T01:31:00Z")


def test_the_last_week_reaches_to_now() -> None:
    assert period(NOW, last="7d") == Period(NOW - 7 * 86_400_000_000, NOW + 1)
    assert NOW in period(NOW, last="90m")


def test_nothing_said_is_always() -> None:
    found = period(NOW)
    assert (found.first, found.after) == ALWAYS
    assert not found.bounded
    assert found.text == "all that the log holds"
    assert period(NOW, begin="2026").text == "from 2026-01-01 00:00:00.000Z"


@pytest.mark.parametrize(
    "said",
    [
        {"within": "March"},
        {"within": "2026-13"},
        {"within": "2026-02-30"},
        {"within": "26-03"},
        {"within": "2026-03-01T8"},
        {"within": "2026-03", "begin": "2026"},
        {"last": "7"},
        {"last": "-7d"},
        {"last": "9999999d"},
        {"last": "999999w"},
        {"last": "7d", "end": "2026"},
        {"begin": "2026-04", "end": "2026-03"},
        {"within": "9999"},
        {"within": "0000"},
        {"within": "２０２６"},
    ],
)
def test_what_is_no_period_is_a_sentence(said: dict[str, str]) -> None:
    if said == {"last": "999999w"}:
        assert period(NOW, **said).first < 0
        return
    with pytest.raises(BadPeriod, match=r".{10}"):
        period(NOW, **said)


def test_zones() -> None:
    assert zone("utc") is UTC
    assert zone("Europe/Berlin") == BERLIN
    assert zone("local").utcoffset(None) is not None or zone("local")
    for name in ("Mars/Olympus", "../etc/passwd", "", "/etc/passwd"):
        with pytest.raises(BadPeriod):
            zone(name)
    assert shown(NOW, BERLIN) == "2026-03-15 13:00:00.000+01:00"
    assert shown(1 << 62, UTC).endswith("µs")
    assert timedelta(0) == UTC.utcoffset(None)
