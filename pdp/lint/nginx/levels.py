"""The blocks of a configuration, and what each has from those around it.

nginx inherits a directive only where a block has none of that name: one `proxy_set_header` of its own, and a location
has lost all those of its server.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from pdp.lint.nginx.text import Directive

CONTAINERS: Final = ("location", "if", "limit_except")


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    directive: Directive
    parent: Level | None
    _by_name: dict[str, list[Directive]] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        for each in self.directive.block or ():
            self._by_name.setdefault(each.name, []).append(each)

    @property
    def kind(self) -> str:
        return self.directive.name

    def own(self, name: str) -> list[Directive]:
        return self._by_name.get(name, [])

    def effective(self, name: str) -> list[Directive]:
        """What holds here: the directives of the nearest block that has any."""
        level: Level | None = self
        while level is not None:
            found = level.own(name)
            if found:
                return found
            level = level.parent
        return []

    def one(self, name: str) -> str:
        """The first argument of what holds here, or ""."""
        found = self.effective(name)
        return found[-1].arg(0) if found else ""

    def children(self, kind: str) -> Iterator[Level]:
        for each in self.own(kind):
            yield Level(each, self)

    def locations(self) -> Iterator[Level]:
        """Every location below, at any depth."""
        for each in self.children("location"):
            yield each
            yield from each.locations()

    def below(self) -> Iterator[Level]:
        """This block and every block below that can hold directives of its kind."""
        yield self
        for kind in CONTAINERS:
            for each in self.children(kind):
                yield from each.below()

    def headers(self) -> dict[str, Directive]:
        """The headers that are set for what is behind, by their names in lower case."""
        return {each.arg(0).lower(): each for each in self.effective("proxy_set_header")}

    @property
    def path(self) -> str:
        """What a location is for: its path, without the modifier."""
        return self.directive.arg(len(self.directive.args) - 1) if self.directive.args else ""

    @property
    def modifier(self) -> str:
        return self.directive.arg(0) if len(self.directive.args) > 1 else ""

    @property
    def answers_itself(self) -> bool:
        """Is every request here answered with a redirect or an error, and nothing else?"""
        returned = self.own("return")
        if not returned:
            closed = any(each.arg(0) == "all" for each in self.own("deny")) and not self.own("allow")
            return closed and self.one("satisfy") != "any"
        inner = [each for level in self.children("if") for each in level.own("return")]
        return all(refuses(each) for each in [*returned, *inner])


def refuses(returned: Directive) -> bool:
    """`return 403`, `return 301 ..`, `return https://..`: nothing of the service."""
    code = returned.arg(0)
    return not (code.isdigit() and int(code) < 300) and not code.startswith("$")


def on_this_host(host: str) -> bool:
    if host.startswith("unix:") or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def without_port(address: str) -> str:
    if address.startswith("["):
        return address.partition("]")[0] + "]"
    return address if address.startswith("unix:") else address.partition(":")[0]
