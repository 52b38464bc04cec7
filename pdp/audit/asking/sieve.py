"""Leaves out, by its bytes alone, what cannot be meant: a bundle of records, or one, before any JSON is read.

A text stands in JSON as it is, between quotes, unless something in it is escaped. So what holds no backslash and not
the text either cannot say it, however it was written; and what holds a backslash is read. A sieve may let pass what is
not meant; it never holds back what is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from pdp.audit.asking.asked import HIDDEN, SHOWN, Question, Thing
from pdp.audit.asking.period import Period
from pdp.audit.record import STRANGE, stamp

Test = Callable[[bytes], object]

_TS: Final = re.compile(rb'"ts":"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z)"')
_TYPE: Final = re.compile(rb'"type"(?::"([^"]*)")?')
_CALLER: Final = re.compile(
    rb'"identity"(?!:\{"via":"[^"]*"(?:,"issuer":"[^"]*")?(?:,"scopes":\[[^\]]*\])?(?:,"warnings":\[[^\]]*\])?\})'
).search
_PATIENT: Final = rb'"patient_p"(?!:"%(key)s)'
_PERSON: Final = rb'"res"(?!:\{"type":"(?!%(patient)s")[^"]*"|:\{"type":"%(patient)s","id_p":"%(key)s)'
_RESOURCE: Final = rb'"res"(?!:\{"type":"[^"]*","id_p":"%(key)s)'
_SUBJECT: Final = rb'"sub"(?!:\{"type":"[^"]*","id(?:"|_p":"%(key)s))'
"""What only an encrypted detail may name, as patterns: with `key`, the beginnings of the pseudonyms that are known."""
_SUBJECT_OPEN: Final = rb'"sub"(?!:\{"type":"[^"]*","id_p":"%(key)s)'
_OPEN: Final = re.compile(rb'"detail"(?!:\{"kid")').search
_TOLD: Final = re.compile(rb'"kind"(?!:"decision")').search
_YEAR_10000: Final = 253_402_300_800_000_000


@dataclass(slots=True)
class Ways:
    """Several ways to be meant; one of them has to be there."""

    texts: list[bytes]
    tests: list[Test]

    def within(self, data: bytes) -> Ways:
        """Those that some record of these bytes may be meant in."""
        return Ways([each for each in self.texts if each in data], [each for each in self.tests if each(data)])

    def __bool__(self) -> bool:
        return bool(self.texts or self.tests)

    def __call__(self, record: bytes) -> bool:
        for text in self.texts:
            if text in record:
                return True
        return any(each(record) for each in self.tests)


class Sieve:
    """One for each question. What it looks for in a bundle depends on the types that are named there."""

    def __init__(self, question: Question) -> None:
        self._question, self._patient_type = question, question.asked.patient_type
        self._things = [(thing, thing is question.subject) for thing in question.things]
        kinds = question.asked.kinds
        self._clear = [_texts(kinds)] if kinds else []
        for name, value in question.asked.literals.items():
            self._clear.append(_texts([value, STRANGE] if name in HIDDEN else [value]))
        self._told = not kinds or not kinds <= SHOWN
        # The records that go on with a search say nothing of the whole, and need its first one.
        searches = not kinds or not SHOWN.isdisjoint(kinds)
        self._always = Ways([b"\\", *([b'"search"', b'"decision.results"'] if searches else [])], [])
        self._time = _timed(question.asked.period)

    def bundle(self, data: bytes) -> Test | None:
        """What to try on each record of these bytes. None: nothing in them can be meant."""
        always = self._always.within(data)
        every: list[Ways] = []
        for ways in self._ways(data):
            every.append(ways.within(data))
            if not every[-1]:
                if not always:
                    return None
                every = [every[-1]]
                break
        time = self._time

        def passes(record: bytes) -> bool:
            if time is not None and not time(record):
                return False
            for each in every:
                if not each(record):
                    return always(record)
            return True

        return passes

    def _ways(self, data: bytes) -> Iterable[Ways]:
        """For each thing that is asked, how a record can be meant; what costs least to tell comes first."""
        yield from self._clear
        for thing, subject in self._things:
            yield self._named(thing, subject, data)

    def _named(self, thing: Thing, subject: bool, data: bytes) -> Ways:
        kinds = {of for of, _ in thing.parts} | {""}
        if any(not of for of, _ in thing.parts):
            found = types(data)
            if found is None:
                return Ways([b""], [])
            kinds |= found
        texts, epochs = {STRANGE, *thing.ids}, None
        for kind in kinds:
            names = thing.of(kind)
            texts |= names.pseudonyms
            epochs = names.epochs if epochs is None else epochs & names.epochs
        ways = Ways(_texts(texts).texts, [])
        for pattern in self._hiding(thing):
            ways.tests.append(_hidden(pattern, frozenset(epochs or ()), self._patient_type))
        if thing.pseudonym is not None:  # The id behind it may stand there in clear.
            ways.tests.append(_OPEN)
            if subject:
                ways.tests.append(_unknown(_SUBJECT_OPEN, frozenset(epochs or ()), self._patient_type))
        if self._told:
            ways.tests.append(_TOLD)
        if subject:
            ways.texts += [b'"refused_token"']
            ways.tests.append(_CALLER)
        return ways

    def _hiding(self, thing: Thing) -> tuple[bytes, ...]:
        if thing is self._question.patient:
            return _PATIENT, _PERSON
        return (_SUBJECT if thing is self._question.subject else _RESOURCE,)


def types(data: bytes) -> set[str] | None:
    """The types that are named. None: they cannot be told from the bytes."""
    found = set(_TYPE.findall(data))
    if b"" in found:
        return None
    try:
        return {each.decode() for each in found}
    except UnicodeDecodeError:
        return None


@lru_cache(64)
def _hidden(pattern: bytes, epochs: frozenset[str], patient_type: str) -> Test:
    """Is there a detail that is encrypted beside somebody whom no pseudonym of these keys names in the known form?"""
    found = _unknown(pattern, epochs, patient_type)
    return lambda data: b'"kid"' in data and found(data)


@lru_cache(64)
def _unknown(pattern: bytes, epochs: frozenset[str], patient_type: str) -> Test:
    """Is there somebody whom no pseudonym of these keys names in the known form?"""
    key = b"p(?:%s)-" % "|".join(sorted(epochs)).encode() if epochs else b"(?!)"
    found = re.compile(pattern % {b"key": key, b"patient": re.escape(patient_type.encode("utf-8", "replace"))}).search
    return lambda data: found(data) is not None


def _texts(texts: Iterable[str]) -> Ways:
    found = []
    for text in texts:
        try:
            found.append(b'"%s"' % text.encode())
        except UnicodeEncodeError:
            continue  # It is in no record that has no backslash.
    return Ways(found, [])


def _timed(period: Period | None) -> Test | None:
    if period is None or not period.bounded:
        return None
    first = stamp(period.first).encode() if period.first > 0 else b""
    after = stamp(max(0, period.after)).encode() if period.after < _YEAR_10000 else b"~"

    def passes(record: bytes) -> bool:
        found = _TS.findall(record)
        return len(found) != 1 or b"\\" in record or first <= found[0] < after

    return passes
