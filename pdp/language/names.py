"""The one name space of a policy set: who declares a name, and who may use it (LANGUAGE sections 1 and 10)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pdp.language import ast
from pdp.language.findings import Findings, near, place
from pdp.language.operators import BY_SYMBOL, CONSTANTS
from pdp.language.types import PRIMITIVES

LAYERS: Final = ("base", "organisation", "service")
INFIX: Final = frozenset({"in", "contains", "overlaps", "like", "matches", "within", "between"})
FUNCTIONS: Final = frozenset(symbol for symbol in BY_SYMBOL if symbol.isidentifier()) - INFIX | frozenset(CONSTANTS)
PLACES: Final = frozenset({"subject", "resource", "action", "context", "now"})
_TAKEN: Final = (
    dict.fromkeys((*PRIMITIVES, "Set", "List"), "a type of Ward")
    | dict.fromkeys(FUNCTIONS, "a function of Ward")
    | dict.fromkeys(PLACES, "a part of every request")
)


@dataclass(frozen=True, slots=True)
class Home:
    """Where a file stands: its module, its layer (0 is the lowest), and the named modules whose names it sees."""

    module: str
    rank: int
    visible: frozenset[str]

    @property
    def layer(self) -> str:
        return LAYERS[self.rank]


@dataclass(frozen=True, slots=True)
class Declared:
    """One declaration of a name. `sort` is the word for what it is: "entity type", "action", ..."""

    name: ast.Name
    sort: str
    home: Home
    node: ast.Declaration


TYPES: Final = ("entity type", "kind")
VOCABULARIES: Final = ("vocabulary", "union of vocabularies")
ACTIONS: Final = ("action", "action group")
_CODES: Final = {
    TYPES: "unknown-type",
    (*TYPES, *VOCABULARIES): "unknown-type",
    ACTIONS: "unknown-action",
    ("action",): "unknown-action",
}
TYPE_NAMES: Final = (*TYPES, *VOCABULARIES)
_NOUNS: Final = {TYPE_NAMES: "type", ("fields",): "set of fields"}
"""What is looked for, where the first of the sorts does not say it."""
FOREIGN_TYPES: Final = {
    foreign: ours
    for ours, names in {
        "Int": "int integer long short number int32 int64 i64 bigint",
        "Text": "string str char varchar",
        "Bool": "bool boolean",
        "Decimal": "decimal float double real numeric money",
        "Instant": "datetime timestamp time zoneddatetime",
        "Duration": "duration timedelta timespan interval",
        "Ip": "ipaddr ipaddress inet cidr",
        "List<..>": "list array vector sequence seq tuple",
        "Set<..>": "set hashset bag",
        "{ name: Type }": "map dict record object struct json",
    }.items()
    for foreign in names.split()
}
"""Types of other languages, in small letters, and ours."""


class Names:
    """Every declared name of a policy set, found by name."""

    def __init__(self, modules: Sequence[ast.Module], findings: Findings) -> None:
        self.findings = findings
        self.table: dict[str, list[Declared]] = {}
        self.homes = _homes(modules, findings)
        self.declarations: list[tuple[Home, ast.Declaration]] = []
        self.used: set[str] = set()
        self._doubled: set[tuple[str, str]] = set()  # names declared twice, and where the second time
        self._found: dict[tuple[str, Home, tuple[str, ...]], Declared] = {}
        for module, home in zip(modules, self.homes, strict=True):
            for declaration in module.declarations:
                self.declarations.append((home, declaration))
                for name, sort in _named(declaration):
                    self._declare(Declared(name, sort, home, declaration))

    def _declare(self, new: Declared) -> None:
        name = new.name.text
        if name in _TAKEN and new.sort != "fixture":
            hint = "choose another name"
            self.findings.error("duplicate-name", new.name.span, f"`{name}` is {_TAKEN[name]}", hint)
        there = self.table.setdefault(name, [])
        # An action may be declared again, for other types; everything else once.
        if there and not (new.sort == there[0].sort == "action"):
            message = f"`{name}` is declared already, as {_with_article(there[0].sort)}"
            hint = f"the other declaration is at {place(there[0].name.span)}"
            self.findings.error("duplicate-name", new.name.span, message, hint)
            self._doubled.add((name, new.home.module))
            return
        there.append(new)

    def of_sort(self, *sorts: str) -> list[Declared]:
        return [each for group in self.table.values() for each in group if each.sort in sorts]

    def find(self, name: ast.Name, home: Home, sorts: tuple[str, ...]) -> Declared | None:
        """The declaration of a name that a file uses. What is wrong with the use is reported, and None given."""
        key = (name.text, home, sorts)
        found = self._found.get(key)
        if found is None:
            found = self._look_up(name, home, sorts)
            if found is not None:
                self._found[key] = found
                self.used.add(name.text)
        return found

    def _look_up(self, name: ast.Name, home: Home, sorts: tuple[str, ...]) -> Declared | None:
        code = _CODES.get(sorts, "unknown-name")
        group = self.table.get(name.text)
        if not group:
            choices = [text for text, others in self.table.items() if others[0].sort in sorts and _sees(home, others)]
            message = f"there is no {_NOUNS.get(sorts, sorts[0])} `{name.text}`"
            self.findings.error(code, name.span, message, _instead(name.text, sorts, choices))
            return None
        if group[0].sort not in sorts:
            message = f"`{name.text}` is {_with_article(group[0].sort)}, not {_with_article(' or '.join(sorts))}"
            self.findings.error(code, name.span, message, f"declared at {place(group[0].name.span)}")
            return None
        return self._may_use(name, home, group)

    def _may_use(self, name: ast.Name, home: Home, group: list[Declared]) -> Declared | None:
        seen = [each for each in group if not each.home.module or each.home.module in home.visible]
        if not seen and any((name.text, module) in self._doubled for module in ("", *home.visible)):
            return group[0]  # The author means the second one, and has been told of both.
        if not seen:
            module = group[0].home.module
            hint = f"write `use {module}` at the top of the file"
            message = f"`{name.text}` is declared in module `{module}`, which this file does not use"
            self.findings.error("name-not-imported", name.span, message, hint)
            return None
        lowest = min(seen, key=lambda each: each.home.rank)
        if lowest.home.rank > home.rank:
            message = f"`{name.text}` is declared in layer {lowest.home.layer}, above this file's layer {home.layer}"
            hint = "a layer stands on its own and lower layers only"
            self.findings.error("layer-violation", name.span, message, hint)
            return None
        return lowest


def _instead(name: str, sorts: tuple[str, ...], choices: list[str]) -> str:
    """What to write for a name that is declared nowhere."""
    if sorts == TYPE_NAMES:
        meant = FOREIGN_TYPES.get(name.lower())
        return f"in Ward it is `{meant}`" if meant else near(name, [*choices, *PRIMITIVES])
    if sorts == ("fields",):
        return near(name, choices) or f"a single field is written `/{name}`"
    return near(name, choices)


def _sees(home: Home, group: list[Declared]) -> bool:
    return any(not each.home.module or each.home.module in home.visible for each in group)


def _with_article(sort: str) -> str:
    if sort == "fields":
        return "a set of fields"
    return f"{'an' if sort[0] in 'aeo' else 'a'} {sort}"


def _named(declaration: ast.Declaration) -> Iterable[tuple[ast.Name, str]]:
    match declaration:
        case ast.EntityDecl():
            return [(declaration.name, "entity type")]
        case ast.KindDecl():
            return [(declaration.name, "kind")]
        case ast.VocabularyDecl():
            return [(declaration.name, "vocabulary")]
        case ast.VocabularyUnion():
            return [(declaration.name, "union of vocabularies")]
        case ast.ActionDecl():
            return [(name, "action") for name, _ in declaration.names]
        case ast.ActionGroup():
            return [(declaration.name, "action group")]
        case ast.FieldsDecl():
            return [(declaration.name, "fields")]
        case ast.ObligationDecl():
            return [(declaration.name, "obligation")]
        case ast.DefineDecl():
            return [(declaration.name, "define")]
        case ast.FixtureDecl():
            return [(declaration.name, "fixture")]
        case _:
            return []


def _homes(modules: Sequence[ast.Module], findings: Findings) -> list[Home]:
    ranks: dict[str, tuple[int, ast.Module]] = {}
    for module in modules:
        rank = _rank(module)
        there = ranks.setdefault(module.name, (rank, module))
        if module.name and there[0] != rank:
            message = f"module `{module.name}` is in layer {LAYERS[there[0]]} elsewhere"
            hint = f"see {place(there[1].span)}: one module, one layer"
            findings.error("layer-violation", module.span, message, hint)
    return [_home(module, ranks, findings) for module in modules]


def _rank(module: ast.Module) -> int:
    return LAYERS.index(module.layer) if module.layer in LAYERS else len(LAYERS) - 1


def _home(module: ast.Module, ranks: Mapping[str, tuple[int, ast.Module]], findings: Findings) -> Home:
    rank = _rank(module)
    if module.layer and module.layer not in LAYERS:
        findings.error(
            "unknown-name", module.span, f"there is no layer `{module.layer}`", f"layers: {', '.join(LAYERS)}"
        )
    for use in module.uses:
        if use.module not in ranks or not use.module:
            named = [name for name in ranks if name]
            findings.error("unknown-module", use.span, f"there is no module `{use.module}`", near(use.module, named))
        elif ranks[use.module][0] > rank:
            message = (
                f"`{use.module}` is in layer {LAYERS[ranks[use.module][0]]}, above this file's layer {LAYERS[rank]}"
            )
            findings.error("layer-violation", use.span, message, "a layer stands on its own and lower layers only")
    visible = frozenset(use.module for use in module.uses) | {module.name}
    return Home(module.name, rank, visible - {""})


def closed(graph: Mapping[str, Iterable[str]]) -> tuple[list[str], list[list[str]]]:
    """An order in which every name comes after all that it names, and the cycles that stand against one.

    Names that are no keys are left out. Without recursion, so that no chain of declarations is too long.
    """
    order: list[str] = []
    cycles: list[list[str]] = []
    state: dict[str, int] = {}  # 1: on the trail, 2: done
    for start in graph:
        trail: list[tuple[str, list[str]]] = []
        ahead = [start]
        while True:
            if not ahead:
                if not trail:
                    break
                done, ahead = trail.pop()
                state[done] = 2
                order.append(done)
                continue
            name = ahead.pop()
            if state.get(name) == 1:
                names = [each for each, _ in trail]
                cycles.append(names[names.index(name) :])
            if name in state or name not in graph:
                continue
            state[name] = 1
            trail.append((name, ahead))
            ahead = list(reversed(list(graph[name])))
    return order, cycles
