"""A sealed log to ship, and targets that do what a test wants."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pdp.audit.ship.cursor import FILES, RECORDS
from pdp.audit.ship.encode import raw
from pdp.audit.ship.feed import Records, Sealed
from pdp.audit.ship.lane import Lane
from pdp.audit.ship.target import Item, ShipError
from tests.unit.audit.hosts import NOW, ORIGIN, SECOND, Writer, sealed

MICRO = 1_800_000_000_000_000


class Host:
    """A log that grows by steps."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._writer = Writer(directory)
        self._now = NOW

    def grow(self, records: int) -> int:
        """Write and seal so many, in one step; how many there are."""
        while records:
            part = min(records, 30)
            self._writer.write(part)
            self._writer.next_segment()
            records -= part
        self._now += SECOND
        return sealed(self.directory, self._now).size


class Taker:
    """Keeps what it confirmed, and fails as told: `fail` is asked before each batch, `lose` after it."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.batches = 0
        self.closed = 0
        self.fail: Callable[[int], bool] = lambda _: False
        self.lose: Callable[[int], bool] = lambda _: False

    def put(self, batch: Sequence[Item]) -> None:
        self.batches += 1
        if self.fail(self.batches):
            raise ShipError("it does not answer")
        self.items += batch
        if self.lose(self.batches):
            raise ShipError("the answer was lost")

    def close(self) -> None:
        self.closed += 1

    @property
    def keys(self) -> list[str]:
        return [each.key for each in self.items]


def lane(directory: Path, taker: Any, feed: str = RECORDS, **more: Any) -> Lane:
    source = Records(directory, raw) if feed == RECORDS else Sealed(directory)
    more.setdefault("jitter", lambda: 1.0)
    origin = more.pop("origin", ORIGIN)
    place = more.pop("place", "here")
    return Lane(directory, "there", origin, place, feed, source, lambda: taker, **more)


__all__ = ["FILES", "RECORDS", "Host", "Taker", "lane"]
