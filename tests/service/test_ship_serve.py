"""`pdp serve` with targets: decisions and sealing go on whatever a target does, and metrics say how far each is."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path

import pytest

from pdp.audit.ship import cursor
from pdp.audit.tree import checkpoint
from tests.service.server import Server, alive, serving, until, write_policies
from tests.service.shipping import NatsServer

pytestmark = pytest.mark.service

SETTINGS = """
[ship.events]
kind = "nats"
servers = "nats://127.0.0.1:{nats}"
timeout_seconds = 1

[ship.lines]
kind = "file"
directory = "{lines}"

[ship.dead]
kind = "otlp"
url = "http://127.0.0.1:{dead}/v1/logs"
timeout_seconds = 1
"""


def metrics(server: Server) -> dict[str, float]:
    lines = server.ask("GET", "/metrics", port=server.management).body.decode().splitlines()
    return {name: float(value) for name, _, value in (each.rpartition(" ") for each in lines if each[0] != "#")}


def confirmed(server: Server, name: str) -> int:
    found = cursor.read(server.audit, name)
    return 0 if found is None else found.next


def test_a_dead_target_holds_up_neither_the_others_nor_a_decision(tmp_path: Path) -> None:
    nats = NatsServer(tmp_path / "nats").start()
    with socket.create_server(("127.0.0.1", 0)) as silent:  # It takes connections, and never answers.
        text = SETTINGS.format(nats=nats.port, lines=tmp_path / "lines", dead=silent.getsockname()[1])
        policies = write_policies(tmp_path / "policies", text)
        try:
            with serving(tmp_path, policies) as server:
                for _ in range(40):
                    assert server.decide("nina", "read", "r1")
                sealed = until(lambda: checkpoint.last(server.audit / "log") or 0, "sealed")
                until(lambda: min(confirmed(server, each) for each in ("events", "lines")) >= sealed, "shipped")
                until(lambda: metrics(server).get('pdp_ship_lag_records{target="dead"}', 0) >= sealed, "told")
                until(lambda: metrics(server).get('pdp_ship_failures_total{target="dead"}', 0) >= 1, "told")
                found = metrics(server)
                assert confirmed(server, "dead") == 0
                assert cursor.floor(server.audit) == 0
                assert found['pdp_child_alive{child="ship-dead"}'] == 1
                assert found['pdp_ship_lag_seconds{target="dead"}'] > 0
                assert found["pdp_audit_sealed_records"] >= sealed
                assert found["pdp_audit_wal_batches_total"] > 0
                assert found["pdp_audit_wal_sync_seconds_count"] > 0
                assert server.ready()["status"] == "ready"
                pid = server_child(server, "ship-events")
                os.kill(pid, signal.SIGKILL)
                until(lambda: server_child(server, "ship-events") not in (0, pid), "started again")
                before = confirmed(server, "events")
                assert server.decide("nina", "read", "r1")
                until(lambda: confirmed(server, "events") > before, "shipped")
                pid = server_child(server, "ship-events")
            assert not alive(pid)
            assert (tmp_path / "lines/records.jsonl").read_text().count("\n") >= 41
        finally:
            nats.stop(signal.SIGKILL)


def server_child(server: Server, name: str) -> int:
    """Its process, from the directory that the processes share."""
    (found,) = server.directory.glob("chaperone-*/children")
    return int(json.loads(found.read_text())[name]["pid"])


def test_without_targets_there_is_no_such_process(tmp_path: Path) -> None:
    with serving(tmp_path, write_policies(tmp_path / "policies")) as server:
        assert not [each for each in server.ready()["children"] if each.startswith("ship")]
        assert not (server.audit / "ship").exists()
