"""`pdp audit report evidence`: the evidence of a period in one signed file."""

from __future__ import annotations

import argparse
import socket
import sys
from pathlib import Path
from typing import Any

from pdp.cli.auditing import Progress, add_directory, add_keys, directory, keys_or_own, opener, recorded
from pdp.cli.failure import FINDINGS, FINE, USAGE, Failure
from pdp.cli.reporting import add_period, asked, clock, period
from pdp.cli.terminal import count, printable


def add(reports: Any) -> None:
    parser = reports.add_parser(
        "evidence",
        help="a signed evidence pack of a period",
        description=(
            "Write the evidence of a period into one tar: the records and the checkpoints around them, the policy sets "
            "that were in force, reviews, and what `pdp audit verify` says; signed with a key of the organisation."
        ),
        epilog="exit codes: 0 made, 1 made, and verify has findings or a policy set was not kept, 2 usage, or not made",
    )
    add_period(parser)
    parser.add_argument("--to-file", required=True, metavar="PACK.tar", help="what is written; it must not be there")
    parser.add_argument("--key", required=True, metavar="FILE", help="the private key; made (0600) if it is not there")
    parser.add_argument("--name", default="", help="of that key; `evidence.` and the host's by default")
    parser.add_argument("--records", choices=("yes", "no"), default="yes", help="no: proofs without the records")
    add_keys(parser)
    add_directory(parser)


def run(args: argparse.Namespace) -> int:
    from pdp.audit.asking.gathered import contents
    from pdp.audit.checking.verify import verify
    from pdp.audit.evidence import EvidenceError
    from pdp.audit.journal.files import Files
    from pdp.audit.reports import pack
    from pdp.audit.tree.keys import kept
    from pdp.audit.tree.note import valid_name, verifier

    now = clock()
    when = period(args, now)
    if not when.bounded:
        raise Failure("an evidence pack is of a period", "--in 2026-03, --from 2026-01-01 --to 2026-03-31", USAGE)
    name, path = args.name or f"evidence.{socket.gethostname()}", Path(args.to_file)
    if not valid_name(name):
        raise Failure("--name: a name has neither spaces nor `+`", code=USAGE)
    if path.exists():
        raise Failure(f"{path} is there already", "evidence is not overwritten", USAGE)
    where = directory(args.directory)
    if Path(args.key).resolve().is_relative_to(where.resolve()):
        raise Failure("--key stands in the audit directory: nobody but the sealer signs with what is there", code=USAGE)
    keys = keys_or_own(args.vkey, where)
    recorded(where, "audit.read", asked("report evidence", when, records=args.records))
    verifying, reading = Progress("verified"), Progress("records")
    try:
        private = kept(Path(args.key), Files())
        report = verify(where, keys, progress=verifying)
        verifying.end()
        found = contents(where, when, reading)
        made = pack.make(
            where, path, when, name, private, report,
            now=now, records=args.records == "yes", found=found, progress=reading,
        )  # fmt: skip
        reading.end()
    except EvidenceError as error:
        raise Failure(str(error), "`pdp audit verify` says more") from error
    except OSError as error:
        raise Failure(f"{error.filename or path}: {error.strerror}") from error
    if args.records == "yes":
        _warn(args, where, found, now)
    said_range = f"log {made.begin} to {made.end} of {printable(made.origin)}"
    print(f"{path}: {when.text}, {count(found.records, 'record')}, {said_range}")
    print(f"  {count(made.files, 'file')}, {count(len(made.kept), 'policy set')}, signed by {name}")
    print(f"  its key is {verifier(name, private)}")
    for each in made.missing:
        print(f"pdp: the policy set {each[:16]} was in force and was not kept", file=sys.stderr)
    for finding in report.findings:
        print(f"pdp: verify: {printable(str(finding))}", file=sys.stderr)
    if found.waiting:
        print(f"pdp: {count(found.waiting, 'record')} of the period not sealed yet, and not in it", file=sys.stderr)
    return FINDINGS if made.missing or report.findings else FINE


def _warn(args: argparse.Namespace, where: Path, found: Any, now: int) -> None:
    """What must not come to the individual's eyes while a suspension runs."""
    from pdp.audit.leaf import leaf
    from pdp.audit.reports.suspensions import suspensions

    opens = opener(where, args)
    if any(each.runs(now) for each in suspensions(leaf(one.index, one.payload, opens) for one in found.suspensions)):
        print("pdp: a suspension runs (164.528(a)(2)), and the records may name that disclosure", file=sys.stderr)
        print("     hint: never give this pack to the individual; --records no leaves them out", file=sys.stderr)
