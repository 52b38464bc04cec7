"""What the settings say of detection: what to look at, whom to tell. Light: every process of the service has it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pdp.audit.ship.destination import Syslog, Trust

if TYPE_CHECKING:
    from pdp.audit.detect.finding import Alert


@dataclass(frozen=True, slots=True)
class Watching:
    """`[detect]`. `data`: the data directory of the policy set, where it is to be read too."""

    context: Path | None = None
    data: Path | None = None
    rules: Path | None = None
    every_seconds: int = 10
    first_days: int = 1


@dataclass(frozen=True, slots=True)
class To:
    """`[alert.NAME]`. One of `url` (webhook), `syslog`, `file`."""

    name: str
    url: str = ""
    secret: bytes = field(default=b"", repr=False)
    trust: Trust = field(default_factory=Trust)
    syslog: Syslog | None = None
    file: Path | None = None
    min_score: int = 0
    rules: frozenset[str] = frozenset()  # empty: all
    include_identities: bool = False
    timeout_seconds: int = 10

    def wants(self, alert: Alert) -> bool:
        named = not self.rules or any(part.rule in self.rules for part in alert.parts)
        return alert.score >= self.min_score and named
