"""Alerts: what they say and never say, to a real HTTP server, and what happens when nobody takes them."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from pdp.audit.detect.alerts import GIVEN_UP, LONGEST_BACK_OFF, AlertError, Outbox, Webhook, body, signature
from pdp.audit.detect.finding import Alert
from pdp.audit.detect.wanted import To
from pdp.audit.evidence import EvidenceError
from pdp.audit.ship.destination import Syslog
from tests.unit.audit.detect.house import NOON, House, access, patient

SECRET = b"a-secret-of-the-webhook"
NOW = 1_800_000_000.0


class Desk:
    """Who receives: what came, and what to answer."""

    def __init__(self) -> None:
        self.status = 200
        self.came: list[tuple[dict[str, str], bytes]] = []
        desk = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["content-length"]))
                desk.came.append(({name.lower(): value for name, value in self.headers.items()}, data))
                self.send_response(desk.status)
                if desk.status == 302:
                    self.send_header("location", "http://127.0.0.1:1/")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"


@contextmanager
def desk() -> Iterator[Desk]:
    made = Desk()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield made
    finally:
        made.server.shutdown()
        thread.join()
        made.server.server_close()


def alert(directory: Path) -> Alert:
    house = House(directory, patient("pat-seven", excludes=["ann"]))
    (found,) = house.run([access(of="pat-seven")]).alerts
    return found


def to(url: str, **more: Any) -> To:
    return To("desk", url, SECRET, **more)


def test_a_webhook_is_signed_and_says_which_rules_and_nobody(tmp_path: Path) -> None:
    with desk() as there:
        outbox = Outbox(tmp_path / "outbox.json", (to(there.url),))
        outbox.add(alert(tmp_path), NOW)
        outbox.deliver(NOW)
    ((headers, data),) = there.came
    said = json.loads(data)
    assert headers["x-pdp-signature"] == signature(SECRET, int(NOW), data)
    assert headers["x-pdp-timestamp"] == str(int(NOW))
    assert headers["x-pdp-alert"] == said["alert"] == f"{said['case']}-40"
    assert said["parts"] == [{"rule": "M18", "title": "a restriction was overridden", "points": 40}]
    assert b"pat-seven" not in data
    assert b"ann" not in data
    assert SECRET not in data
    assert said["subject"] == {"type": "user"}
    assert (outbox.waiting, outbox.sent) == ([], 1)


def test_identities_are_said_only_where_the_operator_says_so(tmp_path: Path) -> None:
    said = body(alert(tmp_path), True)
    assert (said["subject"], said["patients"]) == ({"type": "user", "id": "ann"}, ["pat-seven"])


@pytest.mark.parametrize("status", [302, 400, 500])
def test_what_is_not_taken_is_tried_again_later_and_longer(tmp_path: Path, status: int) -> None:
    with desk() as there:
        there.status = status
        outbox = Outbox(tmp_path / "outbox.json", (to(there.url),))
        outbox.add(alert(tmp_path), NOW)
        due = []
        for _ in range(9):
            outbox.deliver(outbox.waiting[0].due)
            due.append(outbox.waiting[0].due)
        assert outbox.problems == {"desk": f"the other side answers {status}"}
        tries = len(there.came)
        outbox.deliver(due[-1] - 1)
        assert len(there.came) == tries == 9
        there.status = 204
        outbox.deliver(due[-1])
    pauses = [later - sooner for sooner, later in zip([NOW, *due], due, strict=False)]
    assert pauses == [5, 10, 20, 40, 80, 160, 320, LONGEST_BACK_OFF, LONGEST_BACK_OFF]
    assert (outbox.waiting, outbox.problems, outbox.sent) == ([], {}, 1)


def test_what_nobody_takes_for_days_is_dropped_and_counted(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        outbox = Outbox(tmp_path / "outbox.json", (to(f"http://127.0.0.1:{nobody.getsockname()[1]}/"),))
        outbox.add(alert(tmp_path), NOW)
        outbox.deliver(NOW)
        assert outbox.problems == {"desk": "nobody takes it: ConnectionRefusedError"}
        outbox.deliver(NOW + GIVEN_UP + 1)
    assert (outbox.waiting, outbox.dropped) == ([], 1)


def test_an_alert_does_not_wait_for_a_time_that_a_wrong_clock_had(tmp_path: Path) -> None:
    year = 365 * 86_400
    with desk() as there:
        there.status = 500
        outbox = Outbox(tmp_path / "outbox.json", (to(there.url),))
        outbox.add(alert(tmp_path), NOW + 10 * year)
        outbox.deliver(NOW + 10 * year)
        there.status = 200
        outbox.deliver(NOW)
    assert (outbox.waiting, outbox.sent) == ([], 1)


def test_one_that_fails_keeps_no_other_from_its_alerts(tmp_path: Path) -> None:
    both = (To("gone", "http://127.0.0.1:1/", SECRET), To("kept", file=tmp_path / "alerts.jsonl"))
    outbox = Outbox(tmp_path / "outbox.json", both)
    outbox.add(alert(tmp_path), NOW)
    outbox.deliver(NOW)
    assert [each.to for each in outbox.waiting] == ["gone"]
    (line,) = (tmp_path / "alerts.jsonl").read_text().splitlines()
    assert json.loads(line)["kind"] == "alert"
    assert (tmp_path / "alerts.jsonl").stat().st_mode & 0o777 == 0o600


def test_what_waits_outlives_the_process_and_is_not_told_twice(tmp_path: Path) -> None:
    found = alert(tmp_path)
    outbox = Outbox(tmp_path / "outbox.json", (to("http://127.0.0.1:1/"),))
    outbox.add(found, NOW)
    outbox.save()
    assert (tmp_path / "outbox.json").stat().st_mode & 0o777 == 0o600
    with desk() as there:
        again = Outbox(tmp_path / "outbox.json", (to(there.url),))
        again.add(found, NOW)
        again.deliver(NOW)
        again.add(found, NOW)
        assert (len(there.came), again.waiting) == (1, [])


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"seen": 1, "waiting": []}', '{"seen": [], "waiting": [[1]]}'])
def test_an_outbox_that_is_none_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / "outbox.json").write_text(text)
    with pytest.raises(EvidenceError, match="move it away"):
        Outbox(tmp_path / "outbox.json", ())


def test_who_wants_which(tmp_path: Path) -> None:
    found = alert(tmp_path)
    wants = [
        To("a", min_score=41),
        To("b", min_score=40),
        To("c", rules=frozenset({"M1"})),
        To("d", rules=frozenset({"M18"})),
    ]
    assert [each.wants(found) for each in wants] == [False, True, False, True]


def test_syslog_gets_one_message(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as there:
        there.bind(str(path))
        there.settimeout(5)
        outbox = Outbox(tmp_path / "outbox.json", (To("log", syslog=Syslog(f"unix://{path}")),))
        outbox.add(alert(tmp_path), NOW)
        outbox.deliver(NOW)
        said = there.recv(65_536)
    assert said.startswith(b"<110>1 2027-01-15T08:00:00")
    assert b'"kind":"alert"' in said
    assert b"pat-seven" not in said


def test_a_webhook_over_tls_believes_no_certificate_that_it_does_not_know(tmp_path: Path) -> None:
    with desk() as there, pytest.raises(AlertError, match="nobody takes it"):
        Webhook(to(there.url.replace("http:", "https:"))).put("a", b"{}", NOW)
    assert there.came == []


@contextmanager
def dripping() -> Iterator[str]:
    """Somebody who begins to answer, and never ends: a byte at a time, each soon enough."""
    server = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def drip() -> None:
        line, _ = server.accept()
        with line, suppress(OSError):
            line.sendall(b"HTTP/1.1 200 OK\r\nx: ")
            while not ended.wait(0.05):
                line.sendall(b"x")

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
    finally:
        ended.set()
        thread.join()
        server.close()


def test_a_webhook_that_answers_a_byte_at_a_time_is_given_up_in_time(tmp_path: Path) -> None:
    begun = time.monotonic()
    with dripping() as url, pytest.raises(AlertError, match="nobody takes it"):
        Webhook(to(url, timeout_seconds=1)).put("a", b"{}", NOW)
    assert time.monotonic() - begun < 5


def test_after_a_line_that_was_cut_the_next_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "alerts.jsonl"
    path.write_text('{"v":1,"ki')
    outbox = Outbox(tmp_path / "outbox.json", (To("kept", file=path),))
    outbox.add(alert(tmp_path), NOW)
    outbox.deliver(NOW)
    cut, whole = path.read_text().splitlines()
    assert (cut, json.loads(whole)["kind"]) == ('{"v":1,"ki', "alert")


def test_names_that_somebody_made_up_are_in_no_alert(tmp_path: Path) -> None:
    house = House(tmp_path, *(patient(f"p-{number}") for number in range(30)))
    made_up = {"sub": {"type": "John Doe", "id": "one"}, "pou": {"asserted": "for John Doe"}}
    leaves = [
        access("one", f"p-{number}", NOON + number, kind="?", purpose="?", allowed=False, detail=made_up)
        for number in range(30)
    ]
    leaves += [
        access(of=f"p-{number}", time=NOON + number, purpose="?", detail={"pou": made_up["pou"]})
        for number in range(30)
    ]
    report = house.run(leaves)
    assert {each.type for each in report.findings} == {"?", "user"}
    assert report.alerts
    assert not [each for each in report.findings if "John" in each.because + each.type]
    assert not [each for each in report.alerts if "John" in json.dumps(body(each, False))]


def test_a_file_behind_a_link_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "alerts").symlink_to(tmp_path / "elsewhere")
    outbox = Outbox(tmp_path / "outbox.json", (To("kept", file=tmp_path / "alerts"),))
    outbox.add(alert(tmp_path), NOW)
    outbox.deliver(NOW)
    assert list(outbox.problems) == ["kept"]
    assert not (tmp_path / "elsewhere").exists()


def test_the_times_of_an_alert_are_those_of_the_log(tmp_path: Path) -> None:
    assert alert(tmp_path).time == NOON
