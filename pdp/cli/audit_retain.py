"""`pdp audit retain`: what is held, what may go after its years, and taking that out."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pdp.cli import given
from pdp.cli.auditing import Progress, add_directory, directory, new_veil, opener, origin_to_write, recorded
from pdp.cli.failure import FINDINGS, FINE, USAGE, Failure
from pdp.cli.given import add_form
from pdp.cli.terminal import count, emit_json, paint, printable

if TYPE_CHECKING:
    from pdp.audit.asking.period import Period
    from pdp.audit.keeping.retention import Hold, Plan
    from pdp.audit.tree.pruned import Pruned
    from pdp.config import Settings

SHOWN: Final = 40
SEALED_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 0.2
_CODES: Final = "exit codes: 0 done, 1 it could not be done, 2 usage"


def add(verbs: Any) -> None:
    parser = verbs.add_parser(
        "retain",
        help="how long records are kept: holds, what may go, and taking it out",
        description=(
            "Records are kept six years and a margin ([retention] in the settings), and longer where they are held.\n"
            "What goes are bundles of 256 records, from the beginning of the log on; what stays is provable as before."
        ),
        epilog=_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parts = parser.add_subparsers(dest="part", metavar="PART", title="parts")
    _add_holds(parts)
    for name, words in (("plan", "say what would go, and what stays and why"), ("prune", "take it out")):
        part = parts.add_parser(name, help=words, description=f"{words[:1].upper()}{words[1:]}.", epilog=_CODES)
        add_directory(part)
        part.add_argument(
            "--hashes",
            choices=("keep", "drop"),
            default="keep",
            help="of what goes: kept (3 %% of its size), every checkpoint that ever was stays comparable",
        )
        add_form(part, "json")
        if name == "prune":
            part.add_argument("--yes", action="store_true", help="without it nothing is done; see `plan`")
    parser.set_defaults(retain=parser)


def _add_holds(parts: Any) -> None:
    holds = parts.add_parser("hold", help="say that records have to stay", description="Say that records have to stay.")
    deeds = holds.add_subparsers(dest="deed", metavar="DEED", title="deeds", required=True)
    made = deeds.add_parser("add", help="hold records", description="Hold records.", epilog=_CODES)
    made.add_argument("--patient", type=given.name, default="", metavar="ID", help="about this patient")
    made.add_argument(
        "--subject", type=given.name, default="", metavar="ID", help="by, for or through this person or service"
    )
    made.add_argument("--from", dest="begin", default="", metavar="TIME", help="of this period; alone: all of it")
    made.add_argument("--to", dest="end", default="", metavar="TIME", help="2026-03 is all of that month")
    made.add_argument("--reason", required=True, help="why; it stands in clear, so it names nobody")
    ended = deeds.add_parser("release", help="end a hold", description="End a hold.", epilog=_CODES)
    ended.add_argument("hold", metavar="ID", help="as `hold list` says it")
    ended.add_argument("--reason", required=True)
    listed = deeds.add_parser("list", help="what is held", description="What is held.", epilog=_CODES)
    add_form(listed, "json")
    for each in (made, ended, listed):
        add_directory(each)


def run(args: argparse.Namespace) -> int:
    from pdp.audit.evidence import EvidenceError

    if not args.part:
        args.retain.print_help()
        return USAGE
    where = directory(args.directory)
    try:
        match args.part:
            case "hold":
                return {"add": _hold, "release": _release, "list": _list}[args.deed](args, where)
            case "plan":
                return _plan(args, where)
            case _:
                return _prune(args, where)
    except EvidenceError as error:
        raise Failure(str(error), "`pdp audit verify` says more", FINDINGS) from error


# --------------------------------------------------------------------------------------------------------------- holds


def _hold(args: argparse.Namespace, where: Path) -> int:
    from pdp.audit.keeping import retention
    from pdp.audit.tell import tell

    period = _period(args)
    if args.patient and args.subject:
        raise Failure("one hold is of a patient or of a subject", "make two, each of which holds by itself")
    if not (args.patient or args.subject or period is not None):
        raise Failure("what is held? --patient, --subject, or a period", "several of them: what fits all of them")
    said, detail = retention.said(
        opener(where, args), args.reason, patient=args.patient, subject=args.subject, period=period
    )
    print(tell(where, origin_to_write(where, FINDINGS), retention.HOLD, said, detail=detail, veil=new_veil(where)))
    return FINE


def _period(args: argparse.Namespace) -> Period | None:
    from pdp.audit.asking.period import BadPeriod, period

    if not args.begin and not args.end:
        return None
    try:
        return period(time.time_ns() // 1_000, begin=args.begin, end=args.end)
    except BadPeriod as error:
        raise Failure(str(error)) from error


def _release(args: argparse.Namespace, where: Path) -> int:
    from pdp.audit.evidence import EvidenceError
    from pdp.audit.keeping.retention import RELEASE, check
    from pdp.audit.tell import tell

    try:
        held = check(where, args.hold, opener(where, args))
    except EvidenceError as error:
        raise Failure(str(error), "`pdp audit retain hold list` says what is", FINDINGS) from error
    tell(where, origin_to_write(where, FINDINGS), RELEASE, {"of": held.id, "reason": args.reason})
    print(f"{held.id} holds no more")
    return FINE


def _list(args: argparse.Namespace, where: Path) -> int:
    from pdp.audit.keeping.retention import marked

    opens = opener(where, args)
    recorded(where, "audit.read", {"verb": "retain hold list", "asked": {}})
    progress = Progress("records")
    active = marked(where, opens, progress).active
    progress.end()
    if args.output == "json":
        emit_json([_held(each) for each in active])
        return FINE
    for each in active:
        said = _held(each)
        what = ", ".join(f"{name} {said[name]}" for name in ("patient", "subject", "from", "before") if said.get(name))
        print(f"{printable(each.id)}: {printable(what or 'everything')}: {printable(each.reason)} ({said['at']})")
    if not active:
        print("nothing is held")
    return FINE


def _held(hold: Hold) -> dict[str, Any]:
    from pdp.audit.asking.period import ALWAYS
    from pdp.audit.record import stamp

    said: dict[str, Any] = {"id": hold.id, "reason": hold.reason, "at": stamp(hold.at), "everything": hold.whole}
    for each in hold.asked[:1]:
        said |= {name: getattr(each, name) for name in ("patient", "subject") if getattr(each, name)}
        if each.period is not None:
            ends = {"from": each.period.first, "before": each.period.after}
            said |= {name: stamp(time) for name, time in ends.items() if time not in ALWAYS}
    return said


# ---------------------------------------------------------------------------------------------------- what may go


def _planned(args: argparse.Namespace, where: Path) -> Plan:
    from pdp.audit.keeping.retention import plan
    from pdp.audit.ship import floor

    progress = Progress("records")
    settings = _settings()
    targets = [each.name for each in settings.shipping] if where.resolve() == settings.audit_dir.resolve() else None
    now = time.time_ns() // 1_000
    made = plan(where, settings.retention, opener(where, args), now, progress, floor(where, targets))
    progress.end()
    return made


def _settings() -> Settings:
    from pdp.config import ConfigError, load

    try:
        return load(dict(os.environ), Path.cwd())
    except ConfigError as error:
        listed = "\n".join(f"  {each}" for each in error.problems)
        raise Failure(f"the settings cannot be used:\n{listed}", "they say how long records are kept") from error


def _plan(args: argparse.Namespace, where: Path) -> int:
    recorded(where, "audit.read", {"verb": "retain plan", "asked": {}})
    made = _planned(args, where)
    if args.output == "json":
        emit_json(_members(made, args.hashes == "keep"))
    else:
        _say(made, args.hashes == "keep")
    return FINE


def _say(made: Plan, hashes: bool) -> None:
    from pdp.audit.record import stamp

    what = made.pruned(hashes)
    print(f"records from before {stamp(made.cutoff)} may go")
    gone = f"{count(made.dropped, 'bundle')} with {count(made.records, 'record')}, {made.size_bytes:,} bytes"
    if made.dropped:
        print(f"would go: {gone}, from {stamp(made.first)} to {stamp(made.last)}")
    print(f"min_index: {made.before.min_index} now, {made.min_index} then, of {made.size}")
    print(f"hash tiles: {'kept' if what.hashes else 'those of what goes go too, and those above that are only of it'}")
    for number, why in list(made.kept.items())[:SHOWN]:
        first = number * 256
        print(f"stays: records {first} to {first + 255}: {printable('; '.join(why))}")
    if len(made.kept) > SHOWN:
        print(f"and {len(made.kept) - SHOWN} more bundles stay")
    for hold in made.marked.active:
        held = sum(any(hold.id in each for each in why) for why in made.kept.values())
        what_of = "everything, since what it holds cannot be read" if hold.whole else count(held, "bundle")
        print(f"hold {printable(hold.id)} ({printable(hold.reason)}): {what_of}")
    ends = {each.digest: each.last for each in made.marked.policies}  # one that came back counts by its last end
    for digest, last in ends.items():
        until = "in effect" if last is None else f"last in effect {stamp(last)}"
        if last is None or last >= made.cutoff:
            print(f"keep the policy set {printable(digest[:16]) or '(without a digest)'}: {until}")
    if made.unshipped is not None and made.unshipped < made.size:
        print(
            f"stays: from record {made.unshipped} on a target of [ship] has not confirmed; see `pdp audit ship status`"
        )
    if not made.dropped:
        print(paint()("green", "nothing would go"))


def _members(made: Plan, hashes: bool) -> dict[str, Any]:
    from pdp.audit.record import stamp

    return {
        "cutoff": stamp(made.cutoff),
        "size": made.size,
        "min_index": made.min_index,
        "min_index_now": made.before.min_index,
        "bundles": made.dropped,
        "not_shipped_from": made.unshipped,
        "records": made.records,
        "bytes": made.size_bytes,
        "hashes": "kept" if made.pruned(hashes).hashes else "dropped",
        "kept": [{"bundle": number, "first": number * 256, "why": list(why)} for number, why in made.kept.items()],
        "holds": [_held(each) for each in made.marked.active],
        "policies": [
            {"digest": each.digest, "since": stamp(each.since), "last": None if each.last is None else stamp(each.last)}
            for each in made.marked.policies
        ],
    }


# -------------------------------------------------------------------------------------------------------------- prune


def _prune(args: argparse.Namespace, where: Path) -> int:
    from pdp.audit.keeping.prune import finish, last, left, prune

    if not args.yes:
        raise Failure("nothing was done: --yes takes out what `pdp audit retain plan` says")
    named = origin_to_write(where, FINDINGS)
    before = last(where)
    if before.record and left(where, before):
        print("an earlier pruning was interrupted: it is gone on with")
        finish(where, before)
    made = _planned(args, where)
    if not made.dropped and (args.hashes == "keep" or not made.before.hashes or not made.min_index):
        print("nothing is to go")
        return FINE
    progress = Progress("bundles")
    what = prune(where, named, made, hashes=args.hashes == "keep", wait=_Waiting(), progress=progress)
    progress.end()
    if args.output == "json":
        emit_json(_members(made, what.hashes) | {"record": what.record, "index": what.index})
    else:
        _said(made, what)
    return FINE


def _said(made: Plan, what: Pruned) -> None:
    print(
        f"taken out: {count(made.dropped, 'bundle')} with {count(made.records, 'record')};"
        f" min_index is {what.min_index}"
    )
    print(f"on record as {printable(what.record)}, record {what.index}")


class _Waiting:
    """Until the sealer has sealed it."""

    def __init__(self) -> None:
        self._end = time.monotonic() + SEALED_SECONDS

    def __call__(self) -> bool:
        time.sleep(LOOK_SECONDS)
        return time.monotonic() < self._end
