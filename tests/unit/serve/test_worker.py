"""A worker follows the pointer; a load that failed once is tried again."""

from pathlib import Path

import pytest

from pdp.config import Settings
from pdp.serve import worker as module
from pdp.serve.runtime import POINTER, Runtime
from pdp.serve.snapshot import Snapshot
from pdp.serve.worker import Worker
from tests.audited import Kept


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    runtime = Runtime(tmp_path)
    runtime.write(POINTER, {"sequence": 1})
    return Worker(Settings(), runtime, Kept())


@pytest.mark.parametrize("error", [OSError(24, "Too many open files"), MemoryError()])
def test_what_could_not_be_loaded_is_tried_again_and_shown(
    worker: Worker, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[Exception | object] = [error, error, object()]

    def load(*_: object) -> Snapshot:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[return-value]

    monkeypatch.setattr(module, "load", load)
    for _ in range(2):
        worker._load_if_changed()
        assert worker.snapshot is None
        assert b"could not load the policy set" in worker.ready(0)[1]
    worker._load_if_changed()
    assert worker.snapshot is not None
    worker._load_if_changed()
    assert answers == []


def test_what_an_identity_provider_does_not_say_is_said_once_and_shown(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(module, "say", said.append)
    for _ in range(3):
        worker.outside({"idp": "keys.json is no key set"})
    assert b"an identity provider" in worker.ready(0)[1]
    assert b"idp" not in worker.ready(0)[1].replace(b"identity provider", b"")
    worker.outside({})
    assert b"an identity provider" not in worker.ready(0)[1]
    assert ["keys.json is no key set" in each for each in said] == [True, False]
    assert said[1] == "mended: [issuer.idp]"
