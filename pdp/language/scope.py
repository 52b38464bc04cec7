"""What an expression sees where it stands: variables, and what is known of them there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pdp.language import core
from pdp.language.names import Home
from pdp.language.narrowing import NOTHING, Facts, both
from pdp.language.schema import Attribute
from pdp.language.types import Type


@dataclass(frozen=True, slots=True)
class Binding:
    """A variable. `name` is its name in core. `attributes`: of `context` and `action`, which are no values themselves.

    `partly`: attributes that only some of the actions of the rule have, for the message.
    """

    name: str
    type: Type
    attributes: Mapping[str, Attribute] | None = None
    partly: frozenset[str] = frozenset()


class Work:
    """One rule, or one define: numbers its quantifiers, and remembers what the lint wants to know."""

    __slots__ = ("every", "fresh")

    def __init__(self) -> None:
        self.fresh = 0
        self.every = False  # is there an `all`

    def name(self, variable: str) -> str:
        self.fresh += 1
        return f"{variable}#{self.fresh}"


class Scope:
    __slots__ = ("constant", "facts", "home", "variables", "work")

    def __init__(
        self,
        home: Home,
        variables: Mapping[str, Binding],
        work: Work,
        facts: Facts = NOTHING,
        constant: str = "",
    ) -> None:
        self.home = home
        self.variables = variables
        self.work = work
        self.facts = facts
        self.constant = constant  # inside a `define`: its name, for messages

    def where(self, facts: Facts) -> Scope:
        """The same scope, where more is known."""
        if facts is NOTHING:
            return self
        return Scope(self.home, self.variables, self.work, both(self.facts, facts), self.constant)

    def with_variable(self, name: str, binding: Binding) -> Scope:
        return Scope(self.home, {**self.variables, name: binding}, self.work, self.facts, self.constant)


@dataclass(frozen=True, slots=True)
class Define:
    """A checked `define`. `body` None: it failed to check. Its parameters are the variables `$who` of the body."""

    name: str
    parameters: tuple[tuple[str, Type], ...]
    body: core.Expr | None
    true: Facts = NOTHING
    false: Facts = NOTHING
