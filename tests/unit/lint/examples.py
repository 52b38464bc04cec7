"""The examples of the catalogue, each in a configuration that is otherwise fine."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from pdp.diagnostics.catalogue.entry import Entry
from pdp.diagnostics.diagnostic import Diagnostic
from pdp.diagnostics.source import Source
from pdp.lint.judge import judge

ROOT = Path(__file__).parents[3]
HERE = Path(__file__).parent
_ENVOY = [["deploy/envoy/grpc.yaml"], ["deploy/envoy/http.yaml"]]
_ISTIO = [[f"deploy/istio/{name}.yaml" for name in ("mesh", "policy", "chaperone", "harden")]]
_NGINX = [["deploy/nginx/nginx.conf", "tests/unit/lint/chaperone-secret.conf"]]
BASES = {"proxy": _ENVOY, "envoy": _ENVOY, "istio": _ISTIO, "nginx": _NGINX}
"""Of each kind the sets of files that are judged together; the example stands in one of them."""


@cache
def text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def found(files: dict[str, str]) -> list[Diagnostic]:
    return judge([Source(name, content) for name, content in files.items()])


def placed(entry: Entry) -> tuple[dict[str, str], dict[str, str]]:
    """The files with the bad example, and with the good one.

    The good one stands in one of the bases; or else its last line does, and both are put in that line's place.
    """
    if entry.alone:
        name = "example.conf" if entry.stage == "nginx" else "example.yaml"
        return {name: entry.bad}, {name: entry.good}
    for place in (entry.good, entry.good.rsplit("\n", 1)[-1].strip()):
        for base in BASES[entry.stage]:
            for name in base:
                if place and text(name).count(place) == 1:
                    files = {each: text(each) for each in base}
                    bad, good = (text(name).replace(place, each) for each in (entry.bad, entry.good))
                    return files | {name: bad}, files | {name: good}
    raise AssertionError(f"no base has this once: {entry.good}")
