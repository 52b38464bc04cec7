"""Values, their canonical bytes, and the two states that are none (SEMANTICS 1 and 9)."""

from __future__ import annotations

import copy
import operator
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.model.entities import Entities
from pdp.model.frame import Frame
from pdp.model.value import (
    ABSENT,
    MAX_ATTRIBUTES,
    UNKNOWN,
    UNKNOWN_ROW,
    Entity,
    Ip,
    Missing,
    Unsettled,
    canonical,
    code,
    entity,
    entity_id,
    entity_type,
)

STATES = (ABSENT, UNKNOWN)
BINARY: list[Callable[[Any, Any], Any]] = [
    operator.eq,
    operator.ne,
    operator.lt,
    operator.le,
    operator.gt,
    operator.ge,
    operator.add,
    operator.sub,
    operator.mul,
    operator.and_,
    operator.or_,
    operator.contains,
    operator.getitem,
]
UNARY: list[Callable[[Any], Any]] = [bool, len, iter, hash, int, operator.neg, operator.index, list, set, lambda x: x()]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("use", UNARY)
def test_semantics_01_every_use_of_what_is_missing_is_unsettled(state: Missing, use: Callable[[Any], Any]) -> None:
    with pytest.raises(Unsettled):
        use(state)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("use", BINARY)
@pytest.mark.parametrize("other", [1, "a", True, frozenset(), ABSENT])
def test_semantics_01_also_beside_a_value(state: Missing, use: Callable[[Any, Any], Any], other: object) -> None:
    with pytest.raises(Unsettled):
        use(state, other)


@pytest.mark.parametrize("use", [operator.eq, operator.lt, operator.add, operator.sub, operator.mul])
@pytest.mark.parametrize("state", STATES)
def test_semantics_01_also_on_the_right_of_a_number(use: Callable[[Any, Any], Any], state: Missing) -> None:
    with pytest.raises(Unsettled):
        use(1, state)


def test_semantics_01_missing_is_never_found_in_a_collection() -> None:
    for state in STATES:
        with pytest.raises(Unsettled):
            _ = state in frozenset({"a"})
        with pytest.raises(Unsettled):
            _ = "a" in ("b", state)


@pytest.mark.parametrize("state", STATES)
def test_the_states_stay_the_one_object_of_their_name(state: Missing) -> None:
    assert pickle.loads(pickle.dumps(state)) is state
    assert pickle.loads(pickle.dumps((1, state)))[1] is state
    assert copy.deepcopy(state) is state
    assert repr(state) in ("ABSENT", "UNKNOWN")


def test_references_part_at_the_first_colons() -> None:
    reference = entity("User", "a::b")
    assert (entity_type(reference), entity_id(reference)) == ("User", "a::b")
    assert code("urn:x", "A|B").partition("|")[0] == "urn:x"


VALUES = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.text(max_size=4),
        st.builds(Ip, st.just(4), st.integers(0, 3), st.just(32)),
        st.sampled_from([None, ...]),  # They stand for the states, of which hypothesis must not ask anything.
    ),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=6,
)


def made(drawn: Any) -> Any:
    if drawn is None or drawn is ...:
        return ABSENT if drawn is None else UNKNOWN
    return tuple(map(made, drawn)) if type(drawn) is tuple else drawn


def spelt(value: object) -> object:
    """A value with its types written out, so that Python's own equality can judge."""
    if isinstance(value, tuple):
        return (type(value).__name__, *map(spelt, value))
    return (type(value).__name__, value)


@given(VALUES, VALUES)
def test_semantics_09_canonical_bytes_are_equal_exactly_if_the_values_are(one: Any, other: Any) -> None:
    assert (canonical(made(one)) == canonical(made(other))) is (spelt(one) == spelt(other))


@given(st.lists(st.text(max_size=3), max_size=5))
def test_semantics_09_a_set_has_one_form_whatever_its_order(members: list[str]) -> None:
    assert canonical(frozenset(members)) == canonical(frozenset(reversed(members)))
    assert canonical(frozenset(members)) != canonical(tuple(members))


def test_semantics_09_bool_int_and_text_differ() -> None:
    values: list[Any] = [True, 1, "1", "True", (1,), (True,), frozenset({1}), frozenset({True}), "", ()]
    assert len({canonical(value) for value in values}) == len(values)


@pytest.mark.parametrize("value", [1.0, None, b"x", [1], {"a": 1}])
def test_what_is_no_value_has_no_canonical_form(value: Any) -> None:
    with pytest.raises(TypeError):
        canonical(value)


# Entities and frames.


def test_semantics_01_of_an_entity_that_is_not_found_nothing_is_known() -> None:
    entities = Entities()
    row = entities.rows[entity("User", "ghost")]
    assert row is UNKNOWN_ROW
    assert len(row) == MAX_ATTRIBUTES + 1
    assert all(state is UNKNOWN for state in row)
    assert len(entities) == 0  # Looking does not make it.


def test_entities_of_a_type() -> None:
    entities = Entities({Entity("A::1"): (), Entity("AB::2"): (), Entity("A::3"): ()}, "r")
    assert list(entities.of_type("A")) == ["A::1", "A::3"]


def test_a_frame_shows_an_entity_alike_whichever_way_it_is_reached() -> None:
    subject, resource, other = Entity("U::s"), Entity("R::r"), Entity("U::o")
    rows = Entities({subject: ("stored",), other: ("other",)}).rows
    frame = Frame(subject, resource, ("as said",), ("claimed",), (), (), rows, 0)
    assert frame.row(subject) == ("as said",)
    assert frame.row(resource) == ("claimed",)
    assert frame.row(other) == ("other",)
    assert frame.row(Entity("U::ghost")) is UNKNOWN_ROW
