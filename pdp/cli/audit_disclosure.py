"""`pdp audit disclosure add`: a disclosure that no decision knows of, or what one does not say of its recipient."""

from __future__ import annotations

import argparse
import re
import sys
from typing import Any, Final

from pdp.cli import given
from pdp.cli.auditing import add_directory, directory, told
from pdp.cli.failure import FINE, USAGE, Failure
from pdp.cli.reporting import clock, named

MAX_TEXT: Final = 2_000
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def add(verbs: Any) -> None:
    parser = verbs.add_parser(
        "disclosure",
        help="put a disclosure on record, for the accounting of disclosures",
        description="Put on record what 45 CFR 164.528(b)(2) wants of a disclosure: date, recipient, what, and why.",
    )
    actions = parser.add_subparsers(dest="disclosure", metavar="ACTION", title="actions")
    made = actions.add_parser(
        "add",
        help="one disclosure",
        description="Put one disclosure on record, or what a decision does not say of its recipient. It stays there.",
        epilog="exit codes: 0 on record, 2 usage, or not on record",
    )
    made.add_argument("--patient", type=given.name, required=True, metavar="ID", help="whose data: an id, or `Type:id`")
    made.add_argument("--patient-type", default="Patient", metavar="TYPE", help="the (wire) type of patients")
    made.add_argument(
        "--recipient", default="", metavar="NAME", help="who received it; needed where there is no --decision"
    )
    made.add_argument("--address", default="", metavar="TEXT", help="of the recipient, if known")
    made.add_argument("--what", default="", metavar="TEXT", help="a brief description of what was disclosed")
    made.add_argument("--purpose", default="", metavar="TEXT", help="a brief statement of the purpose")
    made.add_argument("--basis", default="other", metavar="BASIS", help="what it rests on; `list` says which there are")
    made.add_argument("--date", default="", metavar="WHEN", help="when it was disclosed; now, where it is left out")
    made.add_argument("--zone", metavar="ZONE", default="UTC", help="of --date")
    made.add_argument("--decision", default="", metavar="ID", help="the decision that this says more of")
    made.add_argument("--replaces", default="", metavar="ID", help="an earlier record of ours that was wrong")
    add_directory(made)
    actions.add_parser(
        "list",
        help="what a disclosure may rest on",
        description="On what a disclosure may rest, with the paragraph: accounted for, or not.",
        epilog="exit codes: 0 listed",
    )
    parser.set_defaults(disclosure_parser=parser)


def run(args: argparse.Namespace) -> int:
    match args.disclosure:
        case "add":
            return _add(args)
        case "list":
            return _bases()
        case _:
            args.disclosure_parser.print_help()
            return USAGE


def _bases() -> int:
    from pdp.audit.reports.bases import ACCOUNTED, EXCLUSIONS

    print("accounted for:")
    for name, says in ACCOUNTED.items():
        print(f"  {name:22}{says}")
    print("not accounted for:")
    for name, says in EXCLUSIONS.items():
        print(f"  {name:22}{says}")
    return FINE


def _add(args: argparse.Namespace) -> int:
    from pdp.audit.asking.period import brief
    from pdp.audit.reports.bases import BASES
    from pdp.audit.reports.disclosures import KIND, said

    if args.basis not in BASES:
        raise Failure(f"--basis {args.basis}: there is no such basis", "pdp audit disclosure list", USAGE)
    if not args.recipient.strip() and not args.decision:
        raise Failure(
            "a disclosure to nobody accounts for nothing, and what is on record stays there",
            "--recipient NAME says who received it; --decision ID of which decision this says more",
            USAGE,
        )
    for name in ("patient", "recipient", "address", "what", "purpose"):
        if len(getattr(args, name)) > MAX_TEXT:
            raise Failure(f"--{name} is longer than {MAX_TEXT:,} characters; it is to be brief", code=USAGE)
    for name in ("decision", "replaces"):
        if getattr(args, name) and not _ID.fullmatch(getattr(args, name)):
            raise Failure(f"--{name} is no id of a record", code=USAGE)
    where = directory(args.directory)
    kind, patient = named(args.patient_type, args.patient)
    members, detail = said(
        patient_kind=kind,
        patient=patient,
        recipient=args.recipient.strip(),
        address=args.address.strip(),
        what=args.what.strip(),
        purpose=args.purpose.strip(),
        basis=args.basis,
        date=brief(_date(args)),
        decision=args.decision,
        replaces=args.replaces,
    )
    identifier = told(where, KIND, members, detail)
    missing = [name for name in ("recipient", "what", "purpose") if not detail[name]]
    if missing:
        print(f"pdp: the accounting will call it incomplete: no {', no '.join(missing)}", file=sys.stderr)
    print(f"on record as {identifier}")
    return FINE


def _date(args: argparse.Namespace) -> int:
    from pdp.audit.asking.period import BadPeriod, period, zone

    now = clock()
    if not args.date:
        return now
    try:
        found = period(now, zone(args.zone), begin=args.date).first
    except BadPeriod as error:
        raise Failure(f"--date: {error}", code=USAGE) from error
    if found > now:
        raise Failure("--date is in the future: a disclosure is put on record when it was made", code=USAGE)
    return found
