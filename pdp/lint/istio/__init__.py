"""Istio: the mesh's settings, the policies that send requests to Chaperone, and patches to Envoy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from pdp.lint import document
from pdp.lint.document import List, Map, Node, Scalar
from pdp.lint.findings import Findings
from pdp.lint.istio.mesh import Mesh
from pdp.lint.istio.resources import Resource
from pdp.lint.message import beginning, first_line, snake

_GROUPS: Final = ("security.istio.io/", "networking.istio.io/", "extensions.istio.io/", "install.istio.io/")
_WORKLOADS: Final = frozenset(
    {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Pod", "Job", "CronJob", "ReplicationController"}
)
_MESH_FIELDS: Final = frozenset({"mesh_config", "extension_providers", "path_normalization", "default_providers"})


def embedded(node: Node, findings: Findings) -> list[Node]:
    """What there is to judge in a document: itself, or what stands in a ConfigMap or a list."""
    if not isinstance(node, Map):
        return []
    kind, version = word(node, "kind"), word(node, "apiVersion")
    if kind == "ConfigMap":
        return list(_config_map(node, findings))
    if kind == "List":
        items = node.get("items")
        found = items.items if isinstance(items, List) else ()
        return [inner for each in found for inner in embedded(each, findings)]
    if version.startswith(_GROUPS) or kind in _WORKLOADS:
        return [node]
    return [node] if not kind and _MESH_FIELDS & {snake(key.text) for key, _ in node.entries} else []


def word(node: Map, name: str) -> str:
    found = node.get(name)
    return found.text if isinstance(found, Scalar) else ""


def _config_map(node: Map, findings: Findings) -> Iterator[Node]:
    data = node.get("data")
    for key, value in data.entries if isinstance(data, Map) else ():
        if not isinstance(value, Scalar) or not (key.text == "mesh" or key.text.endswith((".yaml", ".yml", ".json"))):
            continue
        if value.style != "|":
            findings.add(
                "proxy-not-judged",
                first_line(value.span),
                "a configuration inside a quoted text is not read",
                "write it as a block (`|`)",
            )
            continue
        begin = value.span.source.text.find("\n", value.span.start, value.span.end) + 1
        if begin and findings.first(value.span):
            yield from document.documents(value.span.source, findings, begin, value.span.end)


def judge(documents: Sequence[Node], findings: Findings, alone: bool = True) -> None:
    """`alone`: nothing else was given that says how the workloads are guarded, such as an Envoy in a ConfigMap."""
    mesh = Mesh(findings)
    for each in documents:
        if isinstance(each, Map) and word(each, "kind") not in ("", "IstioOperator"):
            mesh.resources.append(Resource(each, findings))
        else:
            mesh.settings(each)
    if any(each.istio for each in mesh.resources) or mesh.configs:
        mesh.judge()
    elif alone:
        findings.add(
            "proxy-nothing-recognised",
            beginning(documents[0]),
            "there are workloads here, and nothing that says how they are guarded",
            "give the files of Istio's resources and of its mesh configuration too",
        )
