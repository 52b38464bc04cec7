"""`pdp audit query`: who saw this patient in March, and were they allowed to? And a proof of each line."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from pdp.cli.audit_filters import (
    Out,
    add_filters,
    add_reading,
    asked_of,
    looked_up,
    on_record,
    say,
    say_nowhere,
    signed_of,
    summary,
)
from pdp.cli.audit_proofs import Proofs
from pdp.cli.auditing import Progress, add_directory, add_keys, directory, keys_or_own, opener, recorded
from pdp.cli.failure import FINE, INCOMPLETE, Failure
from pdp.cli.given import add_form
from pdp.cli.terminal import paint


def add(verbs: Any) -> None:
    parser = verbs.add_parser(
        "query",
        help="the records that fit: who saw a patient, what somebody did, what a rule let through",
        description="Find records by patient, subject, resource, rule, period and so on, and prove each line.",
        epilog="exit codes: 0 answered, also with no row; 2 usage; 4 some records could not be judged, or proven",
    )
    add_filters(parser)
    add_directory(parser)
    parser.add_argument("--limit", metavar="N", type=int, default=0, help="show so many; the others are counted")
    add_form(parser, "json", "csv")
    parser.add_argument("--prove", metavar="DIR", default="", help="write a proof of each line there, and a summary")
    add_reading(parser)
    add_keys(parser)
    parser.set_defaults(parser=parser)


def run(args: argparse.Namespace) -> int:
    from pdp.audit.asking.query import search
    from pdp.audit.asking.row import row
    from pdp.audit.evidence import EvidenceError

    if args.limit < 0:
        raise Failure("--limit is a number of rows")
    asked, where = asked_of(args), directory(args.directory)
    keys = keys_or_own(args.vkey, where) if args.prove else []
    opens = opener(where, args)
    said, detail = on_record(asked, opens)
    recorded(where, "audit.read", {"verb": "query", "asked": said}, detail)
    assert asked.period is not None
    period, progress = asked.period, Progress("records")
    signed, looked = signed_of(where), search(where, asked, opens, thorough=args.whole, progress=progress)
    proofs = Proofs(where / "log", args.prove, keys) if args.prove else None
    out = Out(args.output, period.zone, paint())
    try:
        for leaf in looked.hits(index=looked_up(args, where, looked)):
            if args.limit and out.rows >= args.limit:
                continue
            found = row(leaf, asked.patient_type, signed)
            out.row(found)
            if proofs is not None:
                proofs.add(found, leaf.payload)
        progress.end()
        more = summary(looked.tally, period.zone, period.text, out.rows)
        if proofs is not None:
            proofs.end({"question": said, **more})
            more["not_proven"] = proofs.missing
        out.end(more)
    except EvidenceError as error:
        raise Failure(str(error), "`pdp audit verify` says more", INCOMPLETE) from error
    if args.output != "json":
        say(looked.tally, period.zone, args.zone, period.text, out.rows, paint(sys.stderr))
    if not looked.tally.meant:
        say_nowhere(args, where, asked, opens)
    return FINE if looked.tally.whole and not (proofs and proofs.missing) else INCOMPLETE
