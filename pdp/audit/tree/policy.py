"""Trust policies (c2sp.org/tlog-policy): which logs are known, and which witnesses together are enough.

log <vkey> [<url>]
witness <name> <vkey> [<url>]
group <name> all|any|<k> <name>...
quorum <name>|none
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from pdp.audit.tree import note
from pdp.audit.tree.cosign import Cosigner
from pdp.audit.tree.note import Key, NoteError, VerifierKey

MAX_BYTES: Final = 1 << 20
NONE: Final = b"none"
_CONTROL: Final = re.compile(rb"[^\t\n\x20-\x7e\x80-\xff]")


class PolicyError(Exception):
    """It is not a policy. Says the line."""


@dataclass(frozen=True, slots=True)
class Group:
    """So many of these members are enough."""

    least: int
    members: tuple[Rule, ...]


Rule = Cosigner | Group


@dataclass(frozen=True, slots=True)
class Policy:
    """`quorum` None: no cosignature is asked for."""

    logs: tuple[VerifierKey, ...]
    witnesses: tuple[Cosigner, ...]
    quorum: Rule | None

    def enough(self, present: Collection[Cosigner]) -> bool:
        """Do the cosignatures of these make a checkpoint valid?"""
        return self.quorum is None or _holds(self.quorum, present)


def _holds(rule: Rule, present: Collection[Cosigner]) -> bool:
    if isinstance(rule, Group):
        return sum(_holds(each, present) for each in rule.members) >= rule.least
    return rule in present


def quorum(witnesses: Sequence[Cosigner], least: int) -> Policy:
    """`least` of these, each with a key of its own. Raises PolicyError."""
    if len({each.public for each in witnesses}) != len(witnesses):
        raise PolicyError("two witnesses have the same key")
    if not 1 <= least <= len(witnesses):
        raise PolicyError(f"a quorum of {least} among {len(witnesses)}")
    return Policy((), tuple(witnesses), Group(least, tuple(witnesses)))


def parse(data: bytes) -> Policy:
    """Raises PolicyError."""
    if len(data) > MAX_BYTES:
        raise PolicyError("longer than a policy may be")
    if _CONTROL.search(data):
        raise PolicyError("a control character")
    reading = _Reading()
    for number, line in enumerate(data.split(b"\n"), 1):
        words = line.replace(b"\t", b" ").split(b" ")
        words = [word for word in words if word]
        if words and not words[0].startswith(b"#"):
            try:
                reading.line(words)
            except (PolicyError, NoteError) as error:
                raise PolicyError(f"line {number}: {error}") from error
    return reading.policy()


class _Reading:
    def __init__(self) -> None:
        self._logs: list[VerifierKey] = []
        self._rules: dict[bytes, Rule] = {}
        self._grouped: set[bytes] = set()
        self._quorum: tuple[Rule | None] | None = None

    def line(self, words: list[bytes]) -> None:
        match words:
            case [b"log", key] | [b"log", key, _]:
                self._logs.append(_new(_key(key, VerifierKey), self._logs))
            case [b"witness", name, key] | [b"witness", name, key, _]:
                self._define(name, _new(_key(key, Cosigner), self._witnesses()))
            case [b"group", name, least, *members] if members:
                self._define(name, Group(_least(least, len(members)), tuple(map(self._member, members))))
            case [b"quorum", name] if self._quorum is None:
                self._quorum = (None if name == NONE else self._known(name),)
            case [b"quorum", _]:
                raise PolicyError("a second quorum")
            case _:
                raise PolicyError("neither log, witness, group nor quorum, as they are written")

    def policy(self) -> Policy:
        if self._quorum is None:
            raise PolicyError("there is no quorum line")
        return Policy(tuple(self._logs), tuple(self._witnesses()), self._quorum[0])

    def _witnesses(self) -> list[Cosigner]:
        return [each for each in self._rules.values() if isinstance(each, Cosigner)]

    def _define(self, name: bytes, rule: Rule) -> None:
        if name == NONE or name in self._rules:
            raise PolicyError("a name that is taken")
        self._rules[name] = rule

    def _known(self, name: bytes) -> Rule:
        rule = self._rules.get(name)
        if rule is None:
            raise PolicyError("a name that no line before has defined")
        return rule

    def _member(self, name: bytes) -> Rule:
        """A name counts once, so that no witness counts twice."""
        if name in self._grouped:
            raise PolicyError("a name that is a member already")
        self._grouped.add(name)
        return self._known(name)


def _least(word: bytes, members: int) -> int:
    least = {b"any": 1, b"all": members}.get(word)
    if least is None:
        if not word.isdigit() or word.startswith(b"0") or len(word) > 6:
            raise PolicyError("a group says `all`, `any` or a number")
        least = int(word)
    if not 1 <= least <= members:
        raise PolicyError(f"{least} of {members} members")
    return least


def _key(text: bytes, sort: type[Key]) -> Key:
    try:
        return note.key_of(text.decode(), sort)
    except UnicodeDecodeError as error:
        raise PolicyError("a vkey that is not UTF-8") from error


def _new(key: Key, others: Sequence[Key]) -> Key:
    if any(each.public == key.public for each in others):
        raise PolicyError("a key that is there already")
    return key
