"""The horizon: within [now, horizon) time alone never changes an answer; where it is exact, it is the first change."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.compile.program import Program, compile_program
from pdp.language import wire
from pdp.language.core import PolicySet
from pdp.model.decision import FOREVER
from pdp.model.frame import Frame
from pdp.model.value import ABSENT, DAY, HOUR, INT_MAX, MINUTE, SECOND, UNKNOWN
from tests.generators import PAIRS, frames, policy_sets
from tests.unit.compile.support import NOW, compiled, frame, meant, moved, program, row

CHICAGO = "America/Chicago"
ENDS = "2026-03-01T12:00:00Z"

ATOMS = (
    "now < resource.created",
    "now <= resource.created",
    "resource.created > now",
    "resource.created >= now",
    "now == resource.created",
    "resource.created != now",
    "resource.created within 1 hour",
    "resource.created + 30 minutes < now",
    "now - 1 hour <= resource.created",
    "now - resource.created < 15 minutes",
    "resource.created - now >= 2 hours",
    "now between resource.created and resource.created + 2 hours",
    "resource.created between now - 1 hour and now + 1 hour",
    "resource has ends and resource.ends < now",
    "not resource has ends or now < resource.ends",
    "any t in resource.stamps: t within 2 hours",
    "all t in resource.stamps: now < t",
    'hour(now, "America/Chicago") < 7',
    'minute(now, "Asia/Kolkata") == 30',
    'weekday(now, "Australia/Lord_Howe") <= 5',
    'clock_between(now, "19:00", "07:00", "America/Chicago")',
    'clock_between(now + 1 hour, "01:30", "02:30", "America/Chicago")',
    'date_in(now, "Pacific/Apia") == date("2026-03-01")',
    'years_between(date("2008-03-01"), date_in(now, "UTC")) >= 18',
    'if hour(now, "UTC") < 12 then resource.level == 1 else resource.level == 2',
    "resource.level == 1",
)
INSTANTS = [
    *(NOW + offset for offset in (0, 1, -1, HOUR, -HOUR, 2 * HOUR, -2 * HOUR, 15 * MINUTE, -DAY, 30 * MINUTE)),
    wire.instant("2026-03-08T08:00:00Z"),  # Chicago's clocks go forward.
    wire.instant("2026-03-08T07:59:59.999999Z"),
    wire.instant("2026-11-01T06:30:00Z"),  # They go back half an hour later.
    wire.instant("2026-04-04T14:45:00Z"),  # Lord Howe's go back by half an hour.
    wire.instant("2026-03-01T23:59:59.999999Z"),
]


def asked(made: Program, now: int, created: object, stamps: list[int], ends: object, level: object = 1) -> Frame:
    values: dict[str, Any] = {"level": level}
    found = row(made.schema, "Record::r1", **values)
    declared = made.schema.entities["Record"].attributes
    slots = list(found)
    slots[declared["created"].slot] = created
    slots[declared["stamps"].slot] = frozenset(stamps)
    slots[declared["ends"].slot] = ends
    rows = {"Clinician::nina": row(made.schema, "Clinician::nina"), "Record::r1": tuple(slots)}
    return frame(made.schema, "Clinician::nina", "Record::r1", rows, now=now)


@st.composite
def conditions(draw: Any) -> str:
    chosen = draw(st.lists(st.sampled_from(ATOMS), min_size=1, max_size=3))
    joined = f" {draw(st.sampled_from(('and', 'or')))} ".join(f"({each})" for each in chosen)
    return f"not ({joined})" if draw(st.booleans()) else joined


@given(
    st.lists(conditions(), min_size=1, max_size=3),
    st.sampled_from(INSTANTS),
    st.sampled_from([*INSTANTS, None]),
    st.lists(st.sampled_from(INSTANTS), max_size=3),
    st.sampled_from([*INSTANTS, None]),
    st.lists(st.integers(0, 10**6), max_size=6),
)
def test_semantics_25_within_the_horizon_the_interpreter_gives_one_answer(
    written: list[str], now: int, created: object, stamps: list[int], ends: object, parts: list[int]
) -> None:
    made = program(*(f"permit read on Record as r{n} when {each}" for n, each in enumerate(written)))
    # Hypothesis compares what it draws, and states that are no value refuse that.
    states = (UNKNOWN if created is None else created, ABSENT if ends is None else ends)
    given_frame = asked(made, now, states[0], stamps, states[1])
    assert_stable(made, ("read", "Record"), given_frame, parts)


def assert_stable(made: Program, pair: tuple[str, str], given_frame: Frame, parts: list[int]) -> None:
    function = made.function(*pair)
    assert function is not None
    now, until = given_frame.now, function.horizon(given_frame)
    assert until >= now
    if until == now:
        return
    expected = meant(made, *pair, given_frame)
    span = min(until, now + 400 * DAY) - now
    moments = {now + span - 1, now + span // 2, *(now + span * part // 10**6 for part in parts if part < 10**6)}
    moments |= {each for each in INSTANTS if now <= each < until}
    for moment in moments:
        assert meant(made, *pair, moved(given_frame, moment)) == expected, f"{moment - now} of {until - now}"


@given(
    policy_sets(most_rules=4, depth=3),
    st.sampled_from(PAIRS).flatmap(lambda pair: st.tuples(st.just(pair), frames(pair))),
    st.lists(st.integers(0, 10**6), max_size=4),
)
def test_semantics_25_also_for_any_typed_policy(
    policies: PolicySet, question: tuple[tuple[str, str], Frame], parts: list[int]
) -> None:
    assert_stable(compile_program(policies), *question, parts)


def local(text: str, zone: str = CHICAGO) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * SECOND


@pytest.mark.parametrize(
    ("condition", "now", "horizon"),
    [
        ("now < resource.ends", NOW, wire.instant(ENDS)),
        ("now <= resource.ends", NOW, wire.instant(ENDS) + 1),
        ("now < resource.ends", wire.instant(ENDS), FOREVER),
        ("resource.ends <= now", NOW, wire.instant(ENDS)),
        ("resource.ends < now", NOW, wire.instant(ENDS) + 1),
        ("now == resource.ends", NOW, wire.instant(ENDS)),
        ("now == resource.ends", wire.instant(ENDS), wire.instant(ENDS) + 1),
        ("resource.ends within 1 hour", NOW, wire.instant(ENDS)),
        ("resource.ends within 1 hour", wire.instant(ENDS), wire.instant(ENDS) + HOUR),
        ("resource.ends within 1 hour", wire.instant(ENDS) + HOUR, FOREVER),
        ("now + 1 hour < resource.ends", NOW, wire.instant(ENDS) - HOUR),
        ("resource.ends - now < 30 minutes", NOW, wire.instant(ENDS) - 30 * MINUTE + 1),
        ("now between resource.ends and resource.ends + 1 day", NOW, wire.instant(ENDS)),
        ('hour(now, "America/Chicago") < 7', local("2026-03-01T06:30:00"), local("2026-03-01T07:00:00")),
        ('minute(now, "America/Chicago") == 0', local("2026-03-01T06:30:10"), local("2026-03-01T06:31:00")),
        ('weekday(now, "America/Chicago") == 1', local("2026-03-07T06:30:10"), local("2026-03-08T00:00:00")),
        (
            'clock_between(now, "07:00", "19:00", "America/Chicago")',
            local("2026-03-05T06:30:10"),
            local("2026-03-05T07:00:00"),
        ),
        (
            'clock_between(now, "07:00", "19:00", "America/Chicago")',
            local("2026-03-05T07:00:00"),
            local("2026-03-05T19:00:00"),
        ),
        # Before the clock changes the next edge is the change itself, though no hour changes there.
        ('weekday(now, "America/Chicago") == 7', local("2026-03-08T00:30:00"), local("2026-03-08T03:00:00")),
        ("resource.level == 2 and now < resource.ends", NOW, FOREVER),
        ("resource.level == 1 or now < resource.ends", NOW, FOREVER),
        ("if resource.level == 1 then resource.open else now < resource.ends", NOW, FOREVER),
        ("resource.level == 1", NOW, FOREVER),
    ],
)
def test_horizons_that_are_known_exactly(condition: str, now: int, horizon: int) -> None:
    made = program(f"permit read on Record as r when resource has ends and ({condition})")
    assert horizon_of(made, asked(made, now, NOW, [], wire.instant(ENDS))) == horizon


@pytest.mark.parametrize(
    "condition",
    [
        "min(now, resource.created) == resource.created",
        "now in resource.stamps",
        "now < resource.created",  # whose value is not known
    ],
)
def test_semantics_25_without_an_exact_horizon_nothing_is_kept(condition: str) -> None:
    made = program(f"permit read on Record as r when {condition}")
    created = UNKNOWN if condition == "now < resource.created" else NOW - 5
    assert horizon_of(made, asked(made, NOW, created, [], ABSENT)) == NOW


def test_what_a_duty_or_a_release_says_of_now_counts() -> None:
    duty = program('permit read on Record as r require notify(to: "x", about: hour(now, "UTC"))')
    release = program("permit read on Record as r release only /id when now < resource.created")
    created = NOW + MINUTE
    assert horizon_of(duty, asked(duty, NOW, created, [], ABSENT)) == NOW + HOUR
    assert horizon_of(release, asked(release, NOW, created, [], ABSENT)) == created


def test_rules_that_cannot_apply_limit_nothing() -> None:
    made = program(
        "\n".join(
            f"permit read on Record as r{n} when resource.level == {n} and now < resource.created" for n in range(9)
        )
    )
    created = NOW + MINUTE
    assert horizon_of(made, asked(made, NOW, created, [], ABSENT, level=3)) == created
    assert horizon_of(made, asked(made, NOW, created, [], ABSENT, level=77)) == FOREVER


def test_an_overflow_to_come_is_a_change() -> None:
    made = program("permit read on Record as r when now + 1 hour > resource.created")
    now = INT_MAX - 2 * HOUR
    given_frame = asked(made, now, NOW, [], ABSENT)
    assert horizon_of(made, given_frame) == INT_MAX - HOUR + 1
    assert compiled(made, "read", "Record", moved(given_frame, INT_MAX - HOUR))[1] == []
    assert compiled(made, "read", "Record", moved(given_frame, INT_MAX - HOUR + 1))[1] != []


def horizon_of(made: Program, given_frame: Frame) -> int:
    function = made.function("read", "Record")
    assert function is not None
    return function.horizon(given_frame)
