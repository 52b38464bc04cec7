"""A real Caddy with the configuration that is shipped asks at /forward-auth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.service import behind
from tests.service.attacks import Attacks
from tests.service.behind import DEPLOY, IDENTITY, SECRET, Behind, said
from tests.service.server import free_port

pytestmark = pytest.mark.service


@contextmanager
def caddy(directory: Path, pdp: int, service: int) -> Iterator[int]:
    program, port = behind.program("caddy"), free_port()
    changes = {
        "127.0.0.1:8181": f"127.0.0.1:{pdp}",
        "127.0.0.1:8080": f"127.0.0.1:{service}",
        ":8000": f":{port}",
    }
    shipped = behind.replaced((DEPLOY / "caddy/Caddyfile").read_text(), changes)
    (directory / "Caddyfile").write_text(shipped)
    command = [program, "run", "--config", "Caddyfile", "--adapter", "caddyfile"]
    with behind.running(command, port, directory, CHAPERONE_SECRET=SECRET):
        yield port


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    behind.program("caddy")
    with behind.behind("caddy", tmp_path_factory.mktemp("caddy"), caddy) as world:
        yield world


@pytest.fixture(scope="module")
def alone(world: Behind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    with behind.alone(world, tmp_path_factory.mktemp("alone"), caddy) as alone:
        yield alone


@pytest.fixture(scope="module")
def misled(world: Behind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    with behind.misled(world, tmp_path_factory.mktemp("misled"), caddy) as misled:
        yield misled


class TestCaddy(Attacks):
    def test_checklist_07_what_chaperone_left_out_is_not_the_clients(self, misled: Behind) -> None:
        """CVE-2026-30851."""
        assert misled.impostor is not None
        misled.impostor.answer = said("200 OK")
        answer = misled.get("/fhir/Record/r1", *(f"{name}: forged" for name in IDENTITY))
        assert answer.status == 200
        assert "forged" not in str(answer.told)

    def test_a_429_is_handed_on(self, misled: Behind) -> None:
        assert misled.impostor is not None
        misled.impostor.answer = said("429 Slow", "x-pdp-decision: d", "retry-after: 7")
        answer = misled.untouched("/fhir/Record/r1", "X-User: nina")
        assert (answer.status, answer.headers["retry-after"]) == (429, "7")
