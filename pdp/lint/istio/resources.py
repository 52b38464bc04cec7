"""A resource of Kubernetes: its kind, its namespace, and what it asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pdp.diagnostics.source import Span
from pdp.lint.document import Map
from pdp.lint.findings import Findings
from pdp.lint.message import ANY, Message, beginning

_FIELDS: Final = frozenset({"api_version", "kind", "metadata", "spec", "status"})


class Resource:
    def __init__(self, node: Map, findings: Findings) -> None:
        self.message = Message(node, beginning(node), findings, _FIELDS, "a resource")
        self.kind = self.message.text("kind")
        self.istio = "istio.io/" in self.message.text("api_version")
        self.metadata = self.message.message("metadata", ANY)
        self.namespace = self.metadata.text("namespace")
        self.spec = self.message.message("spec", ANY)
        self.findings = findings

    def annotation(self, name: str) -> tuple[str, Span]:
        """An annotation of the resource, or of the pods that it makes."""
        return self._said("annotations", name)

    def label(self, name: str) -> tuple[str, Span]:
        return self._said("labels", name)

    def pods(self) -> Sequence[Message]:
        """What it says of the pods that it makes, or is."""
        return [self.spec if self.kind == "Pod" else each.message("spec", ANY) for each in self._templates()]

    def _templates(self) -> Sequence[Message]:
        cron = self.spec.message("job_template", ANY).message("spec", ANY)
        return [each.message("template", ANY) for each in (self.spec, cron)]

    def _said(self, kind: str, name: str) -> tuple[str, Span]:
        for metadata in (self.metadata, *(each.message("metadata", ANY) for each in self._templates())):
            given = metadata.message(kind, None)
            if name in given:
                return given.text(name), given.at(name)
        return "", self.message.anchor
