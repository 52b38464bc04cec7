"""`pdp audit prove`: a file that proves one decision to whoever has the public key."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any, Final

from pdp.cli.auditing import Progress, add_keys, directory, keys_or_own
from pdp.cli.cosigning import add_policy, policy
from pdp.cli.failure import FINDINGS, FINE, Failure

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def add(verbs: Any) -> None:
    parser = verbs.add_parser(
        "prove",
        help="write the proof of a decision to a file",
        description="Write a .tlog-proof file (c2sp.org/tlog-proof) for each record of a decision, with the record.",
        epilog="exit codes: 0 written, 1 there is no such record, or the log was changed, 2 usage",
    )
    parser.add_argument("decision", metavar="DECISION_ID", help="as in `x-pdp-decision`")
    parser.add_argument("--directory", metavar="DIR", default="", help="the audit directory (else as the settings say)")
    parser.add_argument("--to", metavar="DIR", default=".", help="where the file is written; here by default")
    add_keys(parser)
    add_policy(parser)


def run(args: argparse.Namespace) -> int:
    from pdp.audit.checking import proof
    from pdp.audit.evidence import EvidenceError

    if not _NAME.fullmatch(args.decision):
        raise Failure("that is no id of a decision", "it is what `x-pdp-decision` says")
    asked = policy(args)
    where = directory(args.directory)
    keys = keys_or_own(args.vkey, where)
    log = where / "log" if (where / "log").is_dir() else where
    progress = Progress("records")
    try:
        _, head = proof.published(log, keys)
        found = list(proof.find(log, head.size, args.decision, progress))
        progress.end()
        if not found:
            raise Failure(_absent(where, args.decision), code=FINDINGS)
        for index, record in found:
            name = args.decision if len(found) == 1 else f"{args.decision}.{index}"
            path = Path(args.to) / f"{name}.tlog-proof"
            file = proof.prove(log, index, record, keys, asked)
            path.write_bytes(file)
            print(f"{path}: record {index} of {proof.check(file, keys).checkpoint.size}")
    except EvidenceError as error:
        raise Failure(str(error), "`pdp audit verify` says more", FINDINGS) from error
    except OSError as error:
        raise Failure(f"{args.to}: {error.strerror}") from error
    return FINE


def _absent(where: Path, identifier: str) -> str:
    """Nowhere, or not sealed yet?"""
    from pdp.audit.journal import reader
    from pdp.audit.journal.reader import Corrupt

    wanted = f'"id":"{identifier}"'.encode()
    for slot in reader.slots(where):
        try:
            if any(wanted in frame.payload for _, frame in slot.frames()):
                return f"{identifier} is recorded and not sealed yet; ask again in a moment"
        except Corrupt:
            continue
    return f"there is no record of {identifier}"
