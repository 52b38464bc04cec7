"""What arrives over a real socket: raw paths, long headers, upgrades. One server for all, since nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.server import Server, serving, until, write_policies

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("http")
    policies = write_policies(directory / "policies")
    with serving(directory, policies, PDP_TRUST_UNVERIFIED_SUBJECT_HEADER="x-user") as running:
        yield running


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/ext_authz/fhir/Record/r1", 200),
        ("/ext_authz/fhir/Record/sealed", 403),
        ("/ext_authz//fhir/Record/r1", 403),
        ("/ext_authz/fhir/Record/../Record/r1", 403),
        ("/ext_authz/fhir/Record/%2e%2e/Record/r1", 403),
        ("/ext_authz/fhir%2FRecord/r1", 403),
        ("/ext_authz/fhir/Record/r1;x=1", 403),
        ("/ext_authz/fhir/Record/%2572", 403),
        ("/ext_authz/fhir/Record/r1?a=1", 403),
        ("/ext_authz/fhir/Record/r1/", 403),
        ("/ext_authz/../ready", 403),
        ("/ext_authzX/fhir/Record/r1", 404),
    ],
)
def test_checklist_11_the_raw_path_reaches_the_door_as_it_was_sent(server: Server, path: str, status: int) -> None:
    assert server.ask("GET", path, headers={"x-user": "nina"}).status == status


def test_headers_and_lines_up_to_the_limit_are_taken_and_longer_ones_refused(server: Server) -> None:
    token = {"x-user": "nina", "Authorization": "Bearer " + "t" * 12_000}
    assert server.ask("GET", "/ext_authz/fhir/Record/r1", headers=token).status == 200
    token["Authorization"] += "t" * 8_000
    assert server.ask("GET", "/ext_authz/fhir/Record/r1", headers=token).status == 403
    assert server.ask("GET", "/ext_authz/" + "a" * 20_000, headers={"x-user": "nina"}).status == 403
    # Nobody waits for these two.
    until(lambda: [each.get("detail") for each in server.records()[-2:]] == ["http-431", "http-414"], "recorded")


def test_checklist_07_an_underscore_spelling_of_the_identity_is_not_it(server: Server) -> None:
    assert server.ask("GET", "/ext_authz/fhir/Record/r1", headers={"x_user": "nina"}).status == 401


def test_a_websocket_upgrade_never_opens(server: Server) -> None:
    headers = {
        "x-user": "nina",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    assert server.ask("GET", "/ext_authz/fhir/Record/r1", headers=headers).status == 403


def test_checklist_35_there_is_no_control_socket_and_no_directory_for_others(server: Server) -> None:
    runtime = next(server.directory.glob("chaperone-*"))
    assert runtime.stat().st_mode & 0o777 == 0o700
    assert not list(Path.home().glob(".gunicorn/*"))
    assert not [each for each in runtime.iterdir() if each.is_socket()]
