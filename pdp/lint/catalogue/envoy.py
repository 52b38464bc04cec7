"""Codes of Envoy."""

from __future__ import annotations

from typing import Final

from pdp.diagnostics.catalogue.entry import Entry
from pdp.diagnostics.diagnostic import Severity

STAGE: Final = "envoy"


def _hole(summary: str, explanation: str, bad: str, good: str, alone: bool = False) -> Entry:
    """Somebody gets past the check, or makes it say something else."""
    return Entry(STAGE, summary, explanation, bad, good, alone=alone)


def _weak(summary: str, explanation: str, bad: str, good: str) -> Entry:
    """What opens nothing by itself, and takes away what stands between a mistake and a hole."""
    return Entry(STAGE, summary, explanation, bad, good, Severity.WARNING)


_ROUTE: Final = "route: {cluster: ehr, timeout: 30s}"
_PER_ROUTE: Final = "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute"
_ROUTER: Final = "          - name: envoy.filters.http.router\n"
_LUA: Final = (
    "          - name: envoy.filters.http.lua\n"
    '            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua}\n'
)
_CHECK: Final = "          - name: envoy.filters.http.ext_authz\n"
_INJECTOR: Final = (
    "          - name: envoy.filters.http.credential_injector\n"
    "            typed_config:\n"
    '              "@type": '
    "type.googleapis.com/envoy.extensions.filters.http.credential_injector.v3.CredentialInjector\n"
)
_NAMED: Final = (
    "            default_validation_context:\n"
    "              match_typed_subject_alt_names:\n"
    "              - {san_type: DNS, matcher: {exact: chaperone.hospital.example}}               # <- the same name\n"
)
_TRUSTED: Final = (
    "            validation_context_sds_secret_config:\n"
    "              name: chaperone\n"
    "              sds_config: {resource_api_version: V3, path_config_source: {path: /etc/envoy/sds/chaperone.yaml}} "
    "  # <-\n"
)

ENTRIES: Final[dict[str, Entry]] = {
    # Is everything checked? -------------------------------------------------------------------------------------------
    "envoy-no-check": _hole(
        "a connection manager without the ext_authz filter",
        "Whatever comes this way is never checked.",
        "http.rbac.v3.RBAC",
        "http.ext_authz.v3.ExtAuthz",
    ),
    "envoy-check-disabled": _hole(
        "the ext_authz filter is off",
        "With `disabled: true` only the routes that turn it on are checked; a new route is open.",
        f"{_CHECK}            disabled: true\n",
        _CHECK,
    ),
    "envoy-check-optional": _hole(
        "the ext_authz filter is optional",
        "An Envoy that was built without it starts all the same, and checks nothing.",
        f"{_CHECK}            is_optional: true\n",
        _CHECK,
    ),
    "envoy-check-too-late": _hole(
        "the ext_authz filter stands behind the router",
        "The router ends the chain; what stands behind it never runs.",
        "          - name: envoy.filters.http.router\n"
        '            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}\n'
        + _CHECK,
        _CHECK,
    ),
    "envoy-check-not-always": _hole(
        "a fraction, a runtime key or metadata decides whether a request is checked",
        "A runtime key can be changed through the admin port or a runtime server. Checking a part of the requests is "
        "for "
        "trying out, never for patient data.",
        "filter_enabled: {default_value: {numerator: 99, denominator: HUNDRED}}\n"
        "              failure_mode_allow: false",
        "failure_mode_allow: false",
    ),
    "envoy-route-unchecked": _hole(
        "a route, virtual host or weighted cluster turns the check off",
        "Other spellings of a path can reach an unchecked route, so one such route is a way to more than its own path. "
        "What everybody may see is permitted by a rule, and recorded.",
        _ROUTE
        + "\n                typed_per_filter_config:\n                  envoy.filters.http.ext_authz: "
        + f'{{"@type": {_PER_ROUTE}, disabled: true}}',
        _ROUTE,
    ),
    "envoy-no-default-route": _hole(
        "a request can have no route",
        "Without a route Envoy answers 404 and runs no ext_authz: nothing is recorded, and a filter behind it that "
        "clears "
        "the route cache lets it through unchecked.",
        '- match: {prefix: "/fhir/"}\n                route:',
        '- match: {prefix: "/"}\n                route:',
    ),
    "envoy-not-http": _hole(
        "a filter chain without a connection manager",
        "Bytes are passed on, and nothing is checked.",
        "network.tcp_proxy.v3.TcpProxy",
        "network.http_connection_manager.v3.HttpConnectionManager",
    ),
    "envoy-nothing-checked": _hole(
        "no listener in anything that was given",
        "Clusters and secrets alone say nothing of what gets in. Give the file with the listeners too.",
        "static_resources: {clusters: []}\n",
        "static_resources: {listeners: [{name: ehr}]}\n",
        alone=True,
    ),
    # When the check fails ---------------------------------------------------------------------------------------------
    "envoy-failure-mode-allow": _hole(
        "no answer is taken for a permit",
        "Whoever can make Chaperone slow, or break the way to it, is let in everywhere.",
        "failure_mode_allow: true",
        "failure_mode_allow: false",
    ),
    "envoy-failure-mode-header": _weak(
        "unchecked requests are marked by a header",
        "A client can send `x-envoy-auth-failure-mode-allowed` itself; nothing can rest on it.",
        "failure_mode_allow_header_add: true\n              failure_mode_allow: false",
        "failure_mode_allow: false",
    ),
    "envoy-status-on-error": _hole(
        "a failed check has the status of a success",
        "The request is not forwarded, and its sender believes that it was done.",
        "status_on_error: {code: 200}",
        "status_on_error: {code: 503}",
    ),
    "envoy-deny-disguised": _hole(
        "a deny is rewritten into a success",
        "`local_reply_config` changes the status of answers that Envoy itself gives, denials among them.",
        "local_reply_config: {mappers: [{filter: {status_code_filter: {}}, status_code: 200}]}\n"
        "          stat_prefix: ehr",
        "stat_prefix: ehr",
    ),
    "envoy-timeout": _weak(
        "the check has no stated timeout, or a long one",
        "Envoy's default is 200 ms for gRPC, Istio's 600 s. A long one holds requests back while Chaperone is slow, "
        "until "
        "there is no room for others.",
        "cluster: chaperone, timeout: 600s}",
        "cluster: chaperone, timeout: 0.25s}",
    ),
    "envoy-check-retried": _weak(
        "the check is retried",
        "Each attempt is a decision with a record of its own, and uses up a rate limit.",
        "envoy_grpc: {cluster_name: chaperone, retry_policy: {num_retries: 2}}",
        "envoy_grpc: {cluster_name: chaperone}",
    ),
    "envoy-api-version": _weak(
        "the check does not speak v3",
        "Chaperone speaks ext_authz v3 and nothing else, so everything would be denied.",
        "transport_api_version: V2",
        "transport_api_version: V3",
    ),
    # Is what is checked what is served? -------------------------------------------------------------------------------
    "envoy-path-not-normalized": _hole(
        "dot segments stay in the path",
        "`/public/../records` takes the route of `/public`, with whatever check that one has.",
        "normalize_path: false",
        "normalize_path: true",
    ),
    "envoy-slashes-not-merged": _hole(
        "`//` stays in the path",
        "The route for `/records` is not taken for `//records`, which many services read as the same.",
        "merge_slashes: false",
        "merge_slashes: true",
    ),
    "envoy-escaped-slashes": _hole(
        "`%2F` and `%5C` stay in the path, or are decoded",
        "`/public%2f..%2frecords` takes the route of `/public` and becomes `/records` in the service. Only refusing is "
        "safe: services differ in what they decode.",
        "path_with_escaped_slashes_action: KEEP_UNCHANGED",
        "path_with_escaped_slashes_action: REJECT_REQUEST",
    ),
    "envoy-path-parameters": _hole(
        "routes are chosen without what stands behind `;`",
        "The route that is chosen, and the path that is checked, are not the same.",
        "name: all\n            ignore_path_parameters_in_path_matching: true",
        "name: all",
    ),
    "envoy-clear-route-cache": _hole(
        "the route is chosen again after the check",
        "An answer's headers can lead the request to a route with other settings than the one that was checked.",
        "clear_route_cache: true",
        "clear_route_cache: false",
    ),
    "envoy-rewritten-behind-check": _weak(
        "the router rewrites the path or the host",
        "A permit was given for another path than the one the service sees. It is right only where the rules are "
        "written "
        "with the rewriting in mind.",
        "route: {cluster: ehr, prefix_rewrite: /internal/, timeout: 30s}",
        _ROUTE,
    ),
    "envoy-internal-redirect": _hole(
        "redirects of the service are followed here",
        "The path that the service names is fetched for the client.",
        "route: {cluster: ehr, internal_redirect_policy: {}, timeout: 30s}",
        _ROUTE,
    ),
    "envoy-retried-behind-check": _weak(
        "the router sends requests again",
        "A second attempt comes later than the check, and an order can be carried out twice on one permit.",
        "route: {cluster: ehr, retry_policy: {retry_on: 5xx}, timeout: 30s}",
        _ROUTE,
    ),
    "envoy-filter-before-check": _hole(
        "a filter before the check can answer requests",
        "A script, a cache or an external processor before the check can serve data that nobody was asked about.",
        _LUA + _CHECK,
        _CHECK,
    ),
    "envoy-filter-behind-check": _hole(
        "a filter behind the check can change the request",
        "A script, a transcoder or an external processor behind the check can make another request of the one that was "
        "checked. Before the check it changes what is checked, which is right.",
        _LUA + _ROUTER,
        _ROUTER,
    ),
    "envoy-credentials-lent": _hole(
        "credentials are put onto requests before they are checked",
        "A credential injector, a mutation or `headers_to_add` that writes `authorization`, `cookie`, `dpop` or "
        "`x-forwarded-client-cert` before the check makes everybody whom these credentials name.",
        _INJECTOR + _CHECK,
        _CHECK,
    ),
    "envoy-client-chooses-cluster": _hole(
        "a header chooses the service",
        "With `cluster_header` the client chooses where a permitted request goes.",
        "route: {cluster_header: x-cluster, timeout: 30s}",
        _ROUTE,
    ),
    "envoy-header-set-behind-check": _hole(
        "a route sets a header that Chaperone sets",
        "`request_headers_to_add` comes after the check, and would say in Chaperone's name what Chaperone never said.",
        "request_headers_to_add: [{header: {key: x-pdp-subject, value: admin}}]\n            name: all",
        "name: all",
    ),
    "envoy-mutations-not-validated": _hole(
        "what an answer sets is not validated",
        "A line break in a header of a deny reaches the client as a header of its own.",
        "validate_mutations: false",
        "validate_mutations: true",
    ),
    "envoy-mutations-unlimited": _hole(
        "an answer can change the method, the path or the host",
        "Chaperone never does. With this rule an attacker in Chaperone's place, or a fault in it, could not either.",
        "disallow_system: false",
        "disallow_system: true",
    ),
    "envoy-partial-body": _hole(
        "a body is checked by its beginning",
        "What stands behind the limit is forwarded and was never seen.",
        "with_request_body: {max_request_bytes: 64, allow_partial_message: true, pack_as_bytes: true}\n"
        "              failure_mode_allow: false",
        "with_request_body: {max_request_bytes: 64, allow_partial_message: false, pack_as_bytes: true}\n"
        "              failure_mode_allow: false",
    ),
    "envoy-body-as-text": _hole(
        "bytes of the body are replaced before the check",
        "Envoy puts `!` for what is no UTF-8 unless `pack_as_bytes` is set.",
        "with_request_body: {max_request_bytes: 64}\n              include_tls_session: true",
        "with_request_body: {max_request_bytes: 64, pack_as_bytes: true}\n              include_tls_session: true",
    ),
    "envoy-ambiguous-length": _hole(
        "a request may say its length twice",
        "Request smuggling: the second request inside the first is never checked.",
        "http_protocol_options: {allow_chunked_length: true}\n          normalize_path: true",
        "http_protocol_options: {allow_chunked_length: false}\n          normalize_path: true",
    ),
    # What a client can say --------------------------------------------------------------------------------------------
    "envoy-client-address-believed": _hole(
        "x-forwarded-for, x-request-id and x-envoy-* of the client are believed",
        "An address, a request id and internal marks are then whatever the client writes.",
        "use_remote_address: false",
        "use_remote_address: true",
    ),
    "envoy-trusted-hops": _weak(
        "addresses in x-forwarded-for are believed",
        "Right only where every request comes through that many proxies of yours, which no configuration can show.",
        "xff_num_trusted_hops: 1\n          use_remote_address: true",
        "xff_num_trusted_hops: 0\n          use_remote_address: true",
    ),
    "envoy-client-request-id": _weak(
        "the client chooses the request id",
        "Two requests can look like one in the records.",
        "preserve_external_request_id: true\n          use_remote_address: true",
        "preserve_external_request_id: false\n          use_remote_address: true",
    ),
    "envoy-client-certificate-header": _hole(
        "the client's own x-forwarded-client-cert is kept",
        "With FORWARD_ONLY, APPEND_FORWARD or ALWAYS_FORWARD_ONLY a client writes the names of any certificate.",
        "forward_client_cert_details: APPEND_FORWARD",
        "forward_client_cert_details: SANITIZE_SET",
    ),
    "envoy-certificate-by-name": _hole(
        "Chaperone gets names of the certificate, and not the certificate",
        "Envoy does not quote the URI field: a certificate with `;URI=` in its name shows two. Chaperone reads the "
        "certificate itself, and refuses a header without it.",
        "set_current_client_cert_details: {subject: true, uri: true, dns: true}",
        "set_current_client_cert_details: {subject: true, cert: true, uri: true, dns: true}",
    ),
    "envoy-underscores": _hole(
        "header names with underscores get through",
        "`x_pdp_subject` is the same as `x-pdp-subject` to services behind CGI, WSGI and the like.",
        "headers_with_underscores_action: ALLOW",
        "headers_with_underscores_action: REJECT_REQUEST",
    ),
    "envoy-client-headers-kept": _hole(
        "the client's x-pdp-* headers are not removed before the check",
        "Only what the answer sets again is replaced. `request_headers_to_remove` of a route comes after the check, "
        "and "
        "would remove Chaperone's as well.",
        "prefix: x-other-",
        "prefix: x-pdp-",
    ),
    "envoy-overrides-kept": _weak(
        "headers that name another method or path get through",
        "`x-http-method-override: DELETE` on a GET that was permitted is a DELETE to some frameworks; `x-original-url` "
        "and `x-rewrite-url` are the same for paths.",
        "- remove: x-other",
        "- remove: x-http-method-override",
    ),
    "envoy-client-says-pdp": _hole(
        "the client's x-pdp-* headers are sent to Chaperone",
        "A pattern that covers x-pdp-* lets a client speak as the enforcement point.",
        "{prefix: x-}",
        "{exact: dpop}",
    ),
    "envoy-headers-joined": _hole(
        "two header lines of one name reach Chaperone as one",
        "The service may take the first, where Chaperone sees one value with a comma.",
        "encode_raw_headers: false",
        "encode_raw_headers: true",
    ),
    "envoy-endless-stream": _weak(
        "a stream has no end",
        "Streams and websockets are checked when they begin. Without an end they outlive a logout, a revoked token "
        "and a "
        "changed policy.",
        "max_stream_duration: 0s",
        "max_stream_duration: 300s",
    ),
    "envoy-slow-clients": _weak(
        "a client may send as slowly as it likes",
        "A few clients that send a byte now and then hold all connections. `request_headers_timeout` has no default.",
        "request_headers_timeout: 0s",
        "request_headers_timeout: 10s",
    ),
    "envoy-connect": _hole(
        "CONNECT is allowed",
        "What goes through a tunnel is never seen.",
        "upgrade_configs: [{upgrade_type: CONNECT}]\n          stat_prefix: ehr",
        "upgrade_configs: [{upgrade_type: websocket}]\n          stat_prefix: ehr",
    ),
    # Between Envoy and Chaperone --------------------------------------------------------------------------------------
    "envoy-path-prefix": _hole(
        "the question goes to the wrong door",
        "Chaperone's door for Envoy is below `/ext_authz`; with another prefix a client's path chooses the door.",
        "path_prefix: /",
        "path_prefix: /ext_authz",
    ),
    "envoy-unknown-cluster": _hole(
        "the cluster of Chaperone is nowhere in what was given",
        "Whether Chaperone is asked, and over what, cannot be told.",
        "cluster_name: nowhere}",
        "cluster_name: chaperone}",
    ),
    "envoy-chaperone-plaintext": _hole(
        "Chaperone is asked over a network without TLS",
        "Whoever is between the two answers in Chaperone's place, and reads the secret.",
        "raw_buffer.v3.RawBuffer\n        sni",
        "tls.v3.UpstreamTlsContext\n        sni",
    ),
    "envoy-service-plaintext": _weak(
        "a service is reached over a network without TLS",
        "What was permitted to one caller is readable, and can be changed, by whoever stands in between.",
        "address: 192.0.2.8, port_value: 8080",
        "address: 127.0.0.1, port_value: 8080",
    ),
    "envoy-chaperone-not-verified": _hole(
        "Chaperone's certificate is not verified",
        "TLS without an authority keeps nobody from answering in Chaperone's place.",
        "          alpn_protocols: [h2]\n",
        "          combined_validation_context:\n" + _NAMED + _TRUSTED,
    ),
    "envoy-chaperone-name-not-checked": _hole(
        "Chaperone's name is not checked",
        "Every service with a certificate of the same authority can answer in Chaperone's place.",
        "            default_validation_context: {max_verify_depth: 2}\n",
        _NAMED,
    ),
    "envoy-no-proof": _hole(
        "nothing shows Chaperone who asks",
        "Without a secret or a client certificate, whoever reaches Chaperone can speak as this Envoy.",
        "allow_request_without_credential: true",
        "allow_request_without_credential: false",
    ),
    "envoy-secret-in-file": _weak(
        "the secret stands in the configuration",
        "It is then in every dump of the configuration, every review and every backup.",
        "initial_metadata: [{key: x-pdp-secret, value: not-so-secret-any-more}]\n"
        "                envoy_grpc: {cluster_name: chaperone}",
        'initial_metadata: [{key: x-pdp-secret, value: "%ENVIRONMENT(PEP_SECRET)%"}]\n'
        "                envoy_grpc: {cluster_name: chaperone}",
    ),
    "envoy-all-headers-to-client": _weak(
        "every header of a deny goes to the client",
        "Without `allowed_client_headers` Envoy hands on all of them.",
        "dynamic_metadata_from_headers: {",
        "allowed_client_headers: {",
    ),
    "envoy-identity-not-passed": _hole(
        "the service does not get what Chaperone says",
        "A header that is not in the list is not replaced: the service finds the client's copy, or none.",
        "- {exact: x-pdp-other}",
        "- {exact: x-pdp-subject}",
    ),
    "envoy-identity-appended": _hole(
        "Chaperone's header is added behind the client's",
        "Services that read the first line of a header read the client's.",
        "allowed_upstream_headers_to_append: {patterns: [{exact: x-pdp-subject}]}\n"
        "                  allowed_client_headers_on_success:",
        "allowed_client_headers_on_success:",
    ),
    # TLS --------------------------------------------------------------------------------------------------------------
    "envoy-plaintext-listener": _hole(
        "clients are served without TLS",
        "Patient data and tokens are readable on the way.",
        "raw_buffer.v3.RawBuffer\n          require_client",
        "tls.v3.DownstreamTlsContext\n          require_client",
    ),
    "envoy-no-client-certificate": _weak(
        "clients need no certificate",
        "Right only where every caller is known by a token, and the network is not what keeps others out.",
        "require_client_certificate: false",
        "require_client_certificate: true",
    ),
    "envoy-certificates-not-verified": _hole(
        "a client certificate is asked for, and not verified",
        "Anybody can make one with any name.",
        "validation_context:\n              max_verify_depth: 2\n",
        "validation_context_sds_secret_config:\n              name: clients\n",
    ),
    "envoy-certificate-not-sent": _hole(
        "Chaperone is not told the client's certificate",
        "Rules and tokens that are bound to a certificate cannot be judged, so they deny, or are written without it.",
        "include_peer_certificate: false",
        "include_peer_certificate: true",
    ),
    "envoy-untrusted-accepted": _hole(
        "certificates that nobody vouches for are accepted",
        "ACCEPT_UNTRUSTED lets every certificate through.",
        "trust_chain_verification: ACCEPT_UNTRUSTED\n              match_typed_subject_alt_names:",
        "trust_chain_verification: VERIFY_TRUST_CHAIN\n              match_typed_subject_alt_names:",
    ),
    "envoy-expired-accepted": _hole(
        "expired certificates are accepted",
        "A key that was stolen years ago still opens.",
        "allow_expired_certificate: true\n              match_typed_subject_alt_names:",
        "allow_expired_certificate: false\n              match_typed_subject_alt_names:",
    ),
    "envoy-old-tls": _hole(
        "TLS before 1.2",
        "Its ciphers are broken or close to it.",
        "tls_minimum_protocol_version: TLSv1_0",
        "tls_minimum_protocol_version: TLSv1_2",
    ),
    "envoy-weak-cipher": _hole(
        "a cipher without forward secrecy or authenticated encryption",
        "Traffic that was recorded can be read when a key is stolen, or padding tells what is inside.",
        "- AES128-SHA",
        "- ECDHE-RSA-AES128-GCM-SHA256",
    ),
    "envoy-certificate-not-renewed": _weak(
        "a certificate that is read once",
        "Certificates that live for a day need a proxy that reads them again: give them through SDS, from a file.",
        "tls_certificates:\n          - name: client\n",
        "tls_certificate_sds_secret_configs:\n          - name: client\n",
    ),
    "envoy-admin-open": _hole(
        "the admin port is on the network",
        "It stops Envoy, changes its runtime, and shows its configuration with all that stands in it.",
        "address: {socket_address: {address: 0.0.0.0, port_value: 9901}}",
        "address: {pipe: {path: /run/envoy/admin.sock, mode: 384}}",
    ),
}
