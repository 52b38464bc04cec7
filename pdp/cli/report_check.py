"""`pdp audit report check`: is an evidence pack whole? Needs no log."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdp.cli.auditing import Progress, add_keys, keys
from pdp.cli.failure import FINDINGS, FINE, Failure
from pdp.cli.given import add_form
from pdp.cli.terminal import count, emit_json, paint, printable

if TYPE_CHECKING:
    from pdp.audit.reports.packed import Checked


def add(reports: Any) -> None:
    parser = reports.add_parser(
        "check",
        help="check an evidence pack, offline",
        description="Check an evidence pack with public keys alone: its signature, every file, and the log in it.",
        epilog="exit codes: 0 whole, 1 not, 2 usage",
    )
    parser.add_argument("pack", metavar="PACK.tar")
    add_keys(parser, required=True)
    add_form(parser, "json")


def run(args: argparse.Namespace) -> int:
    from pdp.audit.reports.packed import check

    given, progress = keys(args.vkey), Progress("records")
    try:
        found = check(Path(args.pack), given, progress)
    except OSError as error:
        raise Failure(f"{args.pack}: {error.strerror}") from error
    finally:
        progress.end()
    if args.output == "json":
        emit_json(_members(found))
    else:
        _say(found)
    return FINDINGS if found.findings else FINE


def _members(found: Checked) -> dict[str, Any]:
    return {
        "whole": not found.findings,
        "findings": found.findings,
        "notes": found.notes,
        "signed_by": found.signers,
        "checkpoints_signed_by": found.log_signers,
        "records": found.records,
        "records_of_the_period": found.inside,
        "policy_sets": found.policies,
        "reviews": found.reviews,
        "verify": found.verified,
        "manifest": {name: said for name, said in found.manifest.items() if name != "files"},
    }


def _say(found: Checked) -> None:
    colour = paint()
    for each in found.findings:
        print(f"{colour('red', 'wrong')}: {printable(each)}")
    if found.findings:
        return
    said = found.manifest
    print(f"{printable(said['origin'])}: {printable(said['period']['says'])}, made {printable(said['made'])}")
    log = said["log"]
    if log["in_the_pack"]:
        said_range = f"from {log['size_from']} to {log['size_to']}"
        print(f"{count(found.records, 'record')} {said_range}, every one under a checkpoint")
        print(f"{found.inside:,} of them in the period")
    print(f"{count(len(found.policies), 'policy set')}, {count(found.reviews, 'record')} of reviews")
    for each in found.notes:
        print(f"note: {printable(each)}")
    signers = ", ".join(map(printable, found.signers))
    print(colour("green", f"whole, signed by {signers}; checkpoints by {', '.join(map(printable, found.log_signers))}"))
