"""Reviews of access (R63): a sample that nobody chose, what was flagged, and who signed that it was looked at.

The sample follows from the log alone: its seed is made of the root of the log up to the last record of the period, not
of which checkpoints somebody keeps, and each record's place in the draw of seed and leaf hash. Who draws again draws
the same; who reviews can be held to it.

Kinds: `review.sample` (places in the log, no ids) and `review.signoff`.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from heapq import nsmallest
from pathlib import Path
from typing import Any, Final

from pdp.audit.asking.asked import NO, Asked, Meant, Question
from pdp.audit.asking.deeds import Deed, deed, text
from pdp.audit.asking.period import Period
from pdp.audit.evidence import EvidenceError
from pdp.audit.leaf import Leaf, Opener, instant
from pdp.audit.record import DECISION
from pdp.audit.reports.access import EMERGENCY
from pdp.audit.tree import checkpoint, merkle
from pdp.audit.tree.merkle import ProofError
from pdp.audit.tree.tiles import Tiles

SAMPLE: Final = "review.sample"
SIGNED: Final = "review.signoff"
FLAGS: Final = frozenset({"finding", "case"})
VERSION: Final = "pdp.review/v2"
MAX_SIZE: Final = 1_000
MAX_FLAGGED: Final = 1_000
LARGE_SEARCH: Final = 20
"""A search that gave away more than this is of high risk."""
SHARES: Final = {"break-glass": 30, "high-risk": 30, "denied": 20, "ordinary": 20}
"""Per cent of the sample, in the order in which a record falls into them; what one does not need, the next may have."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A sample. `places`: by stratum; `population`: of how many. `until`: flags below this place were taken."""

    period: Period
    size: int  # that was asked for
    tree: int
    root: bytes
    seed: bytes
    places: dict[str, list[int]]
    population: dict[str, int]
    flagged: list[int]
    until: int
    left_out: int = 0  # flags beyond the most that one review holds

    @property
    def items(self) -> list[int]:
        return sorted(place for places in self.places.values() for place in places)

    def members(self) -> dict[str, Any]:
        """Of its record. Places alone: nobody is named."""
        return {
            "period": [self.period.first, self.period.after],
            "size": self.size,
            "checkpoint": {"size": self.tree, "root": self.root.hex()},
            "seed": self.seed.hex(),
            "items": self.places,
            "population": self.population,
            "flagged": self.flagged,
            "until": self.until,
            "left_out": self.left_out,
        }


def seed(origin: str, tree: int, root: bytes, period: Period, size: int) -> bytes:
    lines = [VERSION, origin, str(tree), b64encode(root).decode(), f"{period.first} {period.after}", str(size), ""]
    return sha256("\n".join(lines).encode()).digest()


def stratum(one: Deed) -> str:
    """Which part of a sample a decision belongs to."""
    if one.purpose in EMERGENCY:
        return "break-glass"
    if one.allowed and _risky(one):
        return "high-risk"
    return "ordinary" if one.allowed else "denied"


def _risky(one: Deed) -> bool:
    """It deletes, it leaves the house, it names many, or its rule wants it to be looked at."""
    members = one.leaf.members
    search = members.get("search")
    found = search.get("found") if isinstance(search, dict) else 0
    if one.verb in ("D", "T") or (isinstance(found, int) and found > LARGE_SEARCH):
        return True
    decided = members.get("dec")
    duties = decided.get("obligations", ()) if isinstance(decided, dict) else ()
    return any(isinstance(each, dict) and "review" in str(each.get("name", "")) for each in duties)


def draw(leaves: Iterable[Leaf], log: Path, origin: str, period: Period, size: int, below: int = 0) -> Drawn:
    """`leaves`: the sealed records of the log. To repeat an earlier draw, `below`: the place of its own record, since
    what was sealed later could not be drawn. Up to which place there were flags it does not say itself: whoever makes
    one up would leave some out. So a flag that came while it was drawn makes it another one. Raises EvidenceError.
    """
    inside, flags, last = [], [], -1
    for leaf in leaves:
        if leaf.index is None:
            continue
        last = max(last, leaf.index)
        if below and leaf.index >= below:
            continue
        if leaf.kind in FLAGS and _flags(leaf, period):
            flags.append(leaf.index)
        elif leaf.kind == DECISION and leaf.time in period:
            one = deed(leaf)
            inside.append((stratum(one), leaf.hash, leaf.index))
    covers = max((place for _, _, place in inside), default=0) + 1
    root = _root(log, covers)
    made = seed(origin, covers, root, period, size)
    population = {name: sum(each[0] == name for each in inside) for name in SHARES}
    places = {
        name: sorted(
            place
            for _, place in nsmallest(
                number, ((sha256(made + hashed).digest(), place) for of, hashed, place in inside if of == name)
            )
        )
        for name, number in shares(population, size).items()
    }
    kept, left = flags[:MAX_FLAGGED], max(0, len(flags) - MAX_FLAGGED)
    return Drawn(period, size, covers, root, made, places, population, kept, last + 1, left)


def _flags(leaf: Leaf, period: Period) -> bool:
    """Was it found in the period, or is it about it?"""
    first, last = instant(text(leaf.members, "first")), instant(text(leaf.members, "last"))
    return leaf.time in period or bool(first and first < period.after and last >= period.first)


def _root(log: Path, size: int) -> bytes:
    """Of the log when it had this size, once a checkpoint covers it."""
    last = checkpoint.last(log)
    if last is None or last < size:
        raise EvidenceError("no checkpoint covers the period yet; ask again in a moment")
    try:
        return merkle.root(size, Tiles(log, last).perfect)
    except ProofError as error:
        raise EvidenceError(f"the sample follows from nothing: {error}") from error


def shares(population: dict[str, int], size: int) -> dict[str, int]:
    """How many of each stratum; together `size`, or all that there are."""
    taken = {name: min(population[name], max(1, size * share // 100)) for name, share in SHARES.items()}
    for name in reversed(SHARES):  # A sample of less than four.
        over = sum(taken.values()) - size
        taken[name] -= max(0, min(over, taken[name]))
    for name in SHARES:
        taken[name] += min(population[name] - taken[name], size - sum(taken.values()))
    return taken


# ------------------------------------------------------------------------------------------------------------- reviews


@dataclass(slots=True)
class Signoff:
    by: str
    time: int
    result: str
    leaf: Leaf

    @property
    def subject(self) -> str:
        return text(self.leaf.detail, "sub", "id")

    @property
    def note(self) -> str:
        return text(self.leaf.detail, "note")

    @property
    def conflicted(self) -> bool:
        """By somebody whose own accesses are among the items."""
        return self.leaf.members.get("own") is True


@dataclass(slots=True)
class Review:
    """A sample on record. `number`: which of the log."""

    number: int
    leaf: Leaf
    period: Period
    items: dict[str, list[int]]
    flagged: list[int]
    signoffs: list[Signoff] = field(default_factory=list)

    @property
    def id(self) -> str:
        return self.leaf.id

    @property
    def places(self) -> list[int]:
        return sorted({*self.flagged, *(place for places in self.items.values() for place in places)})

    @property
    def signed(self) -> bool:
        """By somebody who is not among the items; those who are do not count alone."""
        return any(not each.conflicted for each in self.signoffs)

    @property
    def state(self) -> str:
        if not self.signed:
            return "open"
        return "issue" if any(each.result == "issue" for each in self.signoffs) else "ok"


def reviews(leaves: Iterable[Leaf]) -> list[Review]:
    """Every sample with its signatures, in the order of the log."""
    found: dict[str, Review] = {}
    signed = []
    for leaf in leaves:
        if leaf.kind == SAMPLE:
            found[leaf.id] = _review(len(found) + 1, leaf)
        elif leaf.kind == SIGNED:
            signed.append(leaf)
    for leaf in signed:
        review = found.get(text(leaf.members, "review"))
        if review is not None:
            said = Signoff(text(leaf.members, "by"), leaf.time, text(leaf.members, "result"), leaf)
            review.signoffs.append(said)
    return list(found.values())


def _review(number: int, leaf: Leaf) -> Review:
    said = leaf.members
    period = said.get("period")
    first, after = period if isinstance(period, list) and len(period) == 2 else (0, 1)
    items = said.get("items")
    strata = items if isinstance(items, dict) else {}
    return Review(
        number, leaf, Period(int(first), int(after)), {str(name): _places(each) for name, each in strata.items()},
        _places(said.get("flagged")),
    )  # fmt: skip


def _places(given: object) -> list[int]:
    return [each for each in given if isinstance(each, int)] if isinstance(given, list) else []


def overdue(found: Sequence[Review], begun: int, now: int, every: int, show: Callable[[int], str]) -> list[str]:
    """What is late, in sentences. `begun`: the first record of the log. Microseconds."""
    late = [
        f"review {each.number} is open since {show(each.leaf.time)}"
        for each in found
        if not each.signed and now - each.leaf.time > every
    ]
    signed = [sign.time for each in found for sign in each.signoffs if not sign.conflicted]
    if signed and now - max(signed) > every:
        late.append(f"no review was signed since {show(max(signed))}")
    if not signed and begun and now - begun > every:
        late.append(f"no review was ever signed, and the log begins {show(begun)}")
    return late


def same_draw(one: Review, again: Drawn) -> bool:
    """Are the items those that the log gives?"""
    said = one.leaf.members
    return (
        {name: places for name, places in again.places.items() if places}
        == {name: places for name, places in one.items.items() if places}
        and again.flagged == one.flagged
        and again.tree == (said.get("checkpoint") or {}).get("size")
        and again.seed.hex() == text(said, "seed")
        and again.root.hex() == text(said, "checkpoint", "root")
    )


def own(items: Iterable[Leaf], reviewer: str, opener: Opener) -> Meant:
    """Do accesses of the reviewer's own (`id`, `type:id`) stand among the items? UNKNOWN where that cannot be told."""
    question, found = Question(Asked(subject=reviewer, kinds=frozenset()), opener), NO
    for leaf in items:
        found = max(found, question.meant(leaf.members)[0], key=lambda each: each.value)
    return found
