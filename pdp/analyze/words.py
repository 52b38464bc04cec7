"""Core expressions and values in Ward's own words, for people: defines expanded, literals as they are written."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Final, assert_never

from pdp.language import core
from pdp.language.operators import TABLE
from pdp.language.schema import Schema
from pdp.language.types import (
    BOOL,
    DATE,
    DECIMAL,
    DURATION,
    INSTANT,
    INT,
    IP,
    TEXT,
    CodeType,
    EntityType,
    ListType,
    RecordType,
    SetType,
    Type,
)
from pdp.model.value import (
    ABSENT,
    DAY,
    DECIMAL_SCALE,
    HOUR,
    MINUTE,
    SECOND,
    UNKNOWN,
    Code,
    Entity,
    Ip,
    entity_id,
    entity_type,
)

SHOWN_MEMBERS: Final = 20
_INFIX: Final = frozenset(
    {"==", "!=", "<", "<=", ">", ">=", "in", "overlaps", "contains", "subset of", "like", "matches", "within"}
)
_LOOSEST, _OR, _AND, _NOT, _COMPARISON, _SUM, _PRODUCT, _UNARY, _ATOM = range(9)
_UNITS: Final = ((7 * DAY, "week"), (DAY, "day"), (HOUR, "hour"), (MINUTE, "minute"), (SECOND, "second"))


def expression(expr: core.Expr, schema: Schema) -> str:
    """One line of Ward that means `expr`."""
    return _text(expr, schema)[0]


def _at(expr: core.Expr, schema: Schema, tightness: int) -> str:
    """`expr` where at least `tightness` is needed: in parentheses if it binds more loosely."""
    text, binding = _text(expr, schema)
    return text if binding >= tightness else f"({text})"


def _text(expr: core.Expr, schema: Schema) -> tuple[str, int]:
    match expr:
        case core.Literal(constant, type_):
            return value(constant, type_, schema), _ATOM
        case core.Variable(name):
            return name.partition("#")[0], _ATOM
        case core.Select(target, name):
            return f"{_at(target, schema, _ATOM)}.{name}", _ATOM
        case core.Has(target, name):
            return f"{_at(target, schema, _SUM)} has {name}", _COMPARISON
        case core.Is(target, names):
            return f"{_at(target, schema, _SUM)} is {type_names(names, schema)}", _COMPARISON
        case core.And(items):
            return " and ".join(_at(each, schema, _NOT) for each in items), _AND
        case core.Or(items):
            return " or ".join(_at(each, schema, _AND) for each in items), _OR
        case core.Not(operand):
            return f"not {_at(operand, schema, _NOT)}", _NOT
        case core.If(condition, then, otherwise):
            parts = (_at(each, schema, _OR) for each in (condition, then, otherwise))
            return "if {} then {} else {}".format(*parts), _LOOSEST
        case core.Quantifier(every, variable, collection, body):
            head = f"{'all' if every else 'any'} {variable.partition('#')[0]} in {_at(collection, schema, _OR)}"
            return f"{head}: {_at(body, schema, _LOOSEST)}", _LOOSEST
        case core.Operation(operator, arguments):
            return _operation(operator, arguments, schema)
        case core.Collect(items, type_):
            inside = ", ".join(_at(each, schema, _LOOSEST) for each in items)
            return (f"[{inside}]" if isinstance(type_, ListType) else f"{{{inside}}}"), _ATOM
        case _:
            assert_never(expr)


def _operation(key: str, arguments: tuple[core.Expr, ...], schema: Schema) -> tuple[str, int]:
    symbol = TABLE[key].symbol
    if key == "between":
        value_, low, high = (_at(each, schema, _SUM) for each in arguments)
        return f"{value_} between {low} and {high}", _COMPARISON
    if key == "negate":
        return f"-{_at(arguments[0], schema, _UNARY)}", _UNARY
    if symbol in _INFIX:
        left, right = (_at(each, schema, _SUM) for each in arguments)
        return f"{left} {symbol} {right}", _COMPARISON
    if symbol in ("+", "-"):
        return f"{_at(arguments[0], schema, _SUM)} {symbol} {_at(arguments[1], schema, _PRODUCT)}", _SUM
    if symbol == "*":
        return f"{_at(arguments[0], schema, _PRODUCT)} * {_at(arguments[1], schema, _UNARY)}", _PRODUCT
    return f"{symbol}({', '.join(_at(each, schema, _LOOSEST) for each in arguments)})", _ATOM


def type_names(names: frozenset[str], schema: Schema) -> str:
    """The kind with exactly these members, or its members."""
    if len(names) == 1:
        return next(iter(names))
    kind = next((kind for kind, members in sorted(schema.kinds.items()) if members == names), None)
    return kind or "(" + " or ".join(sorted(names)) + ")"


def value(each: object, type_: Type, schema: Schema) -> str:
    """A value as an author would write it; `absent` and `unknown` for the two states that are none."""
    if each is ABSENT:
        return "absent"
    if each is UNKNOWN:
        return "unknown"
    match type_, each:
        case (EntityType(), str()):
            return reference(Entity(each))
        case (CodeType(), str()):
            return schema.codes.names.get(Code(each), each)
        case (SetType(element), frozenset()):
            return "{" + ", ".join(_cut(sorted(value(one, element, schema) for one in each))) + "}"
        case (ListType(element), tuple()):
            return "[" + ", ".join(_cut([value(one, element, schema) for one in each])) + "]"
        case (RecordType(fields), tuple()):
            shown = (f"{field.name}: {value(one, field.type, schema)}" for field, one in zip(fields, each, strict=True))
            return "{ " + ", ".join(shown) + " }"
        case _:
            return _primitive(each, type_)


def reference(entity: Entity) -> str:
    """`Record "r1"`."""
    return f"{entity_type(entity)} {quoted(entity_id(entity))}"


def _cut(members: list[str]) -> list[str]:
    more = len(members) - SHOWN_MEMBERS
    return members if more <= 0 else [*members[:SHOWN_MEMBERS], f"and {more} more"]


def _primitive(each: object, type_: Type) -> str:
    if type_ == BOOL:
        return "true" if each else "false"
    if type_ == TEXT:
        return quoted(str(each))
    if isinstance(each, Ip):
        return f'ip("{_address(each)}")' if type_ == IP else _address(each)
    if not isinstance(each, int):
        return repr(each)
    if type_ == INT:
        return str(each)
    if type_ == DECIMAL:
        return _decimal(each)
    if type_ == INSTANT:
        return f'instant("{instant(each)}")'
    if type_ == DATE:
        return f'date("{_date(each)}")'
    if type_ == DURATION:
        return _duration(each)
    return repr(each)


def quoted(text: str) -> str:
    """Text as a Ward literal: nothing in it can reach a terminal as a control character."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return '"' + "".join(each if each.isprintable() else f"\\u{{{ord(each):X}}}" for each in escaped) + '"'


def _decimal(each: int) -> str:
    whole, part = divmod(abs(each), DECIMAL_SCALE)
    digits = f"{part:04}".rstrip("0") or "0"
    return f"{'-' if each < 0 else ''}{whole}.{digits}"


def instant(microseconds: int) -> str:
    """RFC 3339 in UTC; what lies outside the years 1 to 9999 as a count of microseconds."""
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    except OverflowError:
        return f"{microseconds} microseconds since 1970"
    return moment.isoformat().replace("+00:00", "Z")


def _date(days: int) -> str:
    try:
        return (date(1970, 1, 1) + timedelta(days=days)).isoformat()
    except OverflowError:
        return f"{days} days since 1970"


def _duration(microseconds: int) -> str:
    amount, unit = next(
        ((microseconds // size, unit) for size, unit in _UNITS if microseconds and microseconds % size == 0),
        (microseconds // 1000, "millisecond") if microseconds % 1000 == 0 else (microseconds, "microsecond"),
    )
    return f"{amount} {unit}{'' if amount == 1 else 's'}"


def _address(each: Ip) -> str:
    from ipaddress import IPv4Address, IPv6Address

    address = IPv4Address(each.number) if each.version == 4 else IPv6Address(each.number)
    whole = 32 if each.version == 4 else 128
    return str(address) if each.prefix == whole else f"{address}/{each.prefix}"
