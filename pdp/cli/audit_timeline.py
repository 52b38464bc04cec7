"""`pdp audit timeline`: one patient, one person or one request, as a story."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from pdp.cli.audit_filters import (
    add_filters,
    add_reading,
    asked_of,
    exact,
    line,
    looked_up,
    named,
    on_record,
    record_of,
    say,
    say_nowhere,
    signed_of,
    summary,
)
from pdp.cli.auditing import Progress, add_directory, directory, opener, recorded
from pdp.cli.failure import FINE, INCOMPLETE, Failure
from pdp.cli.given import add_form
from pdp.cli.terminal import Paint, paint, printable

if TYPE_CHECKING:
    from datetime import tzinfo

    from pdp.audit.asking.timeline import Event


def add(verbs: Any) -> None:
    parser = verbs.add_parser(
        "timeline",
        help="what happened with a patient, by a person or in a request, in order",
        description="Tell what happened in the order of time, by day and by person, with what the log says of itself.",
        epilog="exit codes: 0 told; 2 usage, or nothing that is asked for; 4 some records could not be judged",
    )
    add_filters(parser)
    add_directory(parser)
    add_reading(parser)
    add_form(parser, "json")
    parser.set_defaults(parser=parser)


def run(args: argparse.Namespace) -> int:
    from pdp.audit.asking.query import search
    from pdp.audit.asking.timeline import MOST, SYSTEM, Story, TooMuch
    from pdp.audit.evidence import EvidenceError

    if not any(getattr(args, each) for each in ("patient", "subject", "resource", "request_id", "trace", "session")):
        raise Failure("a timeline is about somebody or something", "--patient, --subject, --request-id, ..")
    asked, where = asked_of(args), directory(args.directory)
    opens = opener(where, args)
    said, detail = on_record(asked, opens)
    recorded(where, "audit.read", {"verb": "timeline", "asked": said}, detail)
    assert asked.period is not None
    period, progress = asked.period, Progress("records")
    looked = search(where, asked, opens, thorough=args.whole, progress=progress)
    own = search(
        where, replace(type(asked)(), kinds=SYSTEM, period=period), opens, thorough=args.whole, progress=progress
    )
    story = Story(asked.patient_type, signed_of(where))
    try:
        for leaf in looked.hits(index=looked_up(args, where, looked)):
            story.take(leaf)
        for leaf in own.hits(index=looked_up(args, where, own)):
            story.take_system(leaf)
        progress.end()
    except TooMuch as error:
        raise Failure(f"that is more than {MOST:,} events", "ask for a shorter period, or use `query`") from error
    except EvidenceError as error:
        raise Failure(str(error), "`pdp audit verify` says more", INCOMPLETE) from error
    events = story.told()
    if args.output == "json":
        more = summary(looked.tally, period.zone, period.text, len(events))
        print(json.dumps({"events": [_object(each) for each in events], "summary": more}, indent=1))
    else:
        _tell(events, period.zone, paint())
        say(looked.tally, period.zone, args.zone, period.text, looked.tally.meant, paint(sys.stderr))
    if not looked.tally.meant:
        say_nowhere(args, where, asked, opens)
    return FINE if looked.tally.whole else INCOMPLETE


def _tell(events: list[Event], zone: tzinfo, paint: Paint) -> None:
    """By day, and within it by who acts, without leaving the order of time."""
    for day, of_day in groupby(events, key=lambda each: (exact(each.moment, zone) or "at no time")[:10]):
        print(paint("bold", day))
        for who, group in groupby(of_day, key=lambda each: None if each.row is None else named(each.row)):
            if who is not None:
                print(f"  {paint('bold', printable(who))}")
            for event in group:
                marks = "".join(paint("yellow", f"  <- {printable(each)}") for each in event.marks)
                if event.row is None:
                    when = (exact(event.moment, zone) or "")[11:19]
                    print(f"  {when}  {paint('yellow', '-- ' + printable(event.told))}")
                else:
                    print(f"    {line(event.row, zone, paint, short=True)}{marks}")


def _object(event: Event) -> dict[str, Any]:
    from datetime import UTC

    if event.row is None:
        return {"time": exact(event.moment, UTC), "log": event.told, "index": event.index}
    return {**record_of(event.row), "marks": list(event.marks)}
