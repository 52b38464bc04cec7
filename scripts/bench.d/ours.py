"""Chaperone on a workload: through the front door of the bundle, as a worker would load it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from workloads import Question, Workload

from pdp.bundle import build
from pdp.decide.engine import Engine
from pdp.model.request import Request

NOW = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z


class Ours:
    """One workload, loaded. `arguments` are what `engine.decide` takes, each question once."""

    def __init__(self, workload: Workload) -> None:
        with tempfile.TemporaryDirectory(prefix="chaperone-bench-") as directory:
            self.built = build.build(workload.write(Path(directory, "policies")))
        self.engine = Engine(self.built.program, self.built.entities)
        self.arguments = [(request(each), NOW) for each in workload.questions]

    def answers(self) -> list[bool]:
        return [self.engine.decide_uncached(each, now).allowed for each, now in self.arguments]


def request(question: Question) -> Request:
    return Request(
        subject_type=question.subject.type,
        subject_id=question.subject.id,
        action=question.action,
        resource_type=question.resource.type,
        resource_id=question.resource.id,
    )
