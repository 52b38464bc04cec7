"""The HTTP filters of a connection manager, in their order: what may stand before the check, and what behind it."""

from __future__ import annotations

from typing import Final

from pdp.diagnostics.source import Span
from pdp.lint.envoy import check, clusters, known
from pdp.lint.envoy.world import CREDENTIALS, OURS, OVERRIDES, Typed, World, lent, opened, opened_node
from pdp.lint.message import ANY, Message

_BEFORE: Final = known.NEUTRAL | {"header_mutation", "oauth2"}
"""Before the check a filter may change what is checked; it must not answer in the service's place."""
_BEHIND: Final = known.NEUTRAL | {"cache", "cache_v2"}
_JUDGED: Final = OURS + OVERRIDES
_TERMINAL: Final = frozenset({"router"})


class Chain:
    """The filters, read once; `checks` are the ext_authz filters among them."""

    def __init__(self, holder: Message, field: str, world: World) -> None:
        self.holder = holder
        self.field = field
        self.world = world
        self.filters = [(each, opened(each)) for each in holder.messages(field, known.HTTP_FILTER)]
        self.checks = [at for at, (_, typed) in enumerate(self.filters) if typed.package == "ext_authz"]
        self.names = frozenset(self.filters[at][0].text("name") for at in self.checks)
        self.mutations = frozenset(
            each.text("name") for each, typed in self.filters if typed.package == "header_mutation"
        )

    def judge(self, certificates: bool) -> None:
        for entry, typed in self.filters:
            self._readable(entry, typed)
        if not self.checks:
            self._add(
                "envoy-no-check",
                self.holder.at(self.field),
                "nothing that comes this way is ever checked",
                "add the envoy.filters.http.ext_authz filter, before the router",
            )
            return
        for at in self.checks:
            self._one(at, certificates)
        self._around()

    def _readable(self, entry: Message, typed: Typed) -> None:
        if "config_discovery" in entry:
            self._add(
                "proxy-not-judged",
                entry.at("config_discovery"),
                "the filter comes from a server and cannot be judged",
                "judge what it sends, or write the filter down",
            )
        elif typed.package in ("matching", "composite"):
            self._add(
                "proxy-not-judged",
                entry.anchor,
                "a match decides whether the filter runs; that is not judged",
                "write the filter itself down",
            )
        elif not typed.name and not entry.text("name").endswith("router"):
            self._add(
                "proxy-not-judged", entry.anchor, "the filter has no `typed_config`", "say its type and its settings"
            )

    def _one(self, at: int, certificates: bool) -> None:
        entry, typed = self.filters[at]
        if entry.flag("disabled"):
            self._add(
                "envoy-check-disabled",
                entry.at("disabled"),
                "the check is off, except for routes that turn it on",
                "leave `disabled` out",
            )
        if entry.flag("is_optional"):
            self._add(
                "envoy-check-optional",
                entry.at("is_optional"),
                "an Envoy that lacks the filter starts without it",
                "leave `is_optional` out",
            )
        if any(self._name(before) in _TERMINAL for before in range(at)):
            self._add(
                "envoy-check-too-late",
                entry.anchor,
                "the filter stands behind the router and is never reached",
                "put it before the router",
            )
        check.judge(
            typed.message(self.world.findings, known.EXT_AUTHZ, "the ext_authz filter"), self.world, certificates
        )

    def _name(self, at: int) -> str:
        """The package of a filter's type; a router needs no type."""
        entry, typed = self.filters[at]
        return typed.package or ("router" if entry.text("name").endswith("router") else "")

    def _around(self) -> None:
        first, last = self.checks[0], self.checks[-1]
        for at, (entry, typed) in enumerate(self.filters):
            name = self._name(at)
            if name in ("matching", "composite") or not name:
                continue  # Said before.
            if at < first and name not in _BEFORE | _TERMINAL:
                self._add(
                    "envoy-filter-before-check",
                    entry.anchor,
                    f"`{typed.type or name}` can answer before anything is checked",
                    "put it behind the check, or do without it",
                )
            if at < first and name in known.LENDING:
                lent(entry.anchor, self.world)
            if name == "router":
                clusters.upstream(
                    typed.message(self.world.findings, ANY, "the router"), "upstream_http_filters", self.world
                )
            if at > last and name not in _BEHIND | _TERMINAL:
                self._add(
                    "envoy-filter-behind-check",
                    entry.anchor,
                    f"`{typed.type or name}` can change the request after it was checked",
                    "put it before the check, or do without it",
                )

    def strips(self) -> frozenset[str]:
        """Which of the headers that matter are taken from a client before the check."""
        gone: set[str] = set()
        before = self.filters[: self.checks[0]] if self.checks else []
        for entry, typed in before:
            if typed.package == "header_mutation" and not entry.flag("disabled"):
                gone |= removed(typed, self.world)
        return frozenset(gone)

    def _add(self, code: str, span: Span, message: str, hint: str) -> None:
        self.world.findings.add(code, span, message, hint)


def removed(typed: Typed, world: World, early: bool = False) -> set[str]:
    """What a header mutation takes away of ours. The early one has its list directly in `mutations`."""
    mutation = typed.message(world.findings, known.HEADER_MUTATION, "the header mutation")
    if early:
        changes = mutation.messages("mutations", known.MUTATION)
    else:
        changes = mutation.message("mutations", known.MUTATIONS).messages("request_mutations", known.MUTATION)
    gone: set[str] = set()
    for each in changes:
        gone |= {name for name in _JUDGED if name == each.text("remove").lower()}
        match = each.message("remove_on_match", ANY).message("key_matcher", known.STRING_MATCH)
        prefix, exact = match.text("prefix").lower(), match.text("exact").lower()
        gone |= {name for name in _JUDGED if (prefix and name.startswith(prefix)) or name == exact}
        option = each.message("append", known.HEADER_OPTION)
        key = option.message("header", known.HEADER).text("key").lower()
        gone -= {key}
        if key in CREDENTIALS:
            lent(each.anchor, world)
    return gone


def early(manager: Message, world: World) -> set[str]:
    """The same of the manager's own mutations, which come before the route is chosen."""
    gone: set[str] = set()
    for each in manager.messages("early_header_mutation_extensions", known.TRANSPORT_SOCKET):
        typed = opened_node(each.node_at("typed_config"), each.anchor)
        if typed.name == "HeaderMutation":
            gone |= removed(typed, world, early=True)
        else:
            world.findings.add(
                "proxy-not-judged",
                each.anchor,
                f"`{typed.type}` changes headers in a way not known here",
                "leave it out",
            )
    return gone
