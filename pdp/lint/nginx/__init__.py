"""nginx with auth_request: every location behind the question, and the question the one that the client asked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from pdp.diagnostics.source import Source, Span
from pdp.lint.findings import Findings
from pdp.lint.nginx import logs, text
from pdp.lint.nginx.levels import Level
from pdp.lint.nginx.servers import Server
from pdp.lint.nginx.text import Directive

_LOOKS_LIKE: Final = re.compile(
    # Possessive, so that whatever a file holds is read once.
    r"^[ \t]*+(?:(?:http|server|events|stream)\s*+\{|(?:location|upstream)[ \t][^\n{]*+\s*+\{|"
    r"(?:proxy_|auth_request|ssl_|listen|include|server_name|add_header|worker_)[^\n:;]*+;)",
    re.MULTILINE,
).search
_OTHER: Final = ("stream", "mail")


def recognised(source: Source) -> bool:
    return source.name.endswith((".conf", ".nginx")) or _LOOKS_LIKE(source.text) is not None


def includes(source: Source) -> list[str]:
    """The patterns of the files that a configuration includes, so that they can be given too."""
    directives = text.read(source, Findings()) or ()
    return [each.arg(0) for each in text.included(directives) if not text.harmless(each.arg(0))]


def judge(sources: Sequence[Source], included: Sequence[Source], findings: Findings) -> None:
    """`included`: files that are no configurations of their own. A file that another one includes is none either."""
    files = text.Includes([*sources, *included], findings)
    whole: list[tuple[Source, tuple[Directive, ...]]] = []
    for source in sources:
        directives = text.read(source, findings)
        if directives is not None:
            whole.append((source, files.whole(source, directives)))
    for source, directives in whole:
        if source.name not in files.used:
            _file(source, directives, findings)


def _file(source: Source, directives: tuple[Directive, ...], findings: Findings) -> None:
    top = Span(source, 0, len(source.line(1)))
    for each in directives:
        if each.name in _OTHER:
            findings.add(
                "proxy-not-judged", each.span, f"`{each.name}` passes bytes on, and nothing is checked", "leave it out"
            )
    logs.judge(directives, findings)
    servers = list(_servers(directives, top))
    upstreams = {
        each.arg(0): [server.arg(0) for server in each.block or () if server.name == "server"]
        for each in _everywhere(directives)
        if each.name == "upstream"
    }
    for server in servers:
        Server(server, upstreams, findings).judge()
    if not servers:
        findings.add(
            "proxy-nothing-recognised",
            top,
            "there is no `server` here, so that nothing was judged about what gets in",
            "give the file that holds the servers; what it includes is read with it",
        )


def _everywhere(directives: Sequence[Directive]) -> Iterator[Directive]:
    for each in directives:
        yield each
        if each.name in ("http", "server"):
            yield from _everywhere(each.block or ())


def _servers(directives: tuple[Directive, ...], top: Span) -> Iterator[Level]:
    """The servers of a whole configuration, or of a part of one that is included in `http`."""
    outer = Level(Directive("main", (), top, directives), None)
    http = list(outer.children("http")) or [outer]
    for each in http:
        yield from each.children("server")
    if not any(each.own("server") for each in http) and outer.own("location"):
        yield Level(Directive("server", (), top, directives), None)
