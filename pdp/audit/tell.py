"""What others than a decision worker put on record: who read the log, who signed a review, what is held or pruned.

Such a record goes the way of all records: into a write-ahead log of its own slot, synced, sealed by the sealer, with
its place in a chain. Whoever cannot record that the log is read does not get to read it.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pdp.audit.journal.wal import Wal
from pdp.audit.operator import operator
from pdp.audit.record import VERSION, encoded, stamp
from pdp.audit.veil.privacy import Veil, veil_of

SEGMENT_BYTES: Final = 256 * 1_024
FIRST_SLOT: Final = 200
"""Those below are the decision workers'."""
SECONDS: Final = 30.0


def tell(
    directory: Path,
    origin: str,
    kind: str,
    said: Mapping[str, Any],
    *,
    now: int | None = None,
    detail: Mapping[str, Any] | None = None,
    veil: Veil | None = None,
) -> str:
    """Put one record on disk; its id. `kind` is one of the schema's; `now`: microseconds since the epoch. Ids of people
    and things stand in `detail`, which is encrypted as that of a decision is, by `veil` or with the keys that the log
    itself names.

    Raises EvidenceError: it is not on record, and what it was to be about must not happen.
    """
    identifier = f"told-{secrets.token_hex(8)}"
    moment = time.time_ns() // 1_000 if now is None else now
    first = {"v": VERSION, "id": identifier, "kind": kind, "ts": stamp(moment), "by": operator()}
    members = {**first, **said, "n": secrets.token_hex(16)}
    payload = encoded(members, detail, (veil or veil_of(directory)) if detail else None, moment)
    wal = Wal(directory, origin, segment_bytes=SEGMENT_BYTES, reserve_bytes=SEGMENT_BYTES, first_slot=FIRST_SLOT)
    try:
        wal.append([payload]).wait(SECONDS)
    finally:
        wal.close()
    return identifier
