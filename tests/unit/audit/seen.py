"""Records of decisions for tests of reports: made as the doors make them, on disk, sealed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pdp.audit.decided import Found, Record, Who
from pdp.audit.journal.wal import Wal
from pdp.audit.leaf import instant
from pdp.audit.record import payloads
from pdp.audit.tell import tell
from pdp.audit.tree.sealer import Sealer
from pdp.model.decision import Decision, Effect, Reason
from pdp.model.request import Request

ORIGIN = "pdp.example/host-1"
DIGEST = "ab" * 32
SEGMENT_BYTES = 256 * 1_024


def at(text: str) -> int:
    """Microseconds of an RFC 3339 text."""
    found = instant(text)
    assert found
    return found


def decision(
    effect: str = "allow", reason: str = "", rules: tuple[str, ...] = ("clinical-view",), digest: str = DIGEST
) -> Decision:
    why = Reason(reason) if reason else (Reason.PERMITTED if effect == "allow" else Reason.NO_RULE)
    return Decision(Effect(effect), why, rules if effect == "allow" else (), program_digest=digest, data_revision="r1")


def seen(
    when: str,
    who: str = "nina",
    what: str = "r1",
    patient: str = "p1",
    *,
    action: str = "read",
    kind: str = "Record",
    purpose: str = "TREAT",
    identifier: str = "",
    found: tuple[str, ...] | None = None,
    client: str = "",
    who_kind: str = "user",
    **decided: Any,
) -> Record:
    """`when`: RFC 3339."""
    moment = at(when)
    identity = Who(who_kind, who, "token", "issuer", client) if client else None
    return Record(
        time=moment,
        decision_id=identifier or f"d-{moment}",
        door="authzen",
        pep="application",
        decision=decision(**decided),
        request=Request(who_kind, who, action, kind, what),
        who=identity,
        patient=patient,
        purpose=purpose,
        program_digest=DIGEST,
        data_revision="r1",
        found=None if found is None else Found("resource", found, len(found), 0, False),
    )


def written(directory: Path, *records: Record, veil: Any = None) -> None:
    """Into the write-ahead log of a worker."""
    wal = Wal(directory, ORIGIN, segment_bytes=SEGMENT_BYTES, reserve_bytes=SEGMENT_BYTES)
    try:
        for each in records:
            wal.append(list(payloads(each, veil))).wait(30.0)
    finally:
        wal.close()


def sealed(directory: Path, when: str = "2026-06-01T00:00:00Z") -> None:
    sealer = Sealer(directory, ORIGIN)
    try:
        while sealer.step(at(when) * 1_000).more:
            pass
    finally:
        sealer.close()


def told(directory: Path, kind: str, said: dict[str, Any], when: str, detail: dict[str, Any] | None = None) -> str:
    return tell(directory, ORIGIN, kind, said, now=at(when), detail=detail)
