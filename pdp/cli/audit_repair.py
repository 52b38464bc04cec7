"""`pdp audit repair`: make the sealer's memory anew, where it is lost and everything else is what was signed."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from pdp.cli.auditing import Progress, add_directory, directory, keys_directory, recorded
from pdp.cli.failure import FINDINGS, FINE, Failure


def add(verbs: Any) -> None:
    parser = verbs.add_parser(
        "repair",
        help="make a lost or damaged state/tree.json anew",
        description=(
            "Rebuild state/tree.json from tiles, records, the newest signed checkpoint and the write-ahead log.\n"
            "Refuses where the log is not exactly what was signed last. Without --write it only says what it would do."
        ),
        epilog="exit codes: 0 nothing to do, or done; 1 it would be done with --write; 2 it cannot be",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_directory(parser)
    parser.add_argument("--keys-dir", metavar="DIR", default="", help="where the keys are, if not in DIR/keys")
    parser.add_argument("--write", action="store_true", help="do it; the sealer then goes on by itself")


def run(args: argparse.Namespace) -> int:
    from pathlib import Path

    from pdp.audit.checking.repair import rebuilt, write
    from pdp.audit.evidence import EvidenceError
    from pdp.audit.tree import state

    where = directory(args.directory)
    try:
        known, amiss = state.read(where), "it is gone"
    except EvidenceError as error:
        known, amiss = None, str(error)
    progress = Progress("records")
    beside = Path(args.keys_dir) if args.keys_dir else None if args.directory else keys_directory()
    try:
        found = rebuilt(where, beside, progress)
    except EvidenceError as error:
        hint = "`pdp audit verify` says what was changed; restore what belongs together"
        raise Failure(f"{where} cannot be repaired: {error}", hint) from error
    finally:
        progress.end()
    if known is not None:
        return _there(known.size, found.size)
    print(f"state/{state.NAME}: {amiss}")
    print(f"it can be rebuilt: {found.size} records, key epoch {found.epoch}, {len(found.slots)} slots")
    print(f"root {found.root.hex()}, as signed")
    if not args.write:
        print("nothing was changed; --write does it")
        return FINDINGS
    try:
        write(where, found)
    except EvidenceError as error:
        raise Failure(str(error), "stop the service, or try again") from error
    recorded(where, "audit.repair", {"size": found.size, "epoch": found.epoch})
    print("done")
    return FINE


def _there(size: int, rebuilt: int) -> int:
    print(f"state/tree.json is there and can be read ({size} records; {rebuilt} are signed): nothing to repair")
    if size != rebuilt:
        print("pdp: what it says is not what was signed: `pdp audit verify` says why", file=sys.stderr)
    return FINE
