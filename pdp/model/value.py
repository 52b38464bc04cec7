"""What a policy can see: values, and the two states of an attribute that has none (SEMANTICS 1 and 9).

Ward is statically typed, so a value carries no tag of its own; the static type says how to read it:

===========  ==========================================================================================
Ward         Python
===========  ==========================================================================================
Bool         ``bool``
Int          ``int``, -2**63 .. 2**63-1
Decimal      ``int``, a 64-bit count of ten-thousandths
Text         ``str`` without NUL and without lone surrogates
Instant      ``int``, microseconds since 1970-01-01T00:00:00Z
Date         ``int``, days since 1970-01-01
Duration     ``int``, microseconds
Ip           `Ip`
entity       ``str``: ``"Type::id"``, see `entity`
code         ``str``: ``"system|code"``, see `code`
Set<T>       ``frozenset``
List<T>      ``tuple``
record       ``tuple`` of the fields' values in declared order, ``ABSENT`` where an optional one is missing
===========  ==========================================================================================

Equal values are equal Python objects of one Python type, so ``==`` and hashing need no help.
"""

from __future__ import annotations

from typing import Final, NamedTuple, NewType

Entity = NewType("Entity", str)
Code = NewType("Code", str)

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1
DECIMAL_SCALE: Final = 10_000
MICROSECOND: Final = 1
SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR


class Ip(NamedTuple):
    """An address, or a network of them: an address is the network that holds only itself."""

    version: int  # 4 or 6; a mapped IPv6 address has become 4 (SEMANTICS 14)
    number: int  # the first address, host bits zero
    prefix: int  # 0..32 or 0..128


class Unsettled(Exception):
    """A plain evaluation touched what has no value, or left the plain path. The interpreter settles the rule."""


class Missing:
    """A state that is not a value. Every use of it as a value raises `Unsettled`: `is` alone is safe.

    Compiled code therefore needs no checks on its plain path. There are exactly two: ABSENT and UNKNOWN.
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> str:
        return self.name  # Pickles and copies as the one object of that name.

    def _unsettled(self, *_: object) -> bool:
        raise Unsettled(self.name)

    __bool__ = __len__ = __iter__ = __call__ = __index__ = __int__ = _unsettled
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _unsettled
    __hash__ = _unsettled
    __contains__ = __getitem__ = _unsettled
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __neg__ = _unsettled
    __and__ = __rand__ = __or__ = __ror__ = __xor__ = __rxor__ = _unsettled


ABSENT: Final = Missing("ABSENT")
"""The place that owns the attribute said that there is none."""

UNKNOWN: Final = Missing("UNKNOWN")
"""Nobody who may say so has said: a failed source, an entity not found, an ill-typed or refused value."""

Value = bool | int | str | Ip | frozenset[object] | tuple[object, ...]
State = Value | Missing

Row = tuple[object, ...]
"""An entity's attributes: slot 0 holds its ancestors (``frozenset[Entity]``), slot n the attribute declared nth."""

MAX_ATTRIBUTES: Final = 255
UNKNOWN_ROW: Final[Row] = (UNKNOWN,) * (MAX_ATTRIBUTES + 1)
"""What an entity that was not found looks like: nothing is known of it, not even its parents."""


def entity(type_name: str, identifier: str) -> Entity:
    """The reference to one entity. Type names hold no colon, so the first ``::`` parts them."""
    return Entity(f"{type_name}::{identifier}")


def entity_type(reference: Entity) -> str:
    return reference.partition("::")[0]


def entity_id(reference: Entity) -> str:
    return reference.partition("::")[2]


def code(system: str, symbol: str) -> Code:
    """A code is (system, code) (SEMANTICS 11). Systems hold no ``|``, so the first one parts them."""
    return Code(f"{system}|{symbol}")


def canonical(value: State) -> bytes:
    """Type-length-value bytes: equal values give equal bytes, different ones differ. Sets are sorted by bytes."""
    if value is ABSENT:
        return b"a0:"
    if value is UNKNOWN:
        return b"u0:"
    if isinstance(value, bool):
        body, tag = (b"1" if value else b"0"), b"b"
    elif isinstance(value, int):
        body, tag = str(value).encode(), b"i"
    elif isinstance(value, str):
        body, tag = value.encode("utf-8", "surrogatepass"), b"t"
    elif isinstance(value, Ip):
        body, tag = f"{value.version}/{value.number}/{value.prefix}".encode(), b"p"
    elif isinstance(value, frozenset):
        body, tag = b"".join(sorted(canonical(member) for member in value)), b"s"  # type: ignore[arg-type]
    elif isinstance(value, tuple):
        body, tag = b"".join(canonical(member) for member in value), b"l"  # type: ignore[arg-type]
    else:
        raise TypeError(f"not a value: {type(value).__name__}")
    return tag + str(len(body)).encode() + b":" + body
