"""Why an answer has no rows: which of the things that were given stand in no record, and what stands there instead.

A name that is misspelt fits nothing, which looks like nobody ever did it. What is suggested are names of rules, actions
and the like, as clear parts say them: never whom a record is about, and never who asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pdp.audit.asking.asked import SHOWN, YES, Asked, said
from pdp.audit.asking.query import Search, search
from pdp.audit.evidence import EvidenceError
from pdp.audit.leaf import Opener, members_of
from pdp.audit.record import STRANGE

if TYPE_CHECKING:
    from pdp.audit.asking.index import Places

PEOPLE: Final = ("patient", "subject", "resource")
NAMES: Final = ("action", "reason", "rule", "pep", "purpose", "kind")
"""Of these there are few, and they name nobody."""
RECORDS: Final = 20_000
"""So many of the newest are looked at for what may have been meant."""
VALUES: Final = 1_000
LONGEST: Final = 128
CLOSE: Final = 0.6

Index = Callable[[Search], Callable[[int], "Places | None"]]


@dataclass(frozen=True, slots=True)
class Nowhere:
    """What no record has that was looked at. `value` is empty for people and things; `close`: what may be meant."""

    name: str
    value: str
    close: tuple[str, ...] = ()


def nowhere(directory: Path, asked: Asked, opener: Opener, index: Index, *, thorough: bool = False) -> list[Nowhere]:
    """To be asked where nothing was found. Raises EvidenceError."""

    def there(one: Asked) -> bool:
        """Does this alone fit a record, or can nobody tell whom it is about?"""
        looked = search(directory, one, opener, thorough=thorough)
        if next(looked.hits(index=index(looked)), None) is not None:
            return True
        return any(getattr(one, name) for name in PEOPLE) and not looked.tally.whole

    alone = Asked(kinds=asked.kinds, period=asked.period, patient_type=asked.patient_type)
    kinds = [each for each in sorted(asked.kinds - SHOWN) if not there(replace(alone, kinds=frozenset({each})))]
    lost, missing = list[Nowhere](), [("kind", each) for each in kinds]
    if not kinds or asked.kinds.difference(kinds):  # Else nothing is of these kinds, whatever it is about.
        people = {name: value for name in PEOPLE if (value := getattr(asked, name))}
        lost = [Nowhere(name, "") for name, value in people.items() if not there(_with(alone, name, value))]
        missing += [(name, each) for name, each in asked.literals.items() if not there(_with(alone, name, each))]
    seen = _seen(search(directory, replace(alone, kinds=frozenset()), opener), {name for name, _ in missing})
    return lost + [Nowhere(name, value, _close(value, seen.get(name, set()))) for name, value in missing]


def _with(alone: Asked, name: str, value: str) -> Asked:
    return replace(alone, **{name: value})  # type: ignore[arg-type]


def _close(value: str, seen: set[str]) -> tuple[str, ...]:
    """Case aside: `treat` is close to `TREAT`."""
    lower = {each.lower(): each for each in sorted(seen)}
    return tuple(lower[each] for each in get_close_matches(value.lower(), lower, 3, CLOSE))


def _seen(looked: Search, names: set[str]) -> dict[str, set[str]]:
    """The names that the newest records have."""
    found: dict[str, set[str]] = {name: set() for name in NAMES if name in names}
    for payload in _newest(looked) if found else ():
        try:
            members = members_of(payload)
        except EvidenceError:
            continue
        if looked.question.meant(members)[0] is not YES:
            continue
        for name, values in found.items():
            for each in said(members, name):
                if (
                    isinstance(each, str)
                    and each not in ("", STRANGE)
                    and len(each) <= LONGEST
                    and len(values) < VALUES
                ):
                    values.add(each)
    return found


def _newest(looked: Search) -> Iterator[bytes]:
    left = RECORDS
    for records in looked.backwards():
        yield from records[:left]
        left -= len(records)
        if left <= 0:
            return
