"""`[alert.NAME]`: who is told of cases."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from pdp.audit.detect.wanted import To
from pdp.audit.ship.destination import Syslog, Trust, local
from pdp.config.reading import Table, named

KINDS: Final = ("webhook", "syslog", "file")
PLAIN: Final = "trust_plain_text_network"


def alerts(given: Any, file: Path, problems: list[str]) -> tuple[To, ...]:
    """The sections of a settings file."""
    found = []
    for name, table in named("alert", given, file, problems):
        kind = table.one_of("kind", KINDS, "")
        if not kind:
            if "kind" not in table:
                table.wrong(f"`kind` must be one of {', '.join(KINDS)}")
            continue
        plain = table.flag(PLAIN)
        trust = Trust(table.path("ca_file"), table.path("certificate_file"), table.path("key_file"))
        found.append(
            To(
                name,
                _url(table, plain) if kind == "webhook" else "",
                (table.secret("secret_file") or b"") if kind == "webhook" else b"",
                trust,
                _syslog(table, plain, trust) if kind == "syslog" else None,
                _file(table) if kind == "file" else None,
                table.number("min_score", 0, 0, 10_000),
                frozenset(table.texts("rules")),
                table.flag("include_identities"),
                table.number("timeout_seconds", 10, 1, 60),
            )
        )
        if kind == "webhook" and "secret_file" not in table:
            table.wrong("`secret_file` must be set: an alert that nobody signs, anybody may send")
        table.close()
    return tuple(found)


def _url(table: Table, plain: bool) -> str:
    found = table.url("url")
    if not found:
        table.wrong("`url` must be set, like https://desk.example/pdp")
    elif found.startswith("http:") and not plain and not local(found):
        table.wrong(f"`url`: alerts would travel in clear; https, or, knowing that, `{PLAIN}`")
    return found


def _syslog(table: Table, plain: bool, trust: Trust) -> Syslog:
    url = table.text("url")
    if not url.startswith("unix:///"):
        try:
            parts = urlsplit(url)
            known = parts.scheme in ("tls", "tcp") and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            known = False
        if not known or "@" in url:
            table.wrong("`url` must be tls://HOST:PORT, tcp://HOST:PORT or unix:///PATH")
        elif url.startswith("tcp:") and not plain and not local(url):
            table.wrong(f"`url`: alerts would travel in clear; tls, or, knowing that, `{PLAIN}`")
    return Syslog(url, table.number("facility", 13, 0, 23), trust)


def _file(table: Table) -> Path:
    found = table.path("file")
    if found is None:
        table.wrong("`file` must be set")
    return found or Path()
