"""Time zones as tables of transitions, read from the IANA data (TZif, RFC 8536) of the `tzdata` package.

The interpreter uses `zoneinfo`; this is written apart from it, so that each judges the other, and because a horizon
needs what `zoneinfo` does not tell: the next transition. All times are microseconds since the epoch.
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_right
from importlib import resources
from typing import Final

from pdp.model.value import DAY, SECOND

FIRST_DAY: Final = -719_162  # 0001-01-01
LAST_DAY: Final = 2_932_896  # 9999-12-31
_CYCLE_YEARS: Final = 400  # The Gregorian calendar, weekdays included, repeats after so many years.
_CYCLE: Final = 146_097 * DAY


class Zone:
    """Offsets from UTC, piecewise constant in time."""

    __slots__ = ("_cycle_end", "_offsets", "_starts", "name")

    def __init__(self, name: str, data: bytes) -> None:
        self.name = name
        before, starts, offsets, footer = _tzif(data)
        self._cycle_end: int | None = None
        if footer:
            self._cycle_end = _extend(starts, offsets, footer, before)
        self._starts = starts
        self._offsets = [before, *offsets]

    def offset(self, instant: int) -> int:
        """Local time minus UTC."""
        return self._offsets[bisect_right(self._starts, self._folded(instant))]

    def next_transition(self, instant: int) -> int | None:
        """The first transition after `instant`, or None. It may leave the offset as it is."""
        folded = self._folded(instant)
        place = bisect_right(self._starts, folded)
        return self._starts[place] + instant - folded if place < len(self._starts) else None

    def _folded(self, instant: int) -> int:
        """The instant of the table's last 400 years that has the same rule and calendar."""
        end = self._cycle_end
        if end is None or instant < end:
            return instant
        return end - _CYCLE + (instant - end) % _CYCLE


def tzif(name: str) -> bytes:
    """The compiled data of an IANA zone. Raises LookupError where there is none of that name."""
    parts = name.split("/")
    if not all(re.fullmatch(r"[A-Za-z0-9_+-]+", part) for part in parts):
        raise LookupError(name)
    place = resources.files("tzdata").joinpath("zoneinfo", *parts)
    if not place.is_file():
        raise LookupError(name)
    data = place.read_bytes()
    if data[:4] != b"TZif":
        raise LookupError(name)
    return data


def _tzif(data: bytes) -> tuple[int, list[int], list[int], str]:
    """(offset before the first transition, transitions, offset from each on, footer) of a TZif file of version 2 on."""
    if data[:4] != b"TZif" or data[4:5] < b"2":
        raise ValueError("not a TZif file of version 2 or later")
    isut, isstd, leap, times, types, chars = struct.unpack(">6l", data[20:44])
    position = 44 + times * 5 + types * 6 + chars + leap * 8 + isstd + isut  # The version 1 block is skipped.
    isut, isstd, leap, times, types, chars = struct.unpack(">6l", data[position + 20 : position + 44])
    position += 44
    starts = [each * SECOND for each in struct.unpack(f">{times}q", data[position : position + times * 8])]
    position += times * 8
    indices = data[position : position + times]
    position += times
    kinds = [struct.unpack(">lbb", data[position + 6 * i : position + 6 * i + 6]) for i in range(types)]
    position += types * 6 + chars + leap * 12 + isstd + isut
    footer = data[position:].strip(b"\n").decode("ascii")
    before = next((offset for offset, daylight, _ in kinds if not daylight), kinds[0][0])
    return before * SECOND, starts, [kinds[i][0] * SECOND for i in indices], footer


def _extend(starts: list[int], offsets: list[int], footer: str, before: int) -> int | None:
    """Append 400 years (and a little) of what the footer's rule says. Returns the end of the repeating part."""
    rule = _Rule(footer)
    if not starts and rule.daylight is None:
        starts.append(-(2**62))
        offsets.append(rule.standard)
        return None
    if rule.daylight is None:
        return None
    last = starts[-1] if starts else -(2**62)
    first_year = max(1970, civil(min(max(last // DAY, FIRST_DAY), LAST_DAY))[0])
    for year in range(first_year, first_year + _CYCLE_YEARS + 3):
        for moment, offset in rule.transitions(year):
            if moment > last and offset != (offsets[-1] if offsets else before):
                starts.append(moment)
                offsets.append(offset)
    return days_from_civil(first_year + _CYCLE_YEARS + 2, 1, 1) * DAY


class _Rule:
    """A POSIX TZ rule: `CST6CDT,M3.2.0,M11.1.0`."""

    _SHAPE: Final = re.compile(
        r"(?:[A-Za-z]+|<[^>]+>)([+-]?[\d:]+)(?:(?:[A-Za-z]+|<[^>]+>)([+-]?[\d:]+)?,([^,]+),([^,]+))?"
    )

    def __init__(self, text: str) -> None:
        found = self._SHAPE.fullmatch(text)
        if found is None:
            raise ValueError(f"not a TZ rule: {text!r}")
        standard, daylight, start, end = found.groups()
        self.standard = -_clock(standard)
        self.daylight: int | None = None
        if start is not None:
            self.daylight = -_clock(daylight) if daylight else self.standard + 3600 * SECOND
            self.start, self.end = start, end

    def transitions(self, year: int) -> list[tuple[int, int]]:
        """(instant, offset from then on) of the year, in order."""
        assert self.daylight is not None
        start = _moment(self.start, year) - self.standard
        end = _moment(self.end, year) - self.daylight
        return sorted([(start, self.daylight), (end, self.standard)])


def _clock(text: str) -> int:
    sign = -1 if text.startswith("-") else 1
    parts = [int(part) for part in text.lstrip("+-").split(":")] + [0, 0]
    return sign * (parts[0] * 3600 + parts[1] * 60 + parts[2]) * SECOND


def _moment(text: str, year: int) -> int:
    """The local wall time of one transition: `M3.2.0/2`, `J60`, `59`."""
    day, _, clock = text.partition("/")
    time = _clock(clock) if clock else 2 * 3600 * SECOND
    new_year = days_from_civil(year, 1, 1)
    if day.startswith("M"):
        month, week, weekday = (int(part) for part in day[1:].split("."))
        first = days_from_civil(year, month, 1)
        days = first + (weekday - (first + 4) % 7) % 7 + (week - 1) * 7
        following = days_from_civil(year + month // 12, month % 12 + 1, 1)
        days -= 7 if days >= following else 0
    elif day.startswith("J"):
        number = int(day[1:])
        days = new_year + number - 1 + (1 if number >= 60 and leap_year(year) else 0)
    else:
        days = new_year + int(day)
    return days * DAY + time


def leap_year(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def days_from_civil(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 of a date of the proleptic Gregorian calendar. Years are counted from March."""
    if month <= 2:
        year -= 1
        month += 12
    return 365 * year + year // 4 - year // 100 + year // 400 + (153 * (month - 3) + 2) // 5 + day - 719_469


def civil(days: int) -> tuple[int, int, int]:
    """(year, month, day) of days since 1970-01-01."""
    shifted = days + 719_468
    era, day_of_era = divmod(shifted, 146_097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted_month = (5 * day_of_year + 2) // 153
    month = shifted_month + 3 if shifted_month < 10 else shifted_month - 9
    return era * 400 + year_of_era + (month <= 2), month, day_of_year - (153 * shifted_month + 2) // 5 + 1
