"""`pdp audit verify`: is the log whole, and the one that was signed?"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pdp.cli.auditing import Progress, add_keys, directory, keys, keys_directory, keys_or_own, whole
from pdp.cli.cosigning import add_policy, moment, policy
from pdp.cli.failure import Failure
from pdp.cli.given import add_form
from pdp.cli.terminal import count, emit_json, paint, printable

if TYPE_CHECKING:
    from pdp.audit.checking.cosigned import Cosigned
    from pdp.audit.checking.verify import Report
    from pdp.audit.tree.policy import Policy

DAY: Final = 86_400
SHOWN: Final = 20  # findings of one kind, for people


def add(verbs: Any) -> None:
    from pdp.audit.checking.findings import Kind

    codes = "\n".join(f"  {kind.code}  {kind.word:22}{kind.sentence}" for kind in Kind)
    parser = verbs.add_parser(
        "verify",
        help="recompute the whole log, and say what is wrong with it",
        description=(
            "Recompute the whole log from its records: tree, tiles, every checkpoint, every stream's numbers and\n"
            "chain; then signatures, the sealer's state, and what waits in the write-ahead log. Changes nothing."
        ),
        epilog=f"exit codes: 0 whole, 2 usage; of several findings the first in this list\n{codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "directory",
        metavar="DIR",
        nargs="?",
        default="",
        help="the audit directory (else as the settings say), or a copy of its `log` alone",
    )
    parser.add_argument(
        "--directory", metavar="DIR", dest="named", default="", help="the same, as the other verbs have it"
    )
    add_keys(parser)
    add_policy(parser)
    parser.add_argument(
        "--within",
        type=int,
        metavar="SECONDS",
        help="with witnesses: the newest cosigned checkpoint is no older; 86400 by default where the service writes",
    )
    parser.add_argument(
        "--checkpoint",
        action="append",
        default=[],
        metavar="FILE",
        help="an earlier checkpoint, kept elsewhere: the log must begin with it; may be given several times",
    )
    parser.add_argument(
        "--keys-dir", metavar="DIR", default="", help="`audit_keys_dir`, where DIR is named (else as the settings say)"
    )
    parser.add_argument("--receipts", metavar="FILE", help="receipts (`stream:seq:hash`), one to a line")
    add_form(parser, "json")


def run(args: argparse.Namespace) -> int:
    from pdp.audit.checking.verify import verify
    from pdp.audit.evidence import EvidenceError

    where = directory(args.directory or args.named, any_directory=True)
    beside = Path(args.keys_dir) if args.keys_dir else None if args.directory or args.named else keys_directory()
    asked = policy(args)
    given = (list(asked.logs) if asked is not None else []) + (keys(args.vkey) if args.vkey else [])
    given = given or keys_or_own(args.vkey, where)
    earlier = [whole(name) for name in args.checkpoint]
    receipts = whole(args.receipts).decode("utf-8", "replace").split("\n") if args.receipts else []
    progress = Progress("records")
    try:
        report = verify(
            where,
            given,
            earlier=earlier,
            receipts=receipts,
            cosigned=_cosigned(args, asked, where),
            keys=beside,
            progress=progress,
        )
    except (EvidenceError, OSError) as error:
        raise Failure(str(error)) from error
    finally:
        progress.end()
    if args.output == "json":
        emit_json(_members(report))
    else:
        _say(report)
    return report.code


def _cosigned(args: argparse.Namespace, asked: Policy | None, where: Path) -> Cosigned | None:
    """What is asked of witnesses. How old a copy is says nothing, unless it is asked."""
    from pdp.audit.checking.cosigned import Cosigned

    if asked is None:
        return None
    within = args.within if args.within is not None else DAY if (where / "state").is_dir() else None
    return Cosigned(asked, int(time.time()), within)


def _say(report: Report) -> None:
    colour = paint()
    told: Counter[str] = Counter()
    for each in report.findings:
        told[each.kind.word] += 1
        if told[each.kind.word] <= SHOWN:
            print(f"{colour('red', each.kind.word)}: {printable(str(each))}")
    for word, number in told.items():
        if number > SHOWN:
            print(f"{colour('red', word)}: and {number - SHOWN} more; --output json has them")
    if report.findings:
        print(f"{count(len(report.findings), 'finding')}, exit code {report.code}")
    if report.size or not report.findings:
        print(
            f"{printable(report.origin)}: {count(report.size, 'record')} under a checkpoint that verifies,"
            f" {count(report.checkpoints, 'checkpoint')}, {count(report.streams, 'stream')}"
        )
        print(f"root {report.root.hex()}")
    for gone in report.pruned:
        hashes = "their hashes are there" if gone.hashes else "with their hashes"
        print(
            f"pruned: records below {gone.min_index}, older than {printable(gone.before)}, {hashes};"
            f" {count(sum(last - first + 1 for first, last in gone.kept), 'bundle')} of them stayed"
            f" (record {gone.index}, {printable(gone.record)}, by {printable(gone.by)} at {printable(gone.at)})"
        )
    if report.cosigned is not None and report.cosigned[0] >= 0:
        size, at = report.cosigned
        print(f"cosigned by enough witnesses: {count(size, 'record')}, at {moment(at)}")
    if report.live:
        print(f"{count(report.waiting, 'record')} in the write-ahead log, not sealed yet")
    else:
        print("only sealed files are here: no write-ahead log, no state of the sealer", file=sys.stderr)
    if not report.findings:
        print(colour("green", "nothing was changed"))


def _members(report: Report) -> dict[str, Any]:
    return {
        "origin": report.origin,
        "size": report.size,
        "root": report.root.hex(),
        "checkpoints": report.checkpoints,
        "streams": report.streams,
        "waiting": report.waiting,
        "only_sealed_files": not report.live,
        "pruned": [
            {"min_index": each.min_index, "before": each.before, "hashes": each.hashes, "kept": each.kept}
            | {"record": each.record, "index": each.index, "by": each.by, "at": each.at}
            for each in report.pruned
        ],
        "cosigned": None if report.cosigned is None else {"size": report.cosigned[0], "at": report.cosigned[1]},
        "exit_code": report.code,
        "clock_steps": report.clock_steps,
        "findings": [
            {"kind": each.kind.word, "code": each.kind.code, "message": str(each), "index": each.index}
            for each in report.findings
        ],
    }
