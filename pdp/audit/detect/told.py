"""Findings, cases and dispositions as records of the log, and back.

Clear: which rule, how many points, why, and where the accesses stand. Where the log encrypts, people are under their
pseudonym there; what identifies them stands under `detail`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pdp.audit.asking.asked import PATIENT
from pdp.audit.asking.deeds import text
from pdp.audit.detect.access import Place
from pdp.audit.detect.finding import NO_PERSON, Case, Finding, Part
from pdp.audit.leaf import Leaf
from pdp.audit.record import stamp
from pdp.audit.tell import tell
from pdp.audit.veil.privacy import Veil, veil_of

FINDING, CASE, DISPOSITION = "finding", "case", "case.disposition"
KINDS: Final = (FINDING, CASE, DISPOSITION)
DISPOSITIONS: Final = ("appropriate", "policy-violation", "breach")
MAX_PAIRS: Final = 200


class Teller:
    """Puts them into a log. Raises EvidenceError where that cannot be done."""

    def __init__(self, directory: Path, origin: str) -> None:
        self._directory, self._origin = directory, origin
        self._veil: Veil | None = veil_of(directory)

    def finding(self, one: Finding) -> str:
        said: dict[str, Any] = {
            "finding": one.key,
            "rule": one.rule,
            "title": one.title,
            "points": one.points,
            "because": one.because,
            "case": one.case,
            "bucket": one.bucket,
            "first": stamp(one.first),
            "last": stamp(one.last),
            "count": one.count,
            "records": [list(each) for each in one.places],
        }
        return self._tell(FINDING, said, one.type, one.who, one.patient, {})

    def case(self, one: Case, score: int, parts: Sequence[Part]) -> str:
        said = {
            "case": one.id,
            "score": score,
            "parts": [part._asdict() for part in parts],
            "first": stamp(one.first),
            "last": stamp(one.last),
            "findings": [each.key for each in one.findings],
        }
        return self._tell(CASE, said, one.type, one.who, "", {})

    def disposition(self, one: Known, disposition: str, note: str) -> str:
        """What a person found. `appropriate` holds for each rule and patient of the case."""
        pairs = {(each["rule"], each["patient"]): None for each in one.findings}
        said = {"case": one.id, "disposition": disposition, "note_length": len(note)}
        detail = {"note": note, "pairs": [{"rule": rule, "patient": of} for rule, of in list(pairs)[:MAX_PAIRS]]}
        return self._tell(DISPOSITION, said, one.type, one.who, "", detail)

    def _tell(self, kind: str, said: dict[str, Any], of: str, who: str, patient: str, more: dict[str, Any]) -> str:
        subject, resource = {"type": of}, {"type": PATIENT}
        detail: dict[str, Any] = dict(more)
        if who:
            detail["sub"] = {"id": who}
        if patient:
            detail["patient"] = {"id": patient}
        if self._veil is not None:
            self._veil.look()
            if who and of not in NO_PERSON:  # Of a suspicion no clear part says whom, whatever decisions say.
                subject["id_p"] = self._veil.name(of, who)
            elif who:
                subject["id"] = who
            if patient:
                resource["patient_p"] = self._veil.name(self._veil.patient_type, patient)
        members = {**said, "sub": subject, **({"res": resource} if patient else {})}
        return tell(self._directory, self._origin, kind, members, detail=detail or None, veil=self._veil)


@dataclass(slots=True)
class Known:
    """A case as the log has it. `findings`: their members, with `who` and `patient` as far as they could be opened."""

    id: str
    type: str = ""
    who: str = ""
    score: int = 0
    parts: list[dict[str, Any]] = field(default_factory=list)
    first: str = ""
    last: str = ""
    findings: list[dict[str, Any]] = field(default_factory=list)
    dispositions: list[dict[str, Any]] = field(default_factory=list)

    @property
    def disposition(self) -> str:
        return str(self.dispositions[-1]["disposition"]) if self.dispositions else "open"

    @property
    def places(self) -> list[Place]:
        found: dict[Place, None] = {}
        for each in self.findings:
            for place in each["records"]:
                found[Place(*place)] = None
        return list(found)


def cases(leaves: Iterable[Leaf]) -> dict[str, Known]:
    """Those of a log, in the order in which they were opened. What is malformed is left out."""
    found: dict[str, Known] = {}
    for leaf in leaves:
        name = text(leaf.members, "case")
        if leaf.kind not in KINDS or not name:
            continue
        known = found.setdefault(name, Known(name))
        known.type = known.type or text(leaf.members, "sub", "type")
        known.who = known.who or subject(leaf)
        if leaf.kind == FINDING:
            known.findings.append(_finding(leaf))
            known.first = min(known.first or known.findings[-1]["first"], known.findings[-1]["first"])
            known.last = max(known.last, known.findings[-1]["last"])
        elif leaf.kind == CASE:
            score, parts = leaf.members.get("score"), leaf.members.get("parts")
            known.score = score if isinstance(score, int) else known.score
            known.parts = parts if isinstance(parts, list) else known.parts
        else:
            known.dispositions.append(_disposition(leaf))
    return found


def subject(leaf: Leaf) -> str:
    said = leaf.members
    return text(leaf.detail, "sub", "id") or text(said, "sub", "id") or text(said, "sub", "id_p")


def identity(leaf: Leaf) -> tuple[str, str, str, str, int]:
    """Of a record of kind `finding`: what makes two of them one."""
    one = _finding(leaf)
    return (one["rule"], text(leaf.members, "sub", "type"), subject(leaf), one["patient"], one["bucket"])


def _finding(leaf: Leaf) -> dict[str, Any]:
    said, records = leaf.members, leaf.members.get("records")
    points, count, bucket = (said.get(each) for each in ("points", "count", "bucket"))
    return {
        "finding": text(said, "finding"),
        "rule": text(said, "rule"),
        "title": text(said, "title"),
        "because": text(said, "because"),
        "patient": text(leaf.detail, "patient", "id") or text(said, "res", "patient_p"),
        "first": text(said, "first"),
        "last": text(said, "last"),
        "points": points if isinstance(points, int) else 0,
        "count": count if isinstance(count, int) else 1,
        "bucket": bucket if isinstance(bucket, int) else 0,
        "records": [each for each in records if _is_place(each)] if isinstance(records, list) else [],
        "index": leaf.index,
    }


def _is_place(said: Any) -> bool:
    return isinstance(said, list) and len(said) == 2 and isinstance(said[0], int | None) and isinstance(said[1], str)


def _disposition(leaf: Leaf) -> dict[str, Any]:
    return {
        "disposition": text(leaf.members, "disposition"),
        "by": text(leaf.members, "by"),
        "at": text(leaf.members, "ts"),
        "note": text(leaf.detail, "note"),
        "opened": leaf.opened,
        "index": leaf.index,
    }
