"""Rules that count: denials, ids tried, patients in a day, what nothing explains."""

from __future__ import annotations

import re
from collections.abc import Iterator
from statistics import median
from typing import Final

from pdp.audit.detect.access import Access, Event
from pdp.audit.detect.hits import Facts, Hit, hit, last, once, others, usual
from pdp.audit.detect.rules import Rule
from pdp.audit.detect.window import DAY, State, Window

MOST: Final = 200
"""Refusals alike that one record stands for, as they are counted here."""
_NUMBERED: Final = re.compile(r"(.*?)([0-9]{1,15})", re.DOTALL)


def denials(rule: Rule, state: State, event: Event, facts: Facts) -> Iterator[Hit]:
    """M1: too many denials, of one subject, from one client, or about one patient; and the success after them."""
    if not isinstance(event, Access):
        return
    value = event.patient or f"{event.resource_type}:{event.resource}"
    if event.allowed:
        known = state.windows.get(f"subject\x1f{event.subject}")
        recent = known is not None and known.newest > event.time - rule.window
        if known is not None and recent and len(known) >= facts.limit(rule, event) and value in known.counts:
            yield hit(event, rule.number("success_points"), "allowed in the end, after many denials")
        return
    if event.reason in facts.rules.ours:
        return
    if event.who:
        window = _added(state, rule, event, value, "subject", event.subject)
        if len(window) >= facts.limit(rule, event):
            yield hit(event, rule.points, f"{facts.limit(rule, event)} denials or more in a short time", window, False)
    if event.client and event.type not in facts.rules.services:
        window = _added(state, rule, event, event.subject, "client", event.client)
        if len(window) >= rule.number("by_client"):
            yield Hit("client", event.client, "", rule.points, "many denials from one client", tuple(last(window)))
    if event.patient and event.type not in facts.rules.services:
        window = _added(state, rule, event, event.subject, "patient", event.patient)
        if len(window) >= rule.number("by_patient") and len(window.counts) >= rule.number("patient_subjects"):
            because = "several people were denied one patient again and again"
            yield Hit("Patient", event.patient, event.patient, rule.points, because, tuple(last(window)))


def _added(state: State, rule: Rule, event: Access, value: str, *key: str) -> Window:
    window = state.window(*key)
    for _ in range(min(event.count, MOST)):
        window.add(event.time, value, event.place, rule.window)
    return window


def probing(rule: Rule, state: State, event: Event, facts: Facts) -> Iterator[Hit]:
    """M2: many different things denied, or ids tried one after the other."""
    if not isinstance(event, Access) or not event.who:
        return
    if not event.allowed and event.reason not in facts.rules.ours:
        window = state.window("denied", event.subject)
        value = event.patient or f"{event.resource_type}:{event.resource}"
        if once(window, event, value, rule.window) and len(window.counts) >= facts.limit(rule, event):
            yield hit(event, rule.points, "many different patients or things were tried and denied", window, False)
    if event.type in facts.rules.services or event.explained or event.hidden:
        return
    numbered = _NUMBERED.fullmatch(event.patient or event.resource)
    if numbered is None:
        return
    window = state.window("ids", event.subject)
    prefix = numbered[1] if event.patient else f"{event.resource_type}:{numbered[1]}"
    if once(window, event, f"{prefix}\x1f{int(numbered[2])}", rule.window):
        length = _run(window, prefix, int(numbered[2]), rule.number("step"), rule.number("run"))
        if length >= rule.number("run"):
            yield hit(event, rule.number("run_points"), "ids were tried one after the other", window, False)


def _run(window: Window, prefix: str, number: int, step: int, enough: int) -> int:
    """How many ids stand in a row with this one, `step` apart at most. Stops counting at `enough`."""
    length = 1
    for direction in (1, -1):
        at = number
        while length < enough:
            steps = (at + direction * each for each in range(1, step + 1))
            found = next((each for each in steps if f"{prefix}\x1f{each}" in window.counts), None)
            if found is None:
                break
            length, at = length + 1, found
    return length


def bulk(rule: Rule, state: State, event: Event, facts: Facts) -> Iterator[Hit]:
    """M10: far more different patients in a day than this person's own days, and than the days of the role."""
    if not isinstance(event, Access) or not event.allowed or not event.patient or not facts.is_staff(event):
        return
    role = facts.role(event)
    days = state.daily(role, event.subject)
    if not days.add(event.time, event.patient, event.place, rule.window // DAY):
        return
    today = len(days.today)
    if today < facts.limit(rule, event):
        return
    past = days.counts()
    own = median(past) if len(past) >= rule.number("days") else 0.0
    peers = usual(state, role, event.subject, days.day)
    far = today >= own * rule.number("own") and today >= peers * rule.number("peers")
    if far if own or peers else today >= 2 * facts.limit(rule, event):
        because = f"{today} patients in a day, where {own:g} are usual for this person and {peers:g} for the role"
        if not own and not peers:
            because = f"{today} patients in a day, and nothing is known yet of what is usual"
        yield Hit(event.type, event.who, "", rule.points, because, tuple(list(days.today.values())[-20:]))


def searches(rule: Rule, state: State, event: Event, facts: Facts) -> Iterator[Hit]:
    """M10: pages of searches, and how many they named."""
    if not isinstance(event, Access) or not event.named or event.type in facts.rules.services or not event.who:
        return
    window = state.window(event.subject)
    window.add(event.time, str(len(event.named)), event.place, rule.window)
    named = sum(int(size) * times for size, times in window.counts.items())
    if named >= facts.limit(rule, event) or (event.more and len(window) >= rule.number("pages")):
        yield hit(event, rule.points, f"{len(window)} pages of searches named {named} in a short time", window, False)


def exports(rule: Rule, state: State, event: Event, facts: Facts) -> Iterator[Hit]:
    """M10: what takes everything at once."""
    if not isinstance(event, Access) or not event.allowed or not facts.is_staff(event):
        return
    if event.action not in rule.names("actions"):
        return
    window = state.window(event.subject)
    window.add(event.time, event.action, event.place, rule.window)
    if len(window) >= facts.limit(rule, event):
        yield hit(event, rule.points, f"{len(window)} exports within the window", window, False)


def unexplained(rule: Rule, state: State, event: Event, facts: Facts) -> Iterator[Hit]:
    """M11: several patients for whom nothing says why."""
    if not isinstance(event, Access) or not nothing(rule, event, facts):
        return
    window = state.window(event.subject)
    if once(window, event, event.patient, rule.window) and len(window.counts) >= facts.limit(rule, event):
        because = f"{len(window.counts)} patients for whom nothing explains it"
        yield hit(event, rule.points, because, window, False)


def serial(rule: Rule, state: State, event: Event, facts: Facts) -> Iterator[Hit]:
    """M21: what M11 sees, too thin for any day, over weeks."""
    if not isinstance(event, Access) or not nothing(rule, event, facts):
        return
    role = facts.role(event)
    window = state.window(role, event.subject)
    if not once(window, event, event.patient, rule.window) or len(window.counts) < facts.limit(rule, event):
        return
    days = len({time // DAY for time, _, _ in window.items})
    peers = others(state, role, event.subject, facts.population[role])
    if days >= rule.number("days") and len(window.counts) >= peers * rule.number("peers"):
        because = f"{len(window.counts)} patients on {days} days for whom nothing explains it; others have {peers:.1f}"
        yield hit(event, rule.points, because, window, False)


def nothing(rule: Rule, event: Access, facts: Facts) -> bool:
    """Is it an access by somebody of the staff to a patient that was judged, and that nothing explains?"""
    if not event.allowed or not event.patient or not event.judged or not facts.is_staff(event):
        return False
    return not facts.explained(rule, event)
