"""What is known of paths where an expression stands: which optional attributes are there, which types are left.

`x has a and x.a == 1` checks because the left of the `and`, where true, makes the path `x.a` present. Every condition
therefore has two sets of facts: those that hold where it is true, and those where it is false. They are chosen so that
they hold under strong Kleene logic too (SEMANTICS 2): `a or b` may be true while `a` is an error, so nothing follows
from `a` having been false.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from pdp.language import core

Path = tuple[str, ...]
"""`("subject", "office")`: a variable and attributes of it, of what they lead to, and so on."""


@dataclass(frozen=True, slots=True)
class Facts:
    present: frozenset[Path] = frozenset()
    types: Mapping[Path, frozenset[str]] = field(default_factory=dict)
    never: bool = False  # the place is never reached: everything holds there


NOTHING: Final = Facts()
NEVER: Final = Facts(never=True)


def present(path: Path | None) -> Facts:
    return Facts(frozenset({path})) if path else NOTHING


def narrowed(path: Path | None, names: frozenset[str]) -> Facts:
    return Facts(types={path: names}) if path else NOTHING


def both(left: Facts, right: Facts) -> Facts:
    """What holds where the facts of both hold."""
    if left is NOTHING or right.never:
        return right
    if right is NOTHING or left.never:
        return left
    types = dict(left.types)
    for path, names in right.types.items():
        types[path] = types[path] & names if path in types else names
    return Facts(left.present | right.present, types)


def either(left: Facts, right: Facts) -> Facts:
    """What holds where the facts of the one or of the other hold."""
    if left.never:
        return right
    if right.never:
        return left
    if left is NOTHING or right is NOTHING:
        return NOTHING
    shared = {path: names | right.types[path] for path, names in left.types.items() if path in right.types}
    known = left.present & right.present
    return Facts(known, shared) if known or shared else NOTHING


def without(facts: Facts, root: str) -> Facts:
    """The facts that say nothing of the variable `root`, which ends here."""
    if facts is NOTHING or facts.never:
        return facts
    known = frozenset(path for path in facts.present if path[0] != root)
    types = {path: names for path, names in facts.types.items() if path[0] != root}
    return Facts(known, types) if known or types else NOTHING


def moved(facts: Facts, paths: Mapping[str, Path | None]) -> Facts:
    """The facts of a `define`, said of its arguments. `paths`: by parameter, None for an argument that is no path."""
    if facts is NOTHING or facts.never:
        return facts
    known = frozenset(there for path in facts.present if (there := _moved(path, paths)))
    types = {there: names for path, names in facts.types.items() if (there := _moved(path, paths))}
    return Facts(known, types) if known or types else NOTHING


def _moved(path: Path, paths: Mapping[str, Path | None]) -> Path | None:
    if path[0] not in paths:
        return path
    start = paths[path[0]]
    return start + path[1:] if start else None


def path_of(node: core.Expr) -> Path | None:
    """The path that an expression is, if it is one."""
    names: list[str] = []
    while isinstance(node, core.Select):
        names.append(node.name)
        node = node.target
    return (node.name, *reversed(names)) if isinstance(node, core.Variable) else None
