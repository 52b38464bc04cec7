"""SMART scopes, version 2 and the forms of version 1. They only ever narrow: a request within them is still judged.

    scope  = level "/" type "." letters [ "?" name "=" value *( "&" name "=" value ) ]
    level  = "patient" / "user" / "system"
    type   = a FHIR resource type / "*"
    letters = at least one of c, r, u, d, s, in that order, each once; version 1: "read" / "write" / "*"

A scope that is not written so grants nothing. `u` covers patch, and a PUT that creates; `r` a version and the history
of one resource; `s` a search and the history of a type. Every entry of a batch is a request of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from pdp.identity.caller import Caller

LETTERS: Final = "cruds"
DEFAULT_LETTERS: Final = {"read": "r", "search": "s", "update": "u", "create": "c", "delete": "d"}
"""What is needed on the resource's own type for an action of this wire name that `[smart]` does not mention."""

VERSION_1: Final = {"read": "rs", "write": "cud", "*": "cruds"}
CONSTRAINTS: Final = frozenset({"category", "code", "_tag", "_security"})
"""What a scope may be constrained by. Any other search parameter, a modifier or a chain: the scope grants nothing."""

WIDENING: Final = frozenset({"_include", "_revinclude", "_has", "_contained", "_filter", "_query", "_type"})
"""Search parameters that bring in more than the type that is asked for. No scope is found for them."""

MAX_BYTES: Final = 512

NO_MAPPING: Final = "no-scope-for-this"
NOT_GRANTED: Final = "scope-not-granted"
CONSTRAINED: Final = "scope-is-constrained"
UNKNOWN_PATIENT: Final = "patient-not-known"
OTHER_PATIENT: Final = "patient-of-another"
_MOST_TELLING: Final = (OTHER_PATIENT, UNKNOWN_PATIENT, CONSTRAINED, NOT_GRANTED)

_TYPE: Final = re.compile(r"[A-Z][A-Za-z]{0,63}").fullmatch
_SCOPE: Final = re.compile(
    r"(patient|user|system)/(\*|[A-Z][A-Za-z]{0,63})\.(?:(read|write|\*)|(?=[cruds])(c?r?u?d?s?)(?:\?(.+))?)", re.ASCII
).fullmatch
_VALUE: Final = re.compile(r"[A-Za-z0-9._~:/@|!*()'\-%]+").fullmatch


class Need(NamedTuple):
    """One right that a request needs: `Need("Observation", "r")`."""

    type: str
    letter: str


@dataclass(frozen=True, slots=True)
class Smart:
    """How requests become needs, and where the patient of a request stands in the data. In wire names."""

    needs: Mapping[tuple[str, str], tuple[Need, ...]] = field(default_factory=dict)  # by (action, resource type)
    patient_type: str = "Patient"
    patient_attribute: str = "patient"


@dataclass(frozen=True, slots=True)
class Scope:
    level: str
    type: str  # "*": any
    letters: str
    constraints: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Asked:
    """What is known of the request besides its needs."""

    patient: str = ""  # whose data it is about; "": not known, which is never "nobody's"
    query: frozenset[tuple[str, str]] = frozenset()  # its search parameters, decoded


def refused(
    smart: Smart,
    caller: Caller,
    actions: tuple[str, ...],
    resource_type: str,
    patient: str,
    raw_query: bytes = b"",
) -> str:
    """Why the caller's scopes do not cover all of these actions (wire names), in a stable word; "" where they do, or do
    not apply to the caller at all. `patient`: as in `Asked`. `raw_query`: as the doors have accepted it.
    """
    if caller.scopes is None:
        return ""
    if widens(raw_query):
        return NO_MAPPING
    needs = needs_of(smart, actions, resource_type)
    return allow(caller.scopes, needs, caller.patient, Asked(patient, queried(raw_query)))


def needs_of(smart: Smart, actions: tuple[str, ...], resource_type: str) -> tuple[Need, ...]:
    """All that is needed for all the actions. Empty where one of them maps to nothing: then nothing is granted."""
    found: list[Need] = []
    for action in actions:
        needs = smart.needs.get((action, resource_type))
        letter = DEFAULT_LETTERS.get(action)
        if needs is None and letter and _TYPE(resource_type):
            needs = (Need(resource_type, letter),)
        if not needs:
            return ()
        found.extend(needs)
    return tuple(dict.fromkeys(found))


def allow(granted: tuple[str, ...], needs: tuple[Need, ...], launch_patient: str, asked: Asked) -> str:
    """Why not every need is granted by some scope; "" where it is. Without any need, nothing is."""
    scopes = [scope for text in granted if (scope := parse(text)) is not None]
    if not needs:
        return NO_MAPPING
    for need in needs:
        reasons = {_grants(scope, need, launch_patient, asked) for scope in scopes} or {NOT_GRANTED}
        if "" not in reasons:
            return next(word for word in _MOST_TELLING if word in reasons)
    return ""


def _grants(scope: Scope, need: Need, launch_patient: str, asked: Asked) -> str:
    """Why this scope does not grant this need; "" where it does."""
    if scope.type not in ("*", need.type) or need.letter not in scope.letters:
        return NOT_GRANTED
    # A search with the same parameters finds nothing that does not satisfy them. Of anything else, who knows.
    if scope.constraints and not (need.letter == "s" and scope.constraints <= asked.query):
        return CONSTRAINED
    if scope.level != "patient":
        return ""
    if not launch_patient or not asked.patient:
        return UNKNOWN_PATIENT
    return "" if launch_patient == asked.patient else OTHER_PATIENT


@lru_cache(maxsize=4_096)
def parse(text: str) -> Scope | None:
    """None for what is no scope of SMART, or not one that is understood whole: it grants nothing."""
    found = _SCOPE(text) if len(text) <= MAX_BYTES else None
    if found is None:
        return None
    level, kind, old, letters, query = found.groups()
    if old is not None:
        return Scope(level, kind, VERSION_1[old])
    constraints = _constraints(query) if query else frozenset[tuple[str, str]]()
    return None if constraints is None else Scope(level, kind, letters, constraints)


def _constraints(query: str) -> frozenset[tuple[str, str]] | None:
    """None for what is not understood: another parameter, a modifier, a list of values, one name twice."""
    pairs = [each.partition("=")[::2] for each in query.split("&")]
    names = {name for name, _ in pairs}
    if not names <= CONSTRAINTS or len(names) != len(pairs):
        return None
    values = [_decoded(value) for _, value in pairs]
    return frozenset((name, value) for (name, _), value in zip(pairs, values, strict=True)) if all(values) else None


def _decoded(value: str) -> str:
    """Nothing for a value that is a list, or not well-formed."""
    if not _VALUE(value) or re.search("%(?![0-9A-Fa-f]{2})", value):
        return ""
    try:
        text = unquote_to_bytes(value).decode("utf-8")
    except UnicodeDecodeError:
        return ""
    return text if text.isprintable() and "," not in text and "\\" not in text else ""


def is_need(text: str) -> bool:
    """Is it written as in `[smart]`: a FHIR type, a dot, one letter?"""
    kind, _, letter = text.partition(".")
    return _TYPE(kind) is not None and len(letter) == 1 and letter in LETTERS


def queried(raw_query: bytes) -> frozenset[tuple[str, str]]:
    """The search parameters of a raw query that scopes know, decoded. One that is not plain is left out."""
    pairs = [each.partition("=")[::2] for each in raw_query.decode("latin-1").split("&")]
    return frozenset((name, text) for name, value in pairs if name in CONSTRAINTS and (text := _decoded(value)))


def widens(raw_query: bytes) -> bool:
    """Does any parameter bring in more than the type that is asked for? Names are decoded first, modifiers left out."""
    names = (each.partition(b"=")[0] for each in raw_query.split(b"&"))
    return any(unquote_to_bytes(name).decode("latin-1").partition(":")[0] in WIDENING for name in names)
