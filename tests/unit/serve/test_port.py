"""The gRPC port is found to be somebody else's, and is kept from everybody else. Checklist 30."""

from __future__ import annotations

import socket

import pytest

from pdp.config import Address, ConfigError, Profile, Settings
from pdp.serve import port
from tests.service.server import free_port


def listener(host: str, number: int, reuse_port: bool, reuse_address: bool = True) -> socket.socket:
    found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, reuse_port)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse_address)
    try:
        found.bind((host, number))
        found.listen()
    except OSError:
        found.close()
        raise
    return found


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "::"])
@pytest.mark.parametrize("reuse_port", [True, False])
def test_checklist_30_a_foreign_owner_of_the_port_is_found(host: str, reuse_port: bool) -> None:
    number = free_port()
    with listener(host, number, reuse_port), pytest.raises(ConfigError) as error:
        port.claim(Address(host, number))
    assert error.value.problems[0].startswith("grpc_listen: cannot listen on")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_checklist_30_an_owner_of_every_address_is_found_too(host: str) -> None:
    number = free_port()
    everywhere = "0.0.0.0" if host == "127.0.0.1" else "::"
    with listener(everywhere, number, True), pytest.raises(ConfigError):
        port.claim(Address(host, number))
    with listener(host, number, True), pytest.raises(ConfigError):
        port.claim(Address(everywhere, number))


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1"])
def test_checklist_30_a_port_that_is_held_is_for_those_who_share_it(host: str) -> None:
    number = free_port()
    with port.claim(Address(host, number)):
        for reuse_address in (True, False):
            with pytest.raises(OSError, match="in use"):
                listener(host, number, False, reuse_address)
        with pytest.raises(ConfigError):  # Another Chaperone.
            port.claim(Address(host, number))
        for _ in range(2):  # A worker, and the one that comes after it.
            with listener(host, number, True), listener(host, number, True):
                socket.create_connection((host if host != "0.0.0.0" else "127.0.0.1", number)).close()
        with pytest.raises(ConnectionRefusedError):  # Nobody waits at a socket that never listens.
            socket.create_connection((host if host != "0.0.0.0" else "127.0.0.1", number))


@pytest.mark.parametrize(
    ("number", "doors", "found"),
    [(9191, {"grpc"}, True), (0, {"grpc"}, False), (9191, {"ext_authz", "authzen"}, False)],
)
def test_without_a_port_or_a_point_there_is_no_door(number: int, doors: set[str], found: bool) -> None:
    settings = Settings(grpc_listen=Address("127.0.0.1", number), profiles=(Profile("a", doors=frozenset(doors)),))
    assert port.wanted(settings) is found
