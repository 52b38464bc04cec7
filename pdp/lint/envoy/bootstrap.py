"""A whole Envoy: what its files say together, from the listeners on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pdp.diagnostics.source import Span
from pdp.lint.document import Map, Node
from pdp.lint.envoy import clusters, known, tls
from pdp.lint.envoy.manager import Manager, of
from pdp.lint.envoy.world import World, local, opened, opened_node
from pdp.lint.findings import Findings
from pdp.lint.message import ANY, Message, beginning, snake

_MARKS: Final = frozenset({"static_resources", "dynamic_resources", "admin", "resources"})
_HARMLESS: Final = frozenset({"ClusterLoadAssignment", "Runtime"})


def recognised(node: Node) -> bool:
    """Is a document a bootstrap, or a file of resources?"""
    if not isinstance(node, Map):
        return False
    names = {snake(key.text) for key, _ in node.entries}
    return bool(names & _MARKS) and "kind" not in names


def judge(documents: Sequence[Node], findings: Findings) -> None:
    """Each bootstrap is an Envoy of its own; files of resources belong to all of them."""
    resources = [each for each in documents if _is_resources(each)]
    bootstraps = [each for each in documents if not _is_resources(each)]
    listeners = 0
    envoys: list[Node | None] = [*bootstraps] or [None]
    for each in envoys:
        listeners += _Envoy(each, resources, findings).judge()
    if not listeners and documents:
        findings.add(
            "envoy-nothing-checked",
            beginning(documents[0]),
            "there is no listener here, so that nothing was judged about what gets in",
            "give the file that holds the listeners",
        )


def _is_resources(node: Node) -> bool:
    return isinstance(node, Map) and node.get("resources") is not None


class _Envoy:
    def __init__(self, bootstrap: Node | None, resources: Sequence[Node], findings: Findings) -> None:
        self.world = World(findings)
        self.listeners: list[Message] = []
        self.static: Message | None = None
        if bootstrap is not None:
            self._bootstrap(bootstrap)
        for each in resources:
            self._resources(each)

    def judge(self) -> int:
        """How many listeners there are."""
        for each in self.listeners:
            _listener(each, self.world)
        for cluster in self.world.clusters.values():
            clusters.behind(cluster, self.world)
        return len(self.listeners)

    def _bootstrap(self, node: Node) -> None:
        findings = self.world.findings
        top = Message(node, beginning(node), findings, known.BOOTSTRAP, "a bootstrap")
        for name in ("dynamic_resources", "hds_config"):
            if name in top:
                self._unjudged(top.at(name), "listeners, clusters or routes come from a server and cannot be judged")
        _admin(top, self.world)
        _runtime(top, self.world)
        static = top.message("static_resources", known.STATIC)
        for each in static.messages("clusters", known.CLUSTER, "the cluster"):
            self._cluster(each)
        for each in static.messages("listeners", known.LISTENER, "the listener"):
            self.listeners.append(each)
        for secret in static.items("secrets"):
            tls.secret(secret, self.world)

    def _resources(self, node: Node) -> None:
        findings = self.world.findings
        top = Message(node, beginning(node), findings, known.DISCOVERED, "a file of resources")
        for each in top.items("resources"):
            typed = opened_node(each, beginning(each))
            match typed.name:
                case "Listener":
                    self.listeners.append(typed.message(findings, known.LISTENER, "the listener"))
                case "Cluster":
                    self._cluster(typed.message(findings, known.CLUSTER, "the cluster"))
                case "RouteConfiguration":
                    table = typed.message(findings, known.ROUTES, "the route table")
                    self.world.routes[table.text("name")] = table
                case "Secret":
                    tls.secret(each, self.world)
                case name if name not in _HARMLESS:
                    self._unjudged(beginning(each), f"the resource `{typed.type}` is not known here")

    def _cluster(self, cluster: Message) -> None:
        self.world.clusters[cluster.text("name")] = cluster

    def _unjudged(self, span: Span, message: str) -> None:
        self.world.findings.add("proxy-not-judged", span, message, "judge what it sends, or write it down")


def _admin(top: Message, world: World) -> None:
    admin = top.message("admin", known.ADMIN)
    address = admin.message("address", known.ADDRESS)
    if address.present and not local(address):
        world.findings.add(
            "envoy-admin-open",
            admin.at("address"),
            "whoever reaches the admin port stops this Envoy, or reads its configuration and secrets",
            "bind it to loopback or to a Unix socket, or leave `admin` out",
        )


def _runtime(top: Message, world: World) -> None:
    """Layers that turn behaviour of Envoy on and off, its defences among it."""
    for layer in top.message("layered_runtime", ANY).messages("layers", ANY):
        static = layer.message("static_layer", None)
        features = [key for key in static.fields if key.startswith(("envoy.", "re2."))]
        for name in [each for each in ("disk_layer", "rtds_layer") if each in layer]:
            world.findings.add(
                "proxy-not-judged",
                layer.at(name),
                "a runtime that comes from elsewhere can turn anything off",
                "leave it out",
            )
        for key in features:
            world.findings.add(
                "proxy-not-judged",
                static.at(key),
                f"`{key}` changes how Envoy behaves, and is not judged",
                "leave it out",
            )


def _listener(listener: Message, world: World) -> None:
    for name in ("api_listener", "fcds_config", "filter_chain_matcher"):
        if name in listener:
            world.findings.add(
                "proxy-not-judged", listener.at(name), f"what `{name}` adds is not judged", "write filter chains down"
            )
    for each in listener.messages("listener_filters", ANY):
        if opened(each).package == "proxy_protocol":
            world.findings.add(
                "envoy-trusted-hops",
                each.anchor,
                "whoever connects writes the address of the client (PROXY protocol)",
                "leave it out where clients can reach this listener themselves",
            )
    addresses = [listener.message("address", known.ADDRESS)]
    addresses += [each.message("address", known.ADDRESS) for each in listener.messages("additional_addresses", ANY)]
    inside = "internal_listener" in listener or all(map(local, addresses))
    chains = listener.messages("filter_chains", known.FILTER_CHAIN, "the filter chain")
    default = listener.message("default_filter_chain", known.FILTER_CHAIN, "the filter chain")
    every = [*chains, *([default] if default.present else [])]
    for chain in every:
        _chain(chain, world, inside)
    if not every:
        world.findings.add(
            "envoy-not-http", listener.anchor, "a listener without a filter chain", "say what it does, or take it away"
        )


def _chain(chain: Message, world: World, inside: bool) -> None:
    certificates = tls.downstream(chain, world, inside)
    filters = chain.messages("filters", known.FILTER, "the network filter")
    managers = [each for each in filters if of(each)]
    for each in managers:
        message = opened(each).message(world.findings, known.MANAGER, "the connection manager")
        Manager(message, world, certificates).judge()
    if any("config_discovery" in each for each in filters):
        world.findings.add(
            "proxy-not-judged",
            chain.at("filters"),
            "a filter comes from a server and cannot be judged",
            "write it down",
        )
    elif not managers:
        world.findings.add(
            "envoy-not-http",
            chain.at("filters"),
            "bytes are passed on without anything being read of them, and nothing checked",
            "put an HTTP connection manager with the check here, or take the listener away",
        )
