"""`pdp audit query`: who saw this patient in March, and were they allowed to? And a proof of each line."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdp.cli.audit_filters import (
    Out,
    add_filters,
    add_reading,
    asked_of,
    looked_up,
    made,
    on_record,
    proof_name,
    record_of,
    say,
    summary,
)
from pdp.cli.auditing import Progress, add_directory, add_keys, directory, keys_or_own, opener, recorded
from pdp.cli.failure import FINE, INCOMPLETE, Failure
from pdp.cli.terminal import paint

if TYPE_CHECKING:
    from pdp.audit.note import VerifierKey
    from pdp.audit.row import Row


def add(verbs: Any) -> None:
    parser = verbs.add_parser(
        "query",
        help="the records that fit: who saw a patient, what somebody did, what a rule let through",
        description="Find records by patient, subject, resource, rule, period and so on, and prove each line.",
        epilog="exit codes: 0 answered, also with no row; 2 usage; 4 some records could not be judged, or proven",
    )
    add_filters(parser)
    add_directory(parser)
    parser.add_argument("--limit", metavar="N", type=int, default=0, help="show so many; the others are counted")
    parser.add_argument("--output", choices=("text", "json", "csv"), default="text")
    parser.add_argument("--prove", metavar="DIR", default="", help="write a proof of each line there, and a summary")
    add_reading(parser)
    add_keys(parser)
    parser.set_defaults(parser=parser)


def run(args: argparse.Namespace) -> int:
    from pdp.audit.evidence import EvidenceError
    from pdp.audit.query import search
    from pdp.audit.row import row

    asked, where = asked_of(args), directory(args.directory)
    keys = keys_or_own(args.vkey, where) if args.prove else []
    proofs = made(args.prove) if args.prove else None
    opens = opener(where, args)
    said, detail = on_record(asked, opens)
    recorded(where, "audit.read", {"verb": "query", "asked": said}, detail)
    assert asked.period is not None
    progress = Progress("records")
    looked = search(where, asked, opens, thorough=args.whole, progress=progress)
    out = Out(args.output, asked.period.zone, paint())
    kept: list[tuple[Row, bytes]] = []
    try:
        for leaf in looked.hits(index=looked_up(args, where, looked)):
            found = row(leaf, asked.patient_type)
            if not args.limit or out.rows < args.limit:
                out.row(found)
                if proofs is not None:
                    kept.append((found, leaf.payload))
        progress.end()
    except EvidenceError as error:
        raise Failure(str(error), "`pdp audit verify` says more", INCOMPLETE) from error
    tally, period = looked.tally, asked.period
    more = summary(tally, period.zone, period.text, out.rows)
    unproven = 0
    if proofs is not None:
        unproven = _prove(where, proofs, kept, keys, {"question": said, **more})
        more["not_proven"] = unproven
    out.end(more)
    if args.output != "json":
        say(tally, period.zone, args.zone, period.text, out.rows, paint(sys.stderr))
    return FINE if tally.whole and not unproven else INCOMPLETE


def _prove(where: Path, to: Path, kept: list[tuple[Row, bytes]], keys: list[VerifierKey], said: dict[str, Any]) -> int:
    """Write the proofs and what they belong to; how many lines have none yet."""
    from pdp.audit import merkle, proof
    from pdp.audit.evidence import EvidenceError

    log, lines, missing = where / "log", list[dict[str, Any]](), 0
    try:
        note, head = proof.published(log, keys)
        for found, payload in kept:
            name = None
            if found.index is not None and found.index < head.size:
                name = proof_name(found)
                (to / name).write_bytes(proof.prove(log, found.index, payload, keys))
            else:
                missing += 1
            lines.append({"proof": name, "leaf_hash": merkle.leaf(payload).hex(), **record_of(found)})
        told = {
            "checkpoint": note.decode("utf-8", "replace"),
            "size": head.size,
            "root": head.root.hex(),
            "keys": [str(each) for each in keys],
            **said,
            "not_proven": missing,
            "lines": lines,
        }
        (to / "summary.json").write_text(json.dumps(told, indent=1), "utf-8")
    except EvidenceError as error:
        raise Failure(str(error), "`pdp audit verify` says more", INCOMPLETE) from error
    except OSError as error:
        raise Failure(f"{to}: {error.strerror}") from error
    print(f"{len(lines) - missing:,} proofs and summary.json are in {to}", file=sys.stderr)
    if missing:
        print(f"{missing:,} lines are not sealed yet and have no proof: ask again in a moment", file=sys.stderr)
    return missing
