"""Dates, and the local time of an instant (SEMANTICS 15).

A date is a count of days since 1970-01-01, between the years 1 and 9999. Local time derives from an instant, by the
IANA zones of the `tzdata` package alone: what the operating system has installed can never change a decision. The gaps
and folds of clock changes need no rule, since nothing goes from local time to an instant.
"""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, date, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Final
from zoneinfo import ZoneInfo

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()


class OutOfRange(Exception):
    """The result lies outside the years 1 to 9999."""


@cache
def zone_names() -> frozenset[str]:
    return frozenset(files("tzdata").joinpath("zones").read_text("utf-8").split())


@cache
def zone(name: str) -> ZoneInfo:
    """Raises KeyError for what is no zone (`check` has refused it before)."""
    if name not in zone_names():
        raise KeyError(name)
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as data:
        return ZoneInfo.from_file(data, key=name)


def local(instant: int, zone_name: str) -> datetime:
    try:
        return (_EPOCH + timedelta(microseconds=instant)).astimezone(zone(zone_name))
    except OverflowError as error:
        raise OutOfRange("the instant lies outside the years 1 to 9999") from error


def local_date(instant: int, zone_name: str) -> int:
    return local(instant, zone_name).toordinal() - _EPOCH_DAY


def minutes_of_clock(clock: str) -> int:
    """ "19:30", from 00:00 to 23:59, as minutes since midnight. Raises ValueError."""
    hour, colon, minute = clock[:2], clock[2:3], clock[3:]
    if not (clock.isascii() and hour.isdigit() and colon == ":" and minute.isdigit() and len(clock) == 5):
        raise ValueError("a clock is written `19:30`")
    if int(hour) > 23 or int(minute) > 59:
        raise ValueError("a clock runs from `00:00` to `23:59`")
    return 60 * int(hour) + int(minute)


def clock_between(instant: int, start: str, end: str, zone_name: str) -> bool:
    """Half-open, to the microsecond since both ends are whole minutes. A start after the end wraps midnight."""
    here = local(instant, zone_name)
    minute = 60 * here.hour + here.minute
    first, last = minutes_of_clock(start), minutes_of_clock(end)
    if first <= last:
        return first <= minute < last
    return minute >= first or minute < last


def as_date(day: int) -> date:
    try:
        return date.fromordinal(day + _EPOCH_DAY)
    except (OverflowError, ValueError) as error:
        raise OutOfRange("the date lies outside the years 1 to 9999") from error


def add_days(day: int, days: int) -> int:
    as_date(day + days)
    return day + days


def add_months(day: int, months: int) -> int:
    """The same day of the month, or the month's last day where it has no such day."""
    start = as_date(day)
    year, month = divmod(12 * start.year + start.month - 1 + months, 12)
    if not 1 <= year <= 9999:
        raise OutOfRange("the date lies outside the years 1 to 9999")
    last_day = monthrange(year, month + 1)[1]
    return date(year, month + 1, min(start.day, last_day)).toordinal() - _EPOCH_DAY


def years_between(first: int, second: int) -> int:
    """Whole years from first to second: an age. Turned round, it changes its sign alone.

    Who is born on 29 February grows a year older on 1 March of the other years.
    """
    if second < first:
        return -years_between(second, first)
    start, end = as_date(first), as_date(second)
    birthday_to_come = (end.month, end.day) < (start.month, start.day)
    return end.year - start.year - (1 if birthday_to_come else 0)
