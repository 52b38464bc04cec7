"""Why somebody may have looked: templates over the facts of care (Fabbri and LeFevre, VLDB 2011). The first that holds
explains the access. Each is one join, described in the rules file:

    facts   appointments, orders, encounters, claims; or care-team, location, studies, relation, own, role
    whom    staff      the fact names this person
            unit       the fact names a unit where this person works then, or a part of one
            colleague  the fact names somebody of a unit where this person works
            any        the fact names the patient; needs `roles`
    before, after      how long before its start, and after its end, the fact still explains
    kinds, roles, types   only facts of these kinds, only these roles of the staff, only these types of subjects
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pdp.audit.detect.access import Access
from pdp.audit.detect.context import STAFF, TABLES, Context
from pdp.audit.detect.tables import EVER, Span

FACTS: Final = (*TABLES, "care-team", "location", "studies", "relation", "own", "role")
WHOM: Final = ("staff", "unit", "colleague", "any")


@dataclass(frozen=True, slots=True)
class Template:
    id: str
    title: str
    facts: str
    whom: str = "staff"
    before: int = 0
    after: int = 0
    kinds: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset({STAFF})

    @property
    def needs(self) -> str:
        """The file without which it never holds."""
        return self.facts if self.facts in TABLES else "entities"


def explanation(access: Access, templates: tuple[Template, ...], context: Context) -> str:
    """The id of the first template that holds; "": none does."""
    role = context.person(access.who).role if access.type == STAFF else ""
    units: set[str] | None = None
    for each in templates:
        if access.type not in each.types or (each.roles and role not in each.roles):
            continue
        if units is None and access.type == STAFF:
            units = context.units_of(access.who, access.time)
        if _holds(each, access, context, units or set()):
            return each.id
    return ""


def _holds(template: Template, access: Access, context: Context, units: set[str]) -> bool:
    table = context.care.get(template.facts)
    if table is None:
        return _PLAIN[template.facts](access, context, units)
    time, same = access.time, _SAME[template.whom]
    for span in table.get(access.patient, ()):
        if span.start - template.before > time:
            return False  # They are sorted: whatever follows begins later.
        if span.end != EVER and span.end + template.after <= time:
            continue
        if template.kinds and span.kind not in template.kinds:
            continue
        if same(span, access, context, units):
            return True
    return False


def _staff(span: Span, access: Access, _context: Context, _units: set[str]) -> bool:
    return bool(span.staff) and span.staff == access.who


def _unit(span: Span, _access: Access, context: Context, units: set[str]) -> bool:
    return context.within(span.unit, units)


def _colleague(span: Span, access: Access, context: Context, units: set[str]) -> bool:
    if not span.staff or span.staff == access.who:
        return False
    return context.within(context.person(span.staff).unit, units)


def _any(_span: Span, _access: Access, _context: Context, _units: set[str]) -> bool:
    return True


_SAME: Final[dict[str, Callable[[Span, Access, Context, set[str]], bool]]] = {
    "staff": _staff,
    "unit": _unit,
    "colleague": _colleague,
    "any": _any,
}


def _team(access: Access, context: Context, _units: set[str]) -> bool:
    return access.who in context.patient(access.patient).team


def _location(access: Access, context: Context, units: set[str]) -> bool:
    return context.within(context.patient(access.patient).location, units)


def _studies(access: Access, context: Context, _units: set[str]) -> bool:
    return not context.person(access.who).studies.isdisjoint(context.patient(access.patient).studies)


def _relation(access: Access, context: Context, _units: set[str]) -> bool:
    return access.patient in context.members.get(access.who, ("", frozenset()))[1]


def _own(access: Access, context: Context, _units: set[str]) -> bool:
    return context.members.get(access.who, ("", frozenset()))[0] == access.patient


def _role(_access: Access, _context: Context, _units: set[str]) -> bool:
    return True  # It was the template's `roles` that were asked for.


_PLAIN: Final[dict[str, Callable[[Access, Context, set[str]], bool]]] = {
    "care-team": _team,
    "location": _location,
    "studies": _studies,
    "relation": _relation,
    "own": _own,
    "role": _role,
}
