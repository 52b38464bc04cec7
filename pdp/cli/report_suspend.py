"""`pdp audit report suspend`: an agency asks that an individual is not told of its disclosures for a time."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from pdp.cli import given
from pdp.cli.auditing import Progress, directory, recorded, told
from pdp.cli.failure import FINE, USAGE, Failure
from pdp.cli.reporting import add_output, asked, clock, named, reading
from pdp.cli.sheet import Grid, Sheet, columns, emit


def add(reports: Any) -> None:
    parser = reports.add_parser(
        "suspend",
        help="suspend the accounting of disclosures to an agency (45 CFR 164.528(a)(2))",
        description=(
            "Put on record what a health oversight agency or a law enforcement official has stated: that an accounting "
            "would impede its activities. In writing until a date, or orally: 30 days, unless it comes in writing."
        ),
        epilog="exit codes: 0 done, 2 usage",
    )
    parser.add_argument("--agency", default="", metavar="NAME", help="as disclosures name it")
    parser.add_argument(
        "--known-as", action="append", default=[], metavar="ID", help="a subject or client under which it asks"
    )
    parser.add_argument(
        "--patient",
        type=given.name,
        default="",
        metavar="ID",
        help="whose accounting; everybody's, where it is left out",
    )
    parser.add_argument("--patient-type", default="Patient", metavar="TYPE", help="the (wire) type of patients")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--until", default="", metavar="WHEN", help="a written statement names the time")
    how.add_argument("--oral", action="store_true", help="an oral statement: 30 days from now")
    how.add_argument("--lift", default="", metavar="ID", help="end the suspension of this record")
    how.add_argument("--list", action="store_true", help="those that run, and those that ran")
    parser.add_argument("--zone", metavar="ZONE", default="UTC", help="of --until")
    parser.add_argument("--reason", default="", metavar="TEXT", help="what was stated, and by whom")
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    where = directory(args.directory)
    if args.list:
        return _list(args, where)
    if args.lift:
        return _lift(args, where)
    return _suspend(args, where)


def _suspend(args: argparse.Namespace, where: Any) -> int:
    from pdp.audit.asking.period import BadPeriod, brief, period, shown, zone
    from pdp.audit.reports.suspensions import KIND, ORAL_MICROSECONDS, said

    if not args.agency.strip() or not args.reason.strip():
        raise Failure("--agency and --reason say who stated what", "a statement has to be documented", USAGE)
    if not args.until and not args.oral:
        raise Failure("--until WHEN for a written statement, --oral for an oral one", code=USAGE)
    now = clock()
    try:
        place = zone(args.zone)
        end = now + ORAL_MICROSECONDS if args.oral else period(now, place, end=args.until).after
    except BadPeriod as error:
        raise Failure(str(error), code=USAGE) from error
    if end <= now:
        raise Failure("--until is past", code=USAGE)
    kind, patient = named(args.patient_type, args.patient)
    record, detail = said(
        agency=args.agency.strip(),
        patient_kind=kind,
        patient=patient,
        oral=args.oral,
        start=brief(now),
        end=brief(end),
        reason=args.reason.strip(),
        known=args.known_as,
    )
    identifier = told(where, KIND, record, detail)
    whose = f"{kind}:{patient}" if patient else "everybody"
    print(f"on record as {identifier}")
    print(f"suspended for {whose} until {shown(end, place)}: disclosures to {args.agency.strip()} are withheld")
    if args.oral:
        print("an oral statement holds for 30 days; what is stated in writing meanwhile is put on record with --until")
    return FINE


def _read(args: argparse.Namespace, where: Any) -> Any:
    from pdp.audit.asking.period import ALWAYS, Period
    from pdp.audit.asking.within import Coverage
    from pdp.audit.evidence import EvidenceError
    from pdp.audit.reports.suspensions import KIND, suspensions

    progress, coverage = Progress("records"), Coverage(Period(*ALWAYS))
    try:
        found = suspensions(reading(args, where, progress).told(coverage, KIND))
    except EvidenceError as error:
        raise Failure(str(error), "`pdp audit verify` says more") from error
    progress.end()
    if coverage.unjudged:
        print("pdp: parts of the log cannot be read: there may be more suspensions", file=sys.stderr)
    return found


def _lift(args: argparse.Namespace, where: Any) -> int:
    from pdp.audit.reports.suspensions import KIND

    recorded(where, "audit.read", asked("report suspend"))
    if args.lift not in [each.id for each in _read(args, where)]:
        raise Failure(f"there is no suspension {args.lift}, or it was lifted", "`--list` has their ids")
    if not args.reason.strip():
        raise Failure("--reason says why it ends", code=USAGE)
    recorded(where, KIND, {"lifts": args.lift}, {"reason": args.reason.strip()})
    print(f"lifted: {args.lift}")
    return FINE


def _list(args: argparse.Namespace, where: Any) -> int:
    from pdp.audit.reports.suspensions import members

    recorded(where, "audit.read", asked("report suspend --list"))
    now = clock()
    found = [members(each, now) for each in _read(args, where)]
    rows = [
        [
            each["id"],
            "runs" if each["runs"] else "over",
            each["statement"],
            each["until"],
            each["agency"] or "(cannot be opened)",
            each["patient"] or ("everybody" if each["opened"] else "(cannot be opened)"),
            each["reason"],
        ]
        for each in found
    ]
    grid = Grid("Suspensions", columns("id", "", "statement", "until", "agency", "patient", "/reason"), rows, "none")
    emit(Sheet("Suspensions of accountings, 164.528(a)(2)", [], [grid], found), args.output, args.all)
    return FINE
