"""One digest over everything that can change a decision (SEMANTICS 27), and one over the texts.

The bytes hashed are type, length and value of the typed core, the schema and the vocabularies. Spans are no part of
them (`compare=False` in the dataclasses), nor is what only people read. Sets and tables are sorted by their bytes, so
that neither the order of files nor a hash seed shows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import fields
from operator import attrgetter
from typing import Any, Final

import tzdata  # type: ignore[import-untyped]

from pdp.diagnostics.source import Source, Span
from pdp.language.core import PolicySet, Rule
from pdp.language.types import CodeType, EntityType, ListType, Primitive, RecordType, SetType
from pdp.language.vocabulary import Codes, Vocabulary
from pdp.model.value import Ip, Missing

COMPILER_VERSION: Final = 1
"""Raised with every change of the compiler, the interpreter or the runtime that can change an answer."""

_FOR_PEOPLE: Final = frozenset({"sentence", "citations", "owner", "module"})
_TYPES: Final = (Primitive, SetType, ListType, RecordType, EntityType, CodeType)


def program(policies: PolicySet, indexed: bool) -> str:
    """The program digest, hexadecimal."""
    write = Writer().write
    parts = [
        b"chaperone program",
        write(COMPILER_VERSION),
        write(str(tzdata.__version__)),
        write(indexed),
        write(policies.schema),
        write(tuple(sorted(policies.rules, key=lambda rule: rule.id))),
        write(frozenset(policies.routes)),
    ]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def sources(found: Iterable[Source]) -> str:
    """The source digest: over the names and texts of all files, hexadecimal."""
    write = Writer().write
    texts = sorted((each.name, each.text) for each in found)
    return hashlib.sha256(write(tuple(texts))).hexdigest()


class Writer:
    """Canonical bytes, without recursion but for sets and tables, which are shallow: conditions may be deep.

    Types recur in thousands of nodes, so each is written once.
    """

    def __init__(self) -> None:
        self._types: dict[int, tuple[Any, bytes]] = {}

    def write(self, value: Any) -> bytes:
        parts: list[bytes] = []
        todo = [value]  # Bytes in it are ready: no value of ours is bytes.
        while todo:
            each = todo.pop()
            kind = each.__class__
            if kind is bytes:
                parts.append(each)
            elif kind is str:
                data = each.encode("utf-8", "surrogatepass")
                parts.append(b"t%d:%b" % (len(data), data))
            elif kind is tuple:
                parts.append(b"(")
                todo.append(b")")
                todo.extend(reversed(each))
            elif kind in _SIMPLE:
                parts.append(_SIMPLE[kind](self, each))
            else:
                todo.append(b")")
                todo.extend(reversed((_GETTERS.get(kind) or _getter(kind))(each)))
                parts.append(b"c%b(" % kind.__name__.encode())
                if kind is Vocabulary:  # The order of its symbols is the order of the codes.
                    todo.append(tuple(each.symbols))
        return b"".join(parts)

    def type(self, value: Any) -> bytes:
        known = self._types.get(id(value))
        if known is None:
            written = self.write(
                (value.__class__.__name__, *(_GETTERS.get(value.__class__) or _getter(value.__class__))(value))
            )
            known = self._types[id(value)] = value, written  # The type is kept, so that no other has its id.
        return known[1]

    def members(self, value: frozenset[Any]) -> bytes:
        return b"{%b}" % b"".join(sorted(map(self.write, value)))

    def table(self, value: dict[Any, Any]) -> bytes:
        return b"[%b]" % b"".join(sorted(self.write(item) for item in value.items()))

    def codes(self, value: Codes) -> bytes:
        """All else is computed from the vocabularies."""
        return self.table(value.vocabularies)


def _getter(kind: type) -> Callable[[Any], tuple[Any, ...]]:
    names = [each.name for each in fields(kind) if each.compare]
    if kind is Rule:
        names = [name for name in names if name not in _FOR_PEOPLE]
    if len(names) == 1:
        only = attrgetter(names[0])
        getter: Callable[[Any], tuple[Any, ...]] = lambda value: (only(value),)  # noqa: E731
    else:
        getter = attrgetter(*names) if names else lambda _value: ()
    _GETTERS[kind] = getter
    return getter


_GETTERS: Final[dict[type, Callable[[Any], tuple[Any, ...]]]] = {Span: lambda _value: ()}
_SIMPLE: Final[dict[type, Callable[[Writer, Any], bytes]]] = {
    int: lambda _, value: b"i%d;" % value,
    bool: lambda _, value: b"T" if value else b"F",
    type(None): lambda _, __: b"N",
    Missing: lambda _, value: b"M" + value.name.encode(),
    Ip: lambda writer, value: b"p" + writer.write(tuple(value)),
    frozenset: Writer.members,
    dict: Writer.table,
    Codes: Writer.codes,
    **dict.fromkeys(_TYPES, Writer.type),
}
