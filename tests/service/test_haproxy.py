"""A real HAProxy with the configuration and the Lua action that are shipped asks at /forward-auth."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.service import behind
from tests.service.attacks import Attacks
from tests.service.behind import ALLOWED, DEPLOY, SECRET, Behind, said
from tests.service.server import free_port

pytestmark = pytest.mark.service


@contextmanager
def haproxy(directory: Path, pdp: int, service: int) -> Iterator[int]:
    program, port = behind.program("haproxy"), free_port()
    changes = {
        "127.0.0.1:8181": f"127.0.0.1:{pdp}",
        "127.0.0.1:8080": f"127.0.0.1:{service}",
        "127.0.0.1:8000": f"127.0.0.1:{port}",
    }
    shipped = behind.replaced((DEPLOY / "haproxy/haproxy.cfg").read_text(), changes)
    (directory / "haproxy.cfg").write_text(shipped)
    shutil.copy(DEPLOY / "haproxy/chaperone.lua", directory)
    command = [program, "-db", "-f", "haproxy.cfg"]
    with behind.running(command, port, directory, CHAPERONE_SECRET=SECRET):
        yield port


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    behind.program("haproxy")
    with behind.behind("haproxy", tmp_path_factory.mktemp("haproxy"), haproxy) as world:
        yield world


@pytest.fixture(scope="module")
def alone(world: Behind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    with behind.alone(world, tmp_path_factory.mktemp("alone"), haproxy) as alone:
        yield alone


@pytest.fixture(scope="module")
def misled(world: Behind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    with behind.misled(world, tmp_path_factory.mktemp("misled"), haproxy) as misled:
        yield misled


class TestHAProxy(Attacks):
    @pytest.mark.parametrize("missing", range(len(ALLOWED)))
    def test_checklist_07_an_allow_without_every_identity_header_is_none(self, misled: Behind, missing: int) -> None:
        assert misled.impostor is not None
        misled.impostor.answer = said("200 OK", *ALLOWED)
        assert misled.get("/fhir/Record/r1").status == 200
        kept = [*ALLOWED[:missing], *ALLOWED[missing + 1 :]]
        for lines in (kept, [*kept, ALLOWED[missing].split()[0]], [*ALLOWED, ALLOWED[missing]]):
            misled.impostor.answer = said("200 OK", *lines)
            assert misled.untouched("/fhir/Record/r1", "X-User: nina").status == 503

    @pytest.mark.parametrize("status", ["204 No Content", "201 Created", "206 Partial Content"])
    def test_checklist_05_only_200_is_an_allow(self, misled: Behind, status: str) -> None:
        assert misled.impostor is not None
        misled.impostor.answer = said(status, *ALLOWED)
        assert misled.untouched("/fhir/Record/r1", "X-User: nina").status == 503

    def test_a_429_is_handed_on(self, misled: Behind) -> None:
        assert misled.impostor is not None
        misled.impostor.answer = said("429 Slow", "x-pdp-decision: d", "retry-after: 7")
        answer = misled.untouched("/fhir/Record/r1", "X-User: nina")
        assert (answer.status, answer.headers["retry-after"]) == (429, "7")
