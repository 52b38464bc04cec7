"""EnvoyFilter: patches to the Envoy that Istio has made. Each is judged by what it says, since the rest is not here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pdp.lint.document import List, Map, Node
from pdp.lint.envoy import known
from pdp.lint.envoy.world import opened_node
from pdp.lint.istio.resources import Resource
from pdp.lint.message import ANY, Message, beginning

_OPENS: Final[dict[str, dict[str, frozenset[str]]]] = {
    "http_connection_manager": {
        "normalize_path": frozenset({"false"}),
        "merge_slashes": frozenset({"false"}),
        "path_with_escaped_slashes_action": frozenset(
            {"keep_unchanged", "unescape_and_forward", "unescape_and_redirect", "implementation_specific_default"}
        ),
        "forward_client_cert_details": frozenset({"forward_only", "append_forward", "always_forward_only"}),
    },
    "ext_authz": {
        "failure_mode_allow": frozenset({"true"}),
        "validate_mutations": frozenset({"false"}),
        "clear_route_cache": frozenset({"true"}),
        "disabled": frozenset({"true"}),
    },
}
"""By the package of a type: a field, and the values of it that open something."""
_NEVER: Final = frozenset({"filter_enabled", "filter_enabled_metadata", "deny_at_disable", "status_on_error"})
"""Fields of the check that a patch has no business with."""
_FIELDS: Final = {"http_connection_manager": known.MANAGER, "ext_authz": known.EXT_AUTHZ | known.PER_ROUTE}

_PATCH: Final = frozenset({"operation", "value", "filter_class"})


def judge(resource: Resource) -> None:
    for each in resource.spec.messages("config_patches", ANY):
        patch = each.message("patch", _PATCH, "a patch")
        if patch.text("operation") in ("REMOVE", "REPLACE") or not patch.text("operation"):
            resource.findings.add(
                "istio-filter-removed",
                patch.at("operation"),
                "a filter, route or listener of Istio's is taken away or replaced, and the check may be in it",
                "merge or insert instead",
            )
        value = patch.node_at("value")
        if value is not None:
            _value(value, patch)


def sanitises(resource: Resource) -> bool:
    """Does a patch have sidecars write x-forwarded-client-cert themselves, with the certificate?"""
    for each in resource.spec.messages("config_patches", ANY):
        value = each.message("patch", ANY).node_at("value")
        for node in _typed(value) if value is not None else ():
            manager = Message(node, beginning(node), resource.findings, ANY, "a patch")
            details = manager.message("set_current_client_cert_details", known.CERT_DETAILS)
            if manager.text("forward_client_cert_details") == "SANITIZE_SET" and details.flag("cert"):
                return True
    return False


def _value(value: Node, patch: Message) -> None:
    entry = Message(value, patch.at("value"), patch.findings, ANY, "the value")
    if isinstance(value, Map) and entry.node_at("disabled") is not None and entry.flag("disabled") is not False:
        _open(entry, "disabled")
    typed_nodes = list(_typed(value))
    for node in typed_nodes:
        _one(node, patch)
    if not typed_nodes:
        patch.findings.add(
            "proxy-not-judged",
            patch.at("value"),
            "a patch without a type is not judged",
            "say `typed_config` with its `@type`, or leave the patch out",
        )


def _typed(node: Node) -> Iterator[Map]:
    """Every map with a type, however deep; the depth of a document is bounded."""
    if isinstance(node, Map):
        if node.get("@type") is not None:
            yield node
        for _, value in node.entries:
            yield from _typed(value)
    elif isinstance(node, List):
        for each in node.items:
            yield from _typed(each)


def _one(node: Map, patch: Message) -> None:
    typed = opened_node(node, beginning(node))
    fields = _FIELDS.get(typed.package)
    if fields is None:
        if typed.package not in (known.NEUTRAL - known.LENDING) | {"header_mutation", "route"}:
            patch.findings.add(
                "proxy-not-judged",
                typed.anchor,
                f"`{typed.type}` can change what is checked, or answer without a check; it is not judged",
                "leave the patch out where patient data pass",
            )
        return
    message = typed.message(patch.findings, fields, "the patched filter")
    for name, values in _OPENS[typed.package].items():
        flag = message.fields.get(name)
        if flag is not None and message.text(name).lower() in _words(values):
            _open(message, name)
    if typed.package == "ext_authz":
        for name in _NEVER & message.fields.keys():
            _open(message, name)
    common = message.message("common_http_protocol_options", known.HTTP_PROTOCOL)
    if common.text("headers_with_underscores_action") in ("ALLOW", "0"):
        _open(common, "headers_with_underscores_action")


def _words(values: frozenset[str]) -> frozenset[str]:
    """Booleans as YAML spells them."""
    more = {"true": {"yes", "on", "y"}, "false": {"no", "off", "n"}}
    return values.union(*(more.get(each, set()) for each in values))


def _open(message: Message, name: str) -> None:
    message.findings.add(
        "istio-patch-opens",
        message.at(name),
        f"the patch sets `{name}` to what lets requests past the check",
        "leave it out",
    )
