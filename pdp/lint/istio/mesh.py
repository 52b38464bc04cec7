"""The mesh as a whole: is every request sent to Chaperone, and is every caller known?"""

from __future__ import annotations

from typing import Final

from pdp.diagnostics.source import Span
from pdp.lint.document import Node, Scalar
from pdp.lint.findings import Findings
from pdp.lint.istio import patches
from pdp.lint.istio.providers import Provider
from pdp.lint.istio.resources import Resource
from pdp.lint.message import ANY, Message, beginning

_POLICY: Final = frozenset({"selector", "target_ref", "target_refs", "rules", "action", "provider"})
_PEER: Final = frozenset({"selector", "mtls", "port_level_mtls"})
_NORMALIZATIONS: Final = ("DEFAULT", "NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES")
_MTLS: Final = ("UNSET", "DISABLE", "PERMISSIVE", "STRICT")
_PORTS: Final = {
    "traffic.sidecar.istio.io/excludeInboundPorts": "",
    "traffic.sidecar.istio.io/includeInboundPorts": "*",
    "traffic.sidecar.istio.io/excludeInterfaces": "",
}
"""Annotations, each with the value that lets everything pass the sidecar."""
_INJECT: Final = "sidecar.istio.io/inject"
_MODE: Final = "sidecar.istio.io/interceptionMode"
_DRY_RUN: Final = "istio.io/dry-run"


class Mesh:
    def __init__(self, findings: Findings) -> None:
        self.findings = findings
        self.configs: list[Message] = []
        self.resources: list[Resource] = []

    def settings(self, node: Node) -> None:
        """Values of the chart, an IstioOperator, or a MeshConfig itself."""
        top = Message(node, beginning(node), self.findings, ANY, "the mesh's settings")
        for holder in (top, top.message("spec", ANY)):
            if "mesh_config" in holder:
                self.configs.append(holder.message("mesh_config", ANY))
                return
        self.configs.append(top)

    def judge(self) -> None:
        providers: dict[str, Provider] = {}
        for config in self.configs:
            self._normalised(config)
            for each in config.messages("extension_providers", ANY):
                if "envoy_ext_authz_grpc" in each and "envoy_ext_authz_http" in each:
                    each.misread(
                        each.fields["name"][0] if "name" in each else Scalar(each.anchor, "", True), "one service"
                    )
                if "envoy_ext_authz_grpc" in each or "envoy_ext_authz_http" in each:
                    providers[each.text("name")] = Provider(each, self._rules())
        for provider in providers.values():
            provider.judge()
            self._certificates(provider)
        if not self.configs:
            self._add(
                "istio-no-mesh-config",
                self._first(),
                "the mesh's configuration was not given: how Chaperone is asked cannot be judged",
                "give the file with `extensionProviders` and `pathNormalization` too",
            )
        self._policies(providers)
        self._peers()
        for patch in self._of("EnvoyFilter"):
            patches.judge(patch)
        for plugin in self._of("WasmPlugin"):
            self._add(
                "proxy-not-judged",
                plugin.message.anchor,
                "code that can answer before the check, or change the request behind it",
                "do without it where patient data pass",
            )
        for sidecar in self._of("Sidecar"):
            self._captures(sidecar)
        for workload in self.resources:
            self._excluded(workload)
            self._injected(workload)

    def _certificates(self, provider: Provider) -> None:
        """Istio's sidecars add to the header that the client sent, unless they are patched."""
        span = provider.sends_certificates
        if span is not None and not any(map(patches.sanitises, self._of("EnvoyFilter"))):
            self._add(
                "istio-client-certificate-header",
                span,
                "a client says in x-forwarded-client-cert who it is: Istio's sidecars add their word to the client's",
                "patch them with an EnvoyFilter: `forward_client_cert_details: SANITIZE_SET`, with `cert: true`",
            )

    def _of(self, kind: str) -> list[Resource]:
        return [each for each in self.resources if each.kind == kind]

    def _rules(self) -> list[Message]:
        return [each.spec for each in self._of("DestinationRule")]

    def _first(self) -> Span:
        """Where to say what is missing from the whole."""
        holders = [each.message.anchor for each in self.resources] or [each.anchor for each in self.configs]
        return holders[0]

    def _normalised(self, config: Message) -> None:
        normalization = config.message("path_normalization", ANY).choice("normalization", _NORMALIZATIONS)
        if normalization not in ("MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"):
            self._add(
                "istio-path-not-normalized",
                config.at("path_normalization"),
                "`//records` and, without any normalization, `/public/../records` are matched as they are written",
                "set `pathNormalization: {normalization: DECODE_AND_MERGE_SLASHES}`",
            )

    # ------------------------------------------------------------------------------------------------------- policies

    def _policies(self, providers: dict[str, Provider]) -> None:
        custom = [each for each in self._of("AuthorizationPolicy") if each.spec.text("action") == "CUSTOM"]
        if not custom:
            self._add(
                "istio-no-policy",
                self._first(),
                "no AuthorizationPolicy with the action CUSTOM: Chaperone is never asked",
                "add one with `rules: [{}]`",
            )
        for each in custom:
            self._policy(each, providers)

    def _policy(self, policy: Resource, providers: dict[str, Provider]) -> None:
        spec = Message(policy.spec.node, policy.spec.anchor, self.findings, _POLICY, "an AuthorizationPolicy")
        provider = spec.message("provider", ANY)
        if self.configs and provider.text("name") not in providers:
            self._add(
                "istio-unknown-provider",
                provider.at("name"),
                f"no extension provider is called `{provider.text('name')}`",
                "name one of the mesh's `extensionProviders`",
            )
        dry_run, span = policy.annotation(_DRY_RUN)
        if dry_run.lower() not in ("", "false"):
            self._add("istio-dry-run", span, "the policy is tried out, and stops nothing", "leave the annotation out")
        for name in ("selector", "target_ref", "target_refs"):
            if name in spec:
                self._add(
                    "istio-policy-selects",
                    spec.at(name),
                    "only some workloads are guarded, and a new one is not",
                    "leave it out, so that the policy covers its namespace",
                )
        self._placed(policy)
        self._covers(spec)

    def _placed(self, resource: Resource) -> None:
        if not resource.namespace:
            self._add(
                "istio-no-namespace",
                resource.message.anchor,
                "what this covers depends on where somebody stands who applies it",
                "write its `namespace` down",
            )

    def _covers(self, spec: Message) -> None:
        """One rule without conditions covers everything; no rule at all covers nothing."""
        rules = spec.messages("rules", ANY)
        if any(each.present and not each.fields for each in rules):
            return
        if not rules:
            self._add(
                "istio-policy-hole", spec.at("rules"), "a policy without a rule checks nothing", "set `rules: [{}]`"
            )
        for rule in rules:
            for name in rule.fields or ("rules",):
                self._add(
                    "istio-policy-hole",
                    rule.at(name),
                    "what this condition does not cover is not checked",
                    "set `rules: [{}]`, and permit in a policy of Chaperone what everybody may see",
                )

    def _peers(self) -> None:
        peers = self._of("PeerAuthentication")
        whole = False
        for each in peers:
            spec = Message(each.spec.node, each.spec.anchor, self.findings, _PEER, "a PeerAuthentication")
            self._placed(each)
            mode = self._mode(spec.message("mtls", ANY), spec.at("mtls"))
            whole = whole or (mode and "selector" not in spec)
            for _, port in spec.named("port_level_mtls"):
                self._mode(port, port.anchor)
        if not whole:
            self._add(
                "istio-no-strict-mtls",
                self._first(),
                "callers without a certificate are let in: by default Istio takes plain connections too",
                "add a PeerAuthentication with `mtls: {mode: STRICT}` and without a selector",
            )

    def _mode(self, mtls: Message, span: Span) -> bool:
        strict = mtls.choice("mode", _MTLS) == "STRICT"
        if not strict:
            self._add(
                "istio-permissive-mtls",
                mtls.at("mode") if "mode" in mtls else span,
                "plain connections are taken: their sender has no name",
                "set `mode: STRICT`",
            )
        return strict

    def _excluded(self, workload: Resource) -> None:
        for name, all_of_them in _PORTS.items():
            said, span = workload.annotation(name)
            # An empty `includeInboundPorts` is no port at all.
            if said != all_of_them and span != workload.message.anchor:
                self._add(
                    "istio-port-excluded",
                    span,
                    f"by `{name}: {said}` some of what comes in does not pass the sidecar, and is not checked",
                    "leave the annotation out",
                )

    def _injected(self, workload: Resource) -> None:
        """Is there a sidecar, and does it see what comes in?"""
        found = [
            span for said, span in (workload.annotation(_INJECT), workload.label(_INJECT)) if said.lower() == "false"
        ]
        mode, span = workload.annotation(_MODE)
        found += [span] if mode == "NONE" else []
        found += [each.at("host_network") for each in workload.pods() if each.flag("host_network")]
        for each in found:
            self._add(
                "istio-no-sidecar",
                each,
                "this workload has no sidecar, or one that nothing passes: what comes in is not checked",
                "leave it out",
            )

    def _captures(self, sidecar: Resource) -> None:
        for each in sidecar.spec.messages("ingress", ANY):
            if each.text("capture_mode") == "NONE":
                self._add(
                    "istio-no-sidecar",
                    each.at("capture_mode"),
                    "what comes in on this port passes the sidecar only where its sender likes",
                    "leave `captureMode` out",
                )

    def _add(self, code: str, span: Span, message: str, hint: str) -> None:
        self.findings.add(code, span, message, hint)
