"""Our tables of transitions against `zoneinfo`, for every zone there is; our calendar against `datetime`."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from importlib.resources import files
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.compile.zones import FIRST_DAY, LAST_DAY, Zone, civil, days_from_civil, tzif
from pdp.model.value import DAY, SECOND

NAMES = sorted(files("tzdata").joinpath("zones").read_text("utf-8").split())
EPOCH = datetime(1970, 1, 1)
INSTANTS = st.integers((FIRST_DAY + 2) * DAY, (LAST_DAY - 1) * DAY)


def reference(name: str) -> ZoneInfo:
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as data:
        return ZoneInfo.from_file(data, key=name)


def offset(zone: ZoneInfo, instant: int) -> int:
    local = zone.fromutc((EPOCH + timedelta(microseconds=instant)).replace(tzinfo=zone))
    return local.utcoffset() // timedelta(microseconds=1)  # type: ignore[operator,no-any-return]


def test_every_zone_agrees_at_its_last_transitions_and_over_the_centuries() -> None:
    for name in NAMES:
        ours, theirs = Zone(name, tzif(name)), reference(name)
        moments = [FIRST_DAY * DAY + 2 * DAY, 0, 4_000_000_000 * SECOND, 40_000_000_000 * SECOND, (LAST_DAY - 1) * DAY]
        instant = 1_600_000_000 * SECOND
        for _ in range(4):
            following = ours.next_transition(instant)
            if following is None:
                break
            instant = following
            moments += [following - 1, following]
        assert [ours.offset(each) for each in moments] == [offset(theirs, each) for each in moments], name


@given(st.sampled_from(NAMES), INSTANTS)
def test_zones_agree_at_any_instant(name: str, instant: int) -> None:
    assert Zone(name, tzif(name)).offset(instant) == offset(reference(name), instant)


@given(st.sampled_from(("America/Chicago", "Australia/Lord_Howe", "Europe/Dublin", "Africa/Casablanca")), INSTANTS)
def test_between_transitions_the_offset_stands(name: str, instant: int) -> None:
    zone = Zone(name, tzif(name))
    following = zone.next_transition(instant)
    if following is not None:
        assert following > instant
        assert zone.offset(following - 1) == zone.offset(instant)


@given(st.integers(FIRST_DAY, LAST_DAY))
def test_the_calendar_is_that_of_datetime(days: int) -> None:
    there = date.fromordinal(days + date(1970, 1, 1).toordinal())
    assert civil(days) == (there.year, there.month, there.day)
    assert days_from_civil(*civil(days)) == days


@pytest.mark.parametrize("name", ["", "Nowhere/Else", "../tzdata/zones", "/etc/passwd", "zones", "America", "a\0b"])
def test_what_is_no_zone_is_not_looked_for_elsewhere(name: str) -> None:
    with pytest.raises(LookupError):
        tzif(name)
