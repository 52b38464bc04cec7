"""One record as its readers see it, and all the records of an audit directory, sealed or still waiting to be.

What stands in the clear part anybody may read who may read the log; what stands under `detail` may be encrypted, and
then needs an `Opener`. Whoever computes from records goes through here, so that nobody reads the JSON in his own way.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

import orjson

from pdp.audit.evidence import EvidenceError
from pdp.audit.journal.reader import START, Corrupt, slots
from pdp.audit.tree import checkpoint, merkle, state, tiles

LOG: Final = "log"
TRIES: Final = 5
CLEAR, ERASED, LOCKED, DAMAGED = "clear", "erased", "locked", "damaged"


class Opener(Protocol):
    """Opens details, and says under which pseudonyms a thing stands in the log."""

    def open(self, members: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
        """The detail of a record, and one of `CLEAR`, `ERASED` (its key was erased), `LOCKED` (no key), `DAMAGED`."""

    def names(self, kind: str, identifier: str, /) -> frozenset[str]:
        """Every pseudonym that a thing (`kind`: its type) has had, one for each key that is still there."""


class Plain:
    """Without keys: details that were written in clear are read, no pseudonym is known."""

    def open(self, members: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
        detail = members.get("detail", {})
        if not isinstance(detail, dict):
            return {}, DAMAGED
        return ({}, LOCKED) if "kid" in detail else (detail, CLEAR)

    def names(self, _kind: str, _identifier: str) -> frozenset[str]:
        return frozenset()


PLAIN: Final = Plain()


@dataclass(frozen=True, slots=True)
class Leaf:
    """`index`: its place in the sealed log; None: not sealed yet. `hash`: RFC 6962 leaf hash."""

    index: int | None
    payload: bytes
    members: Mapping[str, Any]
    detail: Mapping[str, Any]
    opened: str = CLEAR

    @property
    def kind(self) -> str:
        return str(self.members.get("kind", ""))

    @property
    def id(self) -> str:
        return str(self.members.get("id", ""))

    @property
    def stream(self) -> str:
        return str(self.members["stream"])

    @property
    def seq(self) -> int:
        return int(self.members["seq"])

    @property
    def time(self) -> int:
        """Microseconds since the epoch, as the writer's clock had it; 0 where it says none."""
        return instant(self.members.get("ts", ""))

    @property
    def hash(self) -> bytes:
        return merkle.leaf(self.payload)

    @property
    def receipt(self) -> str:
        """What the answer carried: `stream:seq:` and the first 16 hex digits of the leaf hash."""
        return f"{self.stream}:{self.seq}:{self.hash.hex()[:16]}"


def leaf(index: int | None, payload: bytes, opener: Opener = PLAIN) -> Leaf:
    """Raises EvidenceError for what is no record."""
    members = members_of(payload)
    detail, opened = opener.open(members)
    return Leaf(index, payload, members, detail, opened)


def members_of(payload: bytes) -> dict[str, Any]:
    """What a record says, its detail as it stands. Raises EvidenceError for what is no record."""
    try:
        members = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise EvidenceError("a record is no JSON") from error
    if not isinstance(members, dict) or not isinstance(members.get("seq"), int) or "stream" not in members:
        raise EvidenceError("a record does not say where it stands")
    if not isinstance(members.get("kind", ""), str):
        raise EvidenceError("a record does not say what it is")
    if payload.count(b'"stream"') > 1 and not payload.startswith(_head(members)):
        raise EvidenceError("a record says twice where it stands")
    if orjson.dumps(members) != payload and _repeats(payload):
        raise EvidenceError("a record says something twice")
    return members


def says_twice(payload: bytes) -> bool:
    """Has it a name twice in one object? Then one reader takes the first and another one the last."""
    try:
        if orjson.dumps(orjson.loads(payload)) == payload:  # As records are written: nothing was dropped in reading.
            return False
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        pass
    return _repeats(payload)


class _Twice(Exception):
    pass


def _repeats(payload: bytes) -> bool:
    try:
        json.loads(payload, object_pairs_hook=_once)
    except _Twice:
        return True
    except (ValueError, RecursionError):
        return False  # Whoever reads it finds that it is none.
    return False


def _once(pairs: list[tuple[str, Any]]) -> None:
    if len(pairs) != len({name for name, _ in pairs}):
        raise _Twice


def _head(members: Mapping[str, Any]) -> bytes:
    """As it begins, which is what a verifier goes by."""
    return b'{"stream":%s,"seq":%d,' % (orjson.dumps(members["stream"]), members["seq"])


def leaves(
    directory: Path,
    opener: Opener = PLAIN,
    *,
    first: int = 0,
    unsealed: bool = True,
    progress: Callable[[int, int], None] = lambda _, __: None,
) -> Iterator[Leaf]:
    """The records of an audit directory: the sealed ones in order from index `first`, then, where asked for, those that
    wait, slot by slot. Each once, also while it is being sealed. Believes what it reads. Raises EvidenceError.
    """
    size, waiting = there(directory) if unsealed else (sealed_size(directory), [])
    for index, payload in tiles.records(directory / LOG, size, lambda done: progress(done, size), first):
        yield leaf(index, payload, opener)
    for payload in waiting:
        yield leaf(None, payload, opener)


def sealed_size(directory: Path) -> int:
    """How many records are sealed. Raises EvidenceError, also where the state speaks of less than was signed."""
    signed = checkpoint.last(directory / LOG) or 0
    known = state.read(directory)  # After the checkpoint, which is written after it.
    return signed if known is None else _not_set_back(known.size, signed)


def _not_set_back(size: int, signed: int) -> int:
    if size < signed:
        raise EvidenceError(f"the state speaks of {size} records, and {signed} are signed: see `pdp audit verify`")
    return size


def there(directory: Path) -> tuple[int, list[bytes]]:
    """How many are sealed, and the payloads of what was not when that was read; a sealer may go on meanwhile."""
    for _ in range(TRIES):
        signed = checkpoint.last(directory / LOG) or 0
        known = state.read(directory)
        read = {} if known is None else known.slots
        try:
            waiting = [
                frame.payload for each in slots(directory) for _, frame in each.frames(read.get(each.number, START))
            ]
        except Corrupt as corrupt:
            if state.read(directory) == known:
                raise EvidenceError(f"the write-ahead log is damaged: {corrupt}; see `pdp audit verify`") from corrupt
        except OSError as error:
            raise EvidenceError(f"the write-ahead log cannot be read: {error.strerror}") from error
        else:
            return sealed_size(directory) if known is None else _not_set_back(known.size, signed), waiting
    raise EvidenceError("the log moves too fast to be read whole; try again")


def written(payload: bytes) -> int:
    """When a record says that it was written, read without parsing it: microseconds since the epoch; 0: it does not."""
    start = payload.find(b'"ts":"') + 6
    return instant(payload[start : payload.find(b'"', start)].decode("ascii", "replace")) if start > 5 else 0


def instant(text: str) -> int:
    """RFC 3339 as microseconds since the epoch; 0 for what is none."""
    try:
        moment = datetime.fromisoformat(text)
    except (ValueError, TypeError):
        return 0
    if moment.tzinfo is None:
        return 0
    rest = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (rest.days * 86_400 + rest.seconds) * 1_000_000 + rest.microseconds
