"""An extension provider that is asked about requests, and the connection to it."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Final

from pdp.diagnostics.source import Span
from pdp.lint.envoy import known
from pdp.lint.envoy.check import LONGEST_SECONDS, PREFIX
from pdp.lint.envoy.world import IDENTITY_HEADERS, OURS
from pdp.lint.message import ANY, Message

_GRPC: Final = known.names(
    "service port timeout fail_open clear_route_cache status_on_error include_request_body_in_check"
)
_HTTP: Final = _GRPC | known.names(
    "path_prefix include_headers_in_check include_request_headers_in_check include_additional_headers_in_check "
    "headers_to_upstream_on_allow headers_to_downstream_on_deny headers_to_downstream_on_allow"
)
_BODY: Final = frozenset({"max_request_bytes", "allow_partial_message", "pack_as_bytes"})
_MODES: Final = ("DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL")
_SECRET: Final = "x-pdp-secret"


class Provider:
    """`rules`: what the mesh says about connections (DestinationRule)."""

    def __init__(self, message: Message, rules: Sequence[Message]) -> None:
        self.grpc = "envoy_ext_authz_grpc" in message
        name, fields = ("envoy_ext_authz_grpc", _GRPC) if self.grpc else ("envoy_ext_authz_http", _HTTP)
        self.settings = message.message(name, fields, "the provider")
        self.findings = message.findings
        self.rules = rules

    @property
    def sends_certificates(self) -> Span | None:
        """Where x-forwarded-client-cert is sent to Chaperone, if it is."""
        for name in () if self.grpc else ("include_request_headers_in_check", "include_headers_in_check"):
            for pattern, span in self.settings.texts(name):
                if fnmatchcase("x-forwarded-client-cert", pattern.lower()):
                    return span
        return None

    def judge(self) -> None:
        self._failing()
        self._body()
        if not self.grpc:
            self._asked()
            self._answered()
        self._connection()

    def _failing(self) -> None:
        settings = self.settings
        if settings.flag("fail_open"):
            self._add(
                "istio-fail-open",
                "fail_open",
                "when Chaperone does not answer, everything is let through",
                "set `failOpen: false`",
            )
        seconds = settings.seconds("timeout")
        if seconds is None or not 0 < seconds <= LONGEST_SECONDS:
            self._add(
                "istio-timeout",
                "timeout",
                "requests wait for Chaperone too long: without a timeout Istio waits 600 s",
                f"set `timeout: 0.25s`, {LONGEST_SECONDS:g} s at most",
            )
        status = settings.number("status_on_error")
        if "status_on_error" in settings and (status is None or not 400 <= status <= 599):
            self._add(
                "istio-status-on-error",
                "status_on_error",
                "a failed check looks like a success to the client",
                'set `statusOnError: "503"`',
            )
        if settings.flag("clear_route_cache"):
            self._add(
                "istio-clear-route-cache",
                "clear_route_cache",
                "an answer can lead the request to another route than the one that was checked",
                "set `clearRouteCache: false`",
            )

    def _body(self) -> None:
        body = self.settings.message("include_request_body_in_check", _BODY)
        if body.flag("allow_partial_message"):
            self.findings.add(
                "istio-partial-body",
                body.at("allow_partial_message"),
                "a long body is checked by its beginning, and forwarded whole",
                "set `allowPartialMessage: false`: a longer one is refused with 413",
            )
        if self.grpc and body.present and not body.flag("pack_as_bytes"):
            self.findings.add(
                "istio-body-as-text",
                body.at("pack_as_bytes"),
                "bytes of the body that are no UTF-8 become `!`: another body is checked than the one forwarded",
                "set `packAsBytes: true`",
            )

    def _asked(self) -> None:
        settings = self.settings
        if settings.text("path_prefix") != PREFIX:
            self._add(
                "istio-path-prefix",
                "path_prefix",
                "the question does not arrive at Chaperone's door for Envoy",
                f"set `pathPrefix: {PREFIX}`, without a slash at its end",
            )
        sent = []
        for name in ("include_request_headers_in_check", "include_headers_in_check"):
            for pattern, span in settings.texts(name):
                sent.append(pattern.lower())
                if _covers_ours(pattern.lower()):
                    self.findings.add(
                        "istio-client-says-pdp",
                        span,
                        "the client's own x-pdp-* headers reach Chaperone as if the mesh had set them",
                        "name the headers one by one, none of them x-pdp-*",
                    )
        if "authorization" not in sent:
            self._add(
                "istio-token-not-sent",
                "include_request_headers_in_check",
                "`authorization` is not in the list: which headers Istio adds by itself depends on its version",
                "list `authorization`",
            )

    def _answered(self) -> None:
        passed = {name.lower() for name, _ in self.settings.texts("headers_to_upstream_on_allow")}
        missing = [name for name in IDENTITY_HEADERS if name not in passed]
        if missing:
            self._add(
                "istio-identity-not-passed",
                "headers_to_upstream_on_allow",
                f"the client's own {', '.join(f'`{name}`' for name in missing)} reaches the service, "
                "and Chaperone's does not",
                "list each of them in `headersToUpstreamOnAllow`",
            )
        if not self.settings.texts("headers_to_downstream_on_deny"):
            self._add(
                "istio-all-headers-to-client",
                "headers_to_downstream_on_deny",
                "every header of a deny goes to the client",
                "set `headersToDownstreamOnDeny: [x-pdp-decision, ..]`",
            )

    # ------------------------------------------------------------------------------------------------- the connection

    def _connection(self) -> None:
        host = self.settings.text("service").rpartition("/")[2]
        proven = self._says_secret()
        for rule in self.rules:
            if _same(rule.text("host"), host):
                proven = self._policies(rule) or proven
        if not proven:
            self._add(
                "istio-no-proof",
                "service",
                "nothing tells Chaperone that it is the mesh who asks: whoever reaches it can ask in its place",
                "give a DestinationRule of this host the TLS mode ISTIO_MUTUAL or MUTUAL",
            )

    def _says_secret(self) -> bool:
        for name, _ in self.settings.message("include_additional_headers_in_check", None).fields.values():
            if name.text.lower() == _SECRET:
                self.findings.add(
                    "istio-secret-in-file",
                    name.span,
                    "the secret stands in the mesh's configuration, which every sidecar reads",
                    "let Chaperone know the mesh by its certificates instead (DestinationRule, ISTIO_MUTUAL)",
                )
                return True
        return False

    def _policies(self, rule: Message) -> bool:
        """The TLS of a DestinationRule, as a whole and by port. Does the caller show a certificate everywhere?"""
        policy = rule.message("traffic_policy", ANY)
        shown = [self._tls(policy.message("tls", ANY), policy)] if "tls" in policy else []
        for port in policy.messages("port_level_settings", ANY):
            shown.append(self._tls(port.message("tls", ANY), port))
        for subset in rule.messages("subsets", ANY):
            own = subset.message("traffic_policy", ANY)
            if "tls" in own:
                shown.append(self._tls(own.message("tls", ANY), own))
        return bool(shown) and all(shown)

    def _tls(self, tls: Message, holder: Message) -> bool:
        mode = tls.choice("mode", _MODES) or "DISABLE"
        if mode == "DISABLE":
            self.findings.add(
                "istio-chaperone-plaintext",
                tls.at("mode") if "mode" in tls else holder.anchor,
                "Chaperone is asked without TLS: its answer can be forged on the way",
                "set `tls: {mode: ISTIO_MUTUAL}`",
            )
        if tls.flag("insecure_skip_verify"):
            self.findings.add(
                "istio-chaperone-not-verified",
                tls.at("insecure_skip_verify"),
                "whoever answers at this address is believed: its certificate is not verified",
                "leave it out",
            )
        if mode != "DISABLE" and not tls.texts("subject_alt_names"):
            self.findings.add(
                "istio-chaperone-name-not-checked",
                tls.at("subject_alt_names") if "subject_alt_names" in tls else tls.at("mode"),
                "any certificate of this authority passes for Chaperone's",
                "set `subjectAltNames` to Chaperone's identity",
            )
        return mode in ("MUTUAL", "ISTIO_MUTUAL")

    def _add(self, code: str, name: str, message: str, hint: str) -> None:
        self.findings.add(code, self.settings.at(name), message, hint)


def _same(pattern: str, host: str) -> bool:
    """A DestinationRule's host against a service: whole, short, or with a wildcard in front."""
    pattern = pattern.rpartition("/")[2]
    if pattern.startswith("*"):
        return host.endswith(pattern[1:])
    return bool(pattern) and (pattern == host or host.startswith(pattern + "."))


def _covers_ours(pattern: str) -> bool:
    if pattern.endswith("*"):
        return any(ours.startswith(pattern[:-1]) for ours in OURS) or pattern.startswith("x-pdp-")
    if pattern.startswith("*"):
        return any(ours.endswith(pattern[1:]) for ours in OURS)
    return pattern.startswith("x-pdp-")
