"""TLS on both sides of Envoy: the versions and ciphers, whose certificates count, and how they are renewed."""

from __future__ import annotations

from typing import Final

from pdp.lint.document import Node
from pdp.lint.envoy import known
from pdp.lint.envoy.world import Typed, World, opened
from pdp.lint.message import ANY, Message

_VERSIONS: Final = ("TLS_AUTO", "TLSv1_0", "TLSv1_1", "TLSv1_2", "TLSv1_3")
_OLD: Final = ("TLSv1_0", "TLSv1_1")
_VALIDATED_BY: Final = (
    "trusted_ca",
    "ca_certificate_provider_instance",
    "system_root_certs",
    "custom_validator_config",
    "verify_certificate_spki",
    "verify_certificate_hash",
)
_PINNED_BY: Final = ("match_typed_subject_alt_names", "match_subject_alt_names", "custom_validator_config")


def socket(holder: Message) -> Typed:
    """The transport socket of a filter chain or a cluster."""
    return opened(holder.message("transport_socket", known.TRANSPORT_SOCKET))


def downstream(chain: Message, world: World, local: bool) -> bool:
    """Judge what clients meet. Is a client's certificate asked for?"""
    typed = socket(chain)
    if typed.name == "QuicDownstreamTransport":
        context = Message(typed.node, typed.anchor, world.findings, ANY, "the QUIC transport").message(
            "downstream_tls_context", known.DOWNSTREAM_TLS, "the TLS of the listener"
        )
    elif typed.name == "DownstreamTlsContext":
        context = typed.message(world.findings, known.DOWNSTREAM_TLS, "the TLS of the listener")
    else:
        _no_tls(chain, typed, world, local)
        return False
    common = context.message("common_tls_context", known.COMMON_TLS)
    _params(common, world)
    _renewed(common, world)
    required = context.flag("require_client_certificate")
    if not required:
        world.findings.add(
            "envoy-no-client-certificate",
            context.at("require_client_certificate"),
            "clients need no certificate: any of them reaches this listener",
            "set `require_client_certificate: true` and say whose certificates count",
        )
    _validation(common, world, bool(required))
    return bool(required)


def _no_tls(chain: Message, typed: Typed, world: World, local: bool) -> None:
    if typed.type and typed.name not in ("RawBuffer", "StartTlsConfig", "ProxyProtocolUpstreamTransport"):
        world.findings.add(
            "proxy-not-judged",
            chain.at("transport_socket"),
            f"the transport `{typed.type}` is not known here",
            "use envoy.transport_sockets.tls",
        )
    elif not local:
        world.findings.add(
            "envoy-plaintext-listener",
            chain.anchor,
            "clients are served without TLS, on an address that is not loopback",
            "give the filter chain a `transport_socket` with TLS",
        )


def _params(common: Message, world: World) -> None:
    params = common.message("tls_params", known.TLS_PARAMS)
    for name in ("tls_minimum_protocol_version", "tls_maximum_protocol_version"):
        if params.choice(name, _VERSIONS) in _OLD:
            world.findings.add(
                "envoy-old-tls", params.at(name), "TLS before 1.2 is accepted", "take TLSv1_2 or TLSv1_3"
            )
    for suite, span in params.texts("cipher_suites"):
        for each in suite.strip("[]").split("|"):
            if not _strong(each):
                world.findings.add(
                    "envoy-weak-cipher",
                    span,
                    f"`{each}` has no forward secrecy, or no authenticated encryption",
                    "take ECDHE with GCM or CHACHA20-POLY1305",
                )


def _strong(suite: str) -> bool:
    return suite.startswith(("ECDHE-", "TLS_")) and ("GCM" in suite or "CHACHA20" in suite)


def _renewed(common: Message, world: World) -> None:
    """A certificate that is written into the configuration is read once."""
    if common.items("tls_certificates"):
        world.findings.add(
            "envoy-certificate-not-renewed",
            common.at("tls_certificates"),
            "a renewed certificate is not taken before a restart",
            "give it through SDS (`tls_certificate_sds_secret_configs`), which can be a file",
        )


def _validation(common: Message, world: World, required: bool) -> bool:
    """Judge whose certificates count. Is anything at all verified?"""
    contexts = validation_contexts(common)
    for each in contexts:
        context(each, world)
    given = delegated(common) or any(name in each for each in contexts for name in _VALIDATED_BY)
    if required and not given:
        world.findings.add(
            "envoy-certificates-not-verified",
            common.anchor,
            "a certificate is asked for and not verified: anybody can make one",
            "set `trusted_ca`, directly or through SDS",
        )
    return given


def validation_contexts(common: Message) -> list[Message]:
    combined = common.message("combined_validation_context", known.COMBINED)
    found = [
        common.message("validation_context", known.VALIDATION),
        combined.message("default_validation_context", known.VALIDATION),
    ]
    return [each for each in found if each.present]


def delegated(common: Message) -> bool:
    """Does the trust come from elsewhere: SDS, or a provider?"""
    combined = common.message("combined_validation_context", known.COMBINED)
    names = (
        "validation_context_sds_secret_config",
        "validation_context_certificate_provider",
        "validation_context_certificate_provider_instance",
    )
    return any(name in common or name in combined for name in names)


def context(validation: Message, world: World) -> None:
    if validation.choice("trust_chain_verification", ("VERIFY_TRUST_CHAIN", "ACCEPT_UNTRUSTED")) == "ACCEPT_UNTRUSTED":
        world.findings.add(
            "envoy-untrusted-accepted",
            validation.at("trust_chain_verification"),
            "certificates that nobody vouches for are accepted",
            "leave it out, or say VERIFY_TRUST_CHAIN",
        )
    if validation.flag("allow_expired_certificate"):
        world.findings.add(
            "envoy-expired-accepted",
            validation.at("allow_expired_certificate"),
            "expired certificates are accepted",
            "leave it out",
        )


def upstream(cluster: Message, typed: Typed, world: World) -> bool:
    """Judge how Chaperone is recognised. Does Envoy show a certificate of its own?"""
    tls = typed.message(world.findings, known.UPSTREAM_TLS, "the TLS to Chaperone")
    common = tls.message("common_tls_context", known.COMMON_TLS)
    _params(common, world)
    _renewed(common, world)
    if tls.flag("allow_renegotiation"):
        world.findings.add(
            "envoy-old-tls",
            tls.at("allow_renegotiation"),
            "renegotiation, a weakness of old TLS, is on",
            "leave it out",
        )
    if not _validation(common, world, False):
        world.findings.add(
            "envoy-chaperone-not-verified",
            cluster.at("transport_socket"),
            "whoever answers at this address is believed: its certificate is not verified",
            "set `trusted_ca` and `match_typed_subject_alt_names`, directly or through SDS",
        )
    elif not _named(common, tls):
        world.findings.add(
            "envoy-chaperone-name-not-checked",
            cluster.at("transport_socket"),
            "any certificate of this authority passes for Chaperone's",
            "set `match_typed_subject_alt_names` to Chaperone's name",
        )
    own = ("tls_certificates", "tls_certificate_sds_secret_configs", "tls_certificate_provider_instance")
    return any(name in common for name in own)


def _named(common: Message, tls: Message) -> bool:
    contexts = validation_contexts(common)
    return bool(tls.flag("auto_sni_san_validation")) or any(name in each for each in contexts for name in _PINNED_BY)


def secret(node: Node, world: World) -> None:
    """A secret of SDS, or of the bootstrap."""
    holder = Message(node, node.span, world.findings, known.SECRET, "the secret")
    validation = holder.message("validation_context", known.VALIDATION)
    context(validation, world)
    if validation.present and not any(name in validation for name in _VALIDATED_BY):
        world.findings.add(
            "envoy-certificates-not-verified",
            validation.anchor,
            "this says whose certificates count, and names nobody",
            "set `trusted_ca`",
        )
