"""`pdp audit ship`: how far each target is, one round by hand, and whether a target still holds what it was given."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdp.cli.auditing import Progress
from pdp.cli.failure import FINDINGS, FINE, USAGE, Failure
from pdp.cli.given import add_form
from pdp.cli.terminal import count, emit_json, paint, printable

if TYPE_CHECKING:
    from pdp.audit.ship.destination import Destination
    from pdp.config import Settings


def add(verbs: Any) -> None:
    parser = verbs.add_parser(
        "ship",
        help="what is shipped elsewhere: how far, and is it still there",
        description=(
            "What `[ship.NAME]` of the settings brings elsewhere. `pdp serve` does it by itself; here one sees how\n"
            "far it is (status), does one round by hand (once), and asks a target for what it holds (check)."
        ),
        epilog="exit codes: 0 fine, 1 something is amiss, 2 usage",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=("status", "check", "once"))
    parser.add_argument("name", metavar="NAME", nargs="?", default="", help="of [ship.NAME]; not needed for status")
    parser.add_argument("--full", action="store_true", help="check: ask for each object, its content and its lock")
    add_form(parser, "json")


def run(args: argparse.Namespace) -> int:
    settings = _settings()
    if args.what == "status" and not args.name:
        chosen = list(settings.shipping)
    else:
        chosen = [_named(settings, args.name)]
    if args.what == "status":
        return _status(settings, chosen, args.output)
    if args.what == "once":
        return _once(settings, chosen[0])
    return _check(settings, chosen[0], args.full, args.output)


def _settings() -> Settings:
    from pdp.config import ConfigError, load

    try:
        return load(dict(os.environ), Path.cwd())
    except ConfigError as error:
        listed = "\n".join(f"  {each}" for each in error.problems)
        raise Failure(f"the settings cannot be used:\n{listed}", code=USAGE) from error


def _named(settings: Settings, name: str) -> Destination:
    for each in settings.shipping:
        if each.name == name:
            return each
    known = ", ".join(each.name for each in settings.shipping) or "there is none"
    raise Failure(f"there is no [ship.{name}]" if name else "NAME is missing", f"the settings name: {known}")


def _status(settings: Settings, chosen: list[Destination], output: str) -> int:
    rows = [_row(settings, each) for each in chosen]
    if output == "json":
        emit_json(rows)
    else:
        for row in rows:
            _say(row)
        if not rows:
            print("nothing is shipped: there is no [ship.NAME] in the settings")
    return FINDINGS if any(each["problem"] for each in rows) else FINE


def _row(settings: Settings, to: Destination) -> dict[str, Any]:
    from pdp.audit.evidence import EvidenceError
    from pdp.audit.ship import cursor
    from pdp.audit.ship.feed import signed

    row: dict[str, Any] = {"name": to.name, "kind": to.where.kind, "confirmed": 0, "confirmed_at": None, "problem": ""}
    row["running"] = cursor.held(settings.audit_dir, to.name)
    row["size"] = 0
    try:
        row["size"] = signed(settings.audit_dir)
        found = cursor.read(settings.audit_dir, to.name)
    except EvidenceError as error:
        return row | {"problem": str(error), "lag": row["size"]}
    if found is not None:
        row["confirmed"] = found.next
        row["confirmed_at"] = found.at / 1e6 or None
        if found.next > row["size"]:
            row["problem"] = "the log is shorter than what was shipped: it was set back"
    return row | {"lag": max(0, row["size"] - row["confirmed"])}


def _say(row: dict[str, Any]) -> None:
    colour = paint()
    ago = "never" if row["confirmed_at"] is None else f"{max(0.0, time.time() - row['confirmed_at']):,.0f} s ago"
    state = "a process is at it" if row["running"] else colour("yellow", "nobody is at it")
    print(
        f"{row['name']} ({row['kind']}): {row['confirmed']:,} of {count(row['size'], 'record')} confirmed,"
        f" {row['lag']:,} behind; last {ago}; {state}"
    )
    if row["problem"]:
        print(f"  {colour('red', 'problem')}: {printable(row['problem'])}")


def _once(settings: Settings, to: Destination) -> int:
    from pdp.audit.evidence import EvidenceError
    from pdp.audit.ship.targets import lane

    try:
        made = lane(settings.audit_dir, settings.audit_origin, to)
    except EvidenceError as error:
        raise Failure(str(error), "a service that runs ships by itself") from error
    try:
        made.step(time.time_ns() // 1_000)
    finally:
        made.close()
    if made.told.problem:
        raise Failure(f"[ship.{to.name}]: {made.told.problem}", code=FINDINGS)
    print(f"{to.name}: {count(made.told.sent, 'item')} brought over; {made.told.next:,} records are confirmed")
    return FINE


def _check(settings: Settings, to: Destination, full: bool, output: str) -> int:
    from pdp.audit.evidence import EvidenceError
    from pdp.audit.ship.checking import check

    progress = Progress("objects")
    try:
        found, looked = check(settings.audit_dir, to, full, progress)
    except EvidenceError as error:
        raise Failure(f"[ship.{to.name}]: {error}") from error
    finally:
        progress.end()
    if output == "json":
        emit_json({"name": to.name, "looked_at": looked, "findings": [vars_of(each) for each in found]})
    else:
        colour = paint()
        for each in found:
            print(f"{colour('red', each.word)}: {printable(each.key)}: {printable(each.sentence)}")
        print(f"{to.name}: {count(looked, 'object')} looked at, {count(len(found), 'finding')}")
    return FINDINGS if found else FINE


def vars_of(finding: Any) -> dict[str, str]:
    return {"finding": finding.word, "key": finding.key, "message": finding.sentence}
