"""What the reports share: period, patient, where the log is, and the sentences of rules."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdp.cli.auditing import add_directory
from pdp.cli.failure import FINE, INCOMPLETE, USAGE, Failure
from pdp.cli.given import add_form
from pdp.cli.sheet import FORMATS
from pdp.cli.terminal import printable

if TYPE_CHECKING:
    from pdp.audit.asking.period import Period
    from pdp.audit.asking.within import Coverage, Reading

DAY_FORMAT = "2026, 2026-03, 2026-03-04 or 2026-03-04T08:00+01:00"


def add_period(parser: argparse.ArgumentParser | argparse._ArgumentGroup, last: str = "") -> None:
    """`--in`, `--from`, `--to`, `--last`, `--zone`."""
    parser.add_argument("--in", dest="within", metavar="WHEN", default="", help=f"a year, a month, a day: {DAY_FORMAT}")
    parser.add_argument("--from", dest="begin", metavar="WHEN", default="", help="from then on")
    parser.add_argument("--to", dest="end", metavar="WHEN", default="", help="until then; a day means all of it")
    said = f" ({last} where no period is given)" if last else ""
    parser.add_argument("--last", metavar="LENGTH", default="", help=f"the last 90m, 12h, 7d, 4w{said}")
    parser.add_argument(
        "--zone", metavar="ZONE", default="UTC", help="of times without an offset: UTC, Europe/Berlin, local"
    )
    parser.set_defaults(usual=last)


def add_purposes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--purpose", action="append", default=[], metavar="CODE=BASIS", help="what a purpose code of yours rests on"
    )


def purposes(given: list[str]) -> dict[str, str]:
    """What `add_purposes` was given. Raises Failure."""
    from pdp.audit.reports.bases import BASES

    found = {}
    for each in given:
        code, equals, basis = each.partition("=")
        if not equals or basis not in BASES:
            raise Failure(f"--purpose {each}: it is CODE=BASIS", f"a basis is one of {', '.join(BASES)}")
        found[code] = basis
    return found


def add_output(parser: argparse.ArgumentParser) -> None:
    add_directory(parser)
    add_form(parser, *FORMATS[1:])
    parser.add_argument(
        "--whole", action="store_true", help="read every record whole, whatever its place and bytes say"
    )
    parser.add_argument("--all", action="store_true", help="show also what is too long to be read")


def clock() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1_000


def period(args: argparse.Namespace, now: int) -> Period:
    """Raises Failure."""
    from pdp.audit.asking.period import BadPeriod, zone
    from pdp.audit.asking.period import period as made

    last = args.last or ("" if args.within or args.begin or args.end else args.usual)
    try:
        return made(now, zone(args.zone), within=args.within, begin=args.begin, end=args.end, last=last)
    except BadPeriod as error:
        raise Failure(str(error), "--in 2026-03, --from 2026-03-01 --to 2026-03-31, --last 7d", USAGE) from error


def asked(verb: str, period: Period | None = None, **more: Any) -> dict[str, Any]:
    """What goes on record of a question, without ids of people and things."""
    question: dict[str, Any] = dict(more)
    if period is not None and period.bounded:
        question["period"] = period.text
    return {"verb": verb, "asked": question}


def named(kind: str, given: str) -> tuple[str, str]:
    """`Type:id`, or an id of this type; `Type/id` too, where it is this type. What may be meant otherwise is said."""
    from pdp.audit.asking.asked import PSEUDONYM

    before, colon, after = given.partition(":")
    if colon and before.isalnum() and after and not PSEUDONYM.fullmatch(given):
        if before != kind and not before.isalpha():
            return kind, given  # No type begins with a digit, or has one alone.
        if before != kind:
            print(
                f"pdp: {printable(given)} is taken for the id {printable(after)} of the type {before}", file=sys.stderr
            )
            print(f"     hint: {kind}:{printable(given)}, if that is one id", file=sys.stderr)
        return before, after
    before, slash, after = given.partition("/")
    if slash and before == kind and after:
        return kind, after
    return kind, given


Sentence = Callable[[str, str], str]


def sentences(where: Path, policies: str) -> Sentence:
    """What a rule of a policy set (by its digest) says. The set of `--policies`, else the one that the log kept."""
    known: dict[str, dict[str, str]] = {}
    given = _of_directory(policies) if policies else None

    def says(digest: str, rule: str) -> str:
        if digest not in known:
            known[digest] = _kept(where, digest) or {}
        if rule in known[digest]:
            return known[digest][rule]
        if given is None or rule not in given[1]:
            return ""
        aside = "" if given[0] == digest else " (as in --policies, which is another policy set)"
        return given[1][rule] + aside

    return says


def _of_directory(path: str) -> tuple[str, dict[str, str]]:
    from pdp.cli.loading import checked, diagnosed
    from pdp.compile.program import compile_program

    with diagnosed():
        policies = checked(path).policies
        digest = compile_program(policies).digest
    return digest, {rule.id: _says(rule) for rule in policies.rules}


def _kept(where: Path, digest: str) -> dict[str, str] | None:
    """Of the sources that were kept when it became active. None: they were not, or are not what they should be."""
    from pdp.audit.evidence import EvidenceError
    from pdp.audit.reports import policies
    from pdp.diagnostics.diagnostic import PolicyError
    from pdp.diagnostics.source import Source
    from pdp.language.check import policies as checked
    from pdp.language.parse import policy

    try:
        files = policies.kept(where, digest)
        texts = [(name, data.decode()) for name, data in sorted(files.items()) if name.endswith(".ward")]
        found, _ = checked([policy(Source(name, text)) for name, text in texts])
    except (EvidenceError, PolicyError, UnicodeDecodeError):
        return None
    return {rule.id: _says(rule) for rule in found.rules}


def _says(rule: Any) -> str:
    """Its sentence, what it cites, and where it stands."""
    cites = f" [{', '.join(rule.citations)}]" if rule.citations else ""
    source, line = rule.span.source.name, rule.span.source.text.count("\n", 0, rule.span.start) + 1
    emergency = "emergency: " if rule.effect == "emergency" else ""
    return f"{emergency}{rule.sentence or '(no sentence)'}{cites}, {source}:{line}"


def facts(coverage: Coverage, now: int) -> list[tuple[str, str]]:
    """The head of a report: the period, and what the log can say of it."""
    found = [("period", coverage.period.text), ("log", coverage.sentence(now)), ("made", coverage.at(now))]
    if coverage.waiting:
        found.append(("not sealed yet", f"{coverage.waiting:,} records: they can be proven in a moment"))
    for word, number in sorted(coverage.unopened.items()):
        found.append((f"{word} records", f"{number:,} could not be opened: {WHY[word]}"))
    for word, number in sorted(coverage.unjudged.items()):
        why = WHY.get(word, word)
        found.append(("CANNOT BE TOLD", f"{number:,} records may belong here or not: {why}"))
    found += [("note", each) for each in coverage.notes]
    return found


WHY = {
    "erased": "the keys of their day were erased",
    "locked": "the keys are not here",
    "damaged": "they are not what was written",
    "no-name": "they do not say whom they are about",
    "no-time": "they say no time",
    "pruned": "they were old, and were taken out of the log",
    "missing": "they are not there, and nothing says that they were pruned",
    "malformed": "they are no records",
    "unsealed": "the write-ahead log cannot be read",
    "lost-first": "the record that they go on with is not there",
}


def tallied(counter: Any) -> list[str]:
    """`read Record 3x`, most frequent first."""
    return [f"{name} {times:,}x" for name, times in sorted(counter.items(), key=lambda each: (-each[1], each[0]))]


def reading(args: argparse.Namespace, where: Path, progress: Callable[[int, int], None]) -> Reading:
    """The log, with the keys that there are."""
    from pdp.audit.asking.within import Reading
    from pdp.cli.auditing import opener

    return Reading(where, opener(where, args), progress, thorough=args.whole)


def finished(coverage: Coverage) -> int:
    """The exit code: is there anything of which nobody could tell? What only the operator may know is said."""
    from pdp.audit.asking.asked import elsewhere

    if coverage.elsewhere:
        print(f"pdp: {elsewhere(coverage.elsewhere)}", file=sys.stderr)
    return INCOMPLETE if coverage.unjudged else FINE
