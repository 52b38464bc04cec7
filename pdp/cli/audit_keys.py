"""`pdp audit keys`: the keys that hide whom and what records are about; a new one, or an end of one."""

from __future__ import annotations

import argparse
import json
import re
import sys
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from pdp.cli.auditing import Progress, add_directory, directory, recorded, vault
from pdp.cli.failure import FINDINGS, FINE, USAGE, Failure
from pdp.cli.given import add_form

if TYPE_CHECKING:
    from pathlib import Path

    from pdp.audit.veil.vault import Day, Vault

_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}").fullmatch

_COULD_NOT: Final = "0 done, 1 it could not be done, 2 usage"
_DEEDS: Final = {
    "list": (
        "which keys there are, and which were erased",
        "The epochs of pseudonyms, and the key of each day: there, or erased and when. No key is shown.",
        "0 listed, 1 the keys cannot be read, 2 usage",
    ),
    "rotate-pseudonyms": (
        "new names from now on; the old ones stay known",
        "Begin a new epoch of pseudonyms. Whoever is asked for by id is found under the names of every epoch.",
        _COULD_NOT,
    ),
    "rotate-master": (
        "wrap all keys under a new master key",
        "Make a new master key and wrap all keys under it. What is encrypted stays as it is.",
        _COULD_NOT,
    ),
    "erase": (
        "erase the keys of days, so that nobody reads their details again",
        "Erase the keys of days that are over. Their records stay, and stay provable; their details never open again.",
        "0 erased, or there is nothing to erase, 1 nothing was done without --yes, or it could not be, 2 usage",
    ),
}


def add(verbs: Any) -> None:
    parser = verbs.add_parser(
        "keys",
        help="list, rotate and erase the keys of what records hide",
        description="The keys of pseudonyms and of encrypted details. Each change is put on record before it is done.",
        epilog="exit codes: 0 done, 1 it could not be, or nothing was done without --yes, 2 usage",
    )
    deeds = parser.add_subparsers(dest="deed", metavar="DEED", title="deeds")
    made = {
        name: deeds.add_parser(name, help=words, description=more, epilog=f"exit codes: {codes}")
        for name, (words, more, codes) in _DEEDS.items()
    }
    for each in made.values():
        add_directory(each)
    add_form(made["list"], "json")
    which = made["erase"].add_mutually_exclusive_group(required=True)
    which.add_argument("--before", metavar="DATE", default="", help="of all days before this one (YYYY-MM-DD, UTC)")
    which.add_argument("--day", metavar="DATE", default="", help="of this day")
    made["erase"].add_argument("--yes", action="store_true", help="do it; without this it is only shown")
    parser.set_defaults(parser=parser)


def run(args: argparse.Namespace) -> int:
    from pdp.audit.evidence import EvidenceError

    if not args.deed:
        args.parser.print_help()
        return USAGE
    where = directory(args.directory, any_directory=True)
    keys = vault(where, args)
    if keys is None:
        raise Failure(f"the log in {where} names no keys", "--privacy-dir says where they are, if there are any")
    deeds = {"list": _list, "rotate-pseudonyms": _pseudonyms, "rotate-master": _master, "erase": _erase}
    try:
        return deeds[args.deed](where, keys, args)
    except EvidenceError as error:
        raise Failure(str(error), code=FINDINGS) from error


def _list(_where: Path, keys: Vault, args: argparse.Namespace) -> int:
    epochs, days = sorted(keys.pseudonym_keys()), keys.days()
    if args.output == "json":
        found = {
            "id": keys.id(),
            "directory": str(keys.directory),
            "master": str(keys.master),
            "pseudonyms": epochs,
            "days": [{"kid": each.kid, "day": each.day, "erased": each.erased or None} for each in days],
        }
        print(json.dumps(found, indent=2))
        return FINE
    print(f"keys {keys.id()} in {keys.directory}, under {keys.master}")
    print(f"pseudonyms: epoch {epochs[-1]} is in use; known: {', '.join(map(str, epochs))}")
    for each in days:
        print(f"{each.day}  {each.kid}  {'erased ' + each.erased if each.erased else 'there'}")
    return FINE


def _pseudonyms(where: Path, keys: Vault, _args: argparse.Namespace) -> int:
    after = max(keys.pseudonym_keys()) + 1
    recorded(where, "key.rotate", {"of": "pseudonyms", "epoch": after})
    epoch = keys.rotate_pseudonyms()
    print(f"pseudonyms are those of epoch {epoch} within some seconds; those before it can still be followed")
    return FINE


def _master(where: Path, keys: Vault, _args: argparse.Namespace) -> int:
    keys.check()
    recorded(where, "key.rotate", {"of": "master"})
    progress = Progress("keys")
    count = keys.rotate_master(progress)
    progress.end()
    print(
        f"{count} keys are wrapped under a new master key in {keys.master}; copies of the old one open old copies alone"
    )
    return FINE


def _erase(where: Path, keys: Vault, args: argparse.Namespace) -> int:
    from pdp.audit.veil.vault import today

    named = args.before or args.day
    if not _DAY(named):
        raise Failure(f"{named!r} is no date", "a date is YYYY-MM-DD, in UTC")
    try:
        bound = date.fromisoformat(named)
    except ValueError as error:
        raise Failure(f"{named!r} is no date") from error
    if bound > today() or (args.day and bound == today()):
        raise Failure("that day is not over: its key is still written with", "erase it tomorrow", FINDINGS)
    chosen = [each for each in keys.days() if (each.day < named if args.before else each.day == named)]
    left = [each for each in chosen if not each.erased or keys.path_of(each.kid).exists()]
    if not left:
        print("there is nothing to erase" + (": all of it is erased already" if chosen else ""))
        return FINE
    if not args.yes:
        return _shown(left)
    recorded(where, "key.erase", {"kids": [each.kid for each in left]})
    return _erased(keys, left)


def _shown(left: list[Day]) -> int:
    for each in left:
        print(f"{each.day}  {each.kid}  would be erased")
    print("nothing was done: --yes erases them, for good", file=sys.stderr)
    return FINDINGS


def _erased(keys: Vault, left: list[Day]) -> int:
    import time

    from pdp.audit.record import stamp

    for each in left:
        keys.erase(each.kid, stamp(time.time_ns() // 1_000))
        print(f"{each.day}  {each.kid}  erased")
    return FINE
