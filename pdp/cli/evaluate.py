"""`pdp eval`: one request, decided as the service would decide it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from pdp.cli.asking import Asking, add_options, asking
from pdp.cli.failure import FINDINGS, FINE
from pdp.cli.loading import checked, diagnosed, engine
from pdp.cli.terminal import emit_json, paint

if TYPE_CHECKING:
    from pdp.cli.main import Subparsers
    from pdp.model.decision import Decision


def add(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "eval", help="decide one request, as the service would", description="Decide one request."
    )
    add_options(parser, "eval")
    parser.add_argument("--output", choices=("human", "json"), default="human")
    parser.add_argument("--exit-code", action="store_true", help="exit with 1 on a deny")


def run(args: argparse.Namespace) -> int:
    with diagnosed():
        decider = engine(checked(args.path))
    question = asking(args, decider.program.schema)
    decision = decider.decide_uncached(question.request, question.now, question.capabilities)
    _print(decision, question, args.output)
    return exit_code(decision, args)


def exit_code(decision: Decision, args: argparse.Namespace) -> int:
    """An answer of either kind is fine, unless asked otherwise."""
    return FINDINGS if args.exit_code and not decision.allowed else FINE


def _print(decision: Decision, question: Asking, output: str) -> None:
    from pdp.analyze.report import decision_json, decision_text

    if output == "json":
        emit_json({**decision_json(decision), "discarded": list(question.discarded)})
        return
    print(decision_text(decision, question.now, paint()))
    print_discarded(question)


def print_discarded(question: Asking) -> None:
    if question.discarded:
        print(f"  discarded    {', '.join(question.discarded)}: said by a place that does not own it")
