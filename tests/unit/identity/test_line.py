"""A provider that drips, in whatever phase of an exchange, keeps neither whoever waits nor a thread."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread, enumerate

import pytest

from pdp.identity.fetch import MAX_AT_ONCE, Wire
from pdp.identity.issuer import Access
from pdp.identity.keys import SourceError
from tests.in_time import in_time
from tests.unit.identity.provider import providing

SECONDS = 0.1
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n"


@contextmanager
def dripping(first: bytes, then: bytes) -> Iterator[int]:
    """A server on loopback that says `first` at once, and then byte after byte of `then` for ever. Its port."""
    ended = Event()

    def speak(client: socket.socket) -> None:
        with client, suppress(OSError):
            client.sendall(first)
            while not ended.wait(0.02):
                client.sendall(then[:1])

    def serve() -> None:
        with suppress(OSError):
            while True:
                Thread(target=speak, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        ended.set()
        listener.shutdown(socket.SHUT_RDWR)


def speaking() -> int:
    return sum(each.name == "identity-provider" for each in enumerate())


def ended(threads: int) -> bool:
    deadline = time.monotonic() + 10
    while speaking() > threads and time.monotonic() < deadline:
        time.sleep(0.01)
    return speaking() <= threads


@pytest.mark.parametrize(
    ("scheme", "first", "then"),
    [
        ("http", b"", b"H"),
        ("http", b"HTTP/1.1 200 OK\r\nX: ", b"y"),
        ("http", HEAD + b"\r\n", b"{"),
        ("http", HEAD + b"Connection: close\r\n\r\n", b"{"),
        ("http", HEAD + b"\r\n", b""),
        ("http", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
        ("https", b"\x16\x03\x03\x40\x00", b"\0"),
        ("https", b"", b""),
    ],
)
def test_checklist_24_what_drips_is_cut_at_the_deadline(scheme: str, first: bytes, then: bytes) -> None:
    before = speaking()
    wire = Wire(Access(timeout_milliseconds=int(SECONDS * 1000)))
    with dripping(first, then) as port:
        for _ in range(MAX_AT_ONCE + 1):  # Had one kept its place, the last would find none.
            began = time.monotonic()
            with pytest.raises(SourceError, match=r"no answer in time|Timeout|Error"):
                wire.get(f"{scheme}://127.0.0.1:{port}/jwks")
            assert time.monotonic() - began < SECONDS + 2
            assert ended(before), "its thread has ended, while the provider goes on"


def test_a_connection_that_is_used_again_is_cut_as_well() -> None:
    before = speaking()
    wire = Wire(Access(timeout_milliseconds=int(SECONDS * 1000)))
    listener = socket.create_server(("127.0.0.1", 0))
    over, connections = Event(), []

    def serve() -> None:
        client = listener.accept()[0]
        connections.append(client)
        client.recv(65_536)
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        client.recv(65_536)
        with suppress(OSError):
            while not over.wait(0.02):
                client.sendall(b"H")

    with listener:
        Thread(target=serve, daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/jwks"
        assert wire.get(url) == b"{}"
        with pytest.raises(SourceError):
            wire.get(url)
        assert ended(before)
        assert len(connections) == 1
        over.set()
        connections[0].close()


def test_after_a_cut_the_next_exchange_is_a_good_one() -> None:
    wire = Wire(Access(timeout_milliseconds=500))
    with providing() as provider:
        provider.answers["/slow"], provider.answers["/jwks"] = "drip", b"{}"
        for _ in range(2):
            with pytest.raises(SourceError):
                wire.get(provider.url + "/slow")
            assert wire.get(provider.url + "/jwks") == b"{}"


def test_a_pipe_in_place_of_the_authorities_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ca.pem")
    wire = Wire(Access(timeout_milliseconds=30_000, ca_file=tmp_path / "ca.pem"))
    with pytest.raises(SourceError, match="no regular one"):
        in_time(lambda: wire.get("https://localhost:1/jwks"))
