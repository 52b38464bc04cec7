"""`pdp check`: does the policy set stand? Names, types, rules, data, and the test tables beside them."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdp.bundle import collector
from pdp.cli.failure import FINDINGS, FINE, UNCHECKED
from pdp.cli.loading import Loaded, checked, entities, for_people, tally
from pdp.cli.tables import cases
from pdp.cli.terminal import count, emit_json, paint
from pdp.diagnostics.diagnostic import Diagnostic, PolicyError, Severity

if TYPE_CHECKING:
    from pdp.cli.main import Subparsers


def add(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "check",
        help="check a policy set: names, types, rules, data and tests",
        description="Check a policy set. Everything that is wrong is reported at once, with what to do about it.",
    )
    parser.add_argument("path", metavar="PATH", help="a policy directory, or one policy file (then without data)")
    parser.add_argument("--output", choices=("human", "json", "sarif"), default="human")
    parser.add_argument("--strict", action="store_true", help="exit with 1 on warnings")
    parser.add_argument(
        "--notes",
        action="store_true",
        help="show notes too: what rests on identity, what cites nothing; and what may be asked, in wire names",
    )


def run(args: argparse.Namespace) -> int:
    loaded: Loaded | None = None
    counts: dict[str, int] = {}
    try:
        with collector.paused():
            loaded = checked(args.path, notes=args.notes)
            diagnostics = (*loaded.warnings, *_beside(loaded))
            counts = _counts(loaded, len(entities(loaded)))
    except PolicyError as error:
        diagnostics = (*(loaded.warnings if loaded is not None else ()), *error.diagnostics)
    _print(args, diagnostics, counts, _questions(loaded) if loaded is not None and args.notes else [])
    if loaded is not None:
        cases(loaded.directory, loaded.policies.schema)  # A table that cannot be read ends the command.
    if any(each.severity is Severity.ERROR for each in diagnostics):
        return UNCHECKED
    warned = any(each.severity is Severity.WARNING for each in diagnostics)
    return FINDINGS if args.strict and warned else FINE


def _beside(loaded: Loaded) -> list[Diagnostic]:
    """What a `pdp.toml` beside the policies says and they do not know."""
    path = Path(loaded.directory, "pdp.toml")
    if not loaded.directory or not path.is_file():
        return []
    from pdp.bundle.files import about
    from pdp.config import ConfigError, load
    from pdp.serve.agreement import disagreements

    try:
        settings = load({"PDP_CONFIG": str(path.absolute())}, Path.cwd())
    except ConfigError as error:  # It may need what only the machine of the service has: a secret, an address.
        unusable = [
            about(path, "settings-not-usable-here", each.removeprefix(f"{path.absolute()}: "))
            for each in error.problems
        ]
        return [replace(each, severity=Severity.NOTE) for each in unusable]
    found = [about(path, "settings-disagree", each) for each in disagreements(settings, loaded.policies)]
    return [replace(each, severity=Severity.WARNING) for each in found]


def _counts(loaded: Loaded, data: int) -> dict[str, int]:
    policies = loaded.policies
    return {
        "files": loaded.files,
        "rules": len(policies.rules),
        "routes": len(policies.routes),
        "tests": len(policies.tests),
        "invariants": len(policies.invariants),
        "entities": data,
    }


def _questions(loaded: Loaded) -> list[dict[str, Any]]:
    """What may be asked, in the names that requests use: each action with who may ask it about what."""
    schema = loaded.policies.schema
    found: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for each in schema.actions.values():
        subjects = tuple(sorted(schema.entities[name].wire for name in each.subjects))
        found.setdefault((each.wire, subjects), []).append(schema.entities[each.resource].wire)
    return [
        {"action": action, "subjects": list(subjects), "resources": sorted(found[action, subjects])}
        for action, subjects in sorted(found)
    ]


def _print(
    args: argparse.Namespace,
    diagnostics: tuple[Diagnostic, ...],
    counts: dict[str, int],
    questions: list[dict[str, Any]],
) -> None:
    from pdp.diagnostics import render

    if args.output == "json":
        document = _document(render.as_json(diagnostics), counts)
        emit_json(document | ({"questions": questions} if args.notes else {}))
    elif args.output == "sarif":
        emit_json(render.as_sarif(diagnostics))
    else:
        if diagnostics:
            print(for_people(diagnostics))
        for each in questions:
            print(f"{each['action']} on {', '.join(each['resources'])} by {', '.join(each['subjects'])}")
        print(_summary(args.path, diagnostics, counts))


def _document(findings: Any, counts: dict[str, int]) -> dict[str, Any]:
    return {"diagnostics": findings, "counts": counts}


def _summary(path: str, diagnostics: tuple[Diagnostic, ...], counts: dict[str, int]) -> str:
    colour = paint()
    errors = any(each.severity is Severity.ERROR for each in diagnostics)
    verdict = colour("red", "does not check") if errors else colour("green", "checks")
    parts = [count(number, noun[:-3] + "y" if noun == "entities" else noun[:-1]) for noun, number in counts.items()]
    return f"{path} {verdict}: {tally(diagnostics)}" + (f" ({', '.join(parts)})" if parts else "")
