"""`pdp explain`: one request, with the tree of why and what alone would change the answer."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

from pdp.cli.asking import add_options, asking
from pdp.cli.evaluate import exit_code, print_discarded
from pdp.cli.failure import FINDINGS
from pdp.cli.loading import checked, diagnosed, engine
from pdp.cli.terminal import emit_json, paint

if TYPE_CHECKING:
    from pdp.cli.main import Subparsers

QUIET_RULES: Final = 12


def add(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "explain",
        help="decide one request, say why, and what would change the answer",
        description="Decide one request and explain it: every rule that was asked, the value of each condition and of "
        "what it read, and the single conditions whose flip would change the answer.",
    )
    add_options(parser, "explain")
    parser.add_argument("--output", choices=("human", "json"), default="human")
    parser.add_argument("--exit-code", action="store_true", help="exit with 1 on a deny")
    parser.add_argument("--all", action="store_true", help=f"show more than {QUIET_RULES} rules that said nothing")


def run(args: argparse.Namespace) -> int:
    from pdp.analyze.explain import explain
    from pdp.analyze.report import explanation_json, explanation_text

    with diagnosed():
        decider = engine(checked(args.path))
    question = asking(args, decider.program.schema)
    explanation = explain(decider, question.request, question.now, question.capabilities)
    if args.output == "json":
        emit_json({**explanation_json(explanation), "discarded": list(question.discarded)})
    else:
        print(explanation_text(explanation, paint(), 0 if args.all else QUIET_RULES))
        print_discarded(question)
    return FINDINGS if explanation.disagreement else exit_code(explanation.decision, args)
