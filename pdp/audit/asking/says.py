"""What a record that is no decision says, in a few words: who read what, which policy set, which key, which case.

Of the members that this system writes; whatever else such a record has is in the record. Of people and things it says
what the row says of them too: ids, where the detail could be opened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from pdp.audit.asking.asked import SHOWN, part
from pdp.audit.leaf import Leaf

LONGEST: Final = 160
"""Characters of what is said."""
DIGEST: Final = 16

_Members = Mapping[str, Any]


def says(leaf: Leaf) -> str:
    """ "" for a decision, whose row says it all."""
    if leaf.kind in SHOWN:
        return ""
    told = _OF.get(leaf.kind, _plain)(leaf.members, leaf.detail)
    if "sub" in leaf.members and "by" in leaf.members:  # Who it is about stands where others have who did it.
        told += f", by {leaf.members['by']}"
    told = told.strip(" ,")
    return told if len(told) <= LONGEST else told[: LONGEST - 2] + ".."


def _word(value: object) -> str:
    """On one line; a list as its elements, an object as its members."""
    if isinstance(value, Mapping):
        return " ".join(f"{name}={_word(each)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return ",".join(_word(each) for each in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def _listed(members: _Members, *names: str) -> str:
    """`size 3 epoch 1`, of what is there."""
    return " ".join(f"{name} {_word(members[name])}" for name in names if members.get(name) not in (None, ""))


def _read(members: _Members, detail: _Members) -> str:
    asked, named = part(members, "asked"), {**part(detail, "asked")}
    for name in ("patient", "sub"):  # As the reports put it.
        if (found := part(detail, name)).get("id"):
            named[name] = f"{found.get('type', '')}/{found['id']}".strip("/")
    shown = {name: named.get(name, value) for name, value in asked.items() if name != "kinds"} | named
    kinds = asked.get("kinds")
    if isinstance(kinds, list) and set(map(str, kinds)) != SHOWN:
        shown["kind"] = kinds
    what = " ".join(f"{name}={_hidden(value)}" for name, value in shown.items())
    return f"{_word(members.get('verb'))}: {what or 'all'}"


def _hidden(value: object) -> str:
    """Somebody of whom only pseudonyms stand there, one for each key that there has been: the newest will do."""
    if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
        return str(value[-1]) if str(value[-1])[:1] == "p" and len(value) > 1 else _word(value)
    return _word(value)


def _status(members: _Members, _: _Members) -> str:
    more = {name: value for name, value in members.items() if name not in _EVERY and name != "event"}
    return f"{_word(members.get('event'))} {_listed(more, *more)}"


def policy(members: _Members) -> str:
    """Which one: the beginning of its digest, and its version."""
    bundle = part(members, "bundle") or part(members, "policy") or members
    digest, version = bundle.get("sha256", bundle.get("digest", "")), bundle.get("version", bundle.get("revision", ""))
    return " ".join(str(each)[:DIGEST] for each in (digest, version) if each) or "(it does not say which)"


def _policy(members: _Members, _: _Members) -> str:
    return f"{policy(members)} {_listed(members, 'rules')}"


def _rotated(members: _Members, _: _Members) -> str:
    of = _word(members.get("of")) or "the log's key"
    return f"{of} {_listed(members, 'epoch')}"


def _pruned(members: _Members, _: _Members) -> str:
    before = str(members.get("before", ""))[:10]
    return f"up to record {_word(members.get('min_index'))}, before {before} {_listed(members, 'records', 'hashes')}"


def _held(members: _Members, detail: _Members) -> str:
    hold = {**part(members, "hold"), **part(detail, "hold")}
    who = " ".join(f"{name} {_hidden(hold[name])}" for name in ("patient", "subject") if name in hold)
    return f"{who or 'a period'}: {_word(members.get('reason'))}"


def _sample(members: _Members, _: _Members) -> str:
    drawn = sum(len(each) for each in part(members, "items").values() if isinstance(each, list))
    flagged = members.get("flagged")
    return f"{drawn} drawn, {len(flagged) if isinstance(flagged, list) else 0} flagged"


def _finding(members: _Members, _: _Members) -> str:
    return f"{_listed(members, 'rule')}: {_word(members.get('title'))} ({_listed(members, 'points', 'case')})"


def _suspended(members: _Members, detail: _Members) -> str:
    if "lifts" in members:
        return f"lifts {_word(members['lifts'])}"
    return f"{_word(detail.get('agency'))} {_listed(members, 'statement', 'until')}"


def _named(*names: str) -> Callable[[_Members, _Members], str]:
    return lambda members, _: _listed(members, *names)


_EVERY: Final = frozenset({"v", "id", "kind", "ts", "by", "n", "stream", "seq", "prev", "detail", "sub", "res"})


def _plain(members: _Members, _: _Members) -> str:
    """Of a kind that nobody here knows: what is short."""
    short = {name: value for name, value in members.items() if name not in _EVERY and isinstance(value, str | int)}
    return _listed(short, *short)


_OF: Final[Mapping[str, Callable[[_Members, _Members], str]]] = {
    "audit.read": _read,
    "audit.status": _status,
    "audit.hold": _held,
    "audit.release": _named("of", "reason"),
    "audit.repair": _named("size", "epoch"),
    "policy.activate": _policy,
    "key.rotate": _rotated,
    "key.erase": _named("kids"),
    "prune": _pruned,
    "heartbeat": _named("state", "decisions"),
    "review.sample": _sample,
    "review.signoff": _named("number", "review", "result"),
    "disclosure": lambda members, detail: (
        f"{_listed(members, 'basis', 'date', 'decision')} to " + (_word(detail.get("recipient")) or "nobody named")
    ),
    "disclosure.suspend": _suspended,
    "finding": _finding,
    "case": _named("case", "score"),
    "case.disposition": _named("case", "disposition"),
}
