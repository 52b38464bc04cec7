"""Route tables: which requests skip the check, or are served something else than what was checked."""

from __future__ import annotations

from typing import Final

from pdp.lint.envoy import check, known
from pdp.lint.envoy.filters import Chain
from pdp.lint.envoy.world import Typed, World, opened, opened_node
from pdp.lint.message import ANY, Message

_REWRITES: Final = (
    "prefix_rewrite",
    "regex_rewrite",
    "path_rewrite",
    "path_rewrite_policy",
    "host_rewrite_literal",
    "host_rewrite_header",
    "host_rewrite_path_regex",
    "host_rewrite",
)
_CONDITIONS: Final = frozenset(
    known.MATCH - {"prefix", "path", "safe_regex", "path_separated_prefix", "case_sensitive"}
)
_OVERRIDES: Final = "typed_per_filter_config"


class Routes:
    """One route table. `chain`: the filters that it may say something about."""

    def __init__(self, table: Message, chain: Chain, world: World) -> None:
        self.table = table
        self.checks = chain.names | {"envoy.filters.http.ext_authz"}
        self.mutations = chain.mutations
        self.world = world

    def judge(self) -> None:
        table = self.table
        self._overridden(table, "every path")
        self._headers(table)
        if "vhds" in table:
            self._add(
                "proxy-not-judged",
                "vhds",
                table,
                "virtual hosts come from a server and cannot be judged",
                "judge what it sends, or write them down",
            )
        if table.flag("ignore_path_parameters_in_path_matching"):
            self._add(
                "envoy-path-parameters",
                "ignore_path_parameters_in_path_matching",
                table,
                "routes are chosen by another path than the one that is checked",
                "leave it out",
            )
        hosts = table.messages("virtual_hosts", known.VIRTUAL_HOST, "the virtual host")
        for each in hosts:
            self._host(each)
        everything = [span for each in hosts for domain, span in each.texts("domains") if domain == "*"]
        if not everything:
            self._add(
                "envoy-no-default-route",
                "virtual_hosts",
                table,
                "a request for another host has no route, so that it is neither checked nor recorded",
                'add a last virtual host with domains ["*"] that answers 404',
            )

    def _host(self, host: Message) -> None:
        where = ", ".join(domain for domain, _ in host.texts("domains")) or "a virtual host"
        self._overridden(host, f"every path of {where}")
        self._headers(host)
        self._retried(host)
        if "matcher" in host:
            self._add("proxy-not-judged", "matcher", host, "a match tree of routes is not judged", "write `routes`")
            return
        routes = host.messages("routes", known.ROUTE, "the route")
        for each in routes:
            self._route(each, where)
        if not any(_everything(each.message("match", known.MATCH)) for each in routes):
            self._add(
                "envoy-no-default-route",
                "routes",
                host,
                "a path without a route is neither checked nor recorded",
                'end the routes with {match: {prefix: "/"}}',
            )

    def _route(self, route: Message, where: str) -> None:
        match = route.message("match", known.MATCH)
        path = _described(match)
        self._overridden(route, f"{path} of {where}")
        self._headers(route)
        if "filter_action" in route or "connect_matcher" in match:
            self._add(
                "proxy-not-judged",
                "filter_action" if "filter_action" in route else "match",
                route,
                "what this route does is not judged",
                "use a plain route",
            )
        action = route.message("route", known.ROUTE_ACTION)
        if action.present:
            self._action(action, f"{path} of {where}")

    def _action(self, action: Message, where: str) -> None:
        for name in _REWRITES:
            if name in action:
                self._add(
                    "envoy-rewritten-behind-check",
                    name,
                    action,
                    "the service gets another request than the one that was checked",
                    "let the service have the path and host as they came, or rewrite before Envoy",
                )
        if "internal_redirect_policy" in action or "internal_redirect_action" in action:
            name = "internal_redirect_policy" if "internal_redirect_policy" in action else "internal_redirect_action"
            self._add(
                "envoy-internal-redirect",
                name,
                action,
                "a redirect of the service is followed here, on the strength of the check of another path",
                "leave it out: the client follows redirects, and each is checked",
            )
        self._chosen(action)
        self._retried(action)
        self._endless(action)
        weighted = action.message("weighted_clusters", known.WEIGHTED)
        for each in weighted.messages("clusters", known.WEIGHT):
            self._chosen(each)
            self._overridden(each, f"a part of {where}")
            self._headers(each)
        for each in action.messages("upgrade_configs", known.UPGRADE):
            upgrade(each, self.world)

    def _endless(self, action: Message) -> None:
        limit = action.message("max_stream_duration", known.STREAM_DURATION)
        if limit.seconds("max_stream_duration") == 0:
            self._add(
                "envoy-endless-stream",
                "max_stream_duration",
                action,
                "a stream of this route has no end, and outlives every revocation",
                "give it a duration",
            )

    def _retried(self, holder: Message) -> None:
        for name in ("retry_policy", "retry_policy_typed_config", "hedge_policy"):
            if name in holder:
                self._add(
                    "envoy-retried-behind-check",
                    name,
                    holder,
                    "a request is sent again, and later, on one check",
                    "leave retries to the client, whose every attempt is checked",
                )

    def _headers(self, holder: Message) -> None:
        """Headers that are set here are set behind the check."""
        for each in holder.messages("request_headers_to_add", known.HEADER_OPTION):
            key = each.message("header", known.HEADER).text("key").lower()
            if key.startswith(("x-pdp-", ":")) or key in ("host", "authorization"):
                self._add(
                    "envoy-header-set-behind-check",
                    "header",
                    each,
                    f"`{key}` is set after the check, so that the service is told something else than Chaperone",
                    "set it before the check, in a header_mutation filter",
                )

    def _chosen(self, action: Message) -> None:
        if "cluster_header" in action:
            self._add(
                "envoy-client-chooses-cluster",
                "cluster_header",
                action,
                "a header of the client chooses where a permitted request goes",
                "name the cluster",
            )

    def _overridden(self, holder: Message, where: str) -> None:
        for name, entry in holder.named(_OVERRIDES):
            self._override(name, opened_node(entry.node, entry.anchor), where)

    def _override(self, name: str, typed: Typed, where: str) -> None:
        findings = self.world.findings
        if typed.name == "FilterConfig" and typed.type.startswith("envoy.config.route."):
            wrapper = typed.message(findings, known.FILTER_CONFIG, "the filter's settings")
            inner = opened(wrapper, "config")
            if wrapper.flag("disabled") and (name in self.checks or inner.package == "ext_authz"):
                self._unchecked(wrapper, where)
            elif wrapper.flag("disabled") and (name in self.mutations or "header_mutation" in name):
                findings.add(
                    "envoy-client-headers-kept",
                    wrapper.at("disabled"),
                    f"the client's x-pdp-* headers are not removed for {where}",
                    "leave it out",
                )
            typed = inner
        if typed.package != "ext_authz":
            if typed.type and typed.package in ("matching", "composite"):
                findings.add("proxy-not-judged", typed.anchor, "a match decides what runs here", "write it down")
            elif not typed.type and name in self.checks:
                findings.add("proxy-not-judged", typed.anchor, "settings without a type", "say their `@type`")
            return
        settings = typed.message(findings, known.PER_ROUTE, "the check of one route")
        if settings.flag("disabled"):
            self._unchecked(settings, where)
        own = settings.message("check_settings", known.CHECK_SETTINGS)
        if own.present:
            check.override(own, self.world)

    def _unchecked(self, holder: Message, where: str) -> None:
        self._add(
            "envoy-route-unchecked",
            "disabled",
            holder,
            f"{where} is served without any check",
            "leave it out, and permit in a policy what everybody may see",
        )

    def _add(self, code: str, name: str, holder: Message, message: str, hint: str) -> None:
        self.world.findings.add(code, holder.at(name), message, hint)


def upgrade(config: Message, world: World) -> None:
    """An upgraded connection is checked once, at its handshake; a tunnel leads anywhere."""
    kind = config.text("upgrade_type")
    if kind.upper().startswith("CONNECT") and config.flag("enabled") is not False:
        world.findings.add(
            "envoy-connect",
            config.at("upgrade_type"),
            "a tunnel: what goes through it is never seen",
            "leave it out",
        )


def _everything(match: Message) -> bool:
    return match.text("prefix") == "/" and not _CONDITIONS & match.fields.keys()


def _described(match: Message) -> str:
    for name, form in (("prefix", "every path that begins with {}"), ("path", "the path {}")):
        if name in match:
            return form.format(match.text(name))
    if "path_separated_prefix" in match:
        return f"every path below {match.text('path_separated_prefix')}"
    regex = match.message("safe_regex", ANY).text("regex")
    return f"every path like {regex}" if regex else "some paths"
