"""What a target is: something that takes a batch and confirms it by returning. It may get the same batch again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pdp.audit.evidence import EvidenceError
from pdp.audit.tree.checkpoint import ARCHIVE


class ShipError(EvidenceError):
    """The target did not confirm. In words of ours alone, which can quote neither a secret nor a record."""


class Contradicted(ShipError):
    """The target holds something else under the same name, or the log is not the one that was shipped: an alarm."""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to bring over. The same `key` always has the same `body`, so bringing it twice changes nothing.

    A file: `key` is its place below `log/`, `kind` the first part of that. A record: `key` is `stream:seq`.
    """

    key: str
    body: bytes
    kind: str = ""
    time: int = 0  # of a record: microseconds since the epoch
    stream: str = ""
    seq: int = 0


def same(key: str, one: bytes, other: bytes) -> bool:
    """Is it the same content? Of a checkpoint what is signed counts: witnesses sign it later, each in its own time."""
    if key.startswith(f"{ARCHIVE}/"):
        return _signed(one) == _signed(other) != b""
    return one == other


def _signed(note: bytes) -> bytes:
    return note.partition(b"\n\n")[0]


class Target(Protocol):
    def put(self, batch: Sequence[Item]) -> None:
        """Returns when the target has confirmed every one. Raises ShipError: none, some or all of them are there."""

    def close(self) -> None:
        """Let go of connections. May be called at any time, also twice."""
