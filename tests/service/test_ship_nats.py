"""Records in a real JetStream: complete and keyed, also when the server or the shipper is killed in the middle."""

from __future__ import annotations

import random
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pdp.audit.ship import cursor
from pdp.audit.ship.destination import Nats, Trust
from pdp.audit.ship.nats import ID, Stream
from pdp.audit.ship.target import Contradicted, Item, ShipError
from pdp.audit.tree import tiles
from tests.service.certificates import Authority
from tests.service.server import until
from tests.service.shipping import NatsServer, Shipper, running
from tests.unit.audit.ship.takers import Host

pytestmark = pytest.mark.service


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    made = NatsServer(tmp_path / "nats")
    try:
        yield made.start()
    finally:
        made.stop(signal.SIGKILL)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "audit")


def settings(server: NatsServer, more: str = "") -> str:
    return f'[ship.events]\nkind = "nats"\nservers = "nats://127.0.0.1:{server.port}"\ntimeout_seconds = 2\n{more}'


def where(server: NatsServer, **more: object) -> Nats:
    return Nats((f"nats://127.0.0.1:{server.port}",), **more)  # type: ignore[arg-type]


def held(server: NatsServer, stream: str = "PDP_AUDIT") -> list[tuple[str, bytes]]:
    """Every message of the stream: its id and its content."""
    reader = Stream(where(server, stream=stream), 5)

    async def read() -> list[tuple[str, bytes]]:
        js = await reader.context()
        last = (await js.stream_info(stream)).state.last_seq
        found = [await js.get_msg(stream, seq) for seq in range(1, last + 1)]
        return [((each.headers or {})[ID], each.data or b"") for each in found]

    try:
        return list(reader.run(read(), 120))
    finally:
        reader.close()


def sealed(host: Host, size: int) -> list[bytes]:
    return [payload for _, payload in tiles.records(host.directory / "log", size)]


def confirmed(host: Host) -> int:
    found = cursor.read(host.directory, "events")
    return 0 if found is None else found.next


def test_every_record_is_in_the_stream_once_under_its_id(server: NatsServer, host: Host, tmp_path: Path) -> None:
    size = host.grow(1_200)
    with running(Shipper(tmp_path / "ship", host.directory, settings(server))) as shipper:
        until(lambda: confirmed(host) == size, "shipped")
        size = host.grow(5)
        until(lambda: confirmed(host) == size, "shipped")
        assert shipper.stop() == 0
    found = held(server)
    assert [body for _, body in found] == sealed(host, size)
    assert len({key for key, _ in found}) == size


def test_a_cursor_that_was_set_back_doubles_nothing_within_the_window(
    server: NatsServer, host: Host, tmp_path: Path
) -> None:
    size = host.grow(300)
    shipper = Shipper(tmp_path / "ship", host.directory, settings(server))
    assert shipper.command("once", "events").returncode == 0
    cursor.path(host.directory, "events").unlink()
    assert shipper.command("once", "events").returncode == 0
    assert len(held(server)) == size


def test_two_logs_of_one_name_lose_nothing_to_each_other(server: NatsServer) -> None:
    stream = Stream(where(server), 5)
    try:
        stream.put([Item("h/0/boot:1", b"of the first")])
        stream.put([Item("h/0/boot:1", b"of the second"), Item("h/0/boot:1", b"of the first")])
    finally:
        stream.close()
    assert [body for _, body in held(server)] == [b"of the first", b"of the second"]


def test_nothing_is_missing_after_kills_of_the_server_and_of_the_shipper(
    server: NatsServer, host: Host, tmp_path: Path
) -> None:
    chance = random.Random(20_261_121)
    shipper = Shipper(tmp_path / "ship", host.directory, settings(server))
    size = host.grow(2_000)
    with running(shipper):
        for turn in range(10):
            size = host.grow(400)
            time.sleep(chance.uniform(0.1, 0.8))  # Somewhere in the middle: this is what the test is about.
            if turn % 2:
                server.stop(signal.SIGKILL)
                time.sleep(chance.uniform(0.0, 0.3))
                server.start()
            else:
                shipper.stop(signal.SIGKILL)
                shipper.start()
        until(lambda: confirmed(host) == size, "shipped", 90)
    found = held(server)
    assert {body for _, body in found} == set(sealed(host, size))
    by_key = dict(found)
    assert len(by_key) == size
    assert all(by_key[key] == body for key, body in found)


def test_what_takes_no_message_confirms_none(server: NatsServer, host: Host) -> None:
    item = Item("a:1", b"{}", stream="a", seq=1)
    stream = Stream(where(server, create=False), 2)
    with pytest.raises(ShipError, match="there is no stream"):
        stream.put([item])
    stream.close()
    stream.close()
    server.stop(signal.SIGKILL)
    stream = Stream(where(server), 2)
    with pytest.raises(ShipError, match="does not answer"):
        stream.put([item])
    stream.close()


def make(server: NatsServer, **stream: object) -> None:
    """A stream that somebody else made."""
    other = Stream(where(server), 2)

    async def made() -> None:
        await other._client.connect(**other._options())
        await other._client.jetstream().add_stream(name="PDP_AUDIT", subjects=["pdp.audit"], **stream)

    other.run(made(), 5)
    other.close()


def test_a_stream_that_does_not_keep_is_an_alarm(server: NatsServer) -> None:
    make(server, storage="memory")
    stream = Stream(where(server), 2)
    with pytest.raises(Contradicted, match="not one that keeps"):
        stream.put([Item("a:1", b"{}")])
    stream.close()


def test_a_stream_that_is_full_refuses_and_drops_nothing(server: NatsServer) -> None:
    make(server, max_msgs=3, discard="new")
    stream = Stream(where(server), 2)
    with pytest.raises(ShipError):
        stream.put([Item(f"a:{number}", b"{}") for number in range(9)])
    stream.close()
    assert [key.rpartition(":")[0] for key, _ in held(server)] == ["a:0", "a:1", "a:2"]


def test_the_password_is_in_no_error(tmp_path: Path, host: Host) -> None:
    secret = "correct-horse-battery-staple"
    made = NatsServer(tmp_path / "other", f'authorization {{ user: pdp, password: "{secret}" }}\n').start()
    try:
        stream = Stream(Nats((f"nats://127.0.0.1:{made.port}",), user="pdp", secret=b"another-secret-1"), 2)
        with pytest.raises(ShipError) as caught:
            stream.put([Item("a:1", b"{}")])
        assert "another-secret-1" not in f"{caught.value!r} {stream._where!r}"
        stream.close()
        stream = Stream(Nats((f"nats://127.0.0.1:{made.port}",), user="pdp", secret=secret.encode()), 2)
        stream.put([Item("a:1", b"{}")])
        stream.close()
    finally:
        made.stop(signal.SIGKILL)


def test_over_tls_both_sides_show_a_certificate(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path / "ca"), Authority(tmp_path / "other", "stranger")
    its, ours = authority.server(), authority.server("ours")
    text = f'tls {{ cert_file: "{its.certificate_file}", key_file: "{its.key_file}", '
    text += f'ca_file: "{authority.certificate_file}", verify: true }}\n'
    made = NatsServer(tmp_path / "tls", text).start()
    known = Trust(authority.certificate_file, ours.certificate_file, ours.key_file)
    try:
        stream = Stream(Nats((f"tls://localhost:{made.port}",), trust=known), 2)
        stream.put([Item("a:1", b"{}")])
        stream.close()
        for trust in (Trust(authority.certificate_file), replace(known, ca_file=stranger.certificate_file), Trust()):
            stream = Stream(Nats((f"tls://localhost:{made.port}",), trust=trust), 2)
            with pytest.raises(ShipError, match="does not answer"):
                stream.put([Item("a:1", b"{}")])
            stream.close()
    finally:
        made.stop(signal.SIGKILL)


def test_a_server_that_says_nothing_is_waited_for_no_longer_than_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        stream = Stream(Nats((f"nats://127.0.0.1:{silent.getsockname()[1]}",)), 1)
        began = time.monotonic()
        with pytest.raises(ShipError):
            stream.put([Item("a:1", b"{}")])
        assert time.monotonic() - began < 10
        stream.close()
