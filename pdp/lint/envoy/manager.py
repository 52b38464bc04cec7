"""The HTTP connection manager: what of a client's request is checked, and whether the same reaches the service."""

from __future__ import annotations

from typing import Final

from pdp.lint.envoy import check, known
from pdp.lint.envoy.filters import Chain, early
from pdp.lint.envoy.routes import Routes, upgrade
from pdp.lint.envoy.world import IDENTITY_HEADERS, OVERRIDES, World, opened
from pdp.lint.message import ANY, Message

XFCC_MODES: Final = ("SANITIZE", "FORWARD_ONLY", "APPEND_FORWARD", "SANITIZE_SET", "ALWAYS_FORWARD_ONLY")
SLASHES: Final = (
    "IMPLEMENTATION_SPECIFIC_DEFAULT",
    "KEEP_UNCHANGED",
    "REJECT_REQUEST",
    "UNESCAPE_AND_REDIRECT",
    "UNESCAPE_AND_FORWARD",
)
UNDERSCORES: Final = ("ALLOW", "REJECT_REQUEST", "DROP_HEADER")


class Manager:
    """`certificates`: do clients of this listener have to show one?"""

    def __init__(self, message: Message, world: World, certificates: bool) -> None:
        self.message = message
        self.world = world
        self.certificates = certificates
        self.chain = Chain(message, "http_filters", world)

    def judge(self) -> None:
        self._path()
        self._client_headers()
        self._certificate_header()
        self._streams()
        self._replies()
        self.chain.judge(self.certificates)
        if self.chain.checks:
            self._stripped()
        self._routes()

    def _path(self) -> None:
        message = self.message
        if not message.flag("normalize_path"):
            self._add(
                "envoy-path-not-normalized",
                "normalize_path",
                "`/public/../records` takes the route of `/public`, and reaches the service as `/records`",
                "set `normalize_path: true`",
            )
        if not message.flag("merge_slashes"):
            self._add(
                "envoy-slashes-not-merged",
                "merge_slashes",
                "`//records` takes another route than `/records`, and is the same to many services",
                "set `merge_slashes: true`",
            )
        if message.choice("path_with_escaped_slashes_action", SLASHES) != "REJECT_REQUEST":
            self._add(
                "envoy-escaped-slashes",
                "path_with_escaped_slashes_action",
                "`/public%2f..%2frecords` takes the route of `/public`, and is `/records` to many services",
                "set `path_with_escaped_slashes_action: REJECT_REQUEST`",
            )
        if "path_normalization_options" in message:
            self._unjudged("path_normalization_options", "paths are changed by rules that are not known here")

    def _client_headers(self) -> None:
        message = self.message
        common = message.message("common_http_protocol_options", known.HTTP_PROTOCOL)
        if common.choice("headers_with_underscores_action", UNDERSCORES) not in ("REJECT_REQUEST", "DROP_HEADER"):
            self.world.findings.add(
                "envoy-underscores",
                common.at("headers_with_underscores_action"),
                "`x_pdp_subject` gets through, and is `x-pdp-subject` to many services",
                "set `headers_with_underscores_action: REJECT_REQUEST`",
            )
        if not message.flag("use_remote_address"):
            self._add(
                "envoy-client-address-believed",
                "use_remote_address",
                "the client's own x-forwarded-for, x-request-id and x-envoy-* headers are believed",
                "set `use_remote_address: true`; behind another proxy also `xff_num_trusted_hops`",
            )
        if message.number("xff_num_trusted_hops"):
            self._add(
                "envoy-trusted-hops",
                "xff_num_trusted_hops",
                "an address that the client wrote is believed when fewer proxies stand before this Envoy",
                "leave it out where clients can reach this listener themselves",
            )
        if message.flag("preserve_external_request_id"):
            self._add(
                "envoy-client-request-id",
                "preserve_external_request_id",
                "the client chooses the request id, and can make two requests look like one in the records",
                "leave it out",
            )
        for name in ("original_ip_detection_extensions", "internal_address_config"):
            if name in message:
                self._unjudged(name, "who counts as a trusted client is decided by rules that are not judged")

    def _certificate_header(self) -> None:
        message = self.message
        mode = message.choice("forward_client_cert_details", XFCC_MODES)
        if mode not in ("", "SANITIZE", "SANITIZE_SET"):
            self._add(
                "envoy-client-certificate-header",
                "forward_client_cert_details",
                "a client says in x-forwarded-client-cert who it is",
                "set `forward_client_cert_details: SANITIZE_SET`",
            )
        if "forward_client_cert_matcher" in message:
            self._unjudged("forward_client_cert_matcher", "a match decides who may say x-forwarded-client-cert")
        details = message.message("set_current_client_cert_details", known.CERT_DETAILS)
        if mode == "SANITIZE_SET" and not details.flag("cert") and self._sends_header():
            self.world.findings.add(
                "envoy-certificate-by-name",
                details.at("cert"),
                "Chaperone is told names of the certificate, which a crafted one can forge, and not the certificate",
                "set `set_current_client_cert_details: {cert: true, ..}`",
            )

    def _sends_header(self) -> bool:
        for at in self.chain.checks:
            typed = self.chain.filters[at][1]
            asked = Message(typed.node, typed.anchor, self.world.findings, known.EXT_AUTHZ, "the ext_authz filter")
            if check.certificate_header(asked):
                return True
        return False

    def _streams(self) -> None:
        """Checked once, and open for long (checklist 33)."""
        message = self.message
        common = message.message("common_http_protocol_options", known.HTTP_PROTOCOL)
        if not common.seconds("max_stream_duration"):
            self.world.findings.add(
                "envoy-endless-stream",
                common.at("max_stream_duration"),
                "a stream or websocket is checked when it begins, has no end, and outlives every revocation",
                "set `max_stream_duration: 300s`",
            )
        if message.seconds("stream_idle_timeout") == 0 or not message.seconds("request_headers_timeout"):
            self._add(
                "envoy-slow-clients",
                "stream_idle_timeout" if "stream_idle_timeout" in message else "request_headers_timeout",
                "clients that send slowly hold their connections until there are none",
                "set `request_headers_timeout: 10s` and `stream_idle_timeout: 30s`",
            )
        for each in message.messages("upgrade_configs", known.UPGRADE):
            upgrade(each, self.world)
            if "filters" in each:
                Chain(each, "filters", self.world).judge(self.certificates)
        http1 = message.message("http_protocol_options", ANY)
        http2 = message.message("http2_protocol_options", ANY)
        if http1.flag("allow_chunked_length"):
            self.world.findings.add(
                "envoy-ambiguous-length",
                http1.at("allow_chunked_length"),
                "a request with two lengths is two requests to the service, and one to the check",
                "leave it out",
            )
        if http2.flag("allow_connect"):
            self.world.findings.add(
                "envoy-connect", http2.at("allow_connect"), "tunnels: what goes through is never seen", "leave it out"
            )

    def _replies(self) -> None:
        reply = self.message.message("local_reply_config", known.REPLY)
        for each in reply.messages("mappers", known.REPLY_MAPPER):
            code = each.number("status_code")
            if code is not None and code < 400:
                self.world.findings.add(
                    "envoy-deny-disguised",
                    each.at("status_code"),
                    "a deny, or a failed check, looks like a success to the client",
                    "leave the status as it is",
                )

    def _stripped(self) -> None:
        gone = self.chain.strips() | early(self.message, self.world)
        overrides = [name for name in OVERRIDES if name not in gone]
        if overrides:
            self._add(
                "envoy-overrides-kept",
                "http_filters",
                f"by {', '.join(overrides)} a client asks the service for another method or path",
                "remove them in the header_mutation filter before the check",
            )
        kept = [name for name in IDENTITY_HEADERS if name not in gone]
        if kept:
            self._add(
                "envoy-client-headers-kept",
                "http_filters",
                f"what a client says in {', '.join(f'`{name}`' for name in kept)} is not removed before the check",
                "put a header_mutation filter first: remove_on_match: {key_matcher: {prefix: x-pdp-}}",
            )

    def _routes(self) -> None:
        for name in ("rds", "scoped_routes"):
            if name in self.message:
                self._dynamic(name)
        table = self.message.message("route_config", known.ROUTES, "the route table")
        if table.present:
            Routes(table, self.chain, self.world).judge()

    def _dynamic(self, name: str) -> None:
        """Routes that come from elsewhere: from a file that was given too, or not at all."""
        holder = self.message.message(name, ANY)
        known_table = self.world.routes.get(holder.text("route_config_name"))
        if name == "rds" and known_table is not None:
            Routes(known_table, self.chain, self.world).judge()
            return
        self._unjudged(name, "the routes come from elsewhere and cannot be judged: any of them can be unchecked")

    def _unjudged(self, name: str, message: str) -> None:
        self._add("proxy-not-judged", name, message, "write it down here, or give the file that holds it")

    def _add(self, code: str, name: str, message: str, hint: str) -> None:
        self.world.findings.add(code, self.message.at(name), message, hint)


def of(holder: Message) -> bool:
    """Is this network filter an HTTP connection manager?"""
    return opened(holder).package == "http_connection_manager"
