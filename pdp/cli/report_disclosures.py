"""`pdp audit report disclosures`: the accounting of disclosures that an individual may ask for, 45 CFR 164.528."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pdp.cli import given
from pdp.cli.auditing import Progress, directory, recorded
from pdp.cli.failure import INCOMPLETE, Failure
from pdp.cli.reporting import (
    add_output,
    add_period,
    add_purposes,
    asked,
    clock,
    facts,
    finished,
    named,
    period,
    purposes,
    reading,
)
from pdp.cli.sheet import Grid, Sheet, columns, emit
from pdp.cli.terminal import count, printable

if TYPE_CHECKING:
    from pdp.audit.asking.deeds import Sought
    from pdp.audit.asking.within import Coverage
    from pdp.audit.reports.disclosures import Accounting, Row

YEARS = 6


def add(reports: Any) -> None:
    parser = reports.add_parser(
        "disclosures",
        help="the accounting of disclosures (45 CFR 164.528)",
        description=(
            "The accounting of disclosures of one patient: six years back from now, where no period is given. "
            "What is excluded by law is counted; what is suspended is left out, and said on standard error alone."
        ),
        epilog="exit codes: 0 made, 2 usage, 4 made, and there are records of which nobody can tell",
    )
    parser.add_argument(
        "--patient", type=given.name, required=True, metavar="ID", help="an id, `Type:id`, or a pseudonym of the log"
    )
    parser.add_argument("--patient-type", default="Patient", metavar="TYPE", help="the (wire) type of patients")
    add_period(parser)
    parser.add_argument("--each", action="store_true", help="every disclosure, where one line may stand for several")
    add_purposes(parser)
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    from pdp.audit.asking.deeds import Sought
    from pdp.audit.asking.within import Coverage
    from pdp.audit.evidence import EvidenceError
    from pdp.audit.reports.disclosures import KINDS, accounting

    now = clock()
    if not (args.within or args.begin or args.last):
        args.begin = _years_ago(now)
    when = period(args, now)
    rests = purposes(args.purpose)
    where = directory(args.directory)
    kind, identifier = named(args.patient_type, args.patient)
    recorded(where, "audit.read", asked("report disclosures", when), {"patient": {"type": kind, "id": identifier}})
    coverage, progress = Coverage(when), Progress("records")
    log = reading(args, where, progress)
    patient = Sought(kind, identifier, log.opener)
    try:
        leaves = log.decisions(coverage, identifier, patient_type=kind)
        found = accounting(leaves, log.told(coverage, *KINDS), patient, when, now, rests, args.each)
        progress.end()
    except EvidenceError as error:
        raise Failure(str(error), "`pdp audit verify` says more") from error
    _warn(found)
    emit(_sheet(found, patient, coverage, now), args.output, args.all)
    code = finished(coverage)
    return INCOMPLETE if found.uncertain else code


def _years_ago(now: int) -> str:
    today = datetime.fromtimestamp(now // 1_000_000, UTC)
    day = min(today.day, 28) if today.month == 2 else today.day
    return today.replace(year=today.year - YEARS, day=day).date().isoformat()


def _warn(found: Accounting) -> None:
    """For the operator alone: it must not be in what the individual is given."""
    if found.withheld:
        print(f"pdp: withheld: {count(found.withheld, 'disclosure')} to an agency, suspended now", file=sys.stderr)
        print(
            "     hint: do not tell the individual, not even this; `pdp audit report suspend --list`", file=sys.stderr
        )
    for each in dict.fromkeys(found.doubtful):
        print(f"pdp: a suspension runs, and {printable(each)} is in this accounting", file=sys.stderr)
        print("     hint: is that the same agency under another name? Then suspend that name too", file=sys.stderr)
    if found.incomplete:
        print(f"pdp: incomplete: {count(found.incomplete, 'disclosure')}, see the accounting", file=sys.stderr)
        print("     hint: pdp audit disclosure add --decision ID --recipient .. says the rest", file=sys.stderr)


def _sheet(found: Accounting, patient: Sought, coverage: Coverage, now: int) -> Sheet:
    from pdp.audit.reports.bases import EXCLUSIONS

    entries = Grid(
        "Disclosures",
        columns("date", "times", "last", "recipient", "/address", "/what", "/purpose", "/INCOMPLETE", "/proven by"),
        [_row(row, coverage) for row in found.rows],
        f"no disclosure that has to be accounted for is on record: {coverage.sentence(now)}",
    )
    excluded = Grid(
        "Not accounted for, by law (164.528(a)(1))",
        columns("exclusion", "disclosures"),
        [[EXCLUSIONS[name], f"{number:,}"] for name, number in sorted(found.excluded.items())],
        "nothing was left out on these grounds",
    )
    notes = ["It holds what the log knows: decisions with the verb `transmit`, and what people put on record."]
    if found.uncertain:
        unsure = count(found.uncertain, "entry")
        notes.append(f"{unsure} of disclosures could not be opened, and may be about this patient or not.")
    if found.replaced:
        notes.append(f"{count(found.replaced, 'entry')} was corrected by a later one, which stands here.")
    data = {
        "report": "disclosures",
        "patient": {"type": patient.kind, "id": patient.id},
        "made": coverage.at(now),
        "coverage": {
            name: said
            for name, said in coverage.members(now).items()
            if not name.startswith("records_not") and name != "records"
        },
        "disclosures": [row.members() for row in found.rows],
        "excluded": dict(found.excluded),
        "incomplete": found.incomplete,
        "corrected": found.replaced,
        "not_opened_and_perhaps_this_patient": found.uncertain,
    }
    head = [("patient", str(patient)), *facts(coverage, now)]
    return Sheet("Accounting of disclosures, 45 CFR 164.528", head, [entries, excluded], data, notes)


def _row(row: Row, coverage: Coverage) -> list[Any]:
    one, several = row.first, len(row.entries) > 1
    return [
        coverage.at(one.date),
        f"{len(row.entries):,}",
        coverage.at(row.entries[-1].date) if several else "",
        one.recipient,
        one.address,
        list(dict.fromkeys(each.what for each in row.entries)),
        one.why,
        [f"lacks {each}" for each in one.lacking],
        [str(proof) for each in row.entries for proof in each.proofs],
    ]
