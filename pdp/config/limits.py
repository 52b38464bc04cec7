"""The limits: `[limits]`. How often may be asked, and how long a connection may take to say something."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pdp.config.reading import Table

BUCKETS: Final = ("subject", "client", "subject_and_patient")
MAX_RATE: Final = 1_000_000
MAX_BURST: Final = 1_000_000
MAX_PERIOD_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True)
class Limit:
    """`rate` requests in `per_seconds`, and `burst` at once after a pause."""

    rate: int
    per_seconds: int
    burst: int


@dataclass(frozen=True, slots=True)
class Limiting:
    """What `[limits]` says. A limit that is None is not there."""

    subject: Limit | None = None
    client: Limit | None = None
    subject_and_patient: Limit | None = None
    names: int = 65_536
    connections: int = 4_096
    handshake_seconds: int = 5
    head_seconds: int = 10

    def each(self) -> tuple[Limit | None, ...]:
        """In the order of `BUCKETS`."""
        return self.subject, self.client, self.subject_and_patient


def limiting(given: Any, file: Path, problems: list[str]) -> Limiting:
    if not isinstance(given, Mapping):
        problems.append(f"{file}: `limits` must be a table: [limits]")
        return Limiting()
    table = Table(f"{file}: [limits]", given, file.parent, problems)
    found = {name: _limit(name, given[name], file, problems) for name in BUCKETS if name in table}
    made = Limiting(
        **found,
        names=table.number("names", 65_536, 1_024, 16_777_216),
        connections=table.number("connections", 4_096, 16, 1_000_000),
        handshake_seconds=table.number("handshake_seconds", 5, 1, 60),
        head_seconds=table.number("head_seconds", 10, 1, 120),
    )
    table.close()
    return made


def _limit(name: str, given: object, file: Path, problems: list[str]) -> Limit | None:
    where = f"{file}: [limits.{name}]"
    if not isinstance(given, Mapping):
        problems.append(f"{where}: must be a table with `rate`, `per_seconds` and `burst`")
        return None
    table = Table(where, given, file.parent, problems)
    if "rate" not in table:
        table.wrong("`rate` is missing")
    rate = table.number("rate", 1, 1, MAX_RATE)
    period = table.number("per_seconds", 1, 1, MAX_PERIOD_SECONDS)
    # Without a burst of its own, what one period allows may come at once.
    limit = Limit(rate, period, table.number("burst", rate, 1, MAX_BURST))
    table.close()
    return limit
