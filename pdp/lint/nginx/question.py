"""The location that asks Chaperone: what it says, to whom, and that nobody else can use it."""

from __future__ import annotations

import re
from typing import Final

from pdp.diagnostics.source import Span
from pdp.lint.findings import Findings
from pdp.lint.nginx.levels import Level, on_this_host, without_port

DOOR: Final = "/forward-auth"
LONGEST_SECONDS: Final = 5.0
_TARGET: Final = re.compile(r"(https?)://([^/$]+)(/[^$]*)?").fullmatch
_TIME: Final = re.compile(r"([0-9]{1,9})(ms|s|m|h)?").fullmatch
_UNITS: Final = {"ms": 0.001, None: 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
_NAMED: Final = {
    "x-original-method": ("$request_method",),
    "x-original-uri": ("$request_uri",),
    "x-original-host": ("$host", "$http_host"),
}
_CREDENTIALS: Final = ("authorization", "cookie", "dpop")
_CERTIFICATE: Final = "x-client-certificate"
_CERTIFICATES: Final = ("", "$ssl_client_escaped_cert")


class Question:
    def __init__(self, location: Level, upstreams: dict[str, list[str]], findings: Findings) -> None:
        self.location = location
        self.upstreams = upstreams
        self.findings = findings

    def judge(self) -> None:
        location = self.location
        if not location.own("internal"):
            self._add(
                "nginx-question-open",
                location.directive.span,
                "a client can ask Chaperone itself, as if nginx did",
                "add `internal;`",
            )
        for name in ("proxy_cache", "proxy_store"):
            if location.one(name) not in ("", "off"):
                self._add(
                    "nginx-question-cached",
                    location.effective(name)[-1].span,
                    "an answer is kept, and given to other requests and after a logout",
                    f"set `{name} off;`",
                )
        if location.one("proxy_intercept_errors") == "on":
            self._add(
                "nginx-question-intercepted",
                location.effective("proxy_intercept_errors")[-1].span,
                "a deny of Chaperone is handed to `error_page`, which can make a permit of it",
                "set `proxy_intercept_errors off;`",
            )
        self._body()
        self._named()
        self._credentials()
        self._certificate()
        self._asked()
        self._timeout()

    def _body(self) -> None:
        header = self.location.headers().get("content-length")
        body = self.location.one("proxy_pass_request_body")
        if body != "off" or header is None or header.arg(1) != "":
            place = header if header is not None else self.location.directive
            self._add(
                "nginx-question-body",
                place.span,
                "the length or the body of the request goes along, and Chaperone waits for what never comes",
                'set `proxy_pass_request_body off;` and `proxy_set_header Content-Length "";`',
            )

    def _named(self) -> None:
        headers = self.location.headers()
        for name, right in _NAMED.items():
            header = headers.get(name)
            if header is None:
                self._add(
                    "nginx-question-incomplete",
                    self.location.directive.span,
                    f"`{name}` is not set: a client says itself what is asked about",
                    f"set `proxy_set_header {name.title()} {right[0]};`",
                )
            elif header.arg(1) not in right:
                self._add(
                    "nginx-question-wrong",
                    header.span,
                    f"`{header.arg(1)}` is not what the client sent: another request is checked than the one forwarded",
                    f"take `{right[0]}`",
                )

    def _credentials(self) -> None:
        for name in _CREDENTIALS:
            header = self.location.headers().get(name)
            if header is not None and header.arg(1) not in ("", f"$http_{name}"):
                self._add(
                    "nginx-credentials-lent",
                    header.span,
                    f"whoever asks is taken for whom this `{name}` names, and not for whom they prove to be",
                    "leave it out: nginx passes on what the client sent",
                )

    def _certificate(self) -> None:
        headers = self.location.headers()
        header = headers.get(_CERTIFICATE)
        if header is None or header.arg(1) not in _CERTIFICATES:
            self._add(
                "nginx-client-certificate-header",
                self.location.directive.span if header is None else header.span,
                "a client says in `X-Client-Certificate` who it is",
                "set `proxy_set_header X-Client-Certificate $ssl_client_escaped_cert;`, or clear it",
            )
        forwarded = headers.get("x-forwarded-client-cert")
        if forwarded is None or forwarded.arg(1) != "":
            self._add(
                "nginx-client-certificate-header",
                self.location.directive.span if forwarded is None else forwarded.span,
                "a client says in `X-Forwarded-Client-Cert` who it is",
                'set `proxy_set_header X-Forwarded-Client-Cert "";`',
            )

    def _asked(self) -> None:
        location = self.location
        passes = location.own("proxy_pass")
        target = _TARGET(passes[-1].arg(0)) if passes else None
        if target is None:
            self._add(
                "proxy-not-judged",
                passes[-1].span if passes else location.directive.span,
                "who is asked here cannot be told",
                f"set `proxy_pass http://127.0.0.1:8181{DOOR};`",
            )
            return
        place = passes[-1].span
        if target[3] != DOOR:
            self._add("nginx-wrong-door", place, "the question does not arrive at Chaperone's door", f"ask at `{DOOR}`")
        if target[1] == "https":
            self._verified(place)
        elif not self._near(target[2]):
            self._add(
                "nginx-chaperone-plaintext",
                place,
                "Chaperone is asked without TLS, over a network: its answer can be forged, the secret read",
                "ask with https, or on loopback",
            )
        secret = location.headers().get("x-pdp-secret")
        if (secret is None or not secret.arg(1) or secret.arg(1).startswith("$http_")) and not location.one(
            "proxy_ssl_certificate"
        ):
            self._add(
                "nginx-no-proof",
                place,
                "nothing tells Chaperone that it is this nginx who asks: whoever reaches it can ask in its place",
                "set `proxy_set_header X-Pdp-Secret ..;` in a file of its own, or `proxy_ssl_certificate`",
            )

    def _near(self, name: str) -> bool:
        servers = self.upstreams.get(name, self.upstreams.get(without_port(name), [name]))
        return bool(servers) and all(on_this_host(without_port(each)) for each in servers)

    def _verified(self, place: Span) -> None:
        location = self.location
        if location.one("proxy_ssl_verify") != "on" or not location.one("proxy_ssl_trusted_certificate"):
            self._add(
                "nginx-chaperone-not-verified",
                place,
                "whoever answers at this address is believed: by default nginx verifies no certificate",
                "set `proxy_ssl_verify on;`, `proxy_ssl_trusted_certificate` and `proxy_ssl_name`",
            )

    def _timeout(self) -> None:
        for name in ("proxy_connect_timeout", "proxy_read_timeout"):
            self._bounded(name)

    def _bounded(self, name: str) -> None:
        found = self.location.effective(name)
        match = _TIME(found[-1].arg(0)) if found else None
        seconds = float(match[1]) * _UNITS[match[2]] if match else None
        if seconds is None or not 0 < seconds <= LONGEST_SECONDS:
            self._add(
                "nginx-timeout",
                found[-1].span if found else self.location.directive.span,
                "requests wait for Chaperone too long: without a timeout nginx waits 60 s",
                f"set `{name} 2s;`, {LONGEST_SECONDS:g} s at most",
            )

    def _add(self, code: str, span: Span, message: str, hint: str) -> None:
        self.findings.add(code, span, message, hint)
