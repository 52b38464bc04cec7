"""What a rule remembers: recent things of one key, and days of it. All of it plain enough to be written to a file."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

from pdp.audit.detect.access import Place

T = TypeVar("T")
DAY: Final = 86_400_000_000
MAX_ITEMS: Final = 5_000
"""Of one window. A rule that counts to more than this has lost its way."""
MAX_SET: Final = 5_000
MAX_KEYS: Final = 50_000
"""Of one rule. Who asks for ever new things makes a key of each: that ends here, and not when memory does."""


class Window:
    """Things with their times, the oldest first, no older than `length` before the newest."""

    __slots__ = ("counts", "items", "newest")

    def __init__(self) -> None:
        self.items: deque[tuple[int, str, Place]] = deque()
        self.counts: Counter[str] = Counter()
        self.newest = 0

    def __len__(self) -> int:
        return len(self.items)

    def add(self, time: int, value: str, place: Place, length: int) -> None:
        self.newest = max(self.newest, time)
        self.items.append((time, value, place))
        self.counts[value] += 1
        self.forget(self.newest - length)

    def forget(self, before: int) -> None:
        while self.items and (self.items[0][0] < before or len(self.items) > MAX_ITEMS):
            _, value, _ = self.items.popleft()
            self.counts[value] -= 1
            if not self.counts[value]:
                del self.counts[value]

    def places(self, value: str | None = None) -> list[Place]:
        return [place for _, each, place in self.items if value is None or each == value]

    def clear(self) -> None:
        self.items.clear()
        self.counts.clear()

    def dump(self) -> list[Any]:
        return [self.newest, [[time, value, *place] for time, value, place in self.items]]

    @classmethod
    def load(cls, said: list[Any]) -> Window:
        made = cls()
        made.newest = said[0]
        for time, value, index, name in said[1]:
            made.items.append((time, value, Place(index, name)))
            made.counts[value] += 1
        return made


class Days:
    """How many different things a day, for some days; of today which."""

    __slots__ = ("day", "past", "today")

    def __init__(self) -> None:
        self.day = 0
        self.today: dict[str, Place] = {}
        self.past: deque[tuple[int, int]] = deque()  # day, count

    def add(self, time: int, value: str, place: Place, days: int) -> bool:
        """Is it new today? What is older than today (a clock was set back) counts as today's."""
        day = time // DAY
        if day > self.day:
            if self.today:
                self.past.append((self.day, len(self.today)))
            self.day, self.today = day, {}
            while self.past and self.past[0][0] < day - days:
                self.past.popleft()
        if value in self.today or len(self.today) >= MAX_SET:
            return False
        self.today[value] = place
        return True

    def counts(self) -> list[int]:
        """Of earlier days on which there was anything."""
        return [count for _, count in self.past]

    def dump(self) -> list[Any]:
        return [self.day, [[value, *place] for value, place in self.today.items()], [list(each) for each in self.past]]

    @classmethod
    def load(cls, said: list[Any]) -> Days:
        made = cls()
        made.day = said[0]
        made.today = {value: Place(index, name) for value, index, name in said[1]}
        made.past = deque((day, count) for day, count in said[2])
        return made


class State:
    """The memory of one rule, by key. What was quiet for longer than `length` is forgotten; of too much, what has least
    in it, the oldest of that first.
    """

    def __init__(self, length: int) -> None:
        self.length = length
        self.forgotten = 0  # before its time
        self.windows: dict[str, Window] = {}
        self.days: dict[str, Days] = {}
        self.marks: dict[str, list[Any]] = {}  # [time, ...]: whatever else a rule keeps of a key

    def window(self, *key: str) -> Window:
        name = "\x1f".join(key)
        found = self.windows.get(name)
        if found is None:
            if len(self.windows) >= MAX_KEYS:
                self._least(self.windows, lambda each: (len(each), each.newest))
            found = self.windows[name] = Window()
        return found

    def daily(self, *key: str) -> Days:
        name = "\x1f".join(key)
        found = self.days.get(name)
        if found is None:
            if len(self.days) >= MAX_KEYS:
                self._least(self.days, lambda each: (len(each.today) + len(each.past), each.day))
            found = self.days[name] = Days()
        return found

    def mark(self, name: str, said: list[Any]) -> None:
        if name not in self.marks and len(self.marks) >= MAX_KEYS:
            self._least(self.marks, lambda each: each[0])
        self.marks[name] = said

    def _least(self, kept: dict[str, T], worth: Callable[[T], Any]) -> None:
        """Forget a tenth, so that this is seldom to be done."""
        for name in sorted(kept, key=lambda each: worth(kept[each]))[: max(1, MAX_KEYS // 10)]:
            del kept[name]
            self.forgotten += 1

    def sweep(self, now: int) -> None:
        before = now - self.length
        for name in [name for name, each in self.windows.items() if each.newest < before]:
            del self.windows[name]
        for name in [name for name, days in self.days.items() if (days.day + 1) * DAY < before]:
            del self.days[name]
        for name in [name for name, mark in self.marks.items() if mark[0] < before]:
            del self.marks[name]

    def sizes(self) -> Iterator[int]:
        yield from (len(each) for each in self.windows.values())
        yield from (len(each.today) + len(each.past) for each in self.days.values())
        yield len(self.marks)

    def dump(self) -> dict[str, Any]:
        return {
            "windows": {name: each.dump() for name, each in self.windows.items()},
            "days": {name: each.dump() for name, each in self.days.items()},
            "marks": self.marks,
        }

    def load(self, said: dict[str, Any]) -> None:
        self.windows = {name: Window.load(each) for name, each in said["windows"].items()}
        self.days = {name: Days.load(each) for name, each in said["days"].items()}
        self.marks = said["marks"]
