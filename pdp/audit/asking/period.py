"""A stretch of time as people say it: a day, a month, from here to there, the last week; always in a zone that is said.

    2026    2026-03    2026-03-04    2026-03-04T08:00    2026-03-04T08:00:00.5+01:00

What is no instant (a year, a month, a day, a minute) means all of it: `--to 2026-03-31` includes that day. Local time
without an offset is that of the zone; where a clock is set back and it is there twice, both are meant.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

ALWAYS: Final = (-(1 << 62), 1 << 62)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SAID: Final = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(Z|z|[+-]\d\d:\d\d)?)?)?)?", re.ASCII
)
_LAST: Final = re.compile(r"([1-9]\d{0,5})(m|h|d|w)", re.ASCII)
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class BadPeriod(ValueError):
    """What was said is no stretch of time; the message is for whoever said it."""


@dataclass(frozen=True, slots=True)
class Period:
    """Microseconds since the epoch: from `first`, up to and without `after`."""

    first: int
    after: int
    zone: tzinfo = UTC

    def __contains__(self, moment: int) -> bool:
        return self.first <= moment < self.after

    @property
    def bounded(self) -> bool:
        return (self.first, self.after) != ALWAYS

    @property
    def text(self) -> str:
        """For a person."""
        if not self.bounded:
            return "all that the log holds"
        parts = [] if self.first == ALWAYS[0] else [f"from {shown(self.first, self.zone)}"]
        parts += [] if self.after == ALWAYS[1] else [f"before {shown(self.after, self.zone)}"]
        return " ".join(parts)


def zone(name: str) -> tzinfo:
    """A zone by its IANA name, `UTC`, or `local`: the one of this machine. Raises BadPeriod."""
    if name.upper() == "UTC":
        return UTC
    if name == "local":
        return datetime.now().astimezone().tzinfo or UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadPeriod(f"there is no time zone {name!r}; they look like Europe/Berlin") from error


def period(now: int, zone: tzinfo = UTC, *, within: str = "", begin: str = "", end: str = "", last: str = "") -> Period:
    """`now`: microseconds since the epoch. Raises BadPeriod."""
    if within and (begin or end or last):
        raise BadPeriod("--in says the whole period; --from, --to and --last do not go with it")
    if last and (begin or end):
        raise BadPeriod("--last reaches to now; --from and --to do not go with it")
    first, after = ALWAYS
    if within:
        first, after = _stretch(within, zone)
    if last:
        first, after = now - _length(last), now + 1
    if begin:
        first = _stretch(begin, zone)[0]
    if end:
        after = _stretch(end, zone)[1]
    if first >= after:
        raise BadPeriod("the period ends before it begins")
    return Period(first, after, zone)


def shown(moment: int, zone: tzinfo) -> str:
    """A moment with its offset; milliseconds, as far as a person needs them."""
    return _text(moment, zone, " ", "milliseconds")


def exact(moment: int, zone: tzinfo) -> str:
    """RFC 3339 with microseconds."""
    return _text(moment, zone, "T", "microseconds")


def brief(moment: int) -> str:
    """RFC 3339 in UTC, to the second where it is one."""
    return _text(moment, UTC, "T", "microseconds" if moment % 1_000_000 else "seconds")


def _text(moment: int, zone: tzinfo, between: str, precision: str) -> str:
    """A record may say any time: one that no calendar has is a number."""
    try:
        local = (_EPOCH + timedelta(microseconds=moment)).astimezone(zone)
    except (OverflowError, ValueError):
        return f"{moment} µs"
    return local.isoformat(between, precision).replace("+00:00", "Z")


def _length(text: str) -> int:
    found = _LAST.fullmatch(text)
    if found is None:
        raise BadPeriod(f"{text!r} is no length of time; say 90m, 12h, 7d or 4w")
    return micros(timedelta(**{_UNITS[found[2]]: int(found[1])}))


def micros(length: timedelta) -> int:
    return (length.days * 86_400 + length.seconds) * 1_000_000 + length.microseconds


def _stretch(text: str, zone: tzinfo) -> tuple[int, int]:
    found = _SAID.fullmatch(text)
    if found is None:
        raise BadPeriod(f"{text!r} is no time; say 2026-03, 2026-03-04 or 2026-03-04T08:00:00+01:00")
    year, month, day, hour, minute, second = (int(each) if each else None for each in found.groups()[:6])
    assert year is not None
    rest = int((found[7] or "").ljust(9, "0")[:6] or "0") if found[7] else 0
    try:
        at = datetime(year, month or 1, day or 1, hour or 0, minute or 0, second or 0, rest)
        if month is None:
            then = at.replace(year=year + 1)
        elif day is None:
            then = at.replace(year=year + month // 12, month=month % 12 + 1)
        elif hour is None:
            then = at + timedelta(days=1)
        elif second is None:
            then = at + timedelta(minutes=1)
        else:
            then = at + timedelta(microseconds=1)
        exact = _offset(found[8], zone)
        return _moment(at, exact, 0), _moment(then, exact, 1)
    except (ValueError, OverflowError) as error:
        raise BadPeriod(f"{text!r}: {error}") from error


def _offset(text: str | None, zone: tzinfo) -> tzinfo:
    if text is None:
        return zone
    parsed = datetime.fromisoformat(f"2000-01-01T00:00:00{text.upper()}").tzinfo
    assert parsed is not None
    return parsed


def _moment(local: datetime, zone: tzinfo, fold: int) -> int:
    return micros(local.replace(tzinfo=zone, fold=fold) - _EPOCH)
