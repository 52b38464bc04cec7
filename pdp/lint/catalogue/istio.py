"""Codes of Istio."""

from __future__ import annotations

from typing import Final

from pdp.diagnostics.catalogue.entry import Entry
from pdp.diagnostics.diagnostic import Severity

STAGE: Final = "istio"


def _hole(summary: str, explanation: str, bad: str, good: str, alone: bool = False) -> Entry:
    return Entry(STAGE, summary, explanation, bad, good, alone=alone)


def _weak(summary: str, explanation: str, bad: str, good: str) -> Entry:
    return Entry(STAGE, summary, explanation, bad, good, Severity.WARNING)


_POD: Final = (
    "apiVersion: v1\nkind: Pod\nmetadata:\n  name: ehr\n  annotations: {%s}\nspec: {}\n---\n"
    "apiVersion: networking.istio.io/v1"
)
_MUTUAL: Final = (
    'tls:\n      mode: ISTIO_MUTUAL\n      subjectAltNames: ["spiffe://cluster.local/ns/chaperone/sa/chaperone"]\n'
)

ENTRIES: Final[dict[str, Entry]] = {
    # Is everything checked? -------------------------------------------------------------------------------------------
    "istio-no-policy": _hole(
        "no AuthorizationPolicy sends requests to Chaperone",
        "An extension provider alone does nothing: a policy with `action: CUSTOM` has to name it.",
        "action: DENY",
        "action: CUSTOM",
    ),
    "istio-unknown-provider": _hole(
        "a policy names a provider that there is none of",
        "Istio then denies everything, or, by its version, checks nothing.",
        "provider: {name: chaperon}",
        "provider: {name: chaperone}",
    ),
    "istio-no-mesh-config": _hole(
        "the mesh's configuration was not given",
        "How Chaperone is asked stands in `meshConfig.extensionProviders`; without it nothing can be said about it.",
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: strict}\n"
        "spec: {mtls: {mode: STRICT}}\n",
        "meshConfig: {extensionProviders: []}\n",
        alone=True,
    ),
    "istio-policy-hole": _hole(
        "a policy does not cover every request",
        "What its conditions do not name is not checked at all, and `rules` that are empty or missing check nothing. "
        "`rules: [{}]` is one rule without conditions: everything.",
        'rules: [{to: [{operation: {notPaths: ["/public/*"]}}]}]',
        "rules: [{}]",
    ),
    "istio-policy-selects": _weak(
        "a policy covers some workloads",
        "A workload without the label is open, and so is the next one that somebody deploys.",
        "selector: {matchLabels: {app: ehr}}\n  rules: [{}]",
        "rules: [{}]",
    ),
    "istio-dry-run": _hole(
        "a policy is only tried out",
        "With the annotation `istio.io/dry-run` it is counted, and stops nothing.",
        'metadata: {name: chaperone, namespace: ehr, annotations: {istio.io/dry-run: "true"}}',
        "metadata: {name: chaperone, namespace: ehr}",
    ),
    "istio-port-excluded": _hole(
        "a port of a workload does not pass the sidecar",
        "What comes in there is not checked, and needs no certificate.",
        _POD % 'traffic.sidecar.istio.io/excludeInboundPorts: "8080"',
        _POD % 'traffic.sidecar.istio.io/includeInboundPorts: "*"',
    ),
    "istio-no-sidecar": _hole(
        "a workload without a sidecar, or one that nothing passes",
        "The check is the sidecar's: without injection, in the host's network, or without interception nobody asks.",
        _POD % 'sidecar.istio.io/inject: "false"',
        _POD % 'sidecar.istio.io/inject: "true"',
    ),
    "istio-no-strict-mtls": _hole(
        "nothing asks every caller for a certificate",
        "By default Istio takes plain connections as well, whose sender has no name.",
        "selector: {matchLabels: {app: ehr}}\n  mtls: {mode: STRICT}",
        "mtls: {mode: STRICT}",
    ),
    "istio-permissive-mtls": _hole(
        "plain connections are taken",
        "PERMISSIVE and DISABLE let callers in that have no name.",
        "mtls: {mode: PERMISSIVE}",
        "mtls: {mode: STRICT}",
    ),
    "istio-path-not-normalized": _hole(
        "paths are matched as they are written",
        "By default Istio leaves `//` alone; with NONE it leaves `/../` too. MERGE_SLASHES is enough, since Chaperone "
        "refuses what is encoded; DECODE_AND_MERGE_SLASHES lets nothing odd through at all.",
        "normalization: BASE",
        "normalization: DECODE_AND_MERGE_SLASHES",
    ),
    # When the check fails ---------------------------------------------------------------------------------------------
    "istio-fail-open": _hole(
        "no answer is taken for a permit",
        "Whoever can make Chaperone slow, or break the way to it, is let in everywhere.",
        "port: 8181\n      failOpen: true",
        "port: 8181\n      failOpen: false",
    ),
    "istio-timeout": _hole(
        "Chaperone is waited for too long",
        "Istio's default is 600 s: while Chaperone does not answer, requests pile up until nothing is served.",
        "port: 9191\n      timeout: 600s",
        "port: 9191\n      timeout: 0.25s",
    ),
    "istio-status-on-error": _hole(
        "a failed check has the status of a success",
        "The request is not forwarded, and its sender believes that it was done.",
        'statusOnError: "200"\n      pathPrefix:',
        'statusOnError: "503"\n      pathPrefix:',
    ),
    # What is asked ----------------------------------------------------------------------------------------------------
    "istio-path-prefix": _hole(
        "the question goes to the wrong door",
        "Chaperone's door for Envoy is below `/ext_authz`; with another prefix a client's path chooses the door.",
        "pathPrefix: /check",
        "pathPrefix: /ext_authz",
    ),
    "istio-clear-route-cache": _hole(
        "the route is chosen again after the check",
        "An answer's headers can lead the request to another route than the one that was checked.",
        "clearRouteCache: true\n      # Method",
        "clearRouteCache: false\n      # Method",
    ),
    "istio-partial-body": _hole(
        "a body is checked by its beginning",
        "What stands behind the limit is forwarded and was never seen.",
        "includeRequestBodyInCheck: {maxRequestBytes: 64, allowPartialMessage: true, packAsBytes: true}\n"
        "      port: 9191",
        "includeRequestBodyInCheck: {maxRequestBytes: 64, allowPartialMessage: false, packAsBytes: true}\n"
        "      port: 9191",
    ),
    "istio-body-as-text": _hole(
        "bytes of the body are replaced before the check",
        "Envoy puts `!` for what is no UTF-8 unless `packAsBytes` is set.",
        "includeRequestBodyInCheck: {maxRequestBytes: 64}\n      port: 9191",
        "includeRequestBodyInCheck: {maxRequestBytes: 64, packAsBytes: true}\n      port: 9191",
    ),
    "istio-client-says-pdp": _hole(
        "the client's x-pdp-* headers are sent to Chaperone",
        "A pattern that covers x-pdp-* lets a client speak as the enforcement point.",
        'includeRequestHeadersInCheck: ["x-*", authorization,',
        "includeRequestHeadersInCheck: [authorization,",
    ),
    "istio-client-certificate-header": _hole(
        "the client's own x-forwarded-client-cert reaches Chaperone",
        "Istio's sidecars append to the header that the caller sent (APPEND_FORWARD), and leave the certificate out. A "
        "patch makes them replace it; over gRPC Chaperone gets the certificate itself.",
        "forward_client_cert_details: SANITIZE",
        "forward_client_cert_details: SANITIZE_SET",
    ),
    "istio-no-namespace": _weak(
        "a policy without a namespace",
        "It lands where the one who applies it happens to be, and covers that namespace.",
        "metadata: {name: strict}",
        "metadata: {name: strict, namespace: ehr}",
    ),
    "istio-token-not-sent": _weak(
        "`authorization` is not among the headers that are sent",
        "Without the token nobody is known by one.",
        "includeRequestHeadersInCheck: [cookie,",
        "includeRequestHeadersInCheck: [authorization,",
    ),
    "istio-identity-not-passed": _hole(
        "the service gets the client's x-pdp-* headers, and not Chaperone's",
        "Only what stands in `headersToUpstreamOnAllow` is replaced.",
        "headersToUpstreamOnAllow: [x-pdp-decision, x-pdp-subject,",
        "headersToUpstreamOnAllow: [x-pdp-decision, x-pdp-subject, x-pdp-subject-type,",
    ),
    "istio-all-headers-to-client": _weak(
        "every header of a deny goes to the client",
        "Without `headersToDownstreamOnDeny` all of them do.",
        "headersToDownstreamOnDeny: []",
        "headersToDownstreamOnDeny: [x-pdp-decision, retry-after, cache-control, content-type]",
    ),
    # Between the mesh and Chaperone -----------------------------------------------------------------------------------
    "istio-no-proof": _hole(
        "nothing shows Chaperone who asks",
        "Without a client certificate or a secret, whoever reaches Chaperone can speak as the mesh.",
        "mode: SIMPLE\n",
        "mode: ISTIO_MUTUAL\n",
    ),
    "istio-secret-in-file": _weak(
        "the secret stands in the mesh's configuration",
        "Every sidecar reads it, and so does whoever can read the ConfigMap.",
        "includeAdditionalHeadersInCheck: {x-pdp-secret: not-so-secret-any-more}\n      pathPrefix: /ext_authz",
        "includeAdditionalHeadersInCheck: {x-mesh: ehr}\n      pathPrefix: /ext_authz",
    ),
    "istio-chaperone-plaintext": _hole(
        "Chaperone is asked without TLS",
        "Whoever is between the two answers in Chaperone's place.",
        "mode: DISABLE\n",
        "mode: ISTIO_MUTUAL\n",
    ),
    "istio-chaperone-not-verified": _hole(
        "Chaperone's certificate is not verified",
        "TLS without an authority keeps nobody from answering in Chaperone's place.",
        "insecureSkipVerify: true\n      mode: ISTIO_MUTUAL",
        "insecureSkipVerify: false\n      mode: ISTIO_MUTUAL",
    ),
    "istio-chaperone-name-not-checked": _hole(
        "Chaperone's name is not checked",
        "Every workload of the mesh can answer in Chaperone's place.",
        "tls:\n      mode: ISTIO_MUTUAL\n",
        _MUTUAL,
    ),
    # Patches ----------------------------------------------------------------------------------------------------------
    "istio-patch-opens": _hole(
        "a patch sets what lets requests past the check",
        "An EnvoyFilter changes what Istio has made of the mesh's settings, and none of them shows it.",
        "validate_mutations: false",
        "validate_mutations: true",
    ),
    "istio-filter-removed": _hole(
        "a patch takes something away",
        "The check may be in it.",
        "operation: REMOVE\n      value:\n        name:",
        "operation: INSERT_FIRST\n      value:\n        name:",
    ),
}
