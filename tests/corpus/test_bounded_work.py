"""One question must not hold a worker: work that a caller can choose has a bound. Counted, never timed."""

from pathlib import Path

import pytest

from pdp.bundle.build import build
from pdp.decide.engine import Engine
from pdp.language import semantics
from pdp.language.core import Expr
from pdp.model.request import Request
from pdp.model.value import Value

POLICY = """
entity User
entity Doc {{ n: Int }}
context {{ a: List<Text>? from caller   b: List<Text>? from caller }}
action read on Doc by User
permit read on Doc as p "p" cites "c" when context has a and context has b and ({} or resource.n == 1)
"""
MAX_STEPS = 1_000_000


class TooMuch(Exception):
    pass


def steps(directory: Path, condition: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Steps of the interpreter for a request with two lists of 2 000 texts, about a resource that is not found."""
    (directory / "p.ward").write_text(POLICY.format(condition))
    built = build(directory)
    taken = 0
    original = semantics._value

    def counted(expr: Expr, world: semantics._World) -> Value:
        nonlocal taken
        taken += 1
        if taken > MAX_STEPS:
            raise TooMuch
        return original(expr, world)

    monkeypatch.setattr(semantics, "_value", counted)
    lists = {"a": [f"a{n}" for n in range(2_000)], "b": [f"b{n}" for n in range(2_000)]}
    Engine(built.program, built.entities).decide(Request("User", "u", "read", "Doc", "gone", context=lists), 0)
    return taken


@pytest.mark.parametrize("condition", ["context.a overlaps context.b", "any x in context.a: x in context.b"])
def test_collections_of_a_caller_cost_their_sum(
    tmp_path: Path, condition: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert steps(tmp_path, condition, monkeypatch) < 20_000


def test_nested_quantifiers_have_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller's collection of more than 1 000 elements is unknown, so that two of them cost at most their product."""
    assert steps(tmp_path, "(any x in context.a: any y in context.b: x == y)", monkeypatch) < 20_000
