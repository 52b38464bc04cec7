"""JSON values to typed values and back: the table of LANGUAGE section 3, one closure for each type.

A value that does not fit raises `IllTyped`, whose message is for authors and operators; the caller of this module makes
the attribute unknown (SEMANTICS 1). There is no coercion (SEMANTICS 9). `null` is nobody's value: it means absent, and
whoever holds the attribute (or the record) deals with it before.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any, Final, assert_never, cast

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
    Primitive,
    RecordType,
    SetType,
    Type,
    Unknowable,
)
from pdp.model.value import (
    ABSENT,
    DAY,
    DECIMAL_SCALE,
    HOUR,
    INT_MAX,
    INT_MIN,
    MINUTE,
    SECOND,
    Code,
    Ip,
    Value,
    canonical,
    entity,
)

MAX_ELEMENTS: Final = 10_000
MAX_ASSERTED_ELEMENTS: Final = 1_000
"""Of a collection that a caller brings: quantifiers may nest, and they cost the product of what they go through."""
MAX_IDENTIFIER: Final = 512
MAX_TEXT: Final = 65_536
EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
FIRST_INSTANT: Final = (date.min.toordinal() - EPOCH_ORDINAL) * DAY
LAST_INSTANT: Final = (date.max.toordinal() - EPOCH_ORDINAL + 1) * DAY - 1

Converter = Callable[[object], Value]
Plain = Callable[[Any], object]


class IllTyped(Exception):
    """A value does not fit its type. The message says what was expected and what was found, as one clause."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def typed(value: object, type: Type, schema: Schema, *, ordinary: bool = True) -> Value:
    """The typed value that a JSON value stands for. Raises IllTyped, and nothing else."""
    return converter(type, schema, ordinary=ordinary)(value)


def converter(type: Type, schema: Schema, *, ordinary: bool = True, most: int = MAX_ELEMENTS) -> Converter:
    """A closure from JSON values to typed ones, to be made once for each attribute and kept.

    `ordinary` refuses codes marked `emergency`: what a request asserts is read so (SEMANTICS 21). Data, which only say
    who may assert them, are read with ``ordinary=False``. `most`: elements of a collection, each for itself.
    """
    match type:
        case Primitive():
            return PRIMITIVE[type]
        case SetType(element):
            return _set(converter(element, schema, ordinary=ordinary, most=most), type, most)
        case ListType(element):
            return _list(converter(element, schema, ordinary=ordinary, most=most), type, most)
        case RecordType():
            return _record(type, schema, ordinary, most)
        case EntityType():
            return _entity(type, schema)
        case CodeType():
            return _code(type, schema, ordinary)
        case Unknowable():
            raise IllTyped("the type is not known")
        case _:
            assert_never(type)


def _wrong(expected: object, value: object) -> IllTyped:
    return IllTyped(f"expected {expected}, found {_shown(value)}")


def _shown(value: object) -> str:
    """What kind of JSON value it is. A text is never repeated: messages go to logs, and it may name a patient."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return "an integer" if INT_MIN <= value <= INT_MAX else "an integer of more than 64 bits"
    if isinstance(value, Decimal | float):
        return "a number with a point or an exponent"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, list | dict):
        return "an array" if isinstance(value, list) else "an object"
    return "something that is not JSON"


# Primitive types ------------------------------------------------------------------------------------------------------


def boolean(value: object) -> bool:
    if value is True or value is False:
        return value
    raise _wrong("Bool", value)


def integer(value: object) -> int:
    """From a JSON integer alone: `true` is not 1, and `1.0` is a `Decimal` (SEMANTICS 9)."""
    if value.__class__ is int and INT_MIN <= value <= INT_MAX:
        return value
    raise _wrong("Int", value)


_DECIMAL: Final = re.compile(r"(-?)(0|[1-9][0-9]{0,18})(?:\.([0-9]{1,4}))?")


def decimal(value: object) -> int:
    """From text alone, so that no JSON library between us and the sender has rounded it."""
    if value.__class__ is not str:
        raise _wrong('Decimal, a text such as "12.50"', value)
    found = _DECIMAL.fullmatch(value)
    if found is None:
        raise _wrong("Decimal with at most four places", value)
    sign, whole, places = found.groups()
    count = int(whole) * DECIMAL_SCALE + int(((places or "") + "0000")[:4])
    count = -count if sign else count
    if not INT_MIN <= count <= INT_MAX:
        raise _wrong("Decimal, 64 bits of ten-thousandths", value)
    return count


def text(value: object) -> str:
    if value.__class__ is not str:
        raise _wrong("Text", value)
    if len(value) > MAX_TEXT:
        raise IllTyped(f"expected Text of at most {MAX_TEXT} characters, found {len(value)}")
    if "\0" in value:
        raise IllTyped("expected Text, found a NUL in it")
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise IllTyped("expected Text, found a lone surrogate in it") from None
    return value


_INSTANT: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,6}))?(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)


def instant(value: object) -> int:
    """RFC 3339, in microseconds. A leap second has no place on our line of time; years 1 to 9999 in UTC."""
    found = _INSTANT.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise _wrong('Instant such as "2026-03-01T10:00:00Z"', value)
    day, hours, minutes, seconds, fraction, sign, offset_hours, offset_minutes = found.groups()
    if int(hours) > 23 or int(minutes) > 59 or int(seconds) > 59:
        raise _wrong("Instant with a time of day that exists", value)
    moment = _days(day, "Instant") * DAY + int(hours) * HOUR + int(minutes) * MINUTE + int(seconds) * SECOND
    moment += int(((fraction or "") + "000000")[:6])
    if sign:
        if int(offset_hours) > 23 or int(offset_minutes) > 59:
            raise _wrong("Instant with an offset under a day", value)
        offset = int(offset_hours) * HOUR + int(offset_minutes) * MINUTE
        moment += -offset if sign == "+" else offset
    if not FIRST_INSTANT <= moment <= LAST_INSTANT:
        raise _wrong("Instant in the years 1 to 9999", value)
    return moment


def _days(written: str, expected: str) -> int:
    try:
        return date(int(written[:4]), int(written[5:7]), int(written[8:])).toordinal() - EPOCH_ORDINAL
    except ValueError:
        raise _wrong(f"{expected} with a day that exists", written) from None


_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def calendar_date(value: object) -> int:
    """Days since 1970-01-01."""
    if not isinstance(value, str) or _DATE.fullmatch(value) is None:
        raise _wrong('Date such as "2026-03-01"', value)
    return _days(value, "Date")


_DURATION: Final = re.compile(
    r"(-?)P(?=.)(?:([0-9]{1,19})D)?(?:T(?=.)(?:([0-9]{1,19})H)?(?:([0-9]{1,19})M)?(?:([0-9]{1,19})(?:\.([0-9]{1,6}))?S)?)?"
)


def duration(value: object) -> int:
    """ISO 8601 days, hours, minutes, seconds, in microseconds. Months and years have no length, so do not fit."""
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise _wrong('Duration such as "PT15M" or "P1DT2H"', value)
    sign, days, hours, minutes, seconds, fraction = found.groups()
    total = int(days or 0) * DAY + int(hours or 0) * HOUR + int(minutes or 0) * MINUTE + int(seconds or 0) * SECOND
    total += int(((fraction or "") + "000000")[:6])
    total = -total if sign else total
    if not INT_MIN <= total <= INT_MAX:
        raise _wrong("Duration, 64 bits of microseconds", value)
    return total


_PREFIX: Final = re.compile(r"0|[1-9][0-9]{0,2}")
_MAPPED: Final = 0xFFFF << 32


def ip(value: object) -> Ip:
    """An address or a network; mapped IPv6 becomes IPv4, host bits and zone names do not fit (SEMANTICS 14)."""
    if not isinstance(value, str) or len(value) > 64 or "%" in value:
        raise _wrong('Ip such as "10.0.0.7" or "10.0.0.0/8"', value)
    address, slash, prefix = value.partition("/")
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        raise _wrong("Ip", value) from None
    bits = parsed.max_prefixlen
    if slash and (_PREFIX.fullmatch(prefix) is None or int(prefix) > bits):
        raise _wrong(f"Ip with a prefix of 0 to {bits}", value)
    length = int(prefix) if slash else bits
    number = int(parsed)
    if number & ((1 << (bits - length)) - 1):
        raise _wrong("Ip network without host bits", value)
    if parsed.version == 6 and length >= 96 and number >> 32 << 32 == _MAPPED:
        return Ip(4, number & 0xFFFF_FFFF, length - 96)
    return Ip(parsed.version, number, length)


PRIMITIVE: Final[dict[Primitive, Converter]] = {
    BOOL: boolean,
    INT: integer,
    DECIMAL: decimal,
    TEXT: text,
    INSTANT: instant,
    DATE: calendar_date,
    DURATION: duration,
    IP: ip,
}


def identifier(value: object) -> str:
    """The identifier of an entity: Text in NFC, 1 to 512 characters. Never normalised, only refused."""
    if value.__class__ is not str:
        raise _wrong("an identifier", value)
    value = text(value)
    if not 1 <= len(value) <= MAX_IDENTIFIER:
        raise IllTyped(f"expected an identifier of 1 to {MAX_IDENTIFIER} characters, found {len(value)}")
    if not value.isascii() and not unicodedata.is_normalized("NFC", value):
        raise IllTyped("expected an identifier in Unicode's composed form (NFC)")
    return value


# Composed types -------------------------------------------------------------------------------------------------------


def _items(value: object, each: Converter, type: Type, most: int) -> list[Value]:
    """One bad element makes the whole collection ill-typed (SEMANTICS 1)."""
    if not isinstance(value, list | tuple):
        raise _wrong(type, value)
    if len(value) > most:
        raise IllTyped(f"expected at most {most} elements, found {len(value)}")
    done: list[Value] = []
    try:
        for item in value:
            done.append(each(item))
    except IllTyped as error:
        raise IllTyped(f"element {len(done) + 1}: {error.message}") from None
    return done


def _set(each: Converter, type: Type, most: int) -> Converter:
    return lambda value: frozenset(_items(value, each, type, most))


def _list(each: Converter, type: Type, most: int) -> Converter:
    return lambda value: tuple(_items(value, each, type, most))


def _record(type: RecordType, schema: Schema, ordinary: bool, most: int) -> Converter:
    fields = [
        (each.name, converter(each.type, schema, ordinary=ordinary, most=most), each.optional) for each in type.fields
    ]

    def convert(value: object) -> Value:
        if not isinstance(value, dict):
            raise _wrong(type, value)
        members: list[object] = []
        for name, each, optional in fields:
            given = value.get(name)
            if given is None:
                if not optional:
                    raise IllTyped(f"`{name}` is missing")
                members.append(ABSENT)
                continue
            try:
                members.append(each(given))
            except IllTyped as error:
                raise IllTyped(f"`{name}`: {error.message}") from None
        return tuple(members)

    return convert


def _entity(type: EntityType, schema: Schema) -> Converter:
    """`{"type": wire type, "id": ..}`; the identifier alone where one type alone fits."""
    names = {schema.entities[name].wire: name for name in type.names if name in schema.entities}
    single = next(iter(type.names)) if len(type.names) == 1 else ""

    def convert(value: object) -> Value:
        if single and value.__class__ is str:
            return entity(single, identifier(value))
        if not isinstance(value, dict):
            raise _wrong(type, value)
        wire = value.get("type")
        name = names.get(wire) if wire.__class__ is str else None
        if name is None:
            raise IllTyped(f"expected the type {' or '.join(sorted(names))}, found {_shown(wire)}")
        return entity(name, identifier(value.get("id")))

    return convert


def _code(type: CodeType, schema: Schema, ordinary: bool) -> Converter:
    accepted = _accepted(type, schema)
    refused = schema.codes.emergency if ordinary else frozenset[Code]()

    def convert(value: object) -> Value:
        written = value
        if isinstance(value, dict):
            system, symbol = value.get("system"), value.get("code")
            written = f"{system}|{symbol}" if system.__class__ is str and symbol.__class__ is str else None
        found = accepted.get(written) if written.__class__ is str else None
        if found is None:
            raise _wrong(f"a code of {type}", value)
        if found in refused:
            raise IllTyped(f"`{schema.codes.names[found]}` is for emergencies; ordinary rules do not see it")
        return found

    return convert


def _accepted(type: CodeType, schema: Schema) -> dict[str, Code]:
    """Every text that means a code of the type: "system|code" always, the bare code where only one member has it."""
    full: dict[str, Code] = {}
    bare: dict[str, set[Code]] = {}
    for name in sorted(type.vocabularies):
        vocabulary = schema.codes.vocabularies[name]
        for symbol, wire in vocabulary.symbols.items():
            own = vocabulary.code(symbol)
            full[str(own)] = own
            bare.setdefault(wire, set()).add(own)
    alone = {wire: next(iter(found)) for wire, found in bare.items() if len(found) == 1}
    return {**alone, **full}


# Back to JSON ---------------------------------------------------------------------------------------------------------


def plain(value: Value, type: Type, schema: Schema) -> object:
    """The JSON value that `typed` reads back as this one. Sets come out sorted, absent members are left out."""
    match type:
        case Primitive():
            return _PLAIN.get(type, _same)(value)
        case SetType(element):
            members = sorted(cast("frozenset[Value]", value), key=canonical)
            return [plain(member, element, schema) for member in members]
        case ListType(element):
            return [plain(member, element, schema) for member in cast("tuple[Value, ...]", value)]
        case RecordType(fields):
            pairs = zip(fields, cast("tuple[Any, ...]", value), strict=True)
            return {each.name: plain(member, each.type, schema) for each, member in pairs if member is not ABSENT}
        case EntityType():
            name, _, known = cast("str", value).partition("::")
            return {"type": schema.entities[name].wire, "id": known}
        case CodeType():
            symbol = cast("str", value).partition("|")[2]
            return symbol if _accepted(type, schema).get(symbol) == value else value
        case Unknowable():
            return value
        case _:
            assert_never(type)


def _same(value: object) -> object:
    return value


def plain_decimal(count: int) -> str:
    whole, places = divmod(abs(count), DECIMAL_SCALE)
    written = f"{whole}.{places:04}".rstrip("0").rstrip(".")
    return f"-{written}" if count < 0 else written


def plain_date(days: int) -> str:
    """ISO 8601, of any day: arithmetic on instants can leave the years that `datetime` knows."""
    year, month, day = _civil(days)
    return f"{year:04}-{month:02}-{day:02}" if 0 <= year <= 9999 else f"{year:+07}-{month:02}-{day:02}"


def _civil(days: int) -> tuple[int, int, int]:
    """Year, month and day in the proleptic Gregorian calendar: eras of 400 years of 146 097 days, from March."""
    era, day_of_era = divmod(days + 719_468, 146_097)
    year = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year + year // 4 - year // 100)
    shifted = (5 * day_of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    return year + era * 400 + (month <= 2), month, day_of_year - (153 * shifted + 2) // 5 + 1


def plain_instant(moment: int) -> str:
    days, rest = divmod(moment, DAY)
    hours, rest = divmod(rest, HOUR)
    minutes, rest = divmod(rest, MINUTE)
    seconds, fraction = divmod(rest, SECOND)
    dot = f".{fraction:06}".rstrip("0") if fraction else ""
    return f"{plain_date(days)}T{hours:02}:{minutes:02}:{seconds:02}{dot}Z"


def plain_duration(length: int) -> str:
    days, rest = divmod(abs(length), DAY)
    hours, rest = divmod(rest, HOUR)
    minutes, rest = divmod(rest, MINUTE)
    seconds, fraction = divmod(rest, SECOND)
    dot = f".{fraction:06}".rstrip("0") if fraction else ""
    clock = f"{hours}H" * bool(hours) + f"{minutes}M" * bool(minutes) + f"{seconds}{dot}S" * bool(seconds or fraction)
    written = f"{days}D" * bool(days) + f"T{clock}" * bool(clock)
    return f"{'-' * (length < 0)}P{written or 'T0S'}"


def plain_ip(address: Ip) -> str:
    parsed = ipaddress.IPv4Address(address.number) if address.version == 4 else ipaddress.IPv6Address(address.number)
    return str(parsed) if address.prefix == parsed.max_prefixlen else f"{parsed}/{address.prefix}"


_PLAIN: Final[dict[Primitive, Plain]] = {
    DECIMAL: plain_decimal,
    INSTANT: plain_instant,
    DATE: plain_date,
    DURATION: plain_duration,
    IP: plain_ip,
}
