"""A program as bytes: `marshal` for code objects, `pickle` for the rest, each rule by itself, none read early.

Sources are kept once and referred to. Only ever read from a file that nobody else can write.
"""

from __future__ import annotations

import copyreg
import io
import marshal
import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from operator import attrgetter
from typing import Any, Final, overload

from pdp.compile.builder import Image
from pdp.compile.digest import COMPILER_VERSION
from pdp.diagnostics.source import Source, Span
from pdp.language import core, schema, types, vocabulary
from pdp.language.core import Invariant, PolicySet, Route, Rule, Test

_MAGIC: Final = f"chaperone program {COMPILER_VERSION} {sys.implementation.cache_tag} {sys.hexversion:x}\n".encode()


class Pickled:
    """The core of a loaded program, read piece by piece when asked for."""

    def __init__(self, sources: list[Source], rules: list[bytes], routes: bytes, rest: bytes) -> None:
        self.rules = Rules(sources, rules)
        self.routes: tuple[Route, ...] = _loaded(routes, sources)
        self._sources = sources
        self._rest = rest

    @property
    def tests(self) -> tuple[Test, ...]:
        return _loaded(self._rest, self._sources)[0]  # type: ignore[no-any-return]

    @property
    def invariants(self) -> tuple[Invariant, ...]:
        return _loaded(self._rest, self._sources)[1]  # type: ignore[no-any-return]


class Rules(Sequence[Rule]):
    """Rules by number; one is unpickled when it is first asked for; two threads may both do it, with equal results."""

    def __init__(self, sources: list[Source], data: list[bytes]) -> None:
        self._sources = sources
        self._data = data
        self._known: dict[int, Rule] = {}

    def __len__(self) -> int:
        return len(self._data)

    @overload
    def __getitem__(self, number: int) -> Rule: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Rule]: ...
    def __getitem__(self, number: int | slice) -> Rule | Sequence[Rule]:
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        rule = self._known.get(number)
        if rule is None:
            rule = self._known[number] = _loaded(self._data[number], self._sources)
        return rule

    def __iter__(self) -> Iterator[Rule]:
        return (self[number] for number in range(len(self)))


def packed(image: Image, policies: PolicySet) -> bytes:
    sources: dict[tuple[str, str], int] = {}
    rules = [_dumped(rule, sources) for rule in policies.rules]
    routes = _dumped(policies.routes, sources)
    rest = _dumped((policies.tests, policies.invariants), sources)
    codes = marshal.dumps(image.codes)
    parts = (
        image.digest,
        image.source_digest,
        image.schema,
        image.constants,
        image.rules,
        image.groups,
        image.functions,
    )
    body = _dumped(parts, sources)
    return _MAGIC + marshal.dumps((list(sources), codes, body, rules, routes, rest))


def unpacked(data: bytes) -> tuple[Image, Pickled]:
    if not data.startswith(_MAGIC):
        raise ValueError("not a program of this Python and this Chaperone")
    texts, codes, body, rules, routes, rest = marshal.loads(memoryview(data)[len(_MAGIC) :])
    sources = [Source(name, text) for name, text in texts]
    digest, source_digest, declared, constants, images, groups, functions = _loaded(body, sources)
    image = Image(digest, source_digest, declared, marshal.loads(codes), constants, images, groups, functions)
    return image, Pickled(sources, rules, routes, rest)


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, sources: dict[tuple[str, str], int]) -> None:
        super().__init__(file, protocol=5)
        self.dispatch_table = _REDUCERS
        self._sources = sources

    def persistent_id(self, value: Any) -> int | None:
        if value.__class__ is Source:
            return self._sources.setdefault((value.name, value.text), len(self._sources))
        return None


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, sources: list[Source]) -> None:
        super().__init__(file)
        self._sources = sources

    def persistent_load(self, number: int) -> Source:
        return self._sources[number]


def _dumped(value: Any, sources: dict[tuple[str, str], int]) -> bytes:
    file = io.BytesIO()
    _Pickler(file, sources).dump(value)
    return file.getvalue()


def _loaded(data: bytes, sources: list[Source]) -> Any:
    return _Unpickler(io.BytesIO(data), sources).load()


def _reducer(kind: type) -> Callable[[Any], tuple[Any, ...]]:
    """A frozen dataclass as its class and its values: faster than what dataclasses do for themselves."""
    names = [each.name for each in fields(kind) if each.init]
    if len(names) == 1:
        only = attrgetter(names[0])
        return lambda value: (kind, (only(value),))
    getter = attrgetter(*names) if names else lambda _value: ()
    return lambda value: (kind, getter(value))


_KINDS: Final = [
    each
    for module in (core, schema, types, vocabulary)
    for each in vars(module).values()
    if isinstance(each, type) and is_dataclass(each)
]
_REDUCERS: Final = copyreg.dispatch_table | {kind: _reducer(kind) for kind in dict.fromkeys([*_KINDS, Span])}
