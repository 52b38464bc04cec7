"""A real nginx with the configuration that is shipped asks at /forward-auth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pdp.audit.checking.verify import verify
from pdp.audit.tree.keys import published
from tests.service import behind
from tests.service.attacks import Attacks
from tests.service.behind import DEPLOY, IDENTITY, SECRET, Behind, got, said
from tests.service.server import free_port, until

pytestmark = pytest.mark.service


@contextmanager
def nginx(directory: Path, pdp: int, service: int) -> Iterator[int]:
    program, port = behind.program("nginx"), free_port()
    (directory / "chaperone-secret.conf").write_text(f'proxy_set_header X-Pdp-Secret "{SECRET}";\n')
    changes = {
        "127.0.0.1:8181": f"127.0.0.1:{pdp}",
        "127.0.0.1:8080": f"127.0.0.1:{service}",
        "127.0.0.1:8000": f"127.0.0.1:{port}",
        "access_log /dev/stdout": "access_log access.log",
    }
    shipped = behind.replaced((DEPLOY / "nginx/nginx.conf").read_text(), changes)
    temporary = "".join(f"{kind}_temp_path {kind}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (directory / "nginx.conf").write_text(shipped.replace("http {", "http { " + temporary))
    command = [program, "-p", str(directory), "-c", "nginx.conf", "-e", "stderr", "-g", "daemon off;"]
    with behind.running(command, port, directory):
        yield port


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    behind.program("nginx")
    with behind.behind("nginx", tmp_path_factory.mktemp("nginx"), nginx) as world:
        yield world


@pytest.fixture(scope="module")
def alone(world: Behind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    with behind.alone(world, tmp_path_factory.mktemp("alone"), nginx) as alone:
        yield alone


@pytest.fixture(scope="module")
def misled(world: Behind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    with behind.misled(world, tmp_path_factory.mktemp("misled"), nginx) as misled:
        yield misled


class TestNginx(Attacks):
    def test_nobody_reaches_the_question_itself(self, world: Behind) -> None:
        world.untouched("/_chaperone", "X-User: nina")
        world.untouched("/_chaperone?/fhir/Record/r1", "X-User: nina")

    def test_the_log_holds_no_target(self, world: Behind) -> None:
        world.get("/fhir/Record/r1")
        log = (world.server.directory / "access.log").read_text()
        assert " GET 200 " in log
        assert "Record" not in log
        assert "Record" not in (world.server.directory / "proxy.log").read_text()

    def test_the_log_has_the_receipt_of_every_answer_and_nobody_else_has(self, world: Behind) -> None:
        path = world.server.directory / "access.log"
        before = len(path.read_text().splitlines()) if path.exists() else 0
        allowed, denied = world.get("/fhir/Record/r1"), world.get("/fhir/Record/sealed")
        assert (allowed.status, denied.status) == (200, 403)
        assert not got(allowed, "x-pdp-receipt")
        assert "x-pdp-receipt" not in denied.headers
        lines = until(lambda: path.read_text().splitlines()[before:][1:] and path.read_text().splitlines(), "two lines")
        receipts = [line.split()[-1] for line in lines[-2:]]
        assert verify(world.server.audit, published(world.server.audit / "keys"), receipts=receipts).findings == []

    def test_a_deny_that_may_be_tried_again_later_is_a_429_to_the_client(self, misled: Behind) -> None:
        """auth_request itself would make 500 of a 429."""
        assert misled.impostor is not None
        misled.impostor.answer = said("403 No", "x-pdp-decision: d", "retry-after: 7")
        answer = misled.untouched("/fhir/Record/r1", "X-User: nina")
        assert (answer.status, answer.headers["retry-after"], answer.headers["x-pdp-decision"]) == (429, "7", "d")

    def test_an_identity_header_that_chaperone_left_out_is_removed(self, misled: Behind) -> None:
        assert misled.impostor is not None
        misled.impostor.answer = said("200 OK")
        answer = misled.get("/fhir/Record/r1", *(f"{name}: forged" for name in IDENTITY))
        assert answer.status == 200
        assert not any(got(answer, name) for name in IDENTITY)
