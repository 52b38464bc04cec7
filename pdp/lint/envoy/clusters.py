"""The cluster that Chaperone is in: that it is really Chaperone, and that Chaperone knows this Envoy."""

from __future__ import annotations

from typing import Final

from pdp.diagnostics.source import Span
from pdp.lint.envoy import known, tls
from pdp.lint.envoy.world import World, local, opened, opened_node
from pdp.lint.message import Message

SECRET: Final = "x-pdp-secret"
_ENCRYPTED: Final = ("UpstreamTlsContext", "QuicUpstreamTransport")
_UPSTREAM: Final = known.NEUTRAL | {"upstream_codec"}
_HTTP_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def asked(name: str, span: Span, world: World) -> bool:
    """Judge the cluster of this name. Does it tell Chaperone who asks, by a certificate or an injected secret?"""
    cluster = world.clusters.get(name)
    if cluster is None:
        world.findings.add(
            "envoy-unknown-cluster",
            span,
            f"the cluster `{name}` is nowhere in what was read",
            "give its file too; how Chaperone is reached cannot be judged without it",
        )
        return True  # Said once is enough.
    world.asked.add(name)
    typed = tls.socket(cluster)
    proven = _injects(cluster, world)
    if "transport_socket_matches" in cluster or "transport_socket_matcher" in cluster:
        world.findings.add(
            "proxy-not-judged",
            cluster.at("transport_socket_matches"),
            "how Chaperone is reached depends on its endpoint",
            "use one `transport_socket`",
        )
    if typed.name == "UpstreamTlsContext":
        return tls.upstream(cluster, typed, world) or proven
    if not _on_this_host(cluster):
        world.findings.add(
            "envoy-chaperone-plaintext",
            cluster.anchor,
            "Chaperone is asked without TLS, over a network: its answer can be forged, the secret read",
            "give the cluster a `transport_socket` with TLS, or ask on loopback",
        )
    return proven


def _on_this_host(cluster: Message) -> bool:
    """Are all its endpoints written down, and on this host?"""
    found = []
    assignment = cluster.message("load_assignment", known.LOAD_ASSIGNMENT)
    for locality in assignment.messages("endpoints", known.LOCALITY):
        for each in locality.messages("lb_endpoints", known.LB_ENDPOINT):
            address = each.message("endpoint", known.ENDPOINT).message("address", known.ADDRESS)
            found.append(local(address))
        if "leds_cluster_locality_config" in locality or "load_balancer_endpoints" in locality:
            return False
    return bool(found) and all(found)


def _injects(cluster: Message, world: World) -> bool:
    """Does an upstream filter put the secret on every question?"""
    http = _http_options(cluster, world)
    return any(_injector(each, world) for each in http.messages("http_filters", known.HTTP_FILTER))


def behind(cluster: Message, world: World) -> None:
    """What a cluster does to the requests that it takes."""
    upstream(_http_options(cluster, world), "http_filters", world)
    if tls.socket(cluster).name not in _ENCRYPTED and not _on_this_host(cluster) and not _told(cluster, world):
        world.findings.add(
            "envoy-service-plaintext",
            cluster.anchor,
            f"what goes to `{cluster.text('name')}` and comes from it crosses a network without TLS",
            "give the cluster a `transport_socket` with TLS, or put the service on loopback",
        )


def _told(cluster: Message, world: World) -> bool:
    """Is it how Chaperone is reached, of which more was said?"""
    return cluster.text("name") in world.asked


def upstream(holder: Message, field: str, world: World) -> None:
    """Filters of a router or a cluster: they run when everything else has."""
    for entry in holder.messages(field, known.HTTP_FILTER):
        typed = opened(entry)
        if typed.package not in _UPSTREAM and not entry.text("name").endswith("upstream_codec"):
            world.findings.add(
                "envoy-filter-behind-check",
                entry.anchor,
                f"`{typed.type or entry.text('name')}` can change the request after it was checked",
                "put it before the check, or do without it",
            )


def _http_options(cluster: Message, world: World) -> Message:
    options = opened_node(
        cluster.message("typed_extension_protocol_options", None).node_at(_HTTP_OPTIONS), cluster.anchor
    )
    return options.message(world.findings, known.UPSTREAM_HTTP, "the HTTP options of the cluster")


def _injector(entry: Message, world: World) -> bool:
    typed = opened(entry)
    if typed.name != "CredentialInjector" or entry.flag("disabled"):
        return False
    injector = typed.message(world.findings, known.INJECTOR, "the credential injector")
    if injector.flag("allow_request_without_credential"):
        world.findings.add(
            "envoy-no-proof",
            injector.at("allow_request_without_credential"),
            "Chaperone is asked without the secret when it cannot be read",
            "leave it out",
        )
    generic = opened(injector.message("credential", known.TRANSPORT_SOCKET))
    injected = generic.message(world.findings, known.INJECTED, "the injected credential")
    return injected.text("header").lower() == SECRET
