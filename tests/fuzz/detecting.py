"""Detection reads what others wrote: any record, any file of facts, any rules file. A refusal is no fault."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

from pdp.audit.detect.context import READERS, Context
from pdp.audit.detect.detector import KINDS, Detector
from pdp.audit.detect.rules import RulesError, load
from pdp.audit.detect.tables import ContextError
from pdp.audit.evidence import EvidenceError
from pdp.audit.leaf import PLAIN, leaf
from tests.unit.audit.detect.house import NOON, NOW, access

_KEPT = tempfile.TemporaryDirectory(prefix="pdp-fuzz-")  # Until the process ends.
_DIRECTORY = Path(_KEPT.name)
_CONTEXT = Context()
_CONTEXT.there |= {"entities", *READERS}
_CONTEXT.care["appointments"]["p-1"] = []
_RULES = load()


def judged_record(data: bytes) -> None:
    """Lines of JSON as records: whatever they hold, no rule fails over them, and the next one is judged."""
    detector = Detector(_RULES, _CONTEXT, PLAIN, NOW)
    for index, line in enumerate(data.split(b"\n")[:50]):
        with suppress(EvidenceError):
            detector.feed(leaf(index, line))
    detector.feed(access(time=NOON + 1, stream="another/1/1"))
    detector.rest()
    assert detector.tally.records >= 1


def facts_file(data: bytes) -> None:
    """The first byte says which file it is."""
    names = [*READERS]
    name = names[data[0] % len(names)] if data else names[0]
    path = _DIRECTORY / f"{name}.csv"
    path.write_bytes(",".join(READERS[name][0]).encode() + b"\n" + data[1:])
    entities = _DIRECTORY / "entities.jsonl"
    entities.write_bytes(data)
    for each in (entities, path):
        with suppress(ContextError):
            Context.load(_DIRECTORY)
        each.unlink()


def rules_file(data: bytes) -> None:
    path = _DIRECTORY / "rules.toml"
    path.write_bytes(data)
    try:
        found = load(path)
    except RulesError:
        return
    assert all(each.kind in KINDS for each in found.rules)
    detector = Detector(found, _CONTEXT, PLAIN, NOW)
    for purpose in ("", "BTG"):
        detector.feed(access(purpose=purpose))
    detector.rest()
    assert all(each.roles for each in found.templates if each.whom == "any" or each.facts == "role")
