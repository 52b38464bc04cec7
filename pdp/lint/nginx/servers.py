"""Servers and locations: which of them serve without a check, and what they make of a request that was checked."""

from __future__ import annotations

import re
from typing import Final

from pdp.diagnostics.source import Span
from pdp.lint.envoy.world import IDENTITY_HEADERS, OVERRIDES
from pdp.lint.findings import Findings
from pdp.lint.nginx.levels import Level, on_this_host, without_port
from pdp.lint.nginx.question import Question
from pdp.lint.nginx.text import Directive

_OTHER_PASSES: Final = ("fastcgi_pass", "uwsgi_pass", "scgi_pass", "grpc_pass", "memcached_pass")
_SCRIPTS: Final = re.compile(r".*_by_lua(_block|_file)?|js_.*|perl.*|lua_.*").fullmatch
_PASS: Final = re.compile(r"https?://(\[[^\]]*\]|[^/]*?)(:[0-9]+)?(/.*)?").fullmatch
_OLD_TLS: Final = frozenset({"SSLv2", "SSLv3", "TLSv1", "TLSv1.1"})
_DENIALS: Final = frozenset({"401", "403", "429", "500", "502", "503", "504"})
_CACHES: Final = ("proxy_cache", "fastcgi_cache", "uwsgi_cache", "scgi_cache", "proxy_store")
_SUBREQUESTS: Final = ("ssi", "add_before_body", "add_after_body", "mirror")
"""nginx fetches something by itself, in the name of a request that was checked."""
_HOSTS: Final = re.compile(r"\$(host|http_host|proxy_host|server_name|server_port|proxy_port)\b|\$\{(host|http_host)\}")
_IN_IF: Final = frozenset({"return", "set", "break", "rewrite", "add_header"})


class Server:
    def __init__(self, level: Level, upstreams: dict[str, list[str]], findings: Findings) -> None:
        self.level = level
        self.findings = findings
        self.upstreams = upstreams
        self.locations = list(level.locations())
        asked = {each.one("auth_request") for each in level.below()} - {"", "off"}
        self.questions = [each for each in self.locations if each.path in asked and each.modifier != "~"]
        self.asked = asked

    def judge(self) -> None:
        self._transport()
        self._header_rules()
        for each in self.questions:
            Question(each, self.upstreams, self.findings).judge()
        self._all_questions_found()
        if self.level.own("return") and self.level.answers_itself:
            return
        self._rest()
        for location in self.locations:
            if location not in self.questions:
                self._location(location)
        for level in self.level.below():
            self._block(level)

    def _all_questions_found(self) -> None:
        known = {each.path for each in self.questions}
        for level in self.level.below():
            for each in level.own("auth_request"):
                if each.arg(0) not in known | {"off"}:
                    self._add(
                        "proxy-not-judged",
                        each.span,
                        f"no location of this server is `{each.arg(0)}`: who is asked cannot be told",
                        f"write it down: `location = {each.arg(0)} {{ .. }}`",
                    )

    # ---------------------------------------------------------------------------------------------- what is unchecked

    def _rest(self) -> None:
        """What no location takes is served from the server's own root."""
        if not any(each.path == "/" and each.modifier in ("", "^~") for each in self.level.children("location")):
            self._checked(self.level, "what no location takes")
            self._subrequests(self.level)

    def _location(self, location: Level) -> None:
        if location.answers_itself:
            return
        if not location.path.startswith("@") and any(not_refused(each) for each in location.own("return")):
            self._add(
                "nginx-return-before-check",
                location.own("return")[-1].span,
                "`return` comes before `auth_request`: this is answered without a check",
                "let Chaperone permit what everybody may see, or return nothing but errors and redirects",
            )
        self._checked(location, f"`{location.path}`")
        self._subrequests(location)
        self._passes(location)
        self._kept(location)
        self._alias(location)

    def _checked(self, level: Level, what: str) -> None:
        value = level.one("auth_request")
        if value in ("", "off"):
            off = [each for each in level.effective("auth_request") if each.arg(0) == "off"]
            self._add(
                "nginx-unchecked",
                off[-1].span if off else level.directive.span,
                f"{what} is served without any check",
                "set `auth_request` in the server, and in no location `off`",
            )
        if level.one("satisfy") == "any":
            self._add(
                "nginx-satisfy-any",
                level.effective("satisfy")[-1].span,
                "an address that is allowed, or a password, is enough without Chaperone",
                "set `satisfy all;`",
            )

    def _subrequests(self, level: Level) -> None:
        for name in _SUBREQUESTS:
            if level.one(name) not in ("", "off"):
                self._add(
                    "nginx-subrequest",
                    level.effective(name)[-1].span,
                    f"what `{name}` fetches is served without a check: nginx checks no request of its own",
                    "leave it out, and let the service put its answer together",
                )

    # --------------------------------------------------------------------------------------------- what is passed on

    def _passes(self, location: Level) -> None:
        for name in _OTHER_PASSES:
            for each in location.own(name):
                self._add(
                    "proxy-not-judged",
                    each.span,
                    f"what `{name}` tells the service of the client's headers is not judged",
                    "use `proxy_pass`",
                )
        for each in location.own("proxy_pass"):
            self._target(each)
            self._same(location)
            self._identity(location, each)
            self._upgrade(location)

    def _target(self, passed: Directive) -> None:
        target = passed.arg(0)
        if "$" in target:
            self._add(
                "nginx-variable-target",
                passed.span,
                "a variable chooses where the request goes; many of them are the client's own words",
                "name the service, or an `upstream`",
            )
            return
        match = _PASS(target)
        if match is None or match[3]:
            self._add(
                "nginx-target-rewritten",
                passed.span,
                "a path behind the name makes nginx forward its own, decoded path, and not the one that was checked",
                "write nothing behind the name, not even `/`",
            )

    def _same(self, location: Level) -> None:
        """Is the request that is passed on the one that was checked?"""
        host = location.headers().get("host")
        changed = [each for name in ("proxy_method", "proxy_set_body") for each in location.effective(name)]
        if host is not None and "$" in _HOSTS.sub("", host.arg(1)):
            changed.append(host)
        for each in changed:
            self._add(
                "nginx-request-changed",
                each.span,
                "the service gets another method, host or body than the one that was checked",
                "leave it out; `proxy_set_header Host $host;`",
            )

    def _identity(self, location: Level, passed: Directive) -> None:
        headers = location.headers()
        set_by = {each.arg(0): each.arg(1) for each in location.effective("auth_request_set")}
        missing = [name for name in IDENTITY_HEADERS if name not in headers]
        if missing:
            self._add(
                "nginx-identity-not-set",
                passed.span,
                f"the client's own {', '.join(f'`{name}`' for name in missing)} reaches the service",
                "set each with `proxy_set_header` from `auth_request_set`; one header of its own, and a location has "
                "none of its server's",
            )
        overrides = [name for name in OVERRIDES if name not in headers]
        if overrides:
            self._add(
                "nginx-overrides-kept",
                passed.span,
                f"by {', '.join(overrides)} a client asks the service for another method or path",
                'clear each: `proxy_set_header X-Http-Method-Override "";`',
            )
        for header in location.effective("proxy_set_header"):
            name = header.arg(0).lower()
            upstream = f"$upstream_http_{name.replace('-', '_')}"
            if name in IDENTITY_HEADERS and header.arg(1) and set_by.get(header.arg(1)) != upstream:
                self._add(
                    "nginx-identity-forged",
                    header.span,
                    f"`{header.arg(1)}` is not what Chaperone said",
                    f"set it with `auth_request_set {header.arg(1)} {upstream};`",
                )

    def _kept(self, location: Level) -> None:
        for name in _CACHES:
            passed = f"{name.partition('_')[0]}_pass"
            if location.own(passed) and location.one(name) not in ("", "off"):
                self._add(
                    "nginx-answer-kept",
                    location.effective(name)[-1].span,
                    "whoever is permitted gets the answer that somebody else got, with all that was let out to them",
                    f"set `{name} off;`",
                )

    def _upgrade(self, location: Level) -> None:
        header = location.headers().get("upgrade")
        if header is not None and header.arg(1):
            self._add(
                "nginx-endless-stream",
                header.span,
                "a websocket is checked when it begins, has no end, and outlives every revocation",
                "leave it out, or end the connection in the service when the session ends",
            )

    def _alias(self, location: Level) -> None:
        for each in location.own("alias"):
            if location.modifier in ("", "^~") and not location.path.endswith("/") and each.arg(0).endswith("/"):
                self._add(
                    "nginx-alias",
                    each.span,
                    f"`{location.path}../` leads out of the directory",
                    f"write `location {location.path}/`",
                )

    # ------------------------------------------------------------------------------------------- blocks of every kind

    def _block(self, level: Level) -> None:
        for each in level.own("error_page"):
            self._error_page(each)
        for each in level.own("rewrite"):
            if each.arg(2) not in ("redirect", "permanent"):
                self._add(
                    "nginx-rewrite",
                    each.span,
                    "another location is taken, and its rules hold, than for what the client sent and Chaperone checks",
                    "leave it out, or answer with a redirect",
                )
        if level.kind in ("if", "limit_except"):
            for each in level.directive.block or ():
                if each.name not in _IN_IF:
                    self._add(
                        "nginx-if",
                        each.span,
                        f"`{each.name}` inside `{level.kind}`: what nginx makes of it surprises",
                        "use a location of its own",
                    )
        for each in level.directive.block or ():
            if _SCRIPTS(each.name):
                self._add(
                    "proxy-not-judged",
                    each.span,
                    "a script, which is not judged",
                    "do without, where patient data pass",
                )

    def _error_page(self, page: Directive) -> None:
        words = [each.text for each in page.args]
        target = words[-1] if words else ""
        changed = next((each for each in words if each.startswith("=")), None)
        if not _DENIALS & set(words) or changed is None or self._only_refuses(target):
            return
        if changed == "=" or not (changed[1:].isdigit() and int(changed[1:]) >= 400):
            self._add(
                "nginx-deny-disguised",
                page.span,
                "a deny, or a failed check, becomes another answer",
                "leave the `=` out, so that the status stays",
            )

    def _only_refuses(self, target: str) -> bool:
        return any(each.path == target and each.answers_itself and _errors(each) for each in self.locations)

    def _transport(self) -> None:
        level = self.level
        redirects = bool(level.own("return")) and level.answers_itself
        if not level.own("listen") and not redirects:
            self._plaintext(level.directive.span)  # nginx then listens on port 80 of every address.
        for each in level.own("listen"):
            words = [word.text for word in each.args[1:]]
            host = without_port(each.arg(0))
            encrypted = "ssl" in words or "quic" in words
            if not (encrypted or redirects or on_this_host(host)):
                self._plaintext(each.span)
        for each in level.effective("ssl_protocols"):
            for word in each.args:
                if word.text in _OLD_TLS:
                    self._add("nginx-old-tls", word.span, "TLS before 1.2 is accepted", "take TLSv1.2 and TLSv1.3")
        if level.one("ssl_verify_client") == "optional_no_ca":
            self._add(
                "nginx-untrusted-accepted",
                level.effective("ssl_verify_client")[-1].span,
                "certificates that nobody vouches for are accepted, and named to Chaperone",
                "set `on` or `optional`, with `ssl_client_certificate`",
            )

    def _plaintext(self, span: Span) -> None:
        self._add(
            "nginx-plaintext",
            span,
            "clients are served without TLS, on an address that is not loopback",
            "listen with `ssl` and a certificate, or redirect to https and nothing else",
        )

    def _header_rules(self) -> None:
        level = self.level
        if level.one("underscores_in_headers") == "on":
            self._add(
                "nginx-underscores",
                level.effective("underscores_in_headers")[-1].span,
                "`X_Pdp_Subject` gets through, and is `X-Pdp-Subject` to many services",
                "leave it out: `off` is the default",
            )
        if level.one("ignore_invalid_headers") == "off":
            self._add(
                "nginx-underscores",
                level.effective("ignore_invalid_headers")[-1].span,
                "names such as `X.Pdp.Subject` get through, and are `X-Pdp-Subject` to some services",
                "leave it out: `on` is the default",
            )

    def _add(self, code: str, span: Span, message: str, hint: str) -> None:
        self.findings.add(code, span, message, hint)


def not_refused(returned: Directive) -> bool:
    code = returned.arg(0)
    return code.startswith("$") or (code.isdigit() and int(code) < 300)


def _errors(location: Level) -> bool:
    """Does it answer with statuses from 400 on, and nothing else?"""
    inner = [each for level in location.children("if") for each in level.own("return")]
    codes = [each.arg(0) for each in [*location.own("return"), *inner]]
    return all(code.isdigit() and int(code) >= 400 for code in codes)
