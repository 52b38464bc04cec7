"""The items of a review, to be read by whoever signs it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdp.cli.sheet import Grid, Sheet, columns

if TYPE_CHECKING:
    from pdp.audit.leaf import Leaf, Opener
    from pdp.audit.reports.reviews import Drawn, Review


def items(opens: Opener, where: Path, places: Sequence[int]) -> list[Leaf]:
    """The records at these places, opened. Raises EvidenceError."""
    from pdp.audit.asking.gathered import at
    from pdp.audit.leaf import leaf

    return [leaf(index, payload, opens) for index, payload in at(where, places)]


def sheet(one: Review, again: Drawn, same: bool, shown: Sequence[Leaf]) -> Sheet:
    """`again`: the same sample, drawn now."""
    of = {place: name for name, places in one.items.items() for place in places}
    grid = Grid(
        "To be looked at",
        columns("index", "of", "when", "who", "what", "patient", "purpose", "result", "/rules", "/more", "/id"),
        [_row(leaf, of.get(leaf.index or 0, "flagged")) for leaf in shown],
        "nothing was recorded in this period",
    )
    drawn = "the same when drawn again" if same else "NOT WHAT THE LOG GIVES when it is drawn again"
    facts = [("period", one.period.text), ("state", one.state), ("sample", drawn)]
    facts += [(name, f"{len(places):,} of {again.population.get(name, 0):,}") for name, places in one.items.items()]
    facts.append(("flagged", f"{len(one.flagged):,}"))
    data = {
        "review": one.number,
        "id": one.id,
        "state": one.state,
        "same_when_drawn_again": same,
        "items": [_members(leaf, of.get(leaf.index or 0, "flagged")) for leaf in shown],
    }
    return Sheet(f"Review {one.number}", facts, [grid], data)


def _members(leaf: Leaf, stratum: str) -> dict[str, Any]:
    members = {name: said for name, said in leaf.members.items() if name != "detail"}
    detail = {"detail": dict(leaf.detail)} if leaf.opened == "clear" else {"not_opened": leaf.opened}
    return {"index": leaf.index, "of": stratum, "record": members, **detail}


def _row(leaf: Leaf, stratum: str) -> list[Any]:
    from pdp.audit.asking.deeds import deed, is_deed, text
    from pdp.audit.asking.period import brief

    if not is_deed(leaf):
        says = [
            f"{name} {leaf.members[name]}" for name in ("rule", "title", "score", "because") if name in leaf.members
        ]
        who = text(leaf.detail, "sub", "id") or text(leaf.members, "sub", "id") or text(leaf.members, "sub", "id_p")
        return [str(leaf.index), stratum, brief(leaf.time), who, leaf.kind, "", "", "", [], says, leaf.id]
    one = deed(leaf)
    result = one.effect if one.allowed else f"{one.effect} {one.reason}"
    more = [f"client {one.client}" if one.client else "", f"asked by {one.asker}" if one.asker.id else ""]
    more += [f"named {len(one.named):,}" if one.named else "", "" if leaf.opened == "clear" else leaf.opened]
    return [
        str(leaf.index),
        stratum,
        brief(leaf.time),
        str(one.who),
        f"{one.action} {one.resource}",
        one.patient.id,
        one.purpose,
        result,
        list(one.rules),
        more,
        leaf.id,
    ]
