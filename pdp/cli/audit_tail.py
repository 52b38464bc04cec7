"""`pdp audit tail`: what is decided, as it is decided."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import deque
from typing import Any, Final

from pdp.cli.audit_filters import add_filters, asked_of, line, on_record, record_of, signed_of
from pdp.cli.auditing import add_directory, directory, opener, recorded
from pdp.cli.failure import FINE, INCOMPLETE, Failure
from pdp.cli.given import add_form
from pdp.cli.terminal import paint, printable

PAUSE_SECONDS: Final = 0.2
BACK: Final = 4_096
"""Sealed records that are looked at for the last lines."""


def add(verbs: Any) -> None:
    parser = verbs.add_parser(
        "tail",
        help="the newest records, and those that come",
        description="Show the newest records, sealed or not, and with -f each new one once, until it is interrupted.",
        epilog="exit codes: 0 shown, or interrupted; 2 usage; 4 not all could be read, or judged",
    )
    add_filters(parser, period=False)
    add_directory(parser)
    parser.add_argument("-f", "--follow", action="store_true", help="go on until interrupted")
    parser.add_argument("-n", "--lines", metavar="N", type=int, default=10, help="how many of those that are there; 10")
    parser.add_argument("--zone", metavar="ZONE", default="UTC", help="such as Europe/Berlin, or local; UTC by default")
    add_form(parser, "json")
    parser.set_defaults(parser=parser)


def run(args: argparse.Namespace) -> int:
    from pdp.audit.evidence import EvidenceError

    try:
        return _run(args)
    except EvidenceError as error:
        raise Failure(str(error), "`pdp audit verify` says more", INCOMPLETE) from error
    except KeyboardInterrupt:
        return FINE


def _run(args: argparse.Namespace) -> int:
    from pdp.audit.asking import period
    from pdp.audit.asking.follow import Follower
    from pdp.audit.asking.query import search
    from pdp.audit.asking.row import row

    try:
        zone = period.zone(args.zone)
    except period.BadPeriod as error:
        raise Failure(str(error)) from error
    asked, where = asked_of(args), directory(args.directory)
    opens = opener(where, args)
    said, detail = on_record(asked, opens)
    recorded(where, "audit.read", {"verb": "tail", "asked": said, "follow": args.follow}, detail)
    looked, colours = search(where, asked, opens), paint()

    def text(leaf: Any, signed: int) -> str:
        found = row(leaf, asked.patient_type, signed)
        return json.dumps(record_of(found)) if args.output == "json" else line(found, zone, colours)

    follower = Follower.from_now(where, BACK)
    last: deque[str] = deque(maxlen=max(0, args.lines))
    signed = signed_of(where)
    for index, payload in follower.step():
        last.extend(text(leaf, signed) for leaf in looked.judged(index, payload))
    for each in last:
        print(each)
    sys.stdout.flush()
    doubts = _doubt(looked.tally.unjudged, 0)
    while args.follow:
        new, signed = False, signed_of(where)
        for index, payload in follower.step():
            for leaf in looked.judged(index, payload):
                print(text(leaf, signed))
                new = True
        if new:
            sys.stdout.flush()
        for problem in follower.problems:
            print(f"pdp: {printable(problem)}", file=sys.stderr)
        doubts = _doubt(looked.tally.unjudged, doubts)
        time.sleep(PAUSE_SECONDS)
    return FINE if looked.tally.whole else INCOMPLETE


def _doubt(unjudged: dict[str, int], before: int) -> int:
    """Say it when there are more records of which nobody can tell whether they are meant."""
    count = sum(unjudged.values())
    if count > before:
        told = ", ".join(f"{number} {why}" for why, number in unjudged.items())
        print(f"pdp: records that could not be judged so far: {told}", file=sys.stderr)
    return count
