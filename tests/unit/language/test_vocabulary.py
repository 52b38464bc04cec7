"""Closures of codes (SEMANTICS 11)."""

from __future__ import annotations

from pdp.diagnostics.source import NOWHERE
from pdp.language.vocabulary import Codes, Vocabulary, codes
from pdp.model.value import code


def closed(*written: tuple[str, str, dict[str, tuple[str, ...]]]) -> Codes:
    """Vocabularies, each a name, a system, and its symbols with their parents."""
    return codes(
        {
            name: Vocabulary(name, system, {each: each for each in parents}, parents, False, frozenset(), NOWHERE)
            for name, system, parents in written
        }
    )


def symbols(found: Codes, system: str, symbol: str) -> set[str]:
    return {each.removeprefix(f"{system}|") for each in found.closures[code(system, symbol)]}


def test_a_closure_goes_down_and_holds_the_code_itself() -> None:
    found = closed(("V", "s", {"a": (), "b": ("a",), "c": ("b",), "d": ("a", "b")}))
    assert symbols(found, "s", "a") == {"a", "b", "c", "d"}
    assert symbols(found, "s", "b") == {"b", "c", "d"}
    assert symbols(found, "s", "c") == {"c"}


def test_semantics_11_a_closure_goes_on_through_a_code_that_two_vocabularies_share() -> None:
    """A label of the second vocabulary must not slip past a rule that names a code of the first."""
    first = ("First", "s", {"SUD": (), "ETH": ("SUD",)})
    second = ("Second", "s", {"ETH": (), "ALC": ("ETH",)})
    for order in ((first, second), (second, first)):
        found = closed(*order)
        assert symbols(found, "s", "SUD") == {"SUD", "ETH", "ALC"}
        assert symbols(found, "s", "ETH") == {"ETH", "ALC"}


def test_the_same_symbol_in_two_systems_is_two_codes() -> None:
    found = closed(("A", "s", {"SUD": (), "ETH": ("SUD",)}), ("B", "t", {"ETH": (), "ALC": ("ETH",)}))
    assert symbols(found, "s", "SUD") == {"SUD", "ETH"}
    assert symbols(found, "t", "ETH") == {"ETH", "ALC"}
