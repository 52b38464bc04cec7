"""JSON to typed values and back: every row of the table of LANGUAGE section 3, with its edges."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.language import wire
from pdp.language.schema import Schema
from pdp.language.types import (
    BOOL,
    DATE,
    DECIMAL,
    DURATION,
    INSTANT,
    INT,
    IP,
    PRIMITIVES,
    RECOVERY,
    TEXT,
    CodeType,
    EntityType,
    ListType,
    RecordField,
    RecordType,
    SetType,
    Type,
)
from pdp.language.wire import IllTyped, converter, plain, typed
from pdp.model.request import strict_json
from pdp.model.value import ABSENT, INT_MAX, INT_MIN, Ip, Value
from tests.unit.language.checking import check

SCHEMA: Schema = check(
    """
    vocabulary Purpose "urn:p" { TREAT  ETREAT in TREAT  BTG emergency }
    vocabulary Label "urn:l" { SUD  R }
    vocabulary Level "urn:v" ordered { N  R }
    vocabulary More "urn:l" { SUD  PSY }
    vocabulary Mark = Label or Level
    entity User as "user"
    entity Robot as "robot"
    entity Record
    """
).schema
PURPOSE, MARK = CodeType(frozenset({"Purpose"})), CodeType(frozenset({"Label", "Level"}))
USER, ANYBODY = EntityType(frozenset({"User"})), EntityType(frozenset({"User", "Robot"}))
PERIOD = RecordType((RecordField("start", INSTANT), RecordField("end", INSTANT, optional=True)))


def good(value: object, type: Type) -> Value:
    return typed(value, type, SCHEMA)


def refused(value: object, type: Type) -> str:
    with pytest.raises(IllTyped) as caught:
        typed(value, type, SCHEMA)
    assert caught.value.message == str(caught.value)
    return caught.value.message


FITS = [
    (BOOL, True, True),
    (BOOL, False, False),
    (INT, 0, 0),
    (INT, INT_MAX, INT_MAX),
    (INT, INT_MIN, INT_MIN),
    (DECIMAL, "12.50", 125_000),
    (DECIMAL, "-0.0001", -1),
    (DECIMAL, "-0", 0),
    (DECIMAL, "922337203685477.5807", INT_MAX),
    (DECIMAL, "-922337203685477.5808", INT_MIN),
    (TEXT, "", ""),
    (TEXT, "e\u0301", "e\u0301"),  # Never normalised.
    (TEXT, "\U0001f600", "\U0001f600"),
    (INSTANT, "1970-01-01T00:00:00Z", 0),
    (INSTANT, "1970-01-01T00:00:00.000001Z", 1),
    (INSTANT, "1970-01-01T01:00:00.5+01:00", 500_000),
    (INSTANT, "1969-12-31T19:00:00-05:00", 0),
    (INSTANT, "1969-12-31T23:59:59.999999Z", -1),
    (INSTANT, "2024-02-29T00:00:00z", 1_709_164_800_000_000),
    (INSTANT, "0001-01-01T00:00:00Z", wire.FIRST_INSTANT),
    (INSTANT, "9999-12-31T23:59:59.999999Z", wire.LAST_INSTANT),
    (DATE, "1970-01-02", 1),
    (DATE, "2000-02-29", 11_016),
    (DATE, "0001-01-01", -719_162),
    (DURATION, "PT15M", 900_000_000),
    (DURATION, "P1DT2H", 93_600_000_000),
    (DURATION, "PT0.5S", 500_000),
    (DURATION, "-PT5M", -300_000_000),
    (DURATION, "P0D", 0),
    (DURATION, "-PT9223372036854.775808S", INT_MIN),
    (IP, "10.0.0.7", Ip(4, 0x0A000007, 32)),
    (IP, "10.0.0.0/8", Ip(4, 0x0A000000, 8)),
    (IP, "0.0.0.0/0", Ip(4, 0, 0)),
    (IP, "10.0.0.7/32", Ip(4, 0x0A000007, 32)),
    (IP, "2001:db8::/32", Ip(6, 0x20010DB8 << 96, 32)),
    (IP, "::ffff:10.0.0.7", Ip(4, 0x0A000007, 32)),
    (IP, "::ffff:a00:0/104", Ip(4, 0x0A000000, 8)),
    (IP, "::ffff:0:0/96", Ip(4, 0, 0)),
    (IP, "::/0", Ip(6, 0, 0)),
    (SetType(INT), [1, 2, 1], frozenset({1, 2})),
    (SetType(INT), [], frozenset()),
    (ListType(INT), [2, 1, 2], (2, 1, 2)),
    (SetType(ListType(TEXT)), [["a"], ["a"]], frozenset({("a",)})),
    (PERIOD, {"start": "1970-01-01T00:00:00Z"}, (0, ABSENT)),
    (PERIOD, {"start": "1970-01-01T00:00:00Z", "end": None, "more": 1}, (0, ABSENT)),
    (PURPOSE, "TREAT", "urn:p|TREAT"),
    (PURPOSE, "urn:p|TREAT", "urn:p|TREAT"),
    (PURPOSE, {"system": "urn:p", "code": "TREAT", "display": "x"}, "urn:p|TREAT"),
    (MARK, "SUD", "urn:l|SUD"),
    (MARK, "urn:v|R", "urn:v|R"),
    (CodeType(frozenset({"Label", "More"})), "SUD", "urn:l|SUD"),  # One code in two vocabularies of one system.
    (USER, "nina", "User::nina"),
    (USER, {"type": "user", "id": "nina"}, "User::nina"),
    (ANYBODY, {"type": "robot", "id": "a::b", "properties": {}}, "Robot::a::b"),
    (USER, "x" * 512, "User::" + "x" * 512),
    (USER, "\u00e9", "User::\u00e9"),
]


@pytest.mark.parametrize(("type", "value", "due"), FITS)
def test_what_fits(type: Type, value: object, due: Value) -> None:
    found = good(value, type)
    assert found == due
    assert found.__class__ is due.__class__  # SEMANTICS 9: `True == 1` in Python, and never in Ward.


REFUSED = [
    (BOOL, [1, 0, "true", None, []]),
    (INT, [True, False, 1.0, Decimal("1.0"), Decimal(1), "1", INT_MAX + 1, INT_MIN - 1, 10**400, None]),
    (DECIMAL, [1, Decimal("1.5"), 1.5, "1.50000", "1.", ".5", "+1", "01", "1e3", " 1", "1\n", "", "\u0661"]),
    (DECIMAL, ["922337203685477.5808", "-922337203685477.5809", "9" * 30]),
    (TEXT, [1, True, None, "a\0b", "\ud800", "\udc00x", ["a"], b"a"]),
    (INSTANT, ["2026-03-01T10:00:00", "2026-03-01", "2026-03-01T10:00Z", "2026-03-01 10:00:00Z", 0, None]),
    (INSTANT, ["2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-06-30T23:59:60Z"]),
    (
        INSTANT,
        ["2026-03-01T24:00:00Z", "2026-03-01T10:00:00.1234567Z", "2026-03-01T10:00:00.Z", "0000-01-01T00:00:00Z"],
    ),
    (INSTANT, ["0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01", "2026-03-01T10:00:00+24:00"]),
    (INSTANT, ["2026-03-01T10:00:00+01:60", "2026-03-01T10:00:00Z\n", "\u0662026-03-01T10:00:00Z", "2026-3-1T1:0:0Z"]),
    (
        DATE,
        ["2026-02-29", "2026-2-1", "20260201", "2026-02-01T00:00:00Z", "0000-01-01", "2026-02-01\n", 0, "1900-02-29"],
    ),
    (DURATION, ["P", "PT", "P1DT", "-P", "P1Y", "P1M", "P1W", "PT1.5H", "PT.5S", "PT1.0000001S", "p1d", "PT1S1M"]),
    (DURATION, ["PT9223372036854.775808S", "P999999999999999999D", 900, "15 minutes", "PT5M\n", "+PT5M"]),
    (IP, ["10.0.0.1/8", "10.0.0", "10.0.0.256", "010.0.0.1", "10.0.0.0/33", "10.0.0.0/08", "10.0.0.0/-1", "10.0.0.0/"]),
    (IP, ["10.0.0.0/255.0.0.0", "fe80::1%eth0", "2001:db8::1/32", "::ffff:10.0.0.1/104", "::/129", "1", 1, "", " ::1"]),
    (IP, ["10.0.0.0/8/8", "\u0661\u0660.0.0.1", "::ffff:0:0/95", "x" * 100]),
    (SetType(INT), [{}, "12", 1, [1, None], [1, True], [[1]], list(range(10_001)), [1] * 10_001]),
    (ListType(INT), [["1"], None, list(range(10_001))]),
    (
        PERIOD,
        [{}, {"end": "1970-01-01T00:00:00Z"}, {"start": None}, [], "x", {"start": "1970-01-01T00:00:00Z", "end": 1}],
    ),
    (PURPOSE, ["treat", "TREATMENT", "", None, 1, "urn:q|TREAT", "|TREAT", {"system": "urn:p"}, {"code": "TREAT"}, []]),
    (
        PURPOSE,
        [{"system": "urn", "code": "p|TREAT"[1:]}, {"system": 1, "code": "TREAT"}, {"system": "urn:p", "code": []}],
    ),
    (MARK, ["R"]),  # The bare code is in both members.
    (USER, ["", "x" * 513, "e\u0301", "a\0", "\ud800", 1, None, {"id": "nina"}, {"type": "User", "id": "nina"}]),
    (USER, [{"type": "robot", "id": "r"}, {"type": "user"}, {"type": ["user"], "id": "n"}, {"type": "user", "id": ""}]),
    (ANYBODY, ["nina", {"type": "Record", "id": "r"}]),
    (RECOVERY, [1]),
]


@pytest.mark.parametrize(("type", "value"), [(type, value) for type, values in REFUSED for value in values])
def test_what_does_not_fit(type: Type, value: object) -> None:
    assert refused(value, type)


def test_semantics_09_a_number_with_a_point_is_no_int_however_it_is_written() -> None:
    for text in ("1.0", "1e0", "10e-1"):
        refused(strict_json(text), INT)
    assert good(strict_json("1"), INT) == 1


def test_semantics_01_one_bad_element_makes_the_whole_collection_unknown() -> None:
    assert refused([1, 2, "x"], SetType(INT)) == "element 3: expected Int, found a text"
    assert refused({"start": 1}, PERIOD).startswith("`start`: expected Instant")


def test_a_message_never_repeats_a_text() -> None:
    """Messages go to logs; a text may name a patient, or be a token."""
    for type in (*PRIMITIVES.values(), PURPOSE, MARK, ANYBODY, SetType(INT), PERIOD):
        if type is not TEXT:
            assert "secret-text" not in refused("secret-text", type)


def test_semantics_16_a_collection_over_its_cap_is_ill_typed_and_one_at_it_is_not() -> None:
    assert len(good(list(range(10_000)), SetType(INT))) == 10_000  # type: ignore[arg-type]
    assert "10000" in refused([1] * 10_001, SetType(INT))


@pytest.mark.parametrize("value", ["BTG", "urn:p|BTG", {"system": "urn:p", "code": "BTG"}])
def test_semantics_21_an_emergency_code_is_not_seen_by_ordinary_rules(value: object) -> None:
    assert "emergencies" in refused(value, PURPOSE)
    assert "emergencies" in refused([value], SetType(PURPOSE))
    assert typed(value, PURPOSE, SCHEMA, ordinary=False) == "urn:p|BTG"
    assert typed([value], SetType(PURPOSE), SCHEMA, ordinary=False) == frozenset({"urn:p|BTG"})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.decimals() | st.floats() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.just("start") | st.just("id"), inner),
    max_leaves=8,
)
TYPES = [
    *PRIMITIVES.values(),
    SetType(INT),
    ListType(SetType(TEXT)),
    PERIOD,
    PURPOSE,
    MARK,
    USER,
    ANYBODY,
    SetType(PURPOSE),
]


@given(JSON, st.sampled_from(TYPES))
def test_any_value_is_typed_or_ill_typed_and_nothing_else(value: object, type: Type) -> None:
    try:
        found = typed(value, type, SCHEMA)
    except IllTyped:
        return
    hash(found) if not isinstance(type, RecordType) else found
    assert typed(plain(found, type, SCHEMA), type, SCHEMA) == found


INT64 = st.integers(INT_MIN, INT_MAX)
VALUES: list[tuple[Type, st.SearchStrategy[Value]]] = [
    (INT, INT64),
    (DECIMAL, INT64),
    (DURATION, INT64),
    (INSTANT, st.integers(wire.FIRST_INSTANT, wire.LAST_INSTANT)),
    (DATE, st.integers(-719_162, 2_932_896)),
    (SetType(DURATION), st.frozensets(INT64, max_size=4)),
    (ListType(PURPOSE), st.lists(st.sampled_from(["urn:p|TREAT", "urn:p|ETREAT"])).map(tuple)),
    (MARK, st.sampled_from(["urn:l|SUD", "urn:l|R", "urn:v|N", "urn:v|R"])),
    (ANYBODY, st.sampled_from(["User::a", "Robot::a::b"])),
    (PERIOD, st.tuples(st.just(5), st.booleans().map(lambda open_end: ABSENT if open_end else 7))),  # type: ignore[list-item]
]


@given(st.sampled_from(VALUES).flatmap(lambda pair: st.tuples(st.just(pair[0]), pair[1])))
def test_back_and_forth_is_the_same_value(pair: tuple[Type, Value]) -> None:
    type, value = pair
    assert typed(plain(value, type, SCHEMA), type, SCHEMA) == value


@pytest.mark.parametrize(
    ("type", "value", "due"),
    [
        (DECIMAL, 125_000, "12.5"),
        (DECIMAL, -1, "-0.0001"),
        (DECIMAL, 0, "0"),
        (INSTANT, 0, "1970-01-01T00:00:00Z"),
        (INSTANT, -1, "1969-12-31T23:59:59.999999Z"),
        (DURATION, 0, "PT0S"),
        (DURATION, -93_600_000_000, "-P1DT2H"),
        (DURATION, 500_000, "PT0.5S"),
        (IP, Ip(4, 0x0A000000, 8), "10.0.0.0/8"),
        (IP, Ip(6, 1, 128), "::1"),
        (PURPOSE, "urn:p|TREAT", "TREAT"),
        (MARK, "urn:v|R", "urn:v|R"),
        (USER, "User::nina", {"type": "user", "id": "nina"}),
        (SetType(TEXT), frozenset({"b", "a"}), ["a", "b"]),
        (PERIOD, (0, ABSENT), {"start": "1970-01-01T00:00:00Z"}),
    ],
)
def test_plain_is_the_json_that_people_write(type: Type, value: Value, due: object) -> None:
    assert plain(value, type, SCHEMA) == due


@given(INT64)
def test_plain_never_fails_on_what_arithmetic_can_give(moment: int) -> None:
    assert wire.plain_instant(moment).endswith("Z")
    assert wire.plain_date(moment // 10**6)


def test_a_converter_is_made_once_and_used_often() -> None:
    each = converter(SetType(MARK), SCHEMA)
    assert each(["SUD"]) == each(["urn:l|SUD"]) == frozenset({"urn:l|SUD"})
