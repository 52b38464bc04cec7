"""The gRPC port, which every decision worker binds for itself: ours, and nobody else's.

With `SO_REUSEPORT` a second server binds a port in silence and takes a share of the connections. So the parent first
binds it alone, which says at once when somebody has it; then it holds it, never listening, in a way that only sockets
of the same user that also ask for `SO_REUSEPORT` can join.
"""

from __future__ import annotations

import ipaddress
import socket

from pdp.config import Address, ConfigError, Settings

DOOR = "grpc"


def wanted(settings: Settings) -> bool:
    """Is there a gRPC door at all?"""
    return settings.grpc_listen.port != 0 and any(DOOR in each.doors for each in settings.profiles)


def claim(address: Address) -> socket.socket:
    """The socket that holds the port for as long as it is open. Raises ConfigError.

    grpcio takes `0.0.0.0` for every address of the machine, also those of IPv6; so that is what is held then.
    """
    host = address.host
    if ipaddress.ip_address(host).is_unspecified and socket.has_dualstack_ipv6():
        host = "::"
    held = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        if host == "::":
            held.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        # Connections of a server that has ended do not count, a socket that listens does.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((host, address.port))
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    except OSError as error:
        held.close()
        raise ConfigError([f"grpc_listen: cannot listen on {address}: {error.strerror}"]) from error
    return held
