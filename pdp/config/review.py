"""`[review]`: how often somebody has to look at who accessed what, how much of it, and who people are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pdp.config.reading import Table

DAY: Final = 86_400
_EVERY: Final = re.compile(r"([1-9][0-9]{0,3})(d|w)")


@dataclass(frozen=True, slots=True)
class Reviewing:
    """`people`: user of this system to the subject (`type:id`, or an id) that this person is in the log."""

    every_seconds: int = 30 * DAY
    size: int = 50
    people: Mapping[str, str] = field(default_factory=dict)


def reviewing(given: Any, file: Path, problems: list[str]) -> Reviewing:
    if not isinstance(given, Mapping):
        problems.append(f"{file}: `review` must be a table: [review]")
        return Reviewing()
    table = Table(f"{file}: [review]", given, file.parent, problems)
    every = table.read("every", _every, 30 * DAY)
    size = table.number("size", 50, 1, 1_000)
    people = table.table("people")
    if not all(isinstance(name, str) and isinstance(who, str) and who for name, who in people.items()):
        table.wrong('`people` maps users of the system to subjects: {jdoe = "user:nina"}')
        people = {}
    table.close()
    return Reviewing(every, size, dict(people))


def _every(value: object, _base: Path) -> int:
    return seconds(value)


def seconds(value: object) -> int:
    """Of `30d` or `4w`. Raises ValueError."""
    found = _EVERY.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("must be a number of days or weeks: 30d, 4w")
    return int(found[1]) * (DAY if found[2] == "d" else 7 * DAY)
