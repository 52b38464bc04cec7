"""Rules about who the patient is to the one who looks, and what is looked at."""

from __future__ import annotations

from collections.abc import Iterator

from pdp.audit.detect.access import Access, Event
from pdp.audit.detect.context import PATIENT, STAFF
from pdp.audit.detect.hits import Facts, Hit, hit, last, once
from pdp.audit.detect.rules import Rule
from pdp.audit.detect.window import State


def protected(rule: Rule, state: State, event: Event, facts: Facts) -> Iterator[Hit]:
    """M3: somebody protected, also where it was denied; and many who look at one."""
    if not isinstance(event, Access) or not _view(event, facts, denied=True):
        return
    if not facts.context.patient(event.patient).vip or facts.explained(rule, event):
        return
    if event.allowed:
        yield hit(event, rule.points, "a protected person")
    else:
        yield hit(event, rule.number("denied_points"), "a protected person, denied")
    window = state.window(event.patient)
    if once(window, event, event.subject, rule.window) and len(window.counts) >= rule.number("viewers"):
        because = f"{len(window.counts)} people looked at one protected person"
        yield Hit(PATIENT, event.patient, event.patient, rule.number("viewers_points"), because, tuple(last(window)))


def own(rule: Rule, _state: State, event: Event, facts: Facts) -> Iterator[Hit]:
    """M5: the own chart, past the portal."""
    if not isinstance(event, Access) or not _view(event, facts):
        return
    if facts.context.employees.get(event.who) == event.patient and not facts.explained(rule, event):
        yield hit(event, rule.points, "the own chart")


def coworker(rule: Rule, _state: State, event: Event, facts: Facts) -> Iterator[Hit]:
    """M4: a colleague of the same unit."""
    if not isinstance(event, Access) or not _view(event, facts):
        return
    other = facts.context.charts.get(event.patient)
    if other is None or other == event.who:
        return
    unit = facts.context.person(event.who).unit
    if unit and facts.context.person(other).unit == unit and not facts.explained(rule, event):
        yield hit(event, rule.points, "somebody who works in the same unit")


def kin(rule: Rule, _state: State, event: Event, facts: Facts) -> Iterator[Hit]:
    """M6: who lives or is called alike."""
    if not isinstance(event, Access) or not _view(event, facts):
        return
    people = facts.context.people
    one, other = people.get((STAFF, event.who)), people.get((PATIENT, event.patient))
    if one is None or other is None or facts.context.employees.get(event.who) == event.patient:
        return
    if one.household and one.household == other.household:
        points, because = rule.points, "somebody of the same household"
    elif one.address and one.address == other.address:
        points, because = rule.points, "somebody at the same address"
    elif other.address in one.near or one.address in other.near:
        points, because = rule.number("near_points"), "somebody who lives next door"
    elif one.surname and one.surname == other.surname and _rare(rule, one.surname, facts):
        points, because = rule.number("surname_points"), "somebody of the same rare surname"
    else:
        return
    if not facts.explained(rule, event):
        yield hit(event, points, because)


def _rare(rule: Rule, surname: str, facts: Facts) -> bool:
    return facts.context.bearers.get(surname, 0) <= rule.number("bearers")


def relative(rule: Rule, _state: State, event: Event, facts: Facts) -> Iterator[Hit]:
    """M7: whom this person represents, or vouches for, as a patient."""
    if not isinstance(event, Access) or not _view(event, facts):
        return
    chart = facts.context.employees.get(event.who, "")
    if event.patient in facts.context.relations.get(chart, ()) and not facts.explained(rule, event):
        yield hit(event, rule.points, "a relative, as representation or guarantee say")


def gone(rule: Rule, _state: State, event: Event, facts: Facts) -> Iterator[Hit]:
    """M12: the dead, and those who left long ago."""
    if not isinstance(event, Access) or not _view(event, facts):
        return
    known = facts.context.patient(event.patient)
    if known.deceased and event.time > known.deceased + rule.number("deceased"):
        because = "a patient who died long before"
    elif known.discharged and event.time > known.discharged + rule.number("discharged"):
        because = "a patient who was discharged long before"
    else:
        return
    if not facts.explained(rule, event):
        yield hit(event, rule.points, because)


def sensitive(rule: Rule, _state: State, event: Event, facts: Facts) -> Iterator[Hit]:
    """M13: what is marked as sensitive, where it is not everyday work."""
    if not isinstance(event, Access) or not _view(event, facts):
        return
    _, labels = facts.context.things.get((event.resource_type, event.resource), ("", frozenset()))
    if not labels:
        return
    units = facts.context.units_of(event.who, event.time)
    outside = sorted(
        label
        for label, at_home in rule.options["labels"].items()
        if label in labels and not any(facts.context.within(each, set(at_home)) for each in units)
    )
    if outside and not facts.explained(rule, event):
        yield hit(event, rule.points, f"marked {', '.join(outside)}, outside the speciality")


def left(rule: Rule, _state: State, event: Event, facts: Facts) -> Iterator[Hit]:
    """M14: who has left, also where it was denied; who does something else now, where nothing explains it."""
    if not isinstance(event, Access) or not facts.is_staff(event) or event.reason in facts.rules.ours:
        return
    at, kind = facts.context.terminations.get(event.who, (0, ""))
    if not at or event.time <= at + rule.number("grace"):
        return
    if kind == "role-changed":
        if event.allowed and event.judged and not event.explained and event.time <= at + rule.number("changed"):
            yield hit(event, rule.number("changed_points"), "after a change of role, and nothing explains it")
    elif event.allowed:
        yield hit(event, rule.points, "by somebody who has left")
    else:
        yield hit(event, rule.number("denied_points"), "tried by somebody who has left, and denied")


def override(rule: Rule, _state: State, event: Event, facts: Facts) -> Iterator[Hit]:
    """M18: whom a patient keeps away, by way of an emergency; rules that override."""
    if not isinstance(event, Access) or not event.allowed or not event.who:
        return
    if facts.is_staff(event) and event.who in facts.context.patient(event.patient).excludes:
        yield hit(event, rule.points, "somebody whom the patient keeps away")
    elif not set(event.rules).isdisjoint(rule.names("overriding")) and not facts.explained(rule, event):
        yield hit(event, rule.points, "permitted by a rule that overrides a consent or a restriction")


def _view(event: Access, facts: Facts, denied: bool = False) -> bool:
    """Somebody of the staff saw something of a patient (or tried to)."""
    if not event.patient or not facts.is_staff(event):
        return False
    return event.allowed or (denied and event.reason not in facts.rules.ours)
