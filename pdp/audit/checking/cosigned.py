"""Which checkpoints of a log were cosigned, by whom and when: held against what an auditor asks for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pdp.audit.checking.findings import Finding, Kind
from pdp.audit.checking.recompute import MAX_KEPT
from pdp.audit.tree import checkpoint, cosign, note
from pdp.audit.tree.checkpoint import Checkpoint
from pdp.audit.tree.cosign import Cosignature, Cosigner
from pdp.audit.tree.note import NoteError, VerifierKey
from pdp.audit.tree.policy import Policy

SLACK_SECONDS: Final = 300
"""By so much the clock of a witness may be ahead of ours."""
LOOKED_AT: Final = 4_096
"""How many kept checkpoints are looked at for one that is cosigned, where nobody asks for it."""


class Cosigned:
    """Told of each checkpoint that the log stands by, in order of size."""

    def __init__(self, policy: Policy, now: int, within: int | None = None) -> None:
        """`now`, `within`: seconds; the newest cosigned checkpoint may be so old (None: of any age)."""
        self.size, self.at = -1, 0  # of the newest that enough of them cosigned, and when
        self._policy, self._now, self._within = policy, now, within
        self._last: dict[Cosigner, tuple[int, int]] = {}
        self._wrong: list[Finding] = []

    def see(self, size: int, data: bytes) -> None:
        try:
            found = cosign.cosignatures(note.parse(data), self._policy.witnesses)
        except NoteError as error:
            self._say(Kind.COSIGNATURE, f"log/{checkpoint.place(size)}: {error}")
            return
        for each in found:
            self._time(size, each)
        if self._policy.quorum is not None and self._policy.enough({each.by for each in found}):
            self.size, self.at = size, _when(self._policy, found)

    def _time(self, size: int, given: Cosignature) -> None:
        before, at = self._last.get(given.by, (-1, 0))
        if given.at < at:
            self._say(Kind.TIMES, f"{given.by.name} cosigned size {before} at {at}, and size {size} at {given.at}")
        if given.at > self._now + SLACK_SECONDS:
            self._say(Kind.TIMES, f"{given.by.name} cosigned size {size} at {given.at}, which is yet to come")
        self._last[given.by] = (size, max(at, given.at))

    def _say(self, kind: Kind, where: str) -> None:
        if len(self._wrong) < MAX_KEPT:
            self._wrong.append(Finding(kind, where))

    def findings(self) -> Iterator[Finding]:
        yield from self._wrong
        if self._policy.quorum is None:
            return
        if self.size < 0:
            yield Finding(Kind.UNWITNESSED, "of all that are kept")
        elif self._within is not None and self._now - self.at > self._within:
            ago = self._now - self.at
            yield Finding(Kind.STALE, f"the one of size {self.size} was cosigned {ago} seconds ago")


def _when(policy: Policy, found: list[Cosignature]) -> int:
    """The latest time at which enough of them had it."""
    present: set[Cosigner] = set()
    for each in sorted(found, key=lambda given: -given.at):
        present.add(each.by)
        if policy.enough(present):
            return each.at
    return 0


def newest(log: Path, index: int, keys: list[VerifierKey], policy: Policy | None) -> tuple[bytes, Checkpoint] | None:
    """The newest kept checkpoint over this record that enough witnesses cosigned; without a policy, that any did."""
    for looked_at, size in enumerate(checkpoint.kept_backwards(log)):
        if size <= index or (policy is None and looked_at >= LOOKED_AT):
            return None
        try:
            data = checkpoint.content(log, size)
            found = note.parse(data)
            enough = cosign.likely(found) if policy is None else enough_of(found, policy)
            if enough:
                return data, checkpoint.read(data, keys).checkpoint
        except (OSError, NoteError):
            continue
    return None


def enough_of(found: note.Note, policy: Policy) -> bool:
    """Raises BadSignature."""
    return policy.enough({each.by for each in cosign.cosignatures(found, policy.witnesses)})
