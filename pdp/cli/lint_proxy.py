"""`pdp lint-proxy`: what in a proxy's configuration lets a request past the check?"""

from __future__ import annotations

import argparse
import os
from glob import glob
from typing import TYPE_CHECKING, Final

from pdp.cli.failure import FINDINGS, FINE, Failure
from pdp.cli.loading import for_people, tally
from pdp.cli.reading import raw
from pdp.cli.terminal import count, emit_json, paint
from pdp.diagnostics.diagnostic import Diagnostic
from pdp.diagnostics.source import Source

if TYPE_CHECKING:
    from pdp.cli.main import Subparsers

MAX_FILES: Final = 1_000
MAX_FILE_BYTES: Final = 4 << 20


def add(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "lint-proxy",
        help="find what in a proxy's configuration lets a request past the check",
        description="Read configurations of Envoy, Istio or nginx, and report what opens a hole. Files that belong "
        "together are given together: what one of them names, another may define. "
        "HAProxy, Caddy, Traefik and APISIX configurations are not judged (exit code 2).",
    )
    parser.add_argument("files", metavar="FILE", nargs="+", help="what the proxy reads, not a template of it")
    parser.add_argument(
        "--kind",
        choices=("envoy", "istio", "nginx"),
        default="",
        help="what the files are; by default what they look like",
    )
    parser.add_argument("--output", choices=("human", "json", "sarif"), default="human")


def run(args: argparse.Namespace) -> int:
    from pdp.lint.judge import judge
    from pdp.lint.others import NOT_JUDGED, other

    sources = _sources(args.files)
    whose = {} if args.kind else {each.name: other(each) for each in sources}
    unjudged = [f"{name} looks like {found}" for name, found in whose.items() if found]
    if unjudged:
        raise Failure(
            f"{NOT_JUDGED}: {', '.join(unjudged)}",
            "docs/proxies says of each what to check; --kind where it is Envoy's, Istio's or nginx's after all",
        )
    diagnostics = tuple(judge(sources, args.kind, _included(sources, args.kind)))
    _print(args.output, sources, diagnostics)
    return FINDINGS if diagnostics else FINE


def _sources(names: list[str]) -> list[Source]:
    """Each file once. Raises Failure: what cannot be read is never fine."""
    once = list(dict.fromkeys(names))
    if len(once) > MAX_FILES:
        raise Failure(f"more than {MAX_FILES:,} files")
    return [Source(name, _text(name)) for name in once]


def _included(sources: list[Source], kind: str) -> list[Source]:
    """What nginx would include, found as nginx finds it: beside the file that was named."""
    from pdp.lint import nginx

    found: dict[str, Source] = {}
    waiting = [each for each in sources if kind == "nginx" or (not kind and nginx.recognised(each))]
    for source in waiting:  # Grows while it is walked.
        for pattern in nginx.includes(source):
            for path in sorted(glob(os.path.join(os.path.dirname(sources[0].name), pattern))):
                if path not in found and os.path.isfile(path) and len(found) < MAX_FILES:
                    found[path] = Source(path, _text(path))
                    waiting.append(found[path])
    given = {each.name for each in sources}
    return [each for name, each in found.items() if name not in given]


def _text(name: str) -> str:
    content = raw(name, MAX_FILE_BYTES)
    if len(content) > MAX_FILE_BYTES:
        raise Failure(f"{name} is longer than {MAX_FILE_BYTES >> 20} MiB")
    try:
        return content.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise Failure(f"{name} is not UTF-8: byte {error.start + 1} stands in no character") from error


def _print(output: str, sources: list[Source], diagnostics: tuple[Diagnostic, ...]) -> None:
    from pdp.diagnostics import render
    from pdp.lint.catalogue import CATALOGUE

    if output == "json":
        emit_json({"diagnostics": render.as_json(diagnostics), "files": [source.name for source in sources]})
    elif output == "sarif":
        emit_json(render.as_sarif(diagnostics, CATALOGUE))
    else:
        if diagnostics:
            print(for_people(diagnostics, "lint-proxy"))
        colour = paint()
        verdict = colour("red", tally(diagnostics)) if diagnostics else colour("green", "nothing found")
        print(f"{count(len(sources), 'file')}: {verdict}")
