"""Configurations that are not judged here, told by how they look: silence about them would look like praise."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from typing import Final

from pdp.diagnostics.source import Source

NOT_JUDGED: Final = "HAProxy, Caddy, Traefik and APISIX configurations are not judged"

_HAPROXY: Final = re.compile(r"^(?:global|defaults|(?:frontend|backend|listen)[ \t]+[\w.:-]++)[ \t]*$", re.MULTILINE)
_CADDY: Final = re.compile(r"^[ \t]*+(?:reverse_proxy|forward_auth)[ \t]++[^\s:;=#][^;#\n]*$", re.MULTILINE)
_TRAEFIK: Final = re.compile(
    r"^(?:entryPoints:|\[entryPoints|apiVersion:[ \t]*traefik|[ \t]+(?:forwardAuth:|routers:[ \t]*$))", re.MULTILINE
)
_APISIX: Final = re.compile(
    r"^#END[ \t]*$|^apisix:[ \t]*$|^(?:global_rules|plugin_configs):|^[ \t-]+forward-auth:[ \t]*$", re.MULTILINE
)
_LOOKS: Final[dict[str, Callable[[str], re.Match[str] | None]]] = {
    "HAProxy": _HAPROXY.search,
    "Caddy": _CADDY.search,
    "Traefik": _TRAEFIK.search,
    "APISIX": _APISIX.search,
}


def other(source: Source) -> str:
    """Whose configuration it is, where it is one of these; "" for all else."""
    name = posixpath.basename(source.name).lower()
    if name.startswith("caddyfile") or name.endswith(".caddyfile"):
        return "Caddy"
    return next((whose for whose, looks in _LOOKS.items() if looks(source.text)), "")
