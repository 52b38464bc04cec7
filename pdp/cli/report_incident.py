"""`pdp audit report incident`: whom an incident touched, and the four factors of a breach (45 CFR 164.402(2))."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pdp.cli import given
from pdp.cli.auditing import Progress, directory, recorded
from pdp.cli.failure import USAGE, Failure
from pdp.cli.reporting import add_output, add_period, asked, clock, facts, finished, named, period, reading
from pdp.cli.sheet import Grid, Sheet, columns, emit
from pdp.cli.terminal import count

if TYPE_CHECKING:
    from pdp.audit.asking.deeds import Sought
    from pdp.audit.asking.within import Coverage
    from pdp.audit.reports.incident import Incident


def add(reports: Any) -> None:
    parser = reports.add_parser(
        "incident",
        help="whom an incident touched, with the worksheet of a breach",
        description=(
            "Whom an incident touched: patients, people, records and period, and the worksheet of the four factors "
            "(45 CFR 164.402(2)) with what the log knows. For the inquiry alone: nothing is withheld from it."
        ),
        epilog="exit codes: 0 made, 2 usage, 4 made, and there are records of which nobody can tell",
    )
    parser.add_argument("--patient", type=given.name, default="", metavar="ID", help="only what was about this patient")
    parser.add_argument("--subject", type=given.name, default="", metavar="ID", help="only what this person asked for")
    parser.add_argument("--patient-type", default="Patient", metavar="TYPE", help="the (wire) type of patients")
    parser.add_argument("--subject-type", default="user", metavar="TYPE", help="the (wire) type of the subject")
    add_period(parser)
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    from pdp.audit.asking.deeds import Deed, Sought, deed
    from pdp.audit.asking.within import Coverage
    from pdp.audit.evidence import EvidenceError
    from pdp.audit.reports.incident import incident

    now = clock()
    when = period(args, now)
    if not (when.bounded or args.patient or args.subject):
        raise Failure("--patient, --subject or a period says which incident", code=USAGE)
    where = directory(args.directory)
    who = {
        name: named(kind, given)
        for name, kind, given in (
            ("patient", args.patient_type, args.patient),
            ("subject", args.subject_type, args.subject),
        )
        if given
    }
    hidden = {name: {"type": kind, "id": identifier} for name, (kind, identifier) in who.items()}
    recorded(where, "audit.read", asked("report incident", when), hidden)
    coverage, progress = Coverage(when), Progress("records")
    log = reading(args, where, progress)
    sought = {name: Sought(kind, identifier, log.opener) for name, (kind, identifier) in who.items()}

    def deeds() -> Iterator[Deed]:
        subject = ":".join(who["subject"]) if "subject" in who else ""
        for leaf in log.decisions(coverage, who.get("patient", ("", ""))[1], subject, args.patient_type):
            coverage.saw(leaf)
            yield deed(leaf)

    try:
        found = incident(deeds(), log.opener, args.patient_type)
        progress.end()
    except EvidenceError as error:
        raise Failure(str(error), "`pdp audit verify` says more") from error
    emit(_sheet(found, sought, coverage, now), args.output, args.all)
    return finished(coverage)


def _sheet(found: Incident, sought: dict[str, Sought], coverage: Coverage, now: int) -> Sheet:
    from pdp.audit.reports.incident import MANY, members, worksheet

    head = [(name, str(each)) for name, each in sought.items()] + facts(coverage, now)
    if found.first:
        head.append(("from, to", f"{coverage.at(found.first)}, {coverage.at(found.last)}"))
    head.append(("patients", f"{len(found.patients):,}, of {found.reached:,} something was allowed to leave"))
    head.append(("accesses", f"{found.allowed:,} allowed, {found.denied:,} denied"))
    patients = [
        ["(not opened)" if name.hidden else name.id, f"{each.allowed:,}", f"{each.denied:,}", sorted(each.pseudonyms)]
        for name, each in found.patients.items()
    ]
    people = [[str(name), f"{each.allowed:,}", f"{each.denied:,}"] for name, each in found.people.items()]
    nothing = coverage.nothing(now)
    grids = [
        Grid("Patients", columns("patient", "allowed", "denied", "/pseudonyms"), patients, nothing),
        Grid("People", columns("who", "allowed", "denied"), people, nothing),
        Grid("Worksheet, 164.402(2)", columns("factor", "/says"), [list(each) for each in worksheet(found)], nothing),
        Grid(
            "Records",
            columns("decision", "index"),
            [[one.decision, "not sealed yet" if one.index is None else str(one.index)] for one in found.proofs],
            nothing,
        ),
    ]
    notes = []
    if found.unknown:
        notes.append(f"{count(found.unknown, 'record')} do not say whose data it was: there may be more patients.")
    if len(found.patients) >= MANY:
        notes.append(f"{MANY} patients or more: the Secretary and the media may have to be told (164.406, 164.408).")
    data = {"report": "incident", "made": coverage.at(now), "coverage": coverage.members(now), **members(found)}
    return Sheet("Incident", head, grids, data, notes)
