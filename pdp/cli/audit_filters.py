"""What the verbs that read the log have in common: what may be asked, and how a row is written."""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pdp.audit.spreadsheet import guarded
from pdp.cli import given
from pdp.cli.failure import INCOMPLETE, Failure
from pdp.cli.reporting import add_period, clock
from pdp.cli.reporting import period as period_of
from pdp.cli.terminal import Paint, printable

if TYPE_CHECKING:
    from datetime import tzinfo

    from pdp.audit.asking.asked import Asked, Thing
    from pdp.audit.asking.index import Places
    from pdp.audit.asking.query import Search, Tally
    from pdp.audit.asking.row import Row
    from pdp.audit.leaf import Opener

PEOPLE: Final = ("patient", "subject", "resource")
LITERALS: Final = {
    "action": ("ACTION", "its name, or the letter of what is done: C R U D E Q T"),
    "effect": ("allow|deny", "what was answered"),
    "reason": ("REASON", "why, as the record has it"),
    "rule": ("RULE", "a rule that decided"),
    "request-id": ("ID", "`x-request-id` of the request"),
    "trace": ("ID", "the trace that it belongs to (W3C)"),
    "session": ("ID", "the session, where records say it"),
    "decision": ("ID", "`x-pdp-decision` of the answer"),
    "pep": ("NAME", "the enforcement point that asked"),
    "purpose": ("CODE", "the purpose that was asserted, such as TREAT"),
}
WHY: Final = {
    "locked": "their details are encrypted with keys that are not here",
    "erased": "the keys of their details were erased",
    "damaged": "their details cannot be decrypted",
    "malformed": "they are no records",
    "missing": "they are not in the log any more",
    "pruned": "their time was over, and they were taken out",
    "unsealed": "what is not sealed yet cannot be read",
    "no-time": "they do not say when",
    "no-name": "they do not say whom or what they are about in a way that can be compared",
    "lost-first": "they go on with a search whose first record was not found",
}


def add_filters(parser: argparse.ArgumentParser, *, kinds: bool = True, period: bool = True) -> None:
    asked = parser.add_argument_group("what is asked; all of it has to fit")
    asked.add_argument(
        "--patient", type=given.name, metavar="ID", default="", help="about this patient: an id, or a pseudonym"
    )
    asked.add_argument(
        "--subject", type=given.name, metavar="ID", default="", help="by, for or through this person or service"
    )
    asked.add_argument("--resource", type=given.name, metavar="TYPE/ID", default="", help="on this thing")
    for name, (metavar, words) in LITERALS.items():
        choices = ("allow", "deny") if name == "effect" else None
        asked.add_argument(f"--{name}", metavar=None if choices else metavar, choices=choices, default="", help=words)
    if kinds:
        asked.add_argument(
            "--kind", metavar="KIND", action="append", default=[], help="of records; `decision` by default, or `all`"
        )
    asked.add_argument("--patient-type", metavar="TYPE", default="", help="what patients are called; else `Patient`")
    if not period:
        return
    when = parser.add_argument_group("when; a day, a month or a year means all of it")
    add_period(when)


def add_reading(parser: argparse.ArgumentParser) -> None:
    """How the log is read."""
    how = parser.add_argument_group("how the log is read")
    how.add_argument("--scan", action="store_true", help="read the log itself, also where there is an index")
    how.add_argument("--whole", action="store_true", help="read every record whole, whatever its place and bytes say")
    how.add_argument("-v", "--verbose", action="store_true", help="say whether the index was used")


def looked_up(args: argparse.Namespace, where: Path, looked: Search) -> Callable[[int], Places | None]:
    """Where the index says to look, if it may be asked and there is one."""

    def places(size: int) -> Places | None:
        from pdp.audit.asking import index

        if args.scan or args.whole:
            return None
        try:
            found = index.places(index.read(where, size), [looked.question], max(1_024, size // 8))
        except index.NotUsable as error:
            if args.verbose:
                print(f"pdp: the index is not used: {error}", file=sys.stderr)
            return None
        if args.verbose:
            print(
                f"pdp: the index has {found.size:,} records, of which {len(found.places):,} are looked at",
                file=sys.stderr,
            )
        return found

    return places


def asked_of(args: argparse.Namespace, kinds: frozenset[str] | None = None) -> Asked:
    """Raises Failure."""
    from pdp.audit.asking.asked import PATIENT, SHOWN, Asked

    when = period_of(args, clock()) if hasattr(args, "within") else None
    chosen = frozenset(getattr(args, "kind", ())) or SHOWN
    chosen |= SHOWN if "decision" in chosen else frozenset()
    return Asked(
        **{name: getattr(args, name) for name in PEOPLE},
        **{name.replace("-", "_"): getattr(args, name.replace("-", "_")) for name in LITERALS},
        kinds=kinds if kinds is not None else frozenset() if "all" in chosen else chosen,
        period=when,
        patient_type=args.patient_type or PATIENT,
    )


def on_record(asked: Asked, opener: Opener) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """What is put on record of a question, and its detail: the ids of people and things stand nowhere else."""
    from pdp.audit.asking.asked import Question

    question = Question(asked, opener)
    named: dict[str, Any] = {}
    hidden: dict[str, Any] = {}
    for name in PEOPLE:
        thing: Thing | None = getattr(question, name)
        if thing is None:
            continue
        kinds = {of for of, _ in thing.parts if of} or {""}
        names = sorted(each for kind in kinds for each in thing.of(kind).pseudonyms)
        named[name] = names if names and "" not in kinds else bool(thing)
        if thing.pseudonym is None:
            hidden[name] = thing.text
    said: dict[str, Any] = {**named, **asked.literals}
    if asked.kinds:
        said["kinds"] = sorted(asked.kinds)
    if asked.period is not None and asked.period.bounded:
        said["period"] = asked.period.text
    return said, {"asked": hidden} if hidden else None


# ---------------------------------------------------------------------------------------------------------------- rows


def line(row: Row, zone: tzinfo, paint: Paint, short: bool = False) -> str:
    """One row for a person. Nothing in it can move the cursor. `short`: below a headline with the day and who."""
    from pdp.audit.asking.period import shown

    when = shown(row.moment, zone) if row.moment else "at no time"
    when = when[11:19] if short and row.moment else when
    effect = paint("green" if row.effect == "allow" else "red", printable(row.effect)) if row.effect else ""
    parts = [
        paint("dim", when),
        "" if short else paint("bold", printable(named(row))),
        printable(_through(row)),
        printable(_what(row)),
        " ".join(each for each in (effect, printable(row.reason), printable(row.status)) if each),
        printable(f"[{' '.join(row.rules)}]" if row.rules else ""),
        printable(row.purpose),
        printable(row.decision),
        paint("dim", f"#{row.index}" if row.index is not None else "not sealed yet"),
        paint("yellow", f"({row.detail})" if row.detail else ""),
    ]
    return "  ".join(each for each in parts if each)


def named(row: Row) -> str:
    """Who it was. What nobody did is what the log says of itself."""
    return row.who or ("nobody known" if row.kind in ("decision", "decision.results") else "the log")


def _through(row: Row) -> str:
    caller = f"by {row.caller}" if row.caller else ""
    actors = f"through {row.actors}" if row.actors else ""
    return " ".join(each for each in (row.via, caller, actors, f"at {row.pep}" if row.pep else "") if each)


def _what(row: Row) -> str:
    if row.kind not in ("decision", "decision.results"):
        return f"{row.kind}: {row.says}" if row.says else row.kind
    action = row.action or "something unread"
    if row.results is not None:
        action += f" (part {row.more['part']}, {row.results} found)" if row.more else f" ({row.results} found)"
    resource = f" {row.resource}" if row.resource else ""
    about = f" of {row.patient}" if row.patient and not row.resource.endswith(row.patient) else ""
    times = f", {row.count} times" if row.count != 1 else ""
    return f"{action}{resource}{about}{times}"


def record_of(row: Row) -> dict[str, Any]:
    """One row for a program. Times are UTC."""
    from datetime import UTC

    from pdp.audit.asking.row import COLUMNS

    found: dict[str, Any] = {name: getattr(row, name) for name in COLUMNS if name != "time"}
    found["rules"] = list(row.rules)
    return {"time": exact(row.moment, UTC), **found, "stream": row.stream, "seq": row.seq, **row.more}


def signed_of(where: Path) -> int:
    """How many records a checkpoint covers. Raises Failure."""
    from pdp.audit.leaf import LOG
    from pdp.audit.tree import checkpoint

    try:
        return checkpoint.last(where / LOG) or 0
    except OSError as error:
        raise Failure(f"the checkpoints cannot be read: {error.strerror}", code=INCOMPLETE) from error


def exact(moment: int, zone: tzinfo) -> str | None:
    """RFC 3339 with microseconds; None where a record says no time."""
    from pdp.audit.asking import period

    return period.exact(moment, zone) if moment else None


def cells(row: Row, zone: tzinfo) -> list[str]:
    """One row of a table. What a spreadsheet would run as a formula begins with an apostrophe."""
    return [printable(guarded(each)) for each in row.cells(exact(row.moment, zone) or "").values()]


def csv_line(values: list[str]) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="").writerow(values)
    return written.getvalue()


# ------------------------------------------------------------------------------------------------------------- summary


def summary(tally: Tally, zone: tzinfo, period: str, shown: int) -> dict[str, Any]:
    return {
        "found": tally.meant,
        "shown": shown,
        "looked_at": tally.looked,
        "left_out_by_time": tally.skipped,
        "sealed": tally.sealed,
        "not_sealed_yet": tally.waiting,
        "period": period,
        "log": {"first": exact(tally.first, zone), "last": exact(tally.last, zone)},
        "complete": tally.whole,
        "not_judged": dict(tally.unjudged),
        "examples": tally.examples,
        "searches_of_unknown_patients": tally.elsewhere,
        "notes": tally.notes,
    }


def say(tally: Tally, zone: tzinfo, zone_name: str, period: str, shown: int, paint: Paint) -> None:
    """The end of an answer for a person, on standard error: what it covers, and loudly what it does not."""
    from pdp.audit.asking.asked import elsewhere
    from pdp.audit.asking.period import shown as moment

    def tell(text: str) -> None:
        print(text, file=sys.stderr)

    rows = "1 row" if tally.meant == 1 else f"{tally.meant:,} rows"
    more = f", {shown:,} of them shown" if shown < tally.meant else ""
    tell(f"{rows}{more}; asked: {period}, times in {zone_name}")
    if tally.first:
        whole = f"{moment(tally.first, zone)} to {moment(tally.last, zone)}"
        tell(f"the log has {tally.sealed:,} sealed records and {tally.waiting:,} not sealed yet, {whole}")
    else:
        tell("the log has no records")
    for note in tally.notes:
        tell(f"note: {note}")
    if tally.elsewhere:
        tell(f"note: {elsewhere(tally.elsewhere)}")
    if tally.whole:
        return
    count = sum(tally.unjudged.values())
    records = "1 record" if count == 1 else f"{count:,} records"
    tell(paint("red", f"NOT COMPLETE: nobody can tell whether {records} should be here"))
    for why, number in tally.unjudged.items():
        tell(f"  {number:,} {why}: {WHY.get(why, why)}")
        for each in tally.examples.get(why, [])[:3]:
            tell(f"    {printable(each)}")


def say_nowhere(args: argparse.Namespace, where: Path, asked: Asked, opener: Opener) -> None:
    """Where there is no row: which of the things that were given no record has, on standard error. A name that is
    misspelt fits nothing, and that must not look as if nobody had done it. Raises Failure.
    """
    from pdp.audit.asking.near import nowhere
    from pdp.audit.evidence import EvidenceError

    def index(looked: Search) -> Callable[[int], Places | None]:
        quiet = argparse.Namespace(scan=args.scan, whole=args.whole, verbose=False)
        return looked_up(quiet, where, looked)

    try:
        lost = nowhere(where, asked, opener, index, thorough=args.whole)
    except EvidenceError as error:
        raise Failure(str(error), "`pdp audit verify` says more", INCOMPLETE) from error
    for each in lost:
        given = f"--{each.name.replace('_', '-')}{' ' if each.value else ''}{printable(each.value)}"
        print(f"pdp: {given}: no record that was looked at has it", file=sys.stderr)
        if each.close:
            close = ", ".join(printable(one) for one in each.close)
            print(f"     hint: did you mean {close}?", file=sys.stderr)


class Out:
    """Rows as they come, in one of three forms."""

    def __init__(self, form: str, zone: tzinfo, paint: Paint) -> None:
        from pdp.audit.asking.row import COLUMNS

        self.form, self.zone, self.paint, self.rows = form, zone, paint, 0
        if form == "json":
            sys.stdout.write('{"rows": [')
        elif form == "csv":
            print(csv_line(list(COLUMNS)))

    def row(self, row: Row) -> None:
        if self.form == "json":
            sys.stdout.write(("," if self.rows else "") + "\n" + json.dumps(record_of(row)))
        elif self.form == "csv":
            print(csv_line(cells(row, self.zone)))
        else:
            print(line(row, self.zone, self.paint))
        self.rows += 1

    def end(self, more: Mapping[str, Any]) -> None:
        if self.form == "json":
            print(("\n" if self.rows else "") + f'], "summary": {json.dumps(more)}}}')
