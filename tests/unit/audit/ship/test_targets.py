"""Targets without a server of their own kind here: what goes over the line, and what is not believed."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from pdp.audit.leaf import leaf
from pdp.audit.ship import targets
from pdp.audit.ship.destination import EXTRAS, Destination, Folder, Kafka, Nats, Otlp, Syslog, Trust
from pdp.audit.ship.encode import encoder
from pdp.audit.ship.folder import NAME, Lines
from pdp.audit.ship.otlp import Collector as OtlpCollector
from pdp.audit.ship.otlp import logs, taken
from pdp.audit.ship.syslog import Collector, message
from pdp.audit.ship.target import Contradicted, Item, ShipError
from tests.service.certificates import Authority

MOMENT = 1_800_000_000_123_456


def items(number: int) -> list[Item]:
    return [Item(f"h/0/b:{n}", b'{"n":%d}' % n, "decision", MOMENT + n, "h/0/b", n) for n in range(1, number + 1)]


# ---------------------------------------------------------------------------------------------------------------- file


def test_lines_are_whole_and_full_files_are_moved_aside_in_order(tmp_path: Path) -> None:
    lines = Lines(Folder(tmp_path / "out", 1))
    big = [Item("a:1", b"x" * 700_000)]
    for _ in range(3):
        lines.put(big)
    names = sorted(each.name for each in (tmp_path / "out").iterdir())
    assert names == ["records.00000001.jsonl", "records.00000002.jsonl", NAME]
    assert {(tmp_path / "out" / each).stat().st_size for each in names} == {700_001}


def test_a_line_that_was_cut_is_cut_off_before_the_next(tmp_path: Path) -> None:
    lines = Lines(Folder(tmp_path / "out"))
    lines.put(items(2))
    path = tmp_path / "out" / NAME
    with path.open("ab") as file:
        file.write(b'{"n":3' + b" " * 200_000)
    lines.put(items(1))
    assert [json.loads(each)["n"] for each in path.read_text().splitlines()] == [1, 2, 1]


def test_a_record_of_several_lines_is_an_alarm_and_no_lines(tmp_path: Path) -> None:
    with pytest.raises(Contradicted, match="more than one line"):
        Lines(Folder(tmp_path / "out")).put([Item("a:1", b'{"n":\n1}')])
    assert not (tmp_path / "out" / NAME).exists()


def test_a_directory_that_cannot_be_written_confirms_nothing(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("no directory")
    with pytest.raises(ShipError, match="cannot be written"):
        Lines(Folder(tmp_path / "out")).put(items(1))


# -------------------------------------------------------------------------------------------------------------- syslog


class Listener:
    """Takes one connection after the other, and keeps what came."""

    def __init__(self, server: socket.socket, wrap: Callable[[socket.socket], socket.socket] | None = None) -> None:
        self.server, self.got, self.wrap = server, b"", wrap or (lambda each: each)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        try:
            while True:
                line, _ = self.server.accept()
                with self.wrap(line) as taken_line:
                    while data := taken_line.recv(65_536):
                        self.got += data
        except OSError:
            return


def counted(data: bytes) -> list[bytes]:
    """RFC 6587, octet counting."""
    found = []
    while data:
        length, _, rest = data.partition(b" ")
        found.append(rest[: int(length)])
        data = rest[int(length) :]
    return found


def until(condition: Callable[[], bool]) -> None:
    waiting = threading.Event()
    for _ in range(500):
        if condition():
            return
        waiting.wait(0.01)
    raise AssertionError("not in time")


def test_over_tcp_each_message_is_counted_and_holds_the_record_unchanged() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        listener = Listener(server)
        line = Collector(Syslog(f"tcp://127.0.0.1:{server.getsockname()[1]}"), 2)
        line.put(items(100))
        line.put(items(1))
        line.close()
        until(lambda: len(counted(listener.got)) == 101)
    first = counted(listener.got)[0].decode()
    assert first.startswith("<110>1 2027-01-15T08:00:00.123457Z ")
    assert first.endswith(' decision [record@32473 stream="h/0/b" seq="1"] {"n":1}')


def test_over_tls_the_certificate_has_to_be_right(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    pair = authority.server()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate_file, pair.key_file)
    with socket.create_server(("127.0.0.1", 0)) as server:
        listener = Listener(server, lambda each: context.wrap_socket(each, server_side=True))
        url = f"tls://localhost:{server.getsockname()[1]}"
        line = Collector(Syslog(url, trust=Trust(authority.certificate_file)), 5)
        line.put(items(50))
        line.put(items(1))
        line.close()
        until(lambda: len(counted(listener.got)) == 51)
    with socket.create_server(("127.0.0.1", 0)) as server:
        Listener(server, lambda each: context.wrap_socket(each, server_side=True))
        line = Collector(Syslog(f"tls://localhost:{server.getsockname()[1]}"), 5)
        with pytest.raises(ShipError, match="does not take it"):
            line.put(items(1))


def test_over_tls_what_is_sent_waits_no_longer_than_it_may(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    pair = authority.server()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate_file, pair.key_file)
    with socket.create_server(("127.0.0.1", 0)) as server:
        Listener(server, lambda each: context.wrap_socket(each, server_side=True))
        trust = Trust(authority.certificate_file)
        line = Collector(Syslog(f"tls://localhost:{server.getsockname()[1]}", trust=trust), 5)
        line.put(items(1))  # Tickets of TLS 1.3 are read before the next.
        line.put(items(1))
        assert line._line is not None
        assert line._line.gettimeout() == 5
        line.close()


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_to_a_socket_of_this_machine_of_either_kind(tmp_path: Path, kind: socket.SocketKind) -> None:
    path = str(tmp_path / "log")
    with socket.socket(socket.AF_UNIX, kind) as server:
        server.bind(path)
        line = Collector(Syslog(f"unix://{path}"), 5)
        if kind == socket.SOCK_STREAM:
            server.listen()
            listener = Listener(server)
            line.put(items(3))
            assert len(counted(listener.got)) == 3
        else:
            got: list[bytes] = []
            reading = threading.Thread(target=lambda: [got.append(server.recv(65_536)) for _ in range(3)], daemon=True)
            reading.start()
            line.put(items(3))
            reading.join(5)
            assert [each.rpartition(b"] ")[2] for each in got] == [each.body for each in items(3)]
        line.close()


def test_a_collector_that_takes_nothing_confirms_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        line = Collector(Syslog(f"tcp://127.0.0.1:{server.getsockname()[1]}"), 1)
        with pytest.raises(ShipError):  # Nobody reads: the buffers fill, and it is not waited for without end.
            line.put([Item("a:1", b"x" * 60_000)] * 200)
        line.close()


def test_a_collector_that_has_gone_is_noticed_before_the_next_batch() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        line = Collector(Syslog(f"tcp://127.0.0.1:{server.getsockname()[1]}"), 2)
        line.put(items(1))
        gone, _ = server.accept()
        gone.recv(65_536)
        gone.close()
        with pytest.raises(ShipError):
            line.put(items(1))
        line.put(items(1))  # To a new connection.
        line.close()


def test_what_a_record_says_cannot_end_its_frame() -> None:
    made = message(Item("k", b"{}", 'a b"]', 0, 'x"]\\', 1), 13, "host", 1).decode()
    assert made == '<110>1 - host chaperone 1 - [record@32473 stream="x\\"\\]\\\\" seq="1"] {}'


# ---------------------------------------------------------------------------------------------------------------- otlp


class Answer(BaseHTTPRequestHandler):
    status, body, got = 200, b"{}", []

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        type(self).got.append((self.path, dict(self.headers), data))
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        if self.status == 302:
            self.send_header("Location", "http://127.0.0.1:1/")
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: Any) -> None: ...


@contextmanager
def collector(status: int = 200, body: bytes = b"{}") -> Iterator[tuple[str, list[Any]]]:
    handler = type("Handler", (Answer,), {"status": status, "body": body, "got": []})
    server = HTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/logs", handler.got  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()


def test_a_collector_gets_logs_as_the_protocol_says() -> None:
    with collector() as (url, got):
        line = OtlpCollector(Otlp(url, secret=b"Bearer a-secret-of-ours"), 2)
        line.put(items(2))
        line.close()
    path, headers, data = got[0]
    assert (path, headers["Authorization"], headers["Content-Type"]) == (
        "/v1/logs",
        "Bearer a-secret-of-ours",
        "application/json",
    )
    records = json.loads(data)["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    assert [each["body"]["stringValue"] for each in records] == ['{"n":1}', '{"n":2}']
    assert records[0]["timeUnixNano"] == "1800000000123457000"
    assert {"key": "log.record.uid", "value": {"stringValue": "h/0/b:1"}} in records[0]["attributes"]


def test_it_is_what_the_published_messages_of_the_protocol_take() -> None:
    service = pytest.importorskip("opentelemetry.proto.collector.logs.v1.logs_service_pb2")
    from google.protobuf.json_format import ParseDict

    made = ParseDict(logs(items(3)), service.ExportLogsServiceRequest())
    record = made.resource_logs[0].scope_logs[0].log_records[2]
    assert (record.body.string_value, record.time_unix_nano) == ('{"n":3}', (MOMENT + 3) * 1_000)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b"{}"),
        (302, b""),
        (204, b""),
        (200, b""),
        (200, b"fine"),
        (200, b"[]"),
        (200, b'{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"x"}}'),
        (200, b'{"partialSuccess":{"rejectedLogRecords":"many"}}'),
        (200, b'{"partialSuccess":3}'),
        (200, b"[" * 60_000),
        (200, b" " * 70_000),
    ],
)
def test_an_answer_that_does_not_say_all_were_taken_confirms_nothing(status: int, body: bytes) -> None:
    with collector(status, body) as (url, _):
        line = OtlpCollector(Otlp(url, secret=b"Bearer a-secret-of-ours"), 2)
        with pytest.raises(ShipError) as caught:
            line.put(items(2))
        assert "a-secret" not in repr(caught.value)
        assert "rejected 2" in str(caught.value) or b'"2"' not in body
        line.close()


@pytest.mark.parametrize("body", [b"{}", b'{"partialSuccess":{}}', b'{"partialSuccess":null}', b'{"x":1}'])
def test_an_answer_that_says_so_does(body: bytes) -> None:
    taken(body)


# ---------------------------------------------------------------------------------------------------------------- all


@pytest.mark.parametrize("where", [Nats(("tls://a",)), Kafka(("a:1",))])
def test_a_missing_extra_is_named(where: Nats | Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "find_spec", lambda _: None)
    found = targets.missing(Destination("there", where))
    assert found == f"[ship.there] needs the extra `ship-{where.kind}`: pip install 'chaperone-pdp[ship-{where.kind}]'"


def test_each_extra_is_one_of_the_package() -> None:
    text = (Path(__file__).parents[4] / "setup.cfg").read_text()
    assert all(f"\n{extra} =\n" in text for _, extra in EXTRAS.values())


@pytest.mark.parametrize("form", ["raw", "ocsf", "ecs", "cef"])
def test_each_form_is_there(form: str) -> None:
    payload = b'{"stream":"h/0/b","seq":1,"prev":"","v":1,"kind":"audit.status","ts":"2027-01-15T08:00:00Z"}'
    made = encoder(form)(leaf(0, payload))
    assert made == payload or form != "raw"
    with pytest.raises(ShipError, match="cannot be written"):
        encoder("xml")
