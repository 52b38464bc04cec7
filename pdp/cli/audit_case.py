"""`pdp audit case`: the cases that detection opened, and what people found of them."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pdp.cli.auditing import Progress, add_directory, directory, opener, origin_to_write, recorded
from pdp.cli.failure import FINDINGS, FINE, USAGE, Failure
from pdp.cli.given import add_form
from pdp.cli.reporting import asked
from pdp.cli.terminal import emit_json, printable

if TYPE_CHECKING:
    from pdp.audit.detect.told import Known
    from pdp.audit.leaf import Leaf, Opener

MAX_NOTE: Final = 4_000
DISPOSITIONS: Final = ("appropriate", "policy-violation", "breach")
SHOWN: Final = 200
_CODES: Final = "exit codes: 0 done, 1 there is no such case, 2 usage"


def add(verbs: Any) -> None:
    parser = verbs.add_parser(
        "case",
        help="list, look at and close the cases of detection",
        description="The cases that `pdp audit detect` and the service have put into the log, and what people found.",
        epilog="exit codes: 0 fine, 1 there is no such case, 2 usage",
    )
    nested = parser.add_subparsers(dest="what", metavar="VERB", title="verbs", required=True)
    listing = nested.add_parser(
        "list",
        help="all cases, the open ones first",
        description="All cases, the open ones first: whom they are about, how many points, and what was found.",
        epilog="exit codes: 0 listed, 2 usage",
    )
    listing.add_argument("--open", action="store_true", help="only those without a disposition")
    show = nested.add_parser(
        "show",
        help="one case, with the accesses of which it is made",
        description="One case: its findings, the accesses of which they are made, and what people found before.",
        epilog=_CODES,
    )
    dispose = nested.add_parser(
        "dispose",
        help="put on record what was found",
        description=(
            "Put on record what people found of a case, and why. After `appropriate`, the same is not found again for"
            " a while."
        ),
        epilog=_CODES,
    )
    for each in (show, dispose):
        each.add_argument("case", metavar="CASE")
    dispose.add_argument("disposition", choices=DISPOSITIONS)
    dispose.add_argument("--note", metavar="TEXT", required=True, help="why; it is encrypted as details are")
    for each in (listing, show, dispose):
        add_form(each, "json")
        add_directory(each)


def run(args: argparse.Namespace) -> int:
    from pdp.audit.evidence import EvidenceError

    where = directory(args.directory)
    opens = opener(where, args)
    question: dict[str, Any] = {"case": args.case} if args.what != "list" else {}
    recorded(where, "audit.read", asked(f"case {args.what}", **question))
    try:
        known = _cases(where, opens)
        if args.what == "list":
            return _list([each for each in known.values() if not args.open or not each.dispositions], args.output)
        if args.case not in known:
            raise Failure(f"there is no case {printable(args.case)}", "`pdp audit case list`", FINDINGS)
        if args.what == "show":
            return _show(known[args.case], where, opens, args.output)
        return _dispose(known[args.case], where, args)
    except EvidenceError as error:
        raise Failure(str(error), "`pdp audit verify` says more") from error


def _cases(where: Path, opens: Opener) -> dict[str, Known]:
    from pdp.audit.detect.told import cases
    from pdp.audit.leaf import leaves

    progress = Progress("records")
    found = cases(leaves(where, opens, progress=progress))
    progress.end()
    return found


def _list(known: list[Known], output: str) -> int:
    known.sort(key=lambda each: (bool(each.dispositions), -each.score, each.first))
    if output == "json":
        emit_json([_members(each) for each in known])
        return FINE
    for each in known:
        rules = ", ".join(dict.fromkeys(one["rule"] for one in each.findings))
        who = printable(f"{each.type}:{each.who}")
        print(f"{printable(each.id)}  {each.disposition:<16} score {each.score:>3}  {each.first[:10]}  {who}  {rules}")
    if not known:
        print("there are no cases on record")
    return FINE


def _members(each: Known) -> dict[str, Any]:
    return {
        "case": each.id,
        "disposition": each.disposition,
        "type": each.type,
        "who": each.who,
        "score": each.score,
        "parts": each.parts,
        "first": each.first,
        "last": each.last,
        "findings": each.findings,
        "dispositions": each.dispositions,
    }


def _show(case: Known, where: Path, opens: Opener, output: str) -> int:
    timeline = [_access(leaf) for leaf in _accesses(case, where, opens)]
    timeline.sort(key=lambda each: str(each["at"]))
    if output == "json":
        emit_json(_members(case) | {"timeline": timeline})
        return FINE
    lines = [f"{case.id}  {case.type}:{case.who}  {case.disposition}, score {case.score}"]
    lines += [f"  {each.get('points')} for {each.get('rule')} ({each.get('title')})" for each in case.parts]
    lines += ["", "findings"]
    for each in case.findings:
        about = f" {each['patient']}" if each["patient"] else ""
        lines.append(f"  {each['first']}  {each['rule']}{about}: {each['because']}")
    lines += ["", "accesses, each to be proven with `pdp audit prove ID`"]
    for each in timeline[:SHOWN]:
        at = "not sealed yet" if each["index"] is None else f"index {each['index']}"
        what = f"{each['effect']} {each['action']} {each['resource']} {each['patient']} {each['purpose']}"
        lines.append(f"  {each['at']}  {' '.join(what.split())}  {each['decision']} ({at})")
    if len(timeline) > SHOWN:
        lines.append(f"  ... and {len(timeline) - SHOWN} more")
    for each in case.dispositions:
        note = each["note"] or f"(the note is {each['opened']})"
        lines += ["", f"{each['at']}  {each['disposition']} by {each['by']}: {note}"]
    for line in lines:
        print(printable(line))
    return FINE


def _accesses(case: Known, where: Path, opens: Opener) -> Iterable[Leaf]:
    """The records that its findings name, from the first of them on."""
    from pdp.audit.leaf import leaves

    wanted = {place.id for place in case.places}
    first = min((place.at for place in case.places if place.at is not None), default=0)
    last = max((place.at for place in case.places if place.at is not None), default=0)
    whole = any(place.at is None for place in case.places)
    for leaf in leaves(where, opens, first=first, unsealed=whole):
        if leaf.index is not None and leaf.index > last and not whole:
            return
        if leaf.id in wanted:
            yield leaf


def _access(leaf: Leaf) -> dict[str, Any]:
    from pdp.audit.asking.deeds import deed, text

    one = deed(leaf)
    return {
        "at": text(leaf.members, "ts"),
        "index": leaf.index,
        "decision": leaf.id,
        "receipt": leaf.receipt,
        "kind": leaf.kind,
        "effect": one.effect or leaf.kind,
        "action": one.action,
        "resource": str(one.resource),
        "patient": str(one.patient),
        "purpose": one.purpose,
        "rules": list(one.rules),
    }


def _dispose(case: Known, where: Path, args: argparse.Namespace) -> int:
    from pdp.audit.detect.told import Teller

    note = args.note.strip()
    if not note or len(note) > MAX_NOTE:
        raise Failure(f"--note must say why, in 1 to {MAX_NOTE} characters", code=USAGE)
    record = Teller(where, origin_to_write(where)).disposition(case, args.disposition, note)
    if args.output == "json":
        emit_json({"case": case.id, "disposition": args.disposition, "record": record})
    else:
        print(f"{case.id}: {args.disposition}, on record as {record}")
    return FINE
