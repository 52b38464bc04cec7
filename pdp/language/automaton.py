"""The loop that runs an LALR table: shift, reduce, and go on after an error.

Lark makes the table from `grammar/ward.lark` (`parse`). This loop runs it in half the time of Lark's own (9 905 rules
of 37 tokens: 1.1 s with the tree and all spans, against 2.1 s for bare Lark trees): it makes no token objects, and
passes through rules with one child without a call. It keeps no recursion: how deep a text nests costs memory alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pdp.diagnostics.source import Source, Span
from pdp.language.lex import COMMENT, END, Lexer, Token, end_of

Value = Any
"""What a symbol stands for: a `Token`, a list, or whatever an action gave."""


@dataclass(frozen=True, slots=True)
class Production:
    """One alternative of a rule.

    `passes`: its one symbol stands for it. `parts`: which of its `size` symbols are children, counted from the top of
    the stack (-1 is the last); None for one that is not written. `spliced`: those that are lists, joined to the others.
    `action` is called as action(builder, span, *children); without one, the list of the children is the value.
    """

    origin: str
    size: int
    passes: bool
    parts: tuple[int | None, ...]
    spliced: frozenset[int]
    action: Callable[..., Value] | None


@dataclass(frozen=True, slots=True)
class Failure:
    """A token that fits nowhere. `states`: the stack as it stood. `begun`: where the declaration begins that failed."""

    token: Token
    kind: str
    previous: Token | None
    states: tuple[int, ...]
    begun: int
    automaton: Automaton

    def expects(self, *kinds: str) -> bool:
        """Whether these terminals, one after the other, could have stood here."""
        return self.automaton.accepts(self.states, kinds)


@dataclass(frozen=True, slots=True)
class Automaton:
    """`goes[state]`: symbol -> state. `reduces[state]`: terminal -> production. `first`, `last`: by start symbol."""

    goes: Sequence[Mapping[str, int]]
    reduces: Sequence[Mapping[str, Production]]
    first: Mapping[str, int]
    last: Mapping[str, int]
    lexer: Lexer

    def run(
        self,
        symbol: str,
        source: Source,
        builder: object,
        comment: Callable[[Token], None],
        recover: Callable[[Failure], int | None],
    ) -> Value:
        """The value of a start symbol.

        At an error, `recover` reports it and gives where to read on: at the beginning of a declaration. None gives up,
        and the result is None.
        """
        goes, reduces, kind_of, final = self.goes, self.reduces, self.lexer.kind, self.last[symbol]
        states = [self.first[symbol]]
        values: list[Value] = []
        starts: list[int] = []
        tokens = self.lexer.tokens(source.text)
        last: Token | None = None
        while True:
            token = next(tokens)
            kind = kind_of(token)
            if kind == COMMENT:
                comment(token)
                continue
            while True:
                state = goes[states[-1]].get(kind)
                if state is not None:
                    states.append(state)
                    values.append(token)
                    starts.append(token.start())
                    last = token
                    break
                production = reduces[states[-1]].get(kind)
                if production is None:
                    if kind == "ID":
                        token = self.lexer.first_name(token)
                        kind = kind_of(token)
                        tokens = self.lexer.tokens(source.text, token.end())
                        continue
                    kept = 1 if values and isinstance(values[0], list) else 0
                    begun = starts[kept] if len(starts) > kept else token.start()
                    resume = recover(Failure(token, kind, last, tuple(states), begun, self))
                    if resume is None:
                        return None
                    del states[kept + 1 :], values[kept:], starts[kept:]
                    tokens = self.lexer.tokens(source.text, resume)
                    break
                if production.passes:
                    states[-1] = goes[states[-2]][production.origin]
                    continue
                size = production.size
                if size:
                    start, end = starts[-size], end_of(last)  # type: ignore[arg-type]
                    children: list[Value] = [None if part is None else values[part] for part in production.parts]
                    del values[-size:], states[-size:], starts[-size:]
                else:
                    start = end = token.start()
                    children = [None] * len(production.parts)
                if production.spliced:
                    children = _joined(children, production.spliced)
                if production.action is None:
                    values.append(children)
                else:
                    values.append(production.action(builder, Span(source, start, end), *children))
                starts.append(start)
                state = goes[states[-1]][production.origin]
                if state == final and kind == END:
                    return values[-1]
                states.append(state)

    def accepts(self, states: Sequence[int], kinds: Iterable[str]) -> bool:
        """Whether terminals can follow, one after the other, on a stack of states.

        The reductions are played through without values: on what is left of the stack (`depth`), and what came upon it.
        """
        depth, upon = len(states), list[int]()
        for kind in kinds:
            while True:
                top = upon[-1] if upon else states[depth - 1]
                if kind in self.goes[top]:
                    upon.append(self.goes[top][kind])
                    break
                production = self.reduces[top].get(kind)
                if production is None:
                    return False
                beneath = production.size - len(upon)
                del upon[len(upon) - min(production.size, len(upon)) :]
                depth -= max(beneath, 0)
                upon.append(self.goes[upon[-1] if upon else states[depth - 1]][production.origin])
                if kind == END and upon[-1] in self.last.values():
                    return True
        return True


def _joined(children: list[Value], spliced: frozenset[int]) -> list[Value]:
    """The children with the lists among them opened. A first list is reused: nobody else holds it."""
    joined: list[Value] = children[0] if 0 in spliced else []
    for index, child in enumerate(children):
        if index not in spliced:
            joined.append(child)
        elif index:
            joined.extend(child)
    return joined
