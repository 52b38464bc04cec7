"""A resource of Kubernetes: its kind, its namespace, and what it asks for."""

from __future__ import annotations

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
        template = self.spec.message("template", ANY).message("metadata", ANY)
        cron = self.spec.message("job_template", ANY).message("spec", ANY).message("template", ANY)
        for metadata in (self.metadata, template, cron.message("metadata", ANY)):
            annotations = metadata.message("annotations", None)
            if name in annotations:
                return annotations.text(name), annotations.at(name)
        return "", self.message.anchor
