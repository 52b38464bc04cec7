"""Rules about when, from where, for what and by which way: what departs from a plan, a list, or a habit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pdp.audit.asking.deeds import text
from pdp.audit.detect.access import Access, Event, Note
from pdp.audit.detect.hits import Facts, Hit, hit, mark, marked, once, others
from pdp.audit.detect.rules import Rule
from pdp.audit.detect.window import DAY, State

NEAR: Final = 8
"""Among the last shifts of a plan is the one that ends last."""
REVIEWS: Final = frozenset({"btg.review", "case.disposition"})
MONTH: Final = 30 * DAY


def off_shift(rule: Rule, state: State, event: Event, facts: Facts) -> Iterator[Hit]:
    """M9: not on shift, nor on call, within the time that the plan covers."""
    if not isinstance(event, Access) or not event.allowed or not event.patient or not facts.is_staff(event):
        return
    shifts = facts.context.schedule.get(event.who)
    if not shifts:
        facts.unscheduled += 1
        return
    if _there(rule, event, facts):
        return
    if facts.role(event) in rule.names("at_home") and facts.explained(rule, event):
        return
    window = state.window(event.subject)
    if once(window, event, event.patient, rule.window) and len(window.counts) >= facts.limit(rule, event):
        away = any(each.kind == "leave" and each.start <= event.time < each.end for each in shifts)
        points = rule.points + (rule.number("leave_points") if away else 0)
        where = "on leave" if away else "off shift"
        yield hit(event, points, f"{len(window.counts)} patients {where}", window, False)


def _there(rule: Rule, event: Access, facts: Facts) -> bool:
    """On shift, or before the plan begins, or after it ends."""
    shifts, slack = facts.context.schedule[event.who], rule.number("slack")
    if event.time + slack < shifts[0].start or max(each.end for each in shifts[-NEAR:]) + slack <= event.time:
        return True
    return any(facts.context.shifts(event.who, event.time, slack))


def emergency(rule: Rule, state: State, event: Event, facts: Facts) -> Iterator[Hit]:
    """M8: emergencies that nothing explains, more often than others have them, or for one patient again and again."""
    if not isinstance(event, Access) or not _claimed(event, facts) or facts.explained(rule, event):
        return
    role = facts.role(event)
    window = state.window(role, event.subject)
    if not once(window, event, f"{event.patient}\x1f{event.time // DAY}", rule.window):
        return
    same = sum(value.startswith(f"{event.patient}\x1f") for value in window.counts)
    if same >= rule.number("same"):
        yield hit(event, rule.points, f"an emergency of one patient, on {same} days", window)
    elif len(window.counts) >= facts.limit(rule, event):
        peers = others(state, role, event.subject, facts.population[role])
        if len(window.counts) >= peers * rule.number("peers"):
            because = f"{len(window.counts)} emergencies that nothing explains, where others have {peers:.1f}"
            yield hit(event, rule.points, because, window, False)


def needless(rule: Rule, state: State, event: Event, facts: Facts) -> Iterator[Hit]:
    """M8: an emergency where the ordinary way was open."""
    if not isinstance(event, Access) or not _claimed(event, facts) or event.explained not in rule.names("templates"):
        return
    window = state.window(event.subject)
    new = once(window, event, f"{event.patient}\x1f{event.time // DAY}", rule.window)
    if new and len(window.counts) >= facts.limit(rule, event):
        because = f"{len(window.counts)} emergencies of patients whom this person treats anyhow"
        yield hit(event, rule.points, because, window, False)


def unreviewed(rule: Rule, state: State, event: Event, facts: Facts) -> Iterator[Hit]:
    """M8: emergencies that nobody looked at in time, as the file of reviews and the log say."""
    if isinstance(event, Note):
        if event.kind in REVIEWS:
            _reviewed(state, event)
    elif _claimed(event, facts):
        key = f"due\x1f{event.subject}\x1f{event.patient}\x1f{event.time // DAY}"
        if key not in state.marks:
            state.mark(key, [event.time, *event.place, event.type, event.who, event.patient])
    while state.marks:
        key, (time, index, name, kind, who, patient) = next(iter(state.marks.items()))
        if time + rule.window > facts.newest:
            return
        del state.marks[key]
        looked = any(at >= time for at in facts.context.reviews.get((who, patient), ()))
        if not looked:
            window = state.window(kind, who)
            window.add(time, key, type(event.place)(index, name), MONTH)
            if len(window) >= rule.limit(facts.context.person(who).role, kind):
                because = f"{len(window)} emergency accesses that nobody has looked at in time"
                yield Hit(kind, who, "", rule.points, because, tuple(window.places()[-20:]))


def _reviewed(state: State, note: Note) -> None:
    kind = text(note.said, "sub", "type")
    who = text(note.said, "sub", "id") or text(note.detail, "sub", "id")
    patient = text(note.detail, "patient", "id")
    prefix = f"due\x1f{kind}:{who}\x1f{patient}\x1f" if patient else f"due\x1f{kind}:{who}\x1f"
    for key in [each for each in state.marks if each.startswith(prefix)]:
        del state.marks[key]


def _claimed(event: Access, facts: Facts) -> bool:
    return event.allowed and bool(event.patient) and event.purpose in facts.rules.emergency and facts.is_staff(event)


def places(rule: Rule, state: State, event: Event, facts: Facts) -> Iterator[Hit]:
    """M15: back and forth between two clients, the quicker told where those stand in different units."""
    if not isinstance(event, Access) or not event.client or not facts.is_staff(event):
        return
    _learned(state, event, facts)
    window = state.window(event.subject)
    value = f"{event.client}\x1f{event.issuer}"
    if window.items and window.items[-1][1] == value:  # Still the same: only its time is newer.
        window.items[-1] = (max(event.time, window.items[-1][0]), value, window.items[-1][2])
        window.newest = max(window.newest, event.time)
        return
    window.add(event.time, value, event.place, rule.window)
    returns = len(window) - len(window.counts)
    apart = len({unit for each in window.counts if (unit := _unit_of(rule, state, each))}) > 1
    issuers = len({each.partition("\x1f")[2] for each in window.counts} - {""}) > 1
    if returns >= rule.number("apart") and (apart or issuers):
        because = "the same account by two issuers at once" if issuers else "the same account in two units at once"
        yield hit(event, rule.number("apart_points"), because, window, False)
    elif returns >= facts.limit(rule, event):
        yield hit(event, rule.points, f"back and forth between {len(window.counts)} clients", window, False)


def _learned(state: State, event: Access, facts: Facts) -> None:
    """Of whose unit a client is: of theirs who use it."""
    unit = facts.context.person(event.who).unit
    known = marked(state, "client", event.client)
    if known is None:
        mark(state, [event.time, {unit: 1}], "client", event.client)
    else:
        known[0] = max(known[0], event.time)
        known[1][unit] = known[1].get(unit, 0) + 1


def _unit_of(rule: Rule, state: State, value: str) -> str:
    known = marked(state, "client", value.partition("\x1f")[0])
    if known is None:
        return ""
    unit, most = max(known[1].items(), key=lambda each: (each[1], each[0]))
    total = sum(known[1].values())
    return str(unit) if total >= rule.number("learn") and most * 10 >= total * 6 else ""


def edges(rule: Rule, state: State, event: Event, facts: Facts) -> Iterator[Hit]:
    """M16: a call that is not in the inventory, or, where there is none, that was never made before."""
    if not isinstance(event, Access) or event.type not in facts.rules.services or not event.who:
        return
    inventory = facts.context.services
    if inventory:
        rows = inventory.get(event.who)
        edge = (event.client, event.action, event.resource_type)
        if rows is None:
            yield hit(event, rule.points, "a program that is not in the inventory", None, False)
        elif not any(all(said in ("*", is_) for said, is_ in zip(row, edge, strict=True)) for row in rows):
            yield hit(event, rule.points, "a call that is not in the inventory", None, False)
        return
    key = (event.who, event.client, event.action, event.resource_type)
    known = marked(state, *key)
    mark(state, [event.time], *key)
    if known is None and event.time > facts.started + rule.number("learn"):
        yield hit(event, rule.points, "a call that this program never made before", None, False)


def purpose(rule: Rule, state: State, event: Event, facts: Facts) -> Iterator[Hit]:
    """M17: a purpose that the role does not work for."""
    if not isinstance(event, Access) or not event.allowed or not event.purpose or not facts.is_staff(event):
        return
    if not _unusual(rule, state, event, facts.role(event)) or facts.explained(rule, event):
        return
    window = state.window(event.subject)
    window.add(event.time, event.purpose, event.place, rule.window)
    if len(window) >= facts.limit(rule, event):
        because = f"{len(window)} accesses for {', '.join(sorted(window.counts))}, which the role does not work for"
        yield hit(event, rule.points, because, window, False)


def _unusual(rule: Rule, state: State, event: Access, role: str) -> bool:
    if event.purpose in rule.names("never"):
        return True
    usual = rule.options["usual"].get(role)
    if usual is not None:
        return event.purpose not in usual
    known = marked(state, "role", role)
    if known is None:
        known = [event.time, 0, {}]
        mark(state, known, "role", role)
    known[0], known[1] = max(known[0], event.time), known[1] + 1
    known[2][event.purpose] = known[2].get(event.purpose, 0) + 1
    return bool(known[1] > rule.number("learn") and known[2][event.purpose] * 1_000 < rule.number("share") * known[1])


def change(rule: Rule, state: State, event: Event, facts: Facts) -> Iterator[Hit]:
    """M19: after a policy went live, somebody does what that person never did, and hardly anybody else does now."""
    if isinstance(event, Note):
        if event.kind == "policy.activate":
            mark(state, [event.time, text(event.said, "by")], "live")
        return
    if not event.allowed or not facts.is_staff(event):
        return
    first = marked(state, "since", event.subject)
    edge = marked(state, "does", event.subject, event.action, event.resource_type)
    mark(state, [event.time, event.time if first is None else first[1]], "since", event.subject)
    mark(
        state,
        [event.time, event.time if edge is None else edge[1]],
        "does",
        event.subject,
        event.action,
        event.resource_type,
    )
    live = marked(state, "live")
    if live is None or not 0 <= event.time - live[0] <= rule.window or first is None:
        return
    habit = first[1] + rule.number("learn") > event.time or (edge is not None and edge[1] < live[0])
    by_own_hand = bool(live[1]) and live[1] == event.who
    if (habit and not by_own_hand) or facts.explained(rule, event):
        return
    crowd = state.window("crowd", event.action, event.resource_type)
    once(crowd, event, event.subject, rule.window)
    window = state.window("after", event.subject)
    if once(window, event, event.patient or event.resource, rule.window):
        meant = len(crowd.counts) >= rule.number("many") and not by_own_hand
        if len(window.counts) >= facts.limit(rule, event) and not meant:
            points = rule.points + (rule.number("own_points") if by_own_hand else 0)
            yield hit(event, points, "what a change of policy has just made possible", window, False)
