"""What an expression is shown as parses, checks, and means the same; values look as they are written."""

from __future__ import annotations

import pytest

from pdp.analyze import words
from pdp.language.types import (
    DATE,
    DECIMAL,
    DURATION,
    INSTANT,
    IP,
    TEXT,
    ListType,
    RecordField,
    RecordType,
    SetType,
)
from pdp.model.value import ABSENT, DAY, UNKNOWN, Ip

from .clinic import policy_set, rule

SCHEMA = policy_set('permit read on Record as r "R"').schema


@pytest.mark.parametrize(
    "text",
    [
        "subject.level == 2 and resource.level == 3 and subject.role == Role.nurse",
        "(subject.level == 2 or resource.level == 3) and subject.role in Role.clinician",
        "not (subject.level == 2 and resource.level == 3)",
        "not subject.level == 2 or resource has author and resource.author == subject",
        "subject.level - (1 - resource.level) > 3",
        "subject.level - 1 - resource.level > 3",
        "(subject.level + 1) * 2 == -(3 - subject.level)",
        "subject.level between 1 and 1 + 4",
        "any f in subject.friends: f.level == 1 or all g in f.friends: g == f",
        "(any f in subject.friends: f.level == 1) or subject.level == 2",
        "if resource.patient.vip then subject.level == 2 else (if subject.level == 1 then true else false)",
        "(if resource.patient.vip then subject.level else 3) == 2",
        'id(subject) like "n*a\\\\*" and id(subject) matches "[a-z]+"',
        'subject in User "nina" and resource is Record and resource in Ward "w"',
        "size(union({1, 2}, {subject.level})) == 3 and subject.level in [1, 2, 3]",
        'now - instant("2026-01-01T00:00:00Z") > 15 minutes and instant("2026-03-01T09:00:00.5Z") within 2 weeks',
        'context has ip and context.ip in ip("10.0.0.0/8")',
        'date_in(now, "America/Chicago") >= add_days(date("2026-01-31"), 3)',
        'clock_between(now, "19:00", "07:00", "Europe/Berlin") and weekday(now, "UTC") <= 5',
        "1.25 + 2.0 > 3.0001 and {Role.nurse, Role.clerk} overlaps {Role.clinician}",
        'text(subject.level) == "\\u{7}\\n\\"" or length("é") == 1',
    ],
)
def test_what_is_shown_means_the_same(text: str) -> None:
    once = rule(f'permit read on Record as r "R" when {text}')
    shown = words.expression(once.condition, SCHEMA)
    again = rule(f'permit read on Record as r "R" when {shown}')
    assert once.condition == again.condition, shown
    assert words.expression(again.condition, SCHEMA) == shown


@pytest.mark.parametrize(
    ("value", "type_", "shown"),
    [
        (ABSENT, TEXT, "absent"),
        (UNKNOWN, TEXT, "unknown"),
        ('a"\x1b[2J\n', TEXT, '"a\\"\\u{1B}[2J\\n"'),
        (-12_5000, DECIMAL, "-12.5"),
        (5, DECIMAL, "0.0005"),
        (0, INSTANT, 'instant("1970-01-01T00:00:00Z")'),
        (2**62, INSTANT, f'instant("{2**62} microseconds since 1970")'),
        (-1, DATE, 'date("1969-12-31")'),
        (10**9, DATE, 'date("1000000000 days since 1970")'),
        (0, DURATION, "0 milliseconds"),
        (14 * DAY, DURATION, "2 weeks"),
        (1_500_000, DURATION, "1500 milliseconds"),
        (1, DURATION, "1 microsecond"),
        (Ip(4, 0x0A000000, 8), IP, 'ip("10.0.0.0/8")'),
        (Ip(6, 1, 128), IP, 'ip("::1")'),
        (frozenset({"b", "a"}), SetType(TEXT), '{"a", "b"}'),
        (tuple(range(25)), ListType(DATE), None),
        (
            (0, ABSENT),
            RecordType((RecordField("x", DATE), RecordField("y", TEXT, True))),
            '{ x: date("1970-01-01"), y: absent }',
        ),
    ],
)
def test_values_as_they_are_written(value: object, type_: object, shown: str | None) -> None:
    text = words.value(value, type_, SCHEMA)  # type: ignore[arg-type]
    assert text.isprintable()
    if shown is None:
        assert text.endswith("and 5 more]")
    else:
        assert text == shown
