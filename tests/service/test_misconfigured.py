"""A service whose settings are sound and wrong: it starts, opens nothing by it, and says so wherever somebody looks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.service.server import Server, serving, until, write_policies

pytestmark = pytest.mark.service

SETTINGS = """\
[pep.envoy]
door = "ext_authz"
secret_file = "secret"
context = { purpos = "TREAT" }
obligations = ["call_back"]
"""


def misconfigured(directory: Path) -> Path:
    policies = write_policies(directory / "policies", SETTINGS)
    (policies / "secret").write_text("the-secret-of-the-envoy")
    (policies / "secret").chmod(0o644)
    return policies


def test_what_does_not_agree_is_said_at_start_by_ready_and_on_the_console(tmp_path: Path) -> None:
    with serving(tmp_path, misconfigured(tmp_path)) as server:
        state = server.ready()
        assert state["status"] == "degraded"
        assert state["problems"] == ["the settings and the policy set disagree"]
        assert "purpos" not in str(state)
        page = server.ask("GET", "/", port=server.management).body.decode()
        for told in (page.replace("&#39;", "'"), server.log.read_text()):
            assert "`context` fixes `purpos`, which the schema does not declare" in told
            assert "`obligations` names `call_back`, which no rule issues" in told
        log = server.log.read_text()
        assert f"records in {server.audit}" in log
        assert "secret holds a secret and may be read or written by others" in log
        (tmp_path / "policies/c-context.ward").write_text(
            "module c\nuse little\ncontext { purpos: Text from caller }\n"
        )
        until(
            lambda: "purpos" not in server.ask("GET", "/", port=server.management).body.decode(), "it is declared now"
        )


def test_a_proxy_without_its_prefix_or_its_secret_is_told_to_the_operator(tmp_path: Path) -> None:
    with serving(tmp_path, misconfigured(tmp_path)) as server:
        assert server.ask("GET", "/fhir/Record/r1").status == 404
        assert server.ask("GET", "/ext_authz/fhir/Record/r1", headers={"Host": "ehr"}).status == 403
        until(lambda: "path that no door has" in server.log.read_text(), "the path is told")
        until(lambda: "asks at the door ext_authz (no-secret)" in server.log.read_text(), "the proxy is told")
        (record,) = server.records()
        assert (record["reason"], record["detail"]) == ("unknown_pep", "no-secret")


def test_the_same_is_said_without_a_start(tmp_path: Path) -> None:
    server = Server(tmp_path, misconfigured(tmp_path))
    ran = subprocess.run(
        [sys.executable, "-m", "pdp", "serve", "--check-settings"],
        env=server.environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "`context` fixes `purpos`" in ran.stdout
    assert not server.audit.exists()
