"""The rules as data: those that are shipped, with the operator's file laid over them."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from pdp.audit.detect.explain import FACTS, WHOM, Template

UNITS: Final = {"s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
LONGEST: Final = 3_660 * UNITS["d"]
MAX_BYTES: Final = 1 << 20
MOST: Final = 1_000_000_000
"""No number of a rule is above that: a record could not hold it."""
MOST_STEP: Final = 1_000
"""Ids that are looked at, for each that is met."""
ALL: Final = "*"
EXPORT_ONLY: Final = {"M23": "drug diversion: needs the dispensing records; export the log and join it there"}
"""Rules of the catalogue that this log cannot support."""


class RulesError(Exception):
    """A rules file that cannot be used: `problems`, each one sentence."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(problems))


@dataclass(frozen=True, slots=True)
class Rule:
    """Times in microseconds. `options`: what its kind asks for beside, typed as the shipped file has it."""

    id: str
    title: str
    kind: str
    enabled: bool = True
    window: int = UNITS["d"]
    repeat: int = UNITS["d"]
    threshold: int = 1
    roles: Mapping[str, int] = field(default_factory=dict)
    points: int = 10
    more: int = 0
    most: int = 100
    explained_by: frozenset[str] = frozenset()
    needs: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def limit(self, role: str, kind: str = "") -> int:
        """The threshold for somebody of this role, or of this type of subjects."""
        return self.roles.get(role, self.roles.get(f":{kind}", self.threshold))

    def number(self, name: str) -> int:
        return int(self.options[name])

    def names(self, name: str) -> tuple[str, ...]:
        return tuple(self.options[name])

    def suppresses(self, template: str) -> bool:
        if not template or f"-{template}" in self.explained_by:
            return False
        return ALL in self.explained_by or template in self.explained_by

    def missing(self, there: set[str]) -> tuple[str, ...]:
        """Of `needs`, what is not there; `a|b` is either."""
        return tuple(each for each in self.needs if there.isdisjoint(each.split("|")))


@dataclass(frozen=True, slots=True)
class Rules:
    rules: tuple[Rule, ...]
    templates: tuple[Template, ...]
    staff: frozenset[str]
    services: frozenset[str]
    emergency: frozenset[str]
    ours: frozenset[str]
    margin: int
    repeat: int
    case_quiet: int
    alert_score: int
    appropriate: int

    @property
    def longest(self) -> int:
        """How far back anything looks."""
        return max((each.window for each in self.rules), default=0)


def load(path: Path | None = None) -> Rules:
    """Raises RulesError."""
    shipped = _shipped()
    problems: list[str] = []
    if path is None:
        made = _rules(shipped, problems)
        if problems:
            raise RulesError(problems)
        return made
    try:
        data = path.read_bytes()
        if len(data) > MAX_BYTES:
            raise ValueError("too long")
        own = tomllib.loads(data.decode("utf-8"))
    except OSError as error:
        raise RulesError([f"{path}: cannot be read: {error.strerror}"]) from error
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise RulesError([f"{path}: is no TOML: {error}"]) from error
    merged = _over(shipped, own, "", problems)
    if not problems:
        made = _rules(merged, problems)
    if problems:
        raise RulesError([f"{path}: {each}" for each in problems])
    return made


@lru_cache(1)
def _text() -> str:
    return files("pdp.audit.detect").joinpath("rules.toml").read_text(encoding="utf-8")


def _shipped() -> dict[str, Any]:
    return tomllib.loads(_text())


FREE: Final = ("roles", "labels", "usual")
"""Tables whose keys are names of the house."""
_COMMON: Final = {"enabled": True, "explained_by": [], "needs": [], "roles": {}, "window": "1d", "repeat": "1d"}
_COMMON_NUMBERS: Final = ("threshold", "points", "more", "most")
_TEMPLATE: Final[dict[str, Any]] = {
    "title": "",
    "facts": "",
    "whom": "staff",
    "before": "0s",
    "after": "0s",
    "kinds": [],
    "roles": [],
    "types": ["user"],
    "enabled": True,
}


def _over(shipped: dict[str, Any], own: dict[str, Any], where: str, problems: list[str]) -> dict[str, Any]:
    """The operator's values in place of the shipped ones, of the same types."""
    made = dict(shipped)
    for key, value in own.items():
        place = f"{where}.{key}" if where else key
        usual = shipped.get(key)
        if usual is None and where.startswith("rule.") and where.count(".") == 1:
            usual = _COMMON.get(key, 1 if key in _COMMON_NUMBERS else None)
        if usual is None and where.startswith("explanation."):
            usual = _TEMPLATE.get(key)
        if usual is None and where == "explanation" and isinstance(value, dict):
            made[key] = _over({}, value, place, problems)
        elif usual is None and where.rpartition(".")[2] in FREE:
            made[key] = value
        elif usual is None:
            close = get_close_matches(key, shipped, 1, 0.6)
            problems.append(f"`{place}` is not known{f'; did you mean `{close[0]}`?' if close else ''}")
        elif key == "kind" and value != usual:
            problems.append(f"`{place}` cannot be changed: it is what the rule does")
        elif type(value) is not type(usual):
            problems.append(f"`{place}` must be {_NAMES[type(usual)]}")
        elif isinstance(value, dict):
            made[key] = _over(dict(usual), value, place, problems)
        else:
            made[key] = value
    return made


_NAMES: Final = {dict: "a table", list: "a list", str: "a text", int: "a whole number", bool: "true or false"}


def _rules(said: dict[str, Any], problems: list[str]) -> Rules:
    settings = said["settings"]
    problems += [f"`settings.{key}` must not be negative" for key, each in settings.items() if _negative(each)]
    problems += [f"`settings.{key}` must be {MOST} at most" for key, each in settings.items() if _huge(each)]
    templates = _templates(said["explanation"], problems)
    known = {each.id for each in templates} | set(said["explanation"])
    made = []
    for name, table in said["rule"].items():
        made.append(_rule(name, {"repeat": settings["repeat"]} | table, known, problems))
    times = [_time(settings[each], f"settings.{each}", problems) for each in ("margin", "repeat", "case_quiet")]
    appropriate = _time(settings["appropriate"], "settings.appropriate", problems)
    sets = [_texts(settings[each], f"settings.{each}", problems) for each in ("staff", "services", "emergency", "ours")]
    return Rules(
        *(tuple(made), templates, sets[0], sets[1], sets[2], sets[3]),
        *(times[0], times[1], times[2], settings["alert_score"], appropriate),
    )


def _templates(said: dict[str, Any], problems: list[str]) -> tuple[Template, ...]:
    made = []
    for name, given in said.items():
        where = f"explanation.{name}"
        table = _TEMPLATE | given
        if table["facts"] not in FACTS:
            problems.append(f"`{where}.facts` must be one of {', '.join(FACTS)}")
        if table["whom"] not in WHOM:
            problems.append(f"`{where}.whom` must be one of {', '.join(WHOM)}")
        if (table["whom"] == "any" or table["facts"] == "role") and not table["roles"]:
            problems.append(f"`{where}.roles` must name the roles, or it would explain everything to everybody")
        if not table["enabled"]:
            continue
        made.append(
            Template(
                name,
                table["title"] or name,
                table["facts"],
                table["whom"],
                _time(table["before"], f"{where}.before", problems),
                _time(table["after"], f"{where}.after", problems),
                _texts(table["kinds"], f"{where}.kinds", problems),
                _texts(table["roles"], f"{where}.roles", problems),
                _texts(table["types"], f"{where}.types", problems),
            )
        )
    return tuple(made)


_FIELDS: Final[dict[str, Callable[[Any, str, list[str]], Any]]] = {
    "window": lambda value, where, problems: _time(value, where, problems),
    "repeat": lambda value, where, problems: _time(value, where, problems),
    "explained_by": lambda value, where, problems: _texts(value, where, problems),
    "needs": lambda value, where, problems: tuple(_texts(value, where, problems)),
    "roles": lambda value, where, problems: _numbers(value, where, problems),
}
_PLAIN: Final = ("title", "kind", "enabled", "threshold", "points", "more", "most")
_TIMES: Final = ("slack", "deceased", "discharged", "grace", "changed", "learn", "back")
"""Options that are times where they are texts."""


def _rule(name: str, table: dict[str, Any], templates: set[str], problems: list[str]) -> Rule:
    given: dict[str, Any] = {}
    options: dict[str, Any] = {}
    for key, value in table.items():
        where = f"rule.{name}.{key}"
        if key in _FIELDS:
            given[key] = _FIELDS[key](value, where, problems)
        elif key in _PLAIN:
            given[key] = value
        else:
            options[key] = _option(key, value, where, problems)
        if _negative(value):
            problems.append(f"`{where}` must not be negative")
        if _huge(value) or (key == "step" and isinstance(value, int) and value > MOST_STEP):
            problems.append(f"`{where}` must be {MOST_STEP if key == 'step' else MOST} at most")
    if isinstance(table.get("needs"), list):
        given["needs"] = tuple(table["needs"])  # In their order.
    excepted = {f"-{each}" for each in templates}
    for each in sorted(given.get("explained_by", frozenset()) - templates - excepted - {ALL}):
        problems.append(f"`rule.{name}.explained_by` names no explanation: {each}")
    return Rule(id=name, options=options, **given)


def _option(key: str, value: Any, where: str, problems: list[str]) -> Any:
    if isinstance(value, list):
        _texts(value, where, problems)
    elif isinstance(value, dict):
        for name, each in value.items():
            _texts(each, f"{where}.{name}", problems)
    elif key in _TIMES and isinstance(value, str):
        return _time(value, where, problems)
    return value


def _huge(value: Any) -> bool:
    return isinstance(value, int) and value > MOST


def _negative(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value < 0


def _time(value: Any, where: str, problems: list[str]) -> int:
    if (
        isinstance(value, str)
        and value[:-1].isascii()
        and value[:-1].isdigit()
        and value[-1:] in UNITS
        and len(value) < 9
    ):
        found = int(value[:-1]) * UNITS[value[-1]]
        if found <= LONGEST:
            return found
    problems.append(f"`{where}` must be a time like 30s, 15m, 12h or 7d, at most 3660d")
    return 0


def _texts(value: Any, where: str, problems: list[str]) -> frozenset[str]:
    if isinstance(value, list) and all(isinstance(each, str) and each for each in value):
        return frozenset(value)
    problems.append(f"`{where}` must list texts")
    return frozenset()


def _numbers(value: Any, where: str, problems: list[str]) -> Mapping[str, int]:
    if all(isinstance(each, int) and not isinstance(each, bool) for each in value.values()):
        return dict(value)
    problems.append(f"`{where}` must give whole numbers")
    return {}
