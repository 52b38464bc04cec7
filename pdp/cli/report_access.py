"""`pdp audit report access`: who saw this patient, how often, why, and were they allowed to?"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from pdp.cli import given
from pdp.cli.auditing import Progress, directory, recorded
from pdp.cli.failure import Failure
from pdp.cli.reporting import (
    Sentence,
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
    sentences,
    tallied,
)
from pdp.cli.sheet import Grid, Sheet, columns, emit
from pdp.cli.terminal import count

if TYPE_CHECKING:
    from pdp.audit.asking.deeds import Sought
    from pdp.audit.asking.within import Coverage
    from pdp.audit.reports.access import Access, Line

BESIDE = ("person", "times", "allowed", "denied", "break-glass", "first", "last")
BELOW = (
    *("/actions", "/purposes", "/denied because", "/rules", "/clients", "/asked by"),
    *("/not opened", "/proven by"),
)


def add(reports: Any) -> None:
    parser = reports.add_parser(
        "access",
        help="who saw a patient: one line for each person",
        description="Who saw a patient, or tried to: one line for each person, with the decisions that prove it.",
        epilog="exit codes: 0 made, 2 usage, 4 made, and there are records of which nobody can tell",
    )
    parser.add_argument(
        "--patient", type=given.name, required=True, metavar="ID", help="an id, `Type:id`, or a pseudonym of the log"
    )
    parser.add_argument("--patient-type", default="Patient", metavar="TYPE", help="the (wire) type of patients")
    add_period(parser)
    add_purposes(parser)
    parser.add_argument("--policies", default="", metavar="DIR", help="the policy set whose rules are quoted")
    parser.add_argument(
        "--emergency", action="append", default=[], metavar="CODE", help="another purpose that breaks the glass"
    )
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    from pdp.audit.asking.deeds import Deed, Sought, deed
    from pdp.audit.asking.within import Coverage
    from pdp.audit.evidence import EvidenceError
    from pdp.audit.reports.access import EMERGENCY, access
    from pdp.audit.reports.disclosures import KINDS, named_by_hand
    from pdp.audit.reports.suspensions import silence

    now = clock()
    when, rests = period(args, now), purposes(args.purpose)
    where = directory(args.directory)
    kind, identifier = named(args.patient_type, args.patient)
    recorded(where, "audit.read", asked("report access", when), {"patient": {"type": kind, "id": identifier}})
    coverage, progress = Coverage(when), Progress("records")
    log = reading(args, where, progress)
    patient = Sought(kind, identifier, log.opener)
    says = sentences(where, args.policies)

    def withheld(one: Deed) -> bool:
        if hidden.deed(one, by_hand, rests):
            return True
        coverage.saw(one.leaf)
        return False

    try:
        told = log.told(coverage, *KINDS)
        hidden, by_hand = silence(told, patient, now), named_by_hand(told)
        leaves = log.decisions(coverage, identifier, patient_type=kind)
        found = access(map(deed, leaves), log.opener, {*EMERGENCY, *args.emergency}, withheld)
        progress.end()
    except EvidenceError as error:
        raise Failure(str(error), "`pdp audit verify` says more") from error
    _warn(found, sum(not each.opened for each in hidden.running))
    emit(_sheet(found, patient, coverage, says, now), args.output, args.all)
    return finished(coverage)


def _warn(found: Access, unopened: int) -> None:
    """For the operator alone: it must not be in what the patient is given."""
    if found.withheld:
        print(
            f"pdp: withheld: {count(found.withheld, 'record')} of a disclosure that is suspended now", file=sys.stderr
        )
        print(
            "     hint: do not tell the individual, not even this; `pdp audit report suspend --list`", file=sys.stderr
        )
    if unopened:
        print(
            f"pdp: {count(unopened, 'suspension')} that runs cannot be opened: it is taken for everybody's",
            file=sys.stderr,
        )


def _sheet(found: Access, patient: Sought, coverage: Coverage, says: Sentence, now: int) -> Sheet:
    notes = []
    if len(patient.pseudonyms) > 1:
        notes.append(f"The patient was followed under {count(len(patient.pseudonyms), 'pseudonym')}.")
    grid = Grid(
        "Who",
        columns(*BESIDE, *BELOW),
        [_row(line, coverage, says) for line in found.lines],
        coverage.nothing(now),
    )
    total = sum(line.times for line in found.lines)
    allowed = sum(line.allowed for line in found.lines)
    data = {
        "report": "access",
        "patient": {"type": patient.kind, "id": patient.id, "pseudonyms": sorted(patient.pseudonyms)},
        "made": coverage.at(now),
        "coverage": coverage.members(now),
        "people": [line.members(says) for line in found.lines],
    }
    head = [("patient", str(patient)), *facts(coverage, now)]
    people = "1 person" if len(found.lines) == 1 else f"{len(found.lines):,} people"
    head.append(("in all", f"{people}, {total:,} times, {allowed:,} allowed, {total - allowed:,} denied"))
    return Sheet("Who saw this patient", head, [grid], data, notes)


def _row(line: Line, coverage: Coverage, says: Sentence) -> list[Any]:
    return [
        shown_name(line),
        f"{line.times:,}",
        f"{line.allowed:,}",
        f"{line.denied:,}",
        f"YES {line.emergency:,}x" if line.emergency else "",
        coverage.at(line.first),
        coverage.at(line.last),
        tallied(line.actions),
        tallied(line.purposes),
        tallied(line.reasons),
        [quoted(rule, digest, times, says) for (digest, rule), times in sorted(line.rules.items(), key=str)],
        tallied(line.clients),
        tallied(line.askers),
        f"{line.unopened:,} of these records" if line.unopened else "",
        [str(each) for each in line.proofs],
    ]


def shown_name(line: Line) -> str:
    if not line.who.id:
        return "(nobody was established)"
    return f"{line.who} (pseudonym)" if line.who.hidden else str(line.who)


def quoted(rule: str, digest: str, times: int, says: Sentence) -> str:
    sentence = says(digest, rule)
    return f"{rule} {times:,}x in {digest[:12] or 'no policy set'}" + (f": {sentence}" if sentence else "")
