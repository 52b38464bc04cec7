"""The static types of Ward, and when one fits another. There is no subtyping and no coercion (SEMANTICS 9 and 13)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Primitive:
    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class SetType:
    element: Type

    def __str__(self) -> str:
        return f"Set<{self.element}>"


@dataclass(frozen=True, slots=True)
class ListType:
    element: Type

    def __str__(self) -> str:
        return f"List<{self.element}>"


@dataclass(frozen=True, slots=True)
class RecordField:
    name: str
    type: Type
    optional: bool = False

    def __str__(self) -> str:
        return f"{self.name}: {self.type}{'?' if self.optional else ''}"


@dataclass(frozen=True, slots=True)
class RecordType:
    """Its value is a tuple in the order of `fields`; also the type of the variables `context` and `action`."""

    fields: tuple[RecordField, ...]

    def index(self, name: str) -> int | None:
        return next((i for i, each in enumerate(self.fields) if each.name == name), None)

    def __str__(self) -> str:
        return "{ " + ", ".join(map(str, self.fields)) + " }"


@dataclass(frozen=True, slots=True)
class EntityType:
    """One entity type, or the closed union of several (a `kind`, the subject of an action)."""

    names: frozenset[str]

    def __str__(self) -> str:
        return " or ".join(sorted(self.names)) or "no entity"


@dataclass(frozen=True, slots=True)
class CodeType:
    """A code of one vocabulary, or of a union of them."""

    vocabularies: frozenset[str]

    def __str__(self) -> str:
        return " or ".join(sorted(self.vocabularies))


@dataclass(frozen=True, slots=True)
class Unknowable:
    """The type of what failed to check. It fits everything, so that one mistake gives one diagnostic."""

    def __str__(self) -> str:
        return "(not known)"


Type = Primitive | SetType | ListType | RecordType | EntityType | CodeType | Unknowable

BOOL: Final = Primitive("Bool")
INT: Final = Primitive("Int")
DECIMAL: Final = Primitive("Decimal")
TEXT: Final = Primitive("Text")
INSTANT: Final = Primitive("Instant")
DATE: Final = Primitive("Date")
DURATION: Final = Primitive("Duration")
IP: Final = Primitive("Ip")
RECOVERY: Final = Unknowable()
PRIMITIVES: Final = {each.name: each for each in (BOOL, INT, DECIMAL, TEXT, INSTANT, DATE, DURATION, IP)}
ORDERED: Final = frozenset({INT, DECIMAL, INSTANT, DATE, DURATION})


def comparable(left: Type, right: Type) -> bool:
    """May `==` stand between them? The same type, or entity (or code) types that share a member."""
    match left, right:
        case (Unknowable(), _) | (_, Unknowable()):
            return True
        case EntityType(a), EntityType(b):
            return bool(a & b)
        case CodeType(a), CodeType(b):
            return bool(a & b)
        case (SetType(a), SetType(b)) | (ListType(a), ListType(b)):
            return comparable(a, b)
        case _:
            return left == right


def fits(actual: Type, expected: Type) -> bool:
    """May a value of type `actual` stand where `expected` is asked for? A narrower union fits a wider one."""
    match actual, expected:
        case (Unknowable(), _) | (_, Unknowable()):
            return True
        case EntityType(a), EntityType(b):
            return a <= b
        case CodeType(a), CodeType(b):
            return a <= b
        case (SetType(a), SetType(b)) | (ListType(a), ListType(b)):
            return fits(a, b)
        case _:
            return actual == expected
