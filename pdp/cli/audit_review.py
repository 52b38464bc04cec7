"""`pdp audit review`: look at a sample that nobody chose, and sign that it was looked at."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pdp.cli.auditing import Progress, directory, opener, recorded, told
from pdp.cli.failure import FINDINGS, FINE, USAGE, Failure
from pdp.cli.reporting import add_output, add_period, asked, clock, named, period, reading
from pdp.cli.review_items import items, sheet
from pdp.cli.sheet import Grid, Sheet, columns, emit
from pdp.cli.terminal import count

if TYPE_CHECKING:
    from pdp.audit.asking.period import Period
    from pdp.audit.leaf import Leaf
    from pdp.audit.reports.reviews import Drawn, Review
    from pdp.config.review import Reviewing

MAX_NOTE: Final = 4_000
SECOND: Final = 1_000_000


def add(verbs: Any) -> None:
    parser = verbs.add_parser(
        "review",
        help="draw a sample of accesses, look at it, and sign",
        description="Regular reviews of access, 45 CFR 164.308(a)(1)(ii)(D): samples and signatures are records.",
    )
    deeds = parser.add_subparsers(dest="review", metavar="DEED", title="deeds")
    sample = deeds.add_parser(
        "sample",
        help="draw a sample of a period that is over, and what was flagged in it",
        description=(
            "Draw a sample of the decisions of a period that is over, by strata, with what was flagged in it, and put"
            " it on record. The log alone says which: nobody chooses, and anybody can draw it again."
        ),
        epilog="exit codes: 0 drawn, 1 some records of the period are not sealed yet, 2 usage",
    )
    add_period(sample)
    sample.add_argument("--size", type=int, default=0, metavar="N", help="how many (else [review] size, 50)")
    listed = deeds.add_parser(
        "list",
        help="reviews, open ones, and what is overdue",
        description="The samples that were drawn, who signed them and how, and whether a review is overdue.",
        epilog="exit codes: 0 fine, 1 overdue, 2 usage",
    )
    listed.add_argument(
        "--every", default="", metavar="30d", help="how often one has to be signed (else [review] every)"
    )
    show = deeds.add_parser(
        "show",
        help="what is in one, to be read; drawn again, and compared",
        description="The records of one sample, to be looked at. It is drawn again, and said whether it is the same.",
        epilog="exit codes: 0 shown, 1 drawn again it is another one, 2 usage, or there is no such review",
    )
    show.add_argument("number", metavar="N", help="its number, or the id of its record")
    sign = deeds.add_parser(
        "signoff",
        help="put on record that it was looked at",
        description=(
            "Put on record that a sample was looked at, by the user of the system who does so, and what was found."
            " Nobody signs alone for a sample with accesses of their own."
        ),
        epilog="exit codes: 0 signed, 1 somebody else has to sign first, 2 usage, or it was signed by this user",
    )
    sign.add_argument("number", metavar="N", help="its number, or the id of its record")
    sign.add_argument("--result", required=True, choices=("ok", "issue"))
    sign.add_argument("--note", default="", metavar="TEXT", help="what was found; an issue needs one")
    sign.add_argument("--as", dest="subject", default="", metavar="SUBJECT", help="who you are in the log: `user:nina`")
    for each in (sample, listed, show, sign):
        add_output(each)
    parser.set_defaults(review_parser=parser)


def run(args: argparse.Namespace) -> int:
    from pdp.audit.evidence import EvidenceError

    deeds = {"sample": _sample, "list": _list, "show": _show, "signoff": _sign}
    if args.review not in deeds:
        args.review_parser.print_help()
        return USAGE
    try:
        return deeds[args.review](args, directory(args.directory))
    except EvidenceError as error:
        raise Failure(str(error), "`pdp audit verify` says more") from error


def settings(args: argparse.Namespace) -> Reviewing:
    """`[review]`; its defaults where the settings cannot be used and the directory was named, and it is said."""
    from pdp.config import ConfigError, load
    from pdp.config.review import Reviewing

    try:
        return load(dict(os.environ), Path.cwd()).review
    except ConfigError as error:
        if not args.directory:
            raise Failure(f"the settings cannot be used: {error.problems[0]}", code=USAGE) from error
        print("pdp: the settings cannot be used: [review] is at its defaults", file=sys.stderr)
        return Reviewing()


def _reviews(args: argparse.Namespace, where: Path) -> tuple[list[Review], int]:
    from pdp.audit.asking.asked import Asked
    from pdp.audit.asking.period import ALWAYS, Period
    from pdp.audit.asking.within import Coverage
    from pdp.audit.reports.reviews import SAMPLE, SIGNED, reviews

    progress, coverage = Progress("records"), Coverage(Period(*ALWAYS))
    asked_for = Asked(kinds=frozenset({SAMPLE, SIGNED}))
    found = reviews(reading(args, where, progress).asked(asked_for, coverage))
    progress.end()
    return found, coverage.first


def _one(found: list[Review], wanted: str) -> Review:
    for each in found:
        if wanted in (str(each.number), each.id):
            return each
    raise Failure(f"there is no review {wanted}", "`pdp audit review list` has them", USAGE)


# -------------------------------------------------------------------------------------------------------------- sample


def _sample(args: argparse.Namespace, where: Path) -> int:
    from pdp.audit.asking.gathered import origin
    from pdp.audit.asking.period import ALWAYS
    from pdp.audit.reports.reviews import MAX_SIZE, SAMPLE, draw

    now, size = clock(), args.size or settings(args).size
    when = period(args, now)
    if not 1 <= size <= MAX_SIZE:
        raise Failure(f"--size is from 1 to {MAX_SIZE:,}", code=USAGE)
    if when.first == ALWAYS[0] or when.after > now:
        raise Failure("a review is of a period that is over", "--in 2026-03; what goes on still changes", USAGE)
    recorded(where, "audit.read", asked("review sample", when, size=size))
    progress = Progress("records")
    every = list(_drawable(args, where, when, progress))
    waiting = sum(each.index is None and each.time in when for each in every)
    if waiting:
        raise Failure(f"{count(waiting, 'record')} of the period not sealed yet", "ask again in a moment", FINDINGS)
    drawn = draw(every, where / "log", origin(where), when, size)
    progress.end()
    _say(drawn, told(where, SAMPLE, drawn.members(), {}))
    return FINE


def _drawable(args: argparse.Namespace, where: Path, when: Period, progress: Progress) -> Iterator[Leaf]:
    """What a sample of this period is drawn of: its decisions, and every flag. A draw needs no detail."""
    from pdp.audit.asking.asked import Asked
    from pdp.audit.asking.within import Reading
    from pdp.audit.leaf import PLAIN
    from pdp.audit.record import DECISION
    from pdp.audit.reports.reviews import FLAGS

    log = Reading(where, PLAIN, progress, thorough=args.whole)
    yield from log.asked(Asked(kinds=frozenset({DECISION}), period=when))
    yield from log.asked(Asked(kinds=FLAGS))


def _say(drawn: Drawn, identifier: str) -> None:
    print(f"on record as {identifier}")
    print(f"{count(len(drawn.items), 'record')} drawn, {drawn.period.text}; the log gives them, and nobody else")
    for name, places in drawn.places.items():
        print(f"  {name:12}{len(places):,} of {drawn.population[name]:,}")
    print(f"  {'flagged':12}{len(drawn.flagged):,}" + (f", and {drawn.left_out:,} left out" if drawn.left_out else ""))
    print(f"seed {drawn.seed.hex()[:16]}.. of the first {drawn.tree:,} records")
    print(f"to be looked at with `pdp audit review show {identifier}`")


# ---------------------------------------------------------------------------------------------------------------- list


def _list(args: argparse.Namespace, where: Path) -> int:
    from pdp.audit.asking.period import brief, shown
    from pdp.audit.reports.reviews import overdue
    from pdp.config.review import seconds

    try:
        every = seconds(args.every) if args.every else settings(args).every_seconds
    except ValueError as error:
        raise Failure(f"--every {error}", code=USAGE) from error
    recorded(where, "audit.read", asked("review list"))
    found, begun = _reviews(args, where)

    def at(time: int) -> str:
        return shown(time, UTC)

    late = overdue(found, begun, clock(), every * SECOND, at)
    rows = [
        [
            str(each.number),
            each.state,
            at(each.leaf.time),
            str(each.leaf.members.get("by", "")),
            each.period.text,
            f"{len(each.places):,}",
            [_signed(sign) for sign in each.signoffs],
        ]
        for each in found
    ]
    grid = Grid("Reviews", columns("n", "state", "drawn", "by", "period", "items", "/signed"), rows, "none on record")
    data = {
        "reviews": [
            {
                "number": each.number,
                "id": each.id,
                "state": each.state,
                "drawn": brief(each.leaf.time),
                "by": each.leaf.members.get("by", ""),
                "from": brief(each.period.first),
                "before": brief(each.period.after),
                "items": len(each.places),
                "signed": [
                    {"by": sign.by, "at": brief(sign.time), "result": sign.result, "own": sign.conflicted}
                    for sign in each.signoffs
                ],
            }
            for each in found
        ],
        "overdue": late,
    }
    facts = [("due", f"every {count(every // 86_400, 'day')}")]
    facts += [("OVERDUE", each) for each in late]
    emit(Sheet("Reviews of access", facts, [grid], data), args.output, args.all)
    return FINDINGS if late else FINE


def _signed(sign: Any) -> str:
    own = " (own accesses among the items)" if sign.conflicted else ""
    return f"{sign.result} by {sign.by}{f' as {sign.subject}' if sign.subject else ''}{own}" + (
        f": {sign.note}" if sign.note else ""
    )


# ---------------------------------------------------------------------------------------------------------------- show


def _show(args: argparse.Namespace, where: Path) -> int:
    recorded(where, "audit.read", asked("review show", review=args.number))
    one = _one(_reviews(args, where)[0], args.number)
    again, same = _again(args, where, one)
    emit(sheet(one, again, same, items(opener(where, args), where, one.places)), args.output, args.all)
    return FINE if same else FINDINGS


def _again(args: argparse.Namespace, where: Path, one: Review) -> tuple[Drawn, bool]:
    """The sample as the log gives it, and is it the one on record?"""
    from pdp.audit.asking.gathered import origin
    from pdp.audit.reports.reviews import MAX_SIZE, draw, same_draw

    progress, size = Progress("records"), one.leaf.members.get("size", 0)
    size = max(0, min(size, MAX_SIZE)) if isinstance(size, int) else 0
    every = _drawable(args, where, one.period, progress)
    again = draw(every, where / "log", origin(where), one.period, size, one.leaf.index or 0)
    progress.end()
    return again, same_draw(one, again)


# ------------------------------------------------------------------------------------------------------------- signoff


def _sign(args: argparse.Namespace, where: Path) -> int:
    from pdp.audit.asking.asked import NO, UNKNOWN
    from pdp.audit.operator import operator
    from pdp.audit.reports.reviews import SIGNED, own

    note, user = args.note.strip(), operator()
    if args.result == "issue" and not note:
        raise Failure("--note says what the issue is", code=USAGE)
    if len(note) > MAX_NOTE:
        raise Failure(f"--note is longer than {MAX_NOTE:,} characters", code=USAGE)
    person = _person(settings(args), user, args.subject)
    kind, subject = named("user", person)
    detail = {"sub": {"type": kind, "id": subject}}
    recorded(where, "audit.read", asked("review signoff", review=args.number), detail)
    found, _ = _reviews(args, where)
    one = _one(found, args.number)
    if any(each.by == user or each.subject == subject for each in one.signoffs):
        raise Failure(f"{user}, or {subject}, has signed review {one.number} already", "another person may sign too")
    if not _again(args, where, one)[1]:
        why = f"review {one.number} is not what the log gives when it is drawn again: it was made up, or is out of date"
        raise Failure(why, "`pdp audit review sample` draws another one", FINDINGS)
    opens = opener(where, args)
    # Where nobody says a type, it is the same person whatever the type.
    meant = own(items(opens, where, one.places), person if person == subject else f"{kind}:{subject}", opens)
    others = [each for each in one.signoffs if each.by != user and each.subject != subject and not each.conflicted]
    if meant is not NO and not others:
        why = f"accesses of {subject} are among its items"
        if meant is UNKNOWN:
            why = f"some of its items cannot be opened, so nobody can tell whether they are of {subject}"
        raise Failure(
            f"review {one.number} is not yours to sign alone: {why}", "somebody else signs it first", FINDINGS
        )
    said = {"review": one.id, "number": one.number, "result": args.result, "own": meant is not NO}
    told(where, SIGNED, said, {**detail, "note": note})
    print(f"review {one.number} is signed by {user} as {kind}:{subject}: {args.result}")
    return FINE


def _person(known: Reviewing, user: str, given: str) -> str:
    """Who this user is in the log. Where the settings know, nobody says something else."""
    if not known.people:
        if not given:
            raise Failure("--as SUBJECT says who you are in the log", "or [review] people does, for everybody", USAGE)
        return given
    if user not in known.people:
        raise Failure(f"[review] people does not say who {user} is in the log, so nobody can tell", code=USAGE)
    if given and given != known.people[user]:
        raise Failure(f"[review] people says that {user} is {known.people[user]}", code=USAGE)
    return known.people[user]
