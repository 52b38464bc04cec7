"""The ext_authz filter: when it asks, what it sends, and what it makes of the answer."""

from __future__ import annotations

from typing import Final

from pdp.diagnostics.source import Span
from pdp.lint.envoy import clusters, known
from pdp.lint.envoy.world import CREDENTIALS, IDENTITY_HEADERS, OURS, World, lent
from pdp.lint.message import ANY, Message

LONGEST_SECONDS: Final = 1.0
PREFIX: Final = "/ext_authz"
_CERTIFICATE_HEADER: Final = "x-forwarded-client-cert"


def judge(check: Message, world: World, certificates: bool) -> None:
    """`certificates`: do clients of this listener show any?"""
    _always(check, world)
    _failing(check, world)
    _answers(check, world)
    _bodies(check.message("with_request_body", known.BUFFER), world, "grpc_service" in check)
    _client_headers(check.message("allowed_headers", known.PATTERNS), world)
    service(check, world)
    if "grpc_service" in check:
        _told(check, world, certificates)
    elif certificates and not certificate_header(check):
        _not_told(check, "allowed_headers", "let `x-forwarded-client-cert` go along (`allowed_headers`)", world)
    if "http_service" not in check and "grpc_service" not in check:
        world.findings.add(
            "proxy-not-judged", check.anchor, "the filter asks nobody that is named here", "name its service"
        )


def _always(check: Message, world: World) -> None:
    """Is everybody asked about?"""
    refuses = check.message("deny_at_disable", known.RUNTIME)
    enabled = check.message("filter_enabled", known.RUNTIME)
    everybody = "runtime_key" not in enabled and _whole(enabled.message("default_value", known.FRACTION))
    otherwise_denied = refuses.flag("default_value") and "runtime_key" not in refuses
    if enabled.present and not everybody and not otherwise_denied:
        world.findings.add(
            "envoy-check-not-always",
            check.at("filter_enabled"),
            "a part of the requests is not checked, or a runtime key decides how many",
            "leave `filter_enabled` out",
        )
    if "filter_enabled_metadata" in check:
        world.findings.add(
            "envoy-check-not-always",
            check.at("filter_enabled_metadata"),
            "metadata of the request decides whether it is checked",
            "leave `filter_enabled_metadata` out",
        )


def _whole(fraction: Message) -> bool:
    per = {"": 100, "HUNDRED": 100, "TEN_THOUSAND": 10_000, "MILLION": 1_000_000}.get(fraction.text("denominator"))
    numerator = fraction.number("numerator")
    return per is not None and numerator is not None and numerator >= per


def _failing(check: Message, world: World) -> None:
    if check.flag("failure_mode_allow"):
        world.findings.add(
            "envoy-failure-mode-allow",
            check.at("failure_mode_allow"),
            "when Chaperone does not answer, everything is let through",
            "set `failure_mode_allow: false`",
        )
    if check.flag("failure_mode_allow_header_add"):
        world.findings.add(
            "envoy-failure-mode-header",
            check.at("failure_mode_allow_header_add"),
            "the service is told of unchecked requests by a header that the client can send too",
            "leave it out, with `failure_mode_allow: false`",
        )
    status = check.message("status_on_error", known.STATUS)
    code = status.number("code")
    if status.present and (code is None or not 400 <= code <= 599):
        world.findings.add(
            "envoy-status-on-error",
            check.at("status_on_error"),
            "a failed check looks like a success to the client",
            "set `status_on_error: {code: 503}`",
        )


def _answers(check: Message, world: World) -> None:
    """What an answer can do to the request."""
    if not check.flag("validate_mutations"):
        world.findings.add(
            "envoy-mutations-not-validated",
            check.at("validate_mutations"),
            "a line break in an answer's header splits the response",
            "set `validate_mutations: true`",
        )
    rules = check.message("decoder_header_mutation_rules", known.MUTATION_RULES)
    if not (rules.flag("disallow_all") or rules.flag("disallow_system")) or rules.flag("allow_all_routing"):
        world.findings.add(
            "envoy-mutations-unlimited",
            check.at("decoder_header_mutation_rules"),
            "an answer can change the method, path or host after they were checked",
            "set `decoder_header_mutation_rules: {disallow_system: true, disallow_is_error: true}`",
        )
    if "allow_expression" in rules:
        world.findings.add(
            "envoy-mutations-unlimited",
            rules.at("allow_expression"),
            "the expression overrules what else is not allowed, the path and the method included",
            "leave `allow_expression` out",
        )
    if check.flag("clear_route_cache"):
        world.findings.add(
            "envoy-clear-route-cache",
            check.at("clear_route_cache"),
            "an answer can lead the request to another route than the one that was checked",
            "set `clear_route_cache: false`",
        )
    version = check.choice("transport_api_version", ("AUTO", "V2", "V3"))
    if version != "V3":
        world.findings.add(
            "envoy-api-version", check.at("transport_api_version"), "the check is not asked in v3", "set it to V3"
        )


def _bodies(buffer: Message, world: World, grpc: bool) -> None:
    if buffer.flag("allow_partial_message"):
        world.findings.add(
            "envoy-partial-body",
            buffer.at("allow_partial_message"),
            "a long body is checked by its beginning, and forwarded whole",
            "set `allow_partial_message: false`: a longer one is refused with 413",
        )
    if grpc and buffer.present and not buffer.flag("pack_as_bytes"):
        world.findings.add(
            "envoy-body-as-text",
            buffer.at("pack_as_bytes"),
            "bytes of the body that are no UTF-8 become `!`: another body is checked than the one forwarded",
            "set `pack_as_bytes: true`",
        )


def _client_headers(allowed: Message, world: World) -> None:
    """A client's header must never look to Chaperone as if Envoy had said it."""
    for each in allowed.messages("patterns", known.STRING_MATCH):
        if _may_match_ours(each):
            world.findings.add(
                "envoy-client-says-pdp",
                each.anchor,
                "the client's own x-pdp-* headers reach Chaperone as if Envoy had set them",
                "name the headers one by one with `exact`, none of them x-pdp-*",
            )


def _may_match_ours(pattern: Message) -> bool:
    """`exact`, `prefix` and `suffix` can be told; of anything else the worst is taken."""
    for kind, test in (("exact", str.__eq__), ("prefix", str.startswith), ("suffix", str.endswith)):
        if kind in pattern:
            wanted = pattern.text(kind).lower()
            return any(test(ours, wanted) for ours in OURS) or wanted.startswith("x-pdp-")
    return True


def _not_told(check: Message, name: str, hint: str, world: World) -> None:
    world.findings.add(
        "envoy-certificate-not-sent",
        check.at(name),
        "clients show a certificate, and Chaperone is not told which",
        hint,
    )


def _told(check: Message, world: World, certificates: bool) -> None:
    """What only the gRPC door can be told."""
    if certificates and not check.flag("include_peer_certificate"):
        _not_told(check, "include_peer_certificate", "set `include_peer_certificate: true`", world)
    if not check.flag("encode_raw_headers"):
        world.findings.add(
            "envoy-headers-joined",
            check.at("encode_raw_headers"),
            "two header lines of one name reach Chaperone as one, and odd bytes as `!`",
            "set `encode_raw_headers: true`",
        )


# ---------------------------------------------------------------------------------------------------------- the service


def service(holder: Message, world: World) -> None:
    """Who is asked: by the filter itself, or by the settings of one route."""
    if "grpc_service" in holder:
        _grpc(holder.message("grpc_service", known.GRPC_SERVICE), world)
    if "http_service" in holder:
        _http(holder.message("http_service", known.HTTP_SERVICE), world)


def _grpc(grpc: Message, world: World) -> None:
    _timeout(grpc, world)
    _no_retry(grpc, world)
    if "google_grpc" in grpc:
        world.findings.add(
            "proxy-not-judged",
            grpc.at("google_grpc"),
            "Google's gRPC client has settings of its own, which are not judged",
            "use `envoy_grpc` with a cluster",
        )
        return
    envoy = grpc.message("envoy_grpc", known.ENVOY_GRPC)
    _no_retry(envoy, world)
    proven = clusters.asked(envoy.text("cluster_name"), envoy.at("cluster_name"), world)
    _proof(_says_secret(grpc, "initial_metadata", world) or proven, grpc, world)


def _http(http: Message, world: World) -> None:
    uri = http.message("server_uri", known.SERVER_URI)
    _timeout(uri, world)
    _no_retry(http, world)
    if http.text("path_prefix") != PREFIX or "path_override" in http:
        world.findings.add(
            "envoy-path-prefix",
            http.at("path_override" if "path_override" in http else "path_prefix"),
            "the question does not arrive at Chaperone's door for Envoy, with the path behind it",
            f"set `path_prefix: {PREFIX}`, without a slash at its end",
        )
    asked = http.message("authorization_request", known.ASKED)
    _client_headers(asked.message("allowed_headers", known.PATTERNS), world)
    for each in asked.messages("headers_to_add", known.HEADER):
        if each.text("key").lower() in CREDENTIALS:
            lent(each.anchor, world)
    proven = clusters.asked(uri.text("cluster"), uri.at("cluster"), world)
    _proof(_says_secret(asked, "headers_to_add", world) or proven, http, world)
    _reply(http.message("authorization_response", known.ANSWERED), world)


def certificate_header(check: Message) -> bool:
    """Is Chaperone given the x-forwarded-client-cert header?"""
    asked = check.message("http_service", ANY).message("authorization_request", ANY)
    for holder in (check, asked):
        patterns = Message(holder.node_at("allowed_headers"), holder.anchor, check.findings, ANY, "")
        for each in patterns.messages("patterns", ANY):
            if each.text("exact").lower() == _CERTIFICATE_HEADER:
                return True
    return False


def _timeout(holder: Message, world: World) -> None:
    seconds = holder.seconds("timeout")
    if seconds is None or not 0 < seconds <= LONGEST_SECONDS:
        world.findings.add(
            "envoy-timeout",
            holder.at("timeout"),
            "a check without a stated timeout, or with a long one: requests pile up when Chaperone is slow",
            f"set `timeout: 0.25s`, {LONGEST_SECONDS:g} s at most",
        )


def _no_retry(holder: Message, world: World) -> None:
    if "retry_policy" in holder:
        world.findings.add(
            "envoy-check-retried",
            holder.at("retry_policy"),
            "one request is asked about several times: each is a decision, a record, and a token of its rate limit",
            "leave `retry_policy` out",
        )


def _says_secret(holder: Message, name: str, world: World) -> bool:
    said = False
    for each in holder.messages(name, known.HEADER):
        if each.text("key").lower() == clusters.SECRET and (each.text("value") or each.text("raw_value")):
            said = True
            _not_in_the_file(each, each.at("value"), world)
    return said


def _not_in_the_file(header: Message, span: Span, world: World) -> None:
    if not header.text("value").startswith("%"):
        world.findings.add(
            "envoy-secret-in-file",
            span,
            "the secret stands in the configuration, and in every dump of it",
            "let a credential injector of the cluster add it from an SDS file",
        )


def _proof(proven: bool, service: Message, world: World) -> None:
    if not proven:
        world.findings.add(
            "envoy-no-proof",
            service.anchor,
            "nothing tells Chaperone that it is this Envoy who asks: whoever reaches it can ask in its place",
            "send `x-pdp-secret`, or show a client certificate",
        )


def _reply(reply: Message, world: World) -> None:
    if not reply.message("allowed_client_headers", known.PATTERNS).items("patterns"):
        world.findings.add(
            "envoy-all-headers-to-client",
            reply.at("allowed_client_headers"),
            "every header of a deny goes to the client",
            "set `allowed_client_headers: {patterns: [{exact: x-pdp-decision}]}`",
        )
    passed = {
        each.text("exact").lower()
        for each in reply.message("allowed_upstream_headers", known.PATTERNS).messages("patterns", known.STRING_MATCH)
    }
    missing = [name for name in IDENTITY_HEADERS if name not in passed]
    if missing:
        world.findings.add(
            "envoy-identity-not-passed",
            reply.at("allowed_upstream_headers"),
            f"what Chaperone says in {', '.join(f'`{name}`' for name in missing)} does not reach the service",
            "list each of them with `exact` in `allowed_upstream_headers`",
        )
    appended = reply.message("allowed_upstream_headers_to_append", known.PATTERNS)
    for each in appended.messages("patterns", known.STRING_MATCH):
        if _may_match_ours(each):
            world.findings.add(
                "envoy-identity-appended",
                each.anchor,
                "Chaperone's header is added behind the client's own copy of it",
                "use `allowed_upstream_headers`, which replaces",
            )


def override(settings: Message, world: World) -> None:
    """The `check_settings` of one route."""
    buffer = settings.message("with_request_body", known.BUFFER)
    _bodies(buffer, world, grpc="http_service" not in settings)
    service(settings, world)
