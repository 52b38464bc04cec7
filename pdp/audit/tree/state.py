"""`state/tree.json`: what is sealed, and up to where each slot is read. The sealer's memory between two steps.

With the write-ahead log it determines all that the sealer writes next; nothing else has to survive a crash.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from pdp.audit.evidence import EvidenceError
from pdp.audit.journal.files import whole
from pdp.audit.journal.reader import Position
from pdp.audit.tree.merkle import EMPTY

VERSION: Final = 1
DIRECTORY: Final = "state"
NAME: Final = "tree.json"
MAX_BYTES: Final = 16 << 20
LOCK: Final = "sealer.lock"


@dataclass(frozen=True, slots=True)
class State:
    origin: str
    size: int = 0
    root: bytes = EMPTY
    epoch: int = 1
    since: int = -1  # the key of `epoch` signs sizes above this one, the key before it those up to it
    born: int = 0  # when the epoch began, nanoseconds since the epoch of time
    own_seq: int = 0  # of the sealer's own records
    own_chain: bytes = b""
    slots: dict[int, Position] = field(default_factory=dict)

    @property
    def signing(self) -> int:
        """The epoch whose key signs the tree as it is."""
        return self.epoch if self.size > self.since else self.epoch - 1

    def encoded(self) -> bytes:
        return json.dumps(
            {
                "v": VERSION,
                "origin": self.origin,
                "size": self.size,
                "root": self.root.hex(),
                "epoch": self.epoch,
                "since": self.since,
                "born": self.born,
                "own": [self.own_seq, self.own_chain.hex()],
                "slots": {str(slot): [*at[:3], at.chain.hex()] for slot, at in sorted(self.slots.items())},
            },
            indent=1,
        ).encode()


def genesis(origin: str) -> bytes:
    """What the sealer's first own record has as `prev`."""
    return sha256(b"sealer\n" + origin.encode()).digest()


def read(directory: Path) -> State | None:
    """None: there is none. Raises EvidenceError."""
    path = directory / DIRECTORY / NAME
    try:
        data = whole(path, MAX_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise EvidenceError(f"{NAME} cannot be read: {error.strerror}") from error
    try:
        return _state(json.loads(data))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise EvidenceError(f"{NAME} is damaged") from error


def _state(found: Any) -> State:
    if found["v"] != VERSION:
        raise ValueError("another version")
    own_seq, own_chain = found["own"]
    numbers = (found["size"], found["epoch"], found["since"], found["born"], own_seq)
    slots = {int(slot): _position(at) for slot, at in found["slots"].items()}
    if not all(isinstance(each, int) for each in numbers) or not isinstance(found["origin"], str):
        raise TypeError("a number is none")
    return State(
        found["origin"],
        found["size"],
        bytes.fromhex(found["root"]),
        found["epoch"],
        found["since"],
        found["born"],
        own_seq,
        bytes.fromhex(own_chain),
        slots,
    )


def _position(found: Any) -> Position:
    segment, offset, seq, chain = found
    if not all(isinstance(each, int) for each in (segment, offset, seq)):
        raise TypeError("a position is none")
    return Position(segment, offset, seq, bytes.fromhex(chain))
