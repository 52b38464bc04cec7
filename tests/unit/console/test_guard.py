"""Who may ask the management listener for what: pages of other sites never."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask.testing import FlaskClient

from pdp.config import Address, Settings
from pdp.console.app import application
from pdp.identity.store import prepare

OWN = "127.0.0.1:8282"
REVOCATION = {"issuer": "*", "subject": "dora"}


def client(directory: Path, **changed: Any) -> FlaskClient:
    source: Any = SimpleNamespace(current=lambda: None, pointer=dict, builder=dict, children=dict)
    prepare(directory / "state")
    return application(Settings(state_dir=directory / "state", **changed), source).test_client()


def revoke(client: FlaskClient, host: str = OWN, **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post("/api/revocations", json=REVOCATION, headers={"Host": host, **named}).status_code


def test_what_is_no_browser_and_our_own_pages_may_change_things(tmp_path: Path) -> None:
    asked = client(tmp_path)
    assert revoke(asked) == 201
    assert revoke(asked, Origin=f"http://{OWN}") == 201
    assert revoke(asked, Origin=f"http://{OWN}", Sec_Fetch_Site="same-origin") == 201
    assert revoke(asked, "localhost:8282", Origin="http://localhost:8282") == 201


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "https://evil.example",
        "http://127.0.0.1:8181",
        "http://127.0.0.1",
        "http://localhost:8282",
        f"http://{OWN}.evil.example",
        f"http://{OWN}, https://evil.example",
        f"ftp://{OWN}",
        OWN,
    ],
)
def test_a_page_of_another_site_may_change_nothing(tmp_path: Path, origin: str) -> None:
    asked = client(tmp_path)
    assert revoke(asked, Origin=origin) == 403
    assert revoke(asked, Origin=origin, Sec_Fetch_Site="none") == 403
    assert asked.post("/try", headers={"Host": OWN, "Origin": origin}).status_code == 403


def test_with_a_secret_too_another_site_may_change_nothing(tmp_path: Path) -> None:
    asked = client(tmp_path, management_listen=Address("0.0.0.0", 8282), management_secret=b"s" * 16)
    bearer = "Bearer " + "s" * 16
    own = {"host": "pdp.hospital.example", "Authorization": bearer}
    assert revoke(asked, **own) == 201
    assert revoke(asked, **own, Origin="https://pdp.hospital.example") == 201
    assert revoke(asked, **own, Origin="https://evil.example") == 403
    assert revoke(asked, **own, Sec_Fetch_Site="cross-site") == 403


def test_our_own_forms_say_where_they_come_from(tmp_path: Path) -> None:
    """Without a referrer a browser sends `Origin: null`, which is refused."""
    answer = client(tmp_path).get("/", headers={"Host": OWN})
    assert answer.status_code == 200
    assert answer.headers["Referrer-Policy"] == "same-origin"
