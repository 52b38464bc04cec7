"""What one Envoy knows: its clusters and route tables by name. And how a `typed_config` is opened."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Final

from pdp.diagnostics.source import Span
from pdp.lint.document import Map, Node, Scalar
from pdp.lint.envoy import known
from pdp.lint.findings import Findings
from pdp.lint.message import Message

_TYPE: Final = re.compile(r"type\.googleapis\.com/((?:envoy|xds|udpa)(?:\.[A-Za-z0-9_]+)+)").fullmatch
_WRAPPERS: Final = ("xds.type.v3.TypedStruct", "udpa.type.v1.TypedStruct")

IDENTITY_HEADERS: Final = (
    "x-pdp-decision",
    "x-pdp-subject",
    "x-pdp-subject-type",
    "x-pdp-fields",
    "x-pdp-obligations",
)
"""What an allow always carries; what the client sends of it must never get past."""
OVERRIDES: Final = (
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
)
"""By these a client tells some services to take another method or path than the one that was checked."""
CREDENTIALS: Final = ("authorization", "cookie", "dpop", "x-forwarded-client-cert")
"""By these a client proves who it is. What somebody else writes there proves it for everybody."""
OURS: Final = (*IDENTITY_HEADERS, "x-pdp-secret")


@dataclass(frozen=True, slots=True)
class World:
    findings: Findings
    clusters: dict[str, Message] = field(default_factory=dict)
    routes: dict[str, Message] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)  # the clusters that Chaperone is in


def lent(span: Span, world: World) -> None:
    """Something puts credentials onto requests before they are checked."""
    world.findings.add(
        "envoy-credentials-lent",
        span,
        "every client is taken for whom these credentials name, and not for whom it proves to be",
        "let each client's own credentials reach Chaperone; put what the service needs behind the check",
    )


@dataclass(frozen=True, slots=True)
class Typed:
    """An opened `typed_config`: the last part of its type's name (`ExtAuthz`), the whole name, and what it holds."""

    name: str
    type: str
    node: Node | None
    anchor: Span

    @property
    def package(self) -> str:
        """`ext_authz`, of `envoy.extensions.filters.http.ext_authz.v3.ExtAuthz`."""
        parts = self.type.split(".")
        return parts[-3] if len(parts) > 2 else ""

    def message(self, findings: Findings, fields: frozenset[str], what: str) -> Message:
        return Message(self.node, self.anchor, findings, fields, what)


def opened(holder: Message, field_name: str = "typed_config") -> Typed:
    """The type and the content of an Any field; the type is "" where it is missing."""
    node, anchor = holder.node_at(field_name), holder.at(field_name)
    return opened_node(node, anchor)


def opened_node(node: Node | None, anchor: Span) -> Typed:
    for _ in range(3):  # A wrapper in a wrapper is not worth more.
        match = _TYPE(_text(node, "@type"))
        given = match[1] if match else ""
        if given not in _WRAPPERS:
            return Typed(given.rpartition(".")[2], given, node, anchor)
        inner = node.get("value") if isinstance(node, Map) else None
        url = _text(node, "type_url") or _text(node, "typeUrl")
        node = _with_type(inner, url)
    return Typed("", "", node, anchor)


def _with_type(node: Node | None, url: str) -> Node | None:
    if not isinstance(node, Map):
        return Map(node.span, ()) if node is not None else None
    return Map(node.span, ((Scalar(node.span, "@type", False), Scalar(node.span, url, False)), *node.entries))


def _text(node: Node | None, name: str) -> str:
    found = node.get(name) if isinstance(node, Map) else None
    return found.text if isinstance(found, Scalar) else ""


# ----------------------------------------------------------------------------------------------------------- addresses


def local(address: Message) -> bool:
    """Is an address of this host alone: loopback, a Unix socket, or inside this Envoy?"""
    if "pipe" in address or "envoy_internal_address" in address:
        return True
    host = address.message("socket_address", known.SOCKET_ADDRESS).text("address")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
