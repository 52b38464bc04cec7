"""Which kind of configuration a file is, and what is found in all of them together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pdp.diagnostics.diagnostic import Diagnostic
from pdp.diagnostics.source import Source, Span
from pdp.lint import document, istio, nginx
from pdp.lint.document import Node
from pdp.lint.envoy import bootstrap
from pdp.lint.findings import Findings

KINDS: Final = ("envoy", "istio", "nginx")


def judge(sources: Sequence[Source], kind: str = "", included: Sequence[Source] = ()) -> list[Diagnostic]:
    """Every finding, by place. Files of one kind belong together: a cluster or a provider of one is known to all.

    `kind`: what all of them are; by default each is what it looks like. `included`: files that nginx would include.
    """
    findings = Findings()
    kinds: dict[str, list[Node]] = {"envoy": [], "istio": []}
    texts = [source for source in sources if kind == "nginx" or (not kind and nginx.recognised(source))]
    for source in sources:
        if source not in texts:
            _sort(source, kind, kinds, findings)
    if kinds["envoy"]:
        bootstrap.judge(kinds["envoy"], findings)
    if kinds["istio"]:
        istio.judge(kinds["istio"], findings, alone=not kinds["envoy"])
    if texts:
        nginx.judge(texts, included, findings)
    return findings.all


def _sort(source: Source, kind: str, kinds: dict[str, list[Node]], findings: Findings) -> None:
    """The documents of a YAML file, by what they are."""
    before = len(findings.all)
    taken = 0
    for each in document.documents(source, findings):
        for found, name in _recognised(each, findings):
            if kind in ("", name):
                kinds[name].append(found)
                taken += 1
    if not taken and len(findings.all) == before:
        findings.add(
            "proxy-nothing-recognised",
            Span(source, 0, len(source.line(1))),
            f"nothing here is a configuration of {kind or 'Envoy, Istio or nginx'} that can be judged",
            "give the file that the proxy reads, and say with --kind what it is",
        )


def _recognised(node: Node, findings: Findings) -> list[tuple[Node, str]]:
    """A document, or what is embedded in it (a ConfigMap), with its kind."""
    if bootstrap.recognised(node):
        return [(node, "envoy")]
    found = istio.embedded(node, findings)
    return [(each, "envoy" if bootstrap.recognised(each) else "istio") for each in found]
