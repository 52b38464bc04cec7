"""One record as a row: what a person reads of it, and what a program gets. Ids as far as they are open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pdp.audit.asking.asked import PATIENT, part
from pdp.audit.asking.deeds import text, told
from pdp.audit.asking.says import says
from pdp.audit.leaf import CLEAR, Leaf
from pdp.audit.record import RESULTS, STRANGE

COLUMNS: Final = (
    "time",
    "kind",
    "who",
    "caller",
    "actors",
    "via",
    "pep",
    "door",
    "client",
    "action",
    "resource",
    "patient",
    "effect",
    "reason",
    "status",
    "rules",
    "purpose",
    "decision",
    "request_id",
    "trace",
    "results",
    "count",
    "detail",
    "index",
    "says",
)


@dataclass(frozen=True, slots=True)
class Row:
    """`who`, `resource` and `patient`: type and id, or the pseudonym where the id is not open. `index`: proof place;
    None: nobody can prove it yet. `says`: of what is no decision, in a few words.
    """

    moment: int  # microseconds since the epoch
    kind: str
    who: str
    caller: str
    actors: str
    via: str
    pep: str
    door: str
    client: str
    action: str
    resource: str
    patient: str
    effect: str
    reason: str
    status: str
    rules: tuple[str, ...]
    purpose: str
    decision: str
    request_id: str
    trace: str
    results: int | None
    count: int
    detail: str
    index: int | None
    says: str
    stream: str
    seq: int
    more: Mapping[str, Any]

    def cells(self, time: str) -> dict[str, str]:
        """As text, by column."""
        said = {name: getattr(self, name) for name in COLUMNS if name not in ("time", "rules")}
        found = {name: "" if value is None else str(value) for name, value in said.items()}
        return {name: {**found, "time": time, "rules": " ".join(self.rules)}[name] for name in COLUMNS}


def row(leaf: Leaf, patient_type: str = PATIENT, signed: int | None = None) -> Row:
    """`signed`: how many records a checkpoint covers. What is in the log behind them has no proof place yet."""
    members, detail = leaf.members, leaf.detail
    decided = part(members, "dec")
    identity, rules = part(members, "identity"), decided.get("rule")
    results = detail.get("results")
    actors = detail.get("actors")
    return Row(
        moment=leaf.time,
        kind=leaf.kind,
        who=_who(members, detail),
        caller=_named(identity, part(detail, "identity")) if "type" in identity else "",
        actors=" ".join(map(str, actors)) if isinstance(actors, list) else "",
        via=text(identity, "via"),
        pep=text(members, "pep"),
        door=text(members, "door"),
        client=text(members, "client", "id"),
        action=told(leaf, "act", "action"),
        resource=_named(part(members, "res"), part(detail, "res")),
        patient=_patient(leaf, patient_type),
        effect=text(decided, "effect"),
        reason=text(decided, "reason"),
        status=text(decided, "status"),
        rules=tuple(map(str, rules)) if isinstance(rules, list) else (),
        purpose=told(leaf, "pou", "asserted"),
        decision=leaf.id,
        request_id=text(members, "ctx", "request_id"),
        trace=text(members, "ctx", "trace"),
        results=len(results) if isinstance(results, list) else None,
        count=count if isinstance(count := members.get("count", 1), int) else 1,
        detail="" if leaf.opened == CLEAR else leaf.opened,
        index=None if signed is not None and leaf.index is not None and leaf.index >= signed else leaf.index,
        says=says(leaf),
        stream=leaf.stream,
        seq=leaf.seq,
        more={"part": members["part"]} if leaf.kind == RESULTS and "part" in members else {},
    )


def _who(members: Mapping[str, Any], detail: Mapping[str, Any]) -> str:
    if "sub" in members:
        return _named(part(members, "sub"), part(detail, "sub"))
    refused = part(members, "refused_token")
    if "type" in refused:
        return f"{_named(refused, part(detail, 'refused_token'))} (of a token that does not count)"
    return text(members, "by")


def _named(clear: Mapping[str, Any], hidden: Mapping[str, Any]) -> str:
    kind = text(clear, "type")
    kind = (text(hidden, "type") or kind) if kind == STRANGE else kind
    name = text(clear, "id") or text(hidden, "id") or text(clear, "id_p")
    return " ".join(each for each in (kind, name) if each)


def _patient(leaf: Leaf, patient_type: str) -> str:
    members, detail = leaf.members, leaf.detail
    res, itself = part(members, "res"), told(leaf, "res", "type") == patient_type
    for found in (
        part(detail, "patient").get("id"),
        part(detail, "res").get("id") if itself else None,
        res.get("patient_p", members.get("patient_p")),
        res.get("id_p") if itself else None,
    ):
        if found is not None:
            return str(found)
    return ""
