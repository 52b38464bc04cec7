"""What can be wrong with a log, each with an exit code and a sentence of its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

FINE: Final = 0


class Kind(Enum):
    """(exit code, word, sentence). In this order: of several findings, the first kind gives the exit code."""

    NO_LOG = (10, "no-log", "there is no log here")
    FOREIGN_KEY = (11, "foreign-key", "a checkpoint is signed by none of the keys that are known")
    BAD_SIGNATURE = (12, "bad-signature", "a checkpoint is not what its key signed")
    WRONG_EPOCH = (13, "wrong-epoch", "a checkpoint is signed by a key whose time it is not")
    SET_BACK = (14, "set-back", "the log is shorter than what was signed")
    FORKED = (15, "forked", "a signed checkpoint contradicts the log")
    DROPPED = (16, "record-dropped", "a record is missing")
    SWAPPED = (17, "records-swapped", "records are out of order")
    ADDED = (18, "record-added", "a record is there twice, or where none was")
    CHANGED = (19, "record-changed", "a record is not the one that was sealed")
    TILE = (20, "tile-changed", "a tile is not the one of its records")
    MISSING = (21, "file-missing", "a file of the log is missing or cut short")
    MALFORMED = (
        22,
        "record-malformed",
        "a record does not say where in which stream it stands, or says something twice",
    )
    STREAM = (23, "stream-dropped", "a stream is missing")
    TAIL_DROPPED = (24, "tail-dropped", "records that were not sealed yet are missing")
    TAIL_CHANGED = (25, "tail-changed", "the write-ahead log is not what was written")
    STATE = (26, "state-edited", "the state of the sealer is not the one of the log")
    ARCHIVE = (27, "checkpoint-missing", "a checkpoint that was published is not kept")
    RECEIPT = (28, "receipt-unmatched", "a receipt was given for a record that is not there")
    SILENT = (29, "heartbeat-missing", "a stream was silent while the log went on")
    COUNT = (30, "count-wrong", "a stream has counted other decisions than there are")
    BACKWARDS = (31, "time-backwards", "time goes backwards in a stream, and no clock was set")

    COSIGNATURE = (40, "bad-cosignature", "a cosignature is not what its witness signed")
    UNWITNESSED = (41, "not-cosigned", "no checkpoint is cosigned by enough witnesses")
    STALE = (42, "cosigned-long-ago", "the newest checkpoint that enough witnesses cosigned is too old")
    TIMES = (43, "cosigned-out-of-time", "the times of a witness cannot be")
    UNCOMPARED = (44, "pruned-too-far", "what was given cannot be compared: the hashes that it takes were pruned")

    @property
    def code(self) -> int:
        return self.value[0]

    @property
    def word(self) -> str:
        return self.value[1]

    @property
    def sentence(self) -> str:
        return self.value[2]


ORDER: Final = {kind: place for place, kind in enumerate(Kind)}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. `where` says which; `index` is the record's place in the log, or -1."""

    kind: Kind
    where: str
    index: int = -1

    def __str__(self) -> str:
        return f"{self.kind.sentence}: {self.where}"


def exit_code(findings: Iterable[Finding]) -> int:
    """0 where there is nothing, else the code of the kind that explains most."""
    kinds = {each.kind for each in findings}
    return min(kinds, key=ORDER.__getitem__).code if kinds else FINE
