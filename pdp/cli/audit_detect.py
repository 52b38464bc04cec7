"""`pdp audit detect`: which permitted accesses look like misuse, over a log that is there."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdp.cli.auditing import Progress, add_directory, directory, opener, origin_to_write, recorded
from pdp.cli.failure import FINDINGS, FINE, USAGE, Failure
from pdp.cli.given import add_form
from pdp.cli.reporting import add_period, asked, clock, period
from pdp.cli.terminal import emit_json, printable

if TYPE_CHECKING:
    from pdp.audit.detect.context import Context
    from pdp.audit.detect.report import Report
    from pdp.audit.detect.rules import Rules


def add(verbs: Any) -> None:
    parser = verbs.add_parser(
        "detect",
        help="find what looks like misuse of permitted access",
        description="Run the rules of detection over the log: findings, cases with a score that explains "
        "itself, how much is explained by care, how many alerts a day it would have been. "
        "Nothing is written without --record.",
        epilog="exit codes: 0 no case reaches the score of an alert, 1 some do, 2 usage",
    )
    parser.add_argument("--replay", action="store_true", required=True, help="over what is sealed")
    add_period(parser)
    add_context(parser)
    parser.add_argument("--rules", metavar="FILE", default="", help="laid over the rules that are shipped")
    parser.add_argument("--record", action="store_true", help="put new findings, and cases that alert, into the log")
    add_form(parser, "json")
    add_directory(parser)
    parser.set_defaults(parser=parser)


def add_context(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--context", metavar="DIR", default="", help="files of appointments, orders, schedules and so on"
    )
    parser.add_argument("--data", metavar="DIR", default="", help="the data directory of a policy set, read beside")


def run(args: argparse.Namespace) -> int:
    from pdp.audit.detect.detector import Detector
    from pdp.audit.detect.replay import replay
    from pdp.audit.detect.sealed import sealed
    from pdp.audit.evidence import EvidenceError

    now = clock()
    said = period(args, now)
    rules, context = rules_of(args.rules), context_of(args.context, args.data)
    where = directory(args.directory)
    opens = opener(where, args)
    recorded(where, "audit.read", asked("detect", said, record=args.record))
    detector = Detector(rules, context, opens, now, max(0, said.first))
    if args.record:
        _on_record(where, opens, detector)
    progress = Progress("records")
    try:
        report = replay(sealed(where, opens, 0, progress), detector, said.after)
        progress.end()
        if args.record:
            _record(where, report)
    except EvidenceError as error:
        raise Failure(str(error), "`pdp audit verify` says more") from error
    if args.output == "json":
        emit_json(report.members())
    else:
        for line in report.lines():
            print(printable(line))
    return FINDINGS if report.alerts else FINE


def rules_of(path: str) -> Rules:
    """Raises Failure."""
    from pdp.audit.detect.rules import RulesError, load

    try:
        return load(Path(path) if path else None)
    except RulesError as error:
        raise Failure("the rules cannot be used:\n" + _listed(error.problems), code=USAGE) from error


def context_of(path: str, data: str) -> Context:
    """Raises Failure."""
    from pdp.audit.detect.context import Context
    from pdp.audit.detect.tables import ContextError

    try:
        return Context.load(Path(path) if path else None, Path(data) if data else None)
    except ContextError as error:
        raise Failure("the context cannot be used:\n" + _listed(error.problems), code=USAGE) from error


def _listed(problems: tuple[str, ...]) -> str:
    return "\n".join(f"  {printable(each)}" for each in problems)


def _on_record(where: Path, opens: Any, detector: Any) -> None:
    """Which findings are in the log already."""
    from pdp.audit.detect.told import FINDING, identity
    from pdp.audit.leaf import leaves

    for leaf in leaves(where, opens):
        if leaf.kind == FINDING:
            detector.known[identity(leaf)] = 1 << 62


def _record(where: Path, report: Report) -> None:
    from pdp.audit.detect.told import Teller

    teller = Teller(where, origin_to_write(where))
    new = [each for each in report.findings if not each.recorded]
    for each in new:
        teller.finding(each)
        each.recorded = True
    fresh = {each.case for each in new}
    rules = report.detector.by_id
    for case in report.cases:
        if case.id in fresh and case.score(rules) >= report.detector.rules.alert_score:
            teller.case(case, case.score(rules), case.parts(rules))
