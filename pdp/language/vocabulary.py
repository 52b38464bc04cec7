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
    """Close the hierarchies. Cycles must have been refused before (`check`)."""
    closures: dict[Code, set[Code]] = {}
    ranks: dict[Code, int] = {}
    names: dict[Code, str] = {}
    emergency: set[Code] = set()
    for vocabulary in vocabularies.values():
        for rank, symbol in enumerate(vocabulary.symbols):
            own = vocabulary.code(symbol)
            closures.setdefault(own, set()).add(own)
            names.setdefault(own, f"{vocabulary.name}.{symbol}")
            if vocabulary.ordered:
                ranks[own] = rank
            if symbol in vocabulary.emergency:
                emergency.add(own)
            seen = {symbol}
            todo = list(vocabulary.parents.get(symbol, ()))
            while todo:
                above = todo.pop()
                if above in seen:
                    continue
                seen.add(above)
                closures.setdefault(vocabulary.code(above), set()).add(own)
                todo.extend(vocabulary.parents.get(above, ()))
    frozen = {each: frozenset(below) for each, below in closures.items()}
    return Codes(dict(vocabularies), frozen, ranks, names, frozenset(emergency))
