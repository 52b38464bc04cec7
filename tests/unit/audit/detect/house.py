"""A small house for tests of detection: facts in files, records without a log."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import orjson

from pdp.audit.detect.context import Context
from pdp.audit.detect.detector import Detector
from pdp.audit.detect.replay import replay
from pdp.audit.detect.report import Report
from pdp.audit.detect.rules import load
from pdp.audit.leaf import PLAIN, Leaf, Opener
from pdp.audit.record import stamp

MINUTE = 60_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
NOON = 1_772_366_400_000_000
"""2026-03-01T12:00:00Z"""
NOW = NOON + 400 * DAY

UNITS = [
    {"type": "Unit", "id": "hospital"},
    *({"type": "Unit", "id": each, "parents": [{"type": "Unit", "id": "hospital"}]} for each in ("east", "west")),
    {"type": "Unit", "id": "east-2", "parents": [{"type": "Unit", "id": "east"}]},
]


def at(time: int) -> str:
    """As the files of the context have it."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def staff(name: str, unit: str = "east", role: str = "nurse", **more: Any) -> dict[str, Any]:
    return {"type": "user", "id": name, "attributes": {"role": role, "unit": unit, "active": True, **more}}


def patient(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "Patient", "id": name, "attributes": {"care_team": [], "vip": False, **more}}


class House:
    """Files of facts. Everybody unknown is nobody; `care`: there are appointments, though none that matters."""

    def __init__(self, directory: Path, *entities: dict[str, Any], care: bool = True) -> None:
        self.directory = directory / "context"
        self.directory.mkdir()
        told = [*UNITS, staff("ann"), staff("bob", "west"), staff("eve", role="physician"), *entities]
        (self.directory / "entities.jsonl").write_text("\n".join(map(json.dumps, told)))
        if care:
            self.file("appointments", "patient,staff,unit,from,to", "nobody,no-one,,,")

    def file(self, name: str, head: str, *rows: str) -> House:
        (self.directory / f"{name}.csv").write_text("\n".join([head, *rows]) + "\n")
        return self

    def context(self) -> Context:
        return Context.load(self.directory)

    def run(self, leaves: Iterable[Leaf], opener: Opener = PLAIN, rules: Path | None = None, **more: Any) -> Report:
        detector = Detector(load(rules), self.context(), opener, more.pop("now", NOW), **more)
        return replay(numbered(leaves), detector)

    def run_as_they_are(self, leaves: Iterable[Leaf]) -> Report:
        """With the places and numbers that they have."""
        return replay(leaves, Detector(load(), self.context(), PLAIN, NOW))

    def rules(self, leaves: Iterable[Leaf], *only: str) -> list[tuple[str, str, str]]:
        """(rule, who, patient) of each finding, once; of these rules."""
        found = [(each.rule, each.who, each.patient) for each in self.run(leaves).findings]
        return sorted({each for each in found if not only or each[0] in only})


def numbered(leaves: Iterable[Leaf]) -> list[Leaf]:
    """As they would stand in a log: each stream counts its own, in this order."""
    counts: Counter[str] = Counter()
    made = []
    for index, each in enumerate(leaves):
        counts[each.stream] += 1
        members = {**each.members, "seq": counts[each.stream]}
        made.append(Leaf(index, orjson.dumps(members), members, each.detail, each.opened))
    return made


_numbers = count(1)


def record(kind: str, time: int, stream: str = "host/0/1", seq: int = 0, detail: Any = None, **said: Any) -> Leaf:
    number = next(_numbers)
    members = {"stream": stream, "seq": seq or number, "id": f"d-{number}", "kind": kind, "ts": stamp(time), **said}
    return Leaf(number, b"", members, detail or {})


def access(
    who: str = "ann",
    of: str = "p-1",
    time: int = NOON,
    *,
    allowed: bool = True,
    kind: str = "user",
    action: str = "read",
    resource: tuple[str, str] | None = None,
    purpose: str = "",
    client: str = "",
    reason: str = "",
    rule: str = "a-rule",
    verb: str = "R",
    **more: Any,
) -> Leaf:
    """A decision about a patient's chart, as the log has it in clear mode."""
    of_type, name = resource or ("Chart", of)
    said: dict[str, Any] = {
        "dec": {
            "effect": "allow" if allowed else "deny",
            "reason": reason or ("permitted" if allowed else "no_rule"),
            "rule": [rule],
            "bundle": {"sha256": "", "version": ""},
        },
        "sub": {"type": kind},
        "act": {"action": action, "verb": verb},
        "res": {"type": of_type},
    }
    detail: dict[str, Any] = {"sub": {"id": who}, "res": {"id": name}}
    if of:
        detail["patient"] = {"id": of}
    if purpose:
        said["pou"] = {"asserted": purpose}
    if client:
        said["client"] = {"id": client}
    detail |= more.pop("detail", {})
    return record("decision", time, detail=detail, **said, **more)


def many(number: int, **more: Any) -> list[Leaf]:
    """Accesses to so many patients, whose ids say nothing, a minute apart."""
    time = more.pop("time", NOON)
    return [access(of=f"q-{97 * each}", time=time + each * MINUTE, **more) for each in range(number)]


def settle(time: int) -> Leaf:
    """Something harmless, later: time goes on."""
    return record("audit.read", time)
