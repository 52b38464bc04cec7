"""What a workload is: entities and questions as plain data, and the policy text of each engine."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Ref:
    """A value that names another entity."""

    type: str
    id: str


@dataclass(frozen=True, slots=True)
class Thing:
    """One entity. Attribute values: bool, int, str, `Ref`, or a list of those (a set)."""

    type: str
    id: str
    attributes: dict[str, Any] = field(default_factory=dict)
    parents: tuple[Ref, ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    subject: Ref
    action: str
    resource: Ref


@dataclass(frozen=True, slots=True)
class Workload:
    """`ward` (text by file name) and `cedar` are the same rules; `rules` counts them."""

    name: str
    rules: int
    ward: dict[str, str]
    cedar: str
    things: tuple[Thing, ...]
    questions: tuple[Question, ...]

    def write(self, directory: Path) -> Path:
        """The policy set as a directory, data beside it."""
        (directory / "data").mkdir(parents=True)
        for name, text in self.ward.items():
            (directory / name).write_text(text, encoding="utf-8")
        (directory / "data" / "things.jsonl").write_text(self.ward_data(), encoding="utf-8")
        return directory

    def ward_data(self) -> str:
        """The entities as JSON lines, as they stand in `data/`."""
        return "".join(json.dumps(_ward_row(each)) + "\n" for each in self.things)

    def cedar_entities(self) -> str:
        return json.dumps([_cedar_row(each) for each in self.things])


def _ward_row(thing: Thing) -> dict[str, Any]:
    row: dict[str, Any] = {"type": thing.type, "id": thing.id}
    if thing.parents:
        row["parents"] = [{"type": each.type, "id": each.id} for each in thing.parents]
    if thing.attributes:
        row["attributes"] = {name: _ward_value(value) for name, value in thing.attributes.items()}
    return row


def _ward_value(value: Any) -> Any:
    if isinstance(value, list):
        return [_ward_value(each) for each in value]
    return {"type": value.type, "id": value.id} if isinstance(value, Ref) else value


def _cedar_row(thing: Thing) -> dict[str, Any]:
    return {
        "uid": {"type": thing.type, "id": thing.id},
        "attrs": {name: _cedar_value(value) for name, value in thing.attributes.items()},
        "parents": [{"type": each.type, "id": each.id} for each in thing.parents],
    }


def _cedar_value(value: Any) -> Any:
    if isinstance(value, list):
        return [_cedar_value(each) for each in value]
    return {"__entity": {"type": value.type, "id": value.id}} if isinstance(value, Ref) else value
