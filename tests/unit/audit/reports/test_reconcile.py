"""What was served was allowed, and what was allowed was seen: each way past that is a finding of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pdp.audit.asking.period import Period, period
from pdp.audit.leaf import instant, leaves
from pdp.audit.record import stamp
from pdp.audit.reports import accesslog
from pdp.audit.reports.accesslog import Line, Unreadable, lines
from pdp.audit.reports.reconcile import Mismatch, Reconciliation
from tests.unit.audit.hosts import Writer, sealed

START = instant("2026-03-04T08:00:00Z")
SECOND = 1_000_000
NOW = START + 3_600 * SECOND


class Host:
    """Decisions, and the lines of a proxy that has seen all of them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.writer = Writer(directory)
        self.lines: list[dict[str, Any]] = []

    def decided(self, effect: str = "allow", pep: str = "envoy", after: int = 0, seal: bool = True) -> dict[str, Any]:
        at = START + (len(self.lines) + after) * SECOND
        more = {"ts": stamp(at), "pep": pep, "dec": {"effect": effect}}
        self.writer.write(1, "," + json.dumps(more)[1:-1])
        if seal:
            sealed(self.directory)
        *_, leaf = leaves(self.directory)
        denied = effect == "deny"
        said = {
            "time": stamp(at),
            "status": 403 if denied else 200,
            "details": "ext_authz_denied" if denied else "via_upstream",
            "decision": leaf.id,
            "receipt": leaf.receipt,
        }
        self.lines.append(said)
        return said

    def found(self, said: list[Any] | None = None, **more: Any) -> list[Mismatch]:
        data = [json.dumps(each).encode() for each in (self.lines if said is None else said)]
        asked: dict[str, Any] = {"now": NOW, "period": Period(START, START + 600 * SECOND), "peps": ["envoy"]} | more
        self.done = Reconciliation(self.directory, **asked)
        self.done.read(lines(data, accesslog.envoy))
        self.done.compare()
        return list(self.done.findings())


@pytest.fixture
def host(tmp_path: Path) -> Host:
    made = Host(tmp_path)
    for number in range(6):
        made.decided("deny" if number == 3 else "allow")
    return made


def kinds(found: list[Mismatch]) -> list[tuple[str, int]]:
    return [(each.kind, each.line) for each in found]


def test_where_all_fits_nothing_is_found(host: Host) -> None:
    assert host.found() == []
    result = host.done.result
    assert (result.lines, result.passed, result.matched, result.records, result.peps) == (6, 5, 5, 6, ("envoy",))


def test_without_names_the_enforcement_points_are_those_that_the_lines_name(host: Host) -> None:
    host.decided(pep="another")
    host.lines.pop()
    assert host.found(peps=[]) == []
    assert host.done.result.peps == ("envoy",)


@pytest.mark.parametrize("status", [200, 302, 404, 500])
def test_a_request_that_went_around_the_check_is_found(host: Host, status: int) -> None:
    around = {"time": stamp(START + 9), "status": status, "details": "via_upstream", "decision": None, "receipt": None}
    assert kinds(host.found([*host.lines, around])) == [("no-decision", 7)]


def test_a_line_without_details_passed_by_its_status(host: Host) -> None:
    bare = {"time": stamp(START + 9), "decision": "-", "receipt": "-"}
    said = [*host.lines, bare | {"status": 204}, bare | {"status": 403}, bare | {"status": 304}]
    assert kinds(host.found(said)) == [("no-decision", 7), ("no-decision", 9)]


def test_a_line_that_says_it_was_authorised_passed(host: Host) -> None:
    said = {"time": stamp(START + 9), "status": 500, "effect": "allow"}
    assert kinds(host.found([*host.lines, said])) == [("no-decision", 7)]


def test_a_decision_that_nobody_made_is_found(host: Host) -> None:
    made_up = host.lines[0] | {"decision": "0123456789abcdef"}
    assert kinds(host.found([*host.lines, made_up])) == [("receipt-unmatched", 7)]


def test_a_receipt_of_another_record_is_found(host: Host) -> None:
    said = [host.lines[0] | {"receipt": host.lines[1]["receipt"]}, *host.lines[1:]]
    assert kinds(host.found(said)) == [("receipt-unmatched", 1)]


def test_a_line_without_a_receipt_is_found_unless_ids_are_enough(host: Host) -> None:
    said = [host.lines[0] | {"receipt": ""}, *host.lines[1:]]
    assert kinds(host.found(said)) == [("receipt-unmatched", 1)]
    assert host.found(said, receipts=False) == []


def test_a_record_that_was_not_sealed_in_time_is_found(host: Host) -> None:
    host.decided(seal=False)
    assert host.found(now=START + 60 * SECOND) == []
    found = host.found(now=START + 300 * SECOND)
    assert (kinds(found), found[0].why) == (
        [("receipt-unmatched", 7)],
        "its record was not sealed within 60 seconds",
    )


def test_what_was_denied_and_served_is_found(host: Host) -> None:
    denied = host.lines[3]
    for served in ({"status": 200, "details": "via_upstream"}, {"status": 404, "details": "via_upstream"}):
        said = [*host.lines[:3], denied | served, *host.lines[4:]]
        assert kinds(host.found(said)) == [("denied-but-served", 4)]
    redirected = denied | {"status": 302, "details": "-"}  # To a login page, by the check itself.
    assert host.found([*host.lines[:3], redirected, *host.lines[4:]]) == []


def test_what_was_allowed_and_never_seen_is_found(host: Host) -> None:
    found = host.found([*host.lines[:2], *host.lines[3:]])
    assert [(each.kind, each.line, each.decision, each.index) for each in found] == [
        ("allowed-but-not-seen", 0, host.lines[2]["decision"], 2)
    ]
    assert host.found([*host.lines[:3], *host.lines[4:]]) == []  # A deny needs no line.


def test_one_decision_for_two_requests_is_found(host: Host) -> None:
    said = [*host.lines, host.lines[1]]
    assert kinds(host.found(said)) == [("duplicate", 7)]


def test_an_old_decision_does_not_stand_for_a_request_of_today(host: Host) -> None:
    late = host.lines[0] | {"time": stamp(START + 2 * 86_400 * SECOND)}
    period = Period(START + 86_400 * SECOND, START + 3 * 86_400 * SECOND)
    found = host.found([late], period=period, now=START + 9 * 86_400 * SECOND)
    assert [(each.kind, each.why) for each in found] == [("receipt-unmatched", "the record is of another time")]


def test_a_line_of_a_long_answer_is_written_late(host: Host) -> None:
    late = host.lines[0] | {"time": stamp(START + 599 * SECOND)}
    assert host.found([late, *host.lines[1:]]) == []


def test_only_the_period_is_spoken_of(host: Host) -> None:
    outside = {"time": stamp(START - 50 * SECOND), "status": 200, "details": "via_upstream"}
    assert host.found([*host.lines, outside]) == []
    assert host.found(host.lines[2:], period=Period(START + 2 * SECOND, START + 600 * SECOND)) == []


def test_without_a_period_the_lines_say_it(host: Host) -> None:
    for _ in range(200):
        host.lines.append({"time": stamp(START), "status": 403, "details": "ext_authz_denied"})
    host.decided()
    cut = [host.lines[0], *host.lines[2:6]]
    assert kinds(host.found(cut + host.lines[6:], period=None)) == [("allowed-but-not-seen", 0)]


def test_a_line_that_cannot_be_read_is_a_finding(host: Host) -> None:
    data = [json.dumps(each).encode() for each in host.lines]
    wrong = [
        b"{",
        b"[]",
        b'{"time":"2026-03-04T08:00:00Z"}',
        b'{"time":"yesterday","status":200}',
        b'{"time":"2026-03-04T08:00:00Z","status":403,"status":200}',
        b'{"time":"2026-03-04T08:00:00Z","status":200,"decision":"' + b"x" * 600 + b'"}',
        b"x" * 70_000,
        b"\xff",
    ]
    done = Reconciliation(host.directory, now=NOW, period=Period(START, NOW), peps=["envoy"])
    done.read(lines([*data, b"", *wrong], accesslog.envoy))
    done.compare()
    assert kinds(list(done.findings())) == [("unreadable", number) for number in range(8, 16)]


# ------------------------------------------------------------------------------------------------------- other formats


def read(text: str, pattern: str = accesslog.NGINX) -> Line | Unreadable:
    (found,) = lines([text.encode() + b"\n"], accesslog.pattern(pattern))
    return found


def test_nginx_as_our_configuration_writes_it() -> None:
    assert read("10.0.0.7 2026-03-04T08:00:00+00:00 GET 200 3f1c-1 h/0/ab:7:0123456789abcdef") == Line(
        1, START, 200, "3f1c-1", "h/0/ab:7:0123456789abcdef"
    )
    assert read("10.0.0.7 2026-03-04T08:00:00+00:00 GET 403 - -") == Line(1, START, 403, passed=False)
    assert read("10.0.0.7 2026-03-04T08:00:00+00:00 GET 200 - ") == Line(1, START, 200)
    assert isinstance(read("10.0.0.7 2026-03-04T08:00:00+00:00 GET 200"), Unreadable)


def test_what_a_client_writes_into_a_line_is_not_taken_for_ours() -> None:
    pattern = r'\S+ \[(?P<time>[^\]]+)\] (?P<status>\d+) "[^"]*" decision=(?P<decision>\S+)'
    said = '10.0.0.7 [04/Mar/2026:09:00:00 +0100] 200 "curl decision=3f1c-1" decision=-'
    assert read(said, pattern) == Line(1, START, 200)
    assert isinstance(read(said + " decision=3f1c-1", pattern), Unreadable)


def test_times_of_the_common_log_format() -> None:
    pattern = r"(?P<time>[^|]+)\|(?P<status>\d+)\|(?P<decision>.*)"
    for text in ("04/Mar/2026:08:00:00 +0000", "04/Mar/2026:08:00:00.000", "04/Mar/2026:08:00:00"):
        assert read(f"{text}|200|x", pattern) == Line(1, START, 200, "x")


@pytest.mark.parametrize("pattern", ["(", "(?P<time>.*)", r"(?P<time>.)(?P<status>.)(?P<decision>.)(?P<path>.)"])
def test_a_pattern_that_cannot_be_used_is_refused(pattern: str) -> None:
    with pytest.raises(accesslog.PatternError):
        accesslog.pattern(pattern)


def test_a_period_is_said_as_in_other_verbs() -> None:
    assert period(NOW, begin="2026-03-04T08:00:00Z").first == START
