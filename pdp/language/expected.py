"""What could have stood where a token fits nowhere, in words."""

from __future__ import annotations

from collections.abc import Iterator

from pdp.language.automaton import Failure
from pdp.language.lex import END

DECLARATION_WORDS = (
    "module",
    "layer",
    "use",
    "vocabulary",
    "entity",
    "kind",
    "action",
    "context",
    "fields",
    "obligation",
    "define",
    "route",
    "permit",
    "forbid",
    "mask",
    "emergency",
    "fixture",
    "test",
    "invariant",
)

EXCEPTIONS = (
    "preventing_harm",
    "privacy",
    "security",
    "infeasibility",
    "health_it_performance",
    "content_and_manner",
    "fees",
    "licensing",
    "tefca_manner",
)
CURES = ("step_up", "consent", "purpose", "relationship")
"""The words that `exception` and `cure` take."""

_GROUPS = (
    (("NAME", "CITES", "MODULE", "QUERY"), "a name"),
    (("NAME", "LPAR", "LSQB"), "an expression"),
    (("AND", "EQ"), "an operator"),
    (("CITES", "UNLESS", "OWNER"), "a clause"),
    (("ENTITY", "DEFINE", "PERMIT"), "a declaration"),
)
"""Terminals that occur together, and what they begin."""

_MEMBERS = {
    "a declaration": " ".join(DECLARATION_WORDS).upper(),
    "a clause": "CITES OWNER WHEN UNLESS RELEASE REQUIRE ADVISE BECAUSE EXCEPTION CURE OVERRIDABLE",
    "an expression": "NAME CONTEXT ACTION TRUE FALSE INT DECIMAL STRING LBRACE LSQB LPAR ANY ALL IF NOT MINUS",
    "an operator": "AND OR EQ NE LE GE IN OVERLAPS CONTAINS LIKE MATCHES WITHIN SUBSET BETWEEN IS HAS PLUS MINUS "
    "STAR DOT LPAR EQUAL LESSTHAN MORETHAN STRING",
}
_NEAR_MISSES = frozenset(("OR_SIGN", "AND_SIGN", "BANG", "WRONG_RELATION", "QUOTED"))
_NAMED = {
    "NAME": "a name",
    "ID": "a name",
    "STRING": "a text in quotes",
    "INT": "a number",
    "DECIMAL": "a number",
    "POINTER": "a field, as in `/name`",
    END: "the end",
}
_MOST = 6


def expected(failure: Failure) -> str:
    """`expected X, Y or Z`, in words."""
    words = list(dict.fromkeys(_expectations(failure)))
    if not words:
        return ""
    if len(words) > _MOST:
        words = [*words[: _MOST - 1], "something else"]
    return f"expected {', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else f"expected {words[0]}"


def _expectations(failure: Failure) -> Iterator[str]:
    lexer = failure.automaton.lexer
    kinds = [kind for kind in (*lexer.spelling, *_NAMED) if kind not in _NEAR_MISSES and failure.expects(kind)]
    if all(kind in kinds for kind in _GROUPS[0][0]):
        yield "a name"
        return
    left = dict.fromkeys(kinds)
    for signs, name in _GROUPS[1:]:
        if all(kind in left for kind in signs):
            yield name
            for kind in _MEMBERS[name].split():
                left.pop(kind, None)
    for kind in left:
        yield _NAMED.get(kind) or f"`{lexer.spelling[kind]}`"
