"""Closed sets of codes, with an order where one is declared and an is-a hierarchy where one is (SEMANTICS 11)."""

from __future__ import annotations

from dataclasses import dataclass, field

from pdp.diagnostics.source import Span
from pdp.model.value import Code, code


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """One code system. `symbols`: the name that policies write -> the code text on the wire."""

    name: str
    system: str
    symbols: dict[str, str]
    parents: dict[str, tuple[str, ...]]  # by symbol: the symbols it is-a kind of
    ordered: bool  # declared order, lowest first, is the order of `symbols`
    emergency: frozenset[str]  # symbols whose assertion makes the attribute unknown to ordinary rules (SEMANTICS 21)
    span: Span = field(compare=False)

    def code(self, symbol: str) -> Code:
        return code(self.system, self.symbols[symbol])


@dataclass(frozen=True, slots=True)
class Codes:
    """Every vocabulary of a policy set, and what runs need of them, computed once."""

    vocabularies: dict[str, Vocabulary]
    closures: dict[Code, frozenset[Code]]  # downward, reflexive: a code and all that are a kind of it
    ranks: dict[Code, int]  # the place in its order, of codes of ordered vocabularies
    names: dict[Code, str]  # "Purpose.TREAT", for people
    emergency: frozenset[Code]


def codes(vocabularies: dict[str, Vocabulary]) -> Codes:
    """Close the hierarchies. Cycles must have been refused before (`check`).

    A code that several vocabularies of one system share is one code: what any of them says it is a kind of counts, and
    the closure goes on through it from one vocabulary into the next.
    """
    parents: dict[Code, set[Code]] = {}
    ranks: dict[Code, int] = {}
    names: dict[Code, str] = {}
    emergency: set[Code] = set()
    for vocabulary in vocabularies.values():
        for rank, symbol in enumerate(vocabulary.symbols):
            own = vocabulary.code(symbol)
            parents.setdefault(own, set()).update(map(vocabulary.code, vocabulary.parents.get(symbol, ())))
            names.setdefault(own, f"{vocabulary.name}.{symbol}")
            if vocabulary.ordered:
                ranks[own] = rank
            if symbol in vocabulary.emergency:
                emergency.add(own)
    return Codes(dict(vocabularies), _closures(parents), ranks, names, frozenset(emergency))


def _closures(parents: dict[Code, set[Code]]) -> dict[Code, frozenset[Code]]:
    below: dict[Code, set[Code]] = {each: {each} for each in parents}
    for own in parents:
        seen = {own}
        todo = list(parents[own])
        while todo:
            above = todo.pop()
            if above not in seen:
                seen.add(above)
                below[above].add(own)
                todo.extend(parents[above])
    return {each: frozenset(kinds) for each, kinds in below.items()}
