"""`pdp audit check-proof`: does the file prove what it says? Needs no log."""

from __future__ import annotations

import argparse
from typing import Any

from pdp.cli.auditing import add_keys, keys
from pdp.cli.cosigning import add_policy, moment, policy
from pdp.cli.failure import FINDINGS, FINE, Failure
from pdp.cli.reading import raw
from pdp.cli.terminal import paint, printable


def add(verbs: Any) -> None:
    parser = verbs.add_parser(
        "check-proof",
        help="check the proof of a decision, and print its record",
        description="Check a .tlog-proof file with public keys alone, and print the record that it proves.",
        epilog="exit codes: 0 proven, 1 not proven, 2 usage",
    )
    parser.add_argument("file", metavar="FILE", help="a .tlog-proof file")
    add_keys(parser)
    add_policy(parser)


def run(args: argparse.Namespace) -> int:
    from pdp.audit.checking import proof
    from pdp.audit.tree.merkle import ProofError

    asked = policy(args)
    given = keys(args.vkey) + (list(asked.logs) if asked is not None else [])
    if not given:
        raise Failure("no key of a log is given", "--vkey KEY, or --policy FILE with a line `log KEY`")
    try:
        proven = proof.check(raw(args.file, proof.MAX_BYTES), given, asked)
    except ProofError as error:
        raise Failure(f"not proven: {error}", code=FINDINGS) from error
    print(printable(proven.record.decode("utf-8", "replace")))
    head = proven.checkpoint
    said = f"proven: record {proven.index} of {head.size} in {printable(head.origin)}"
    print(f"{paint()('green', said)}, signed by {', '.join(printable(each.name) for each in proven.signers)}")
    for each in proven.witnesses:
        print(f"cosigned by {printable(each.by.name)} at {moment(each.at)}")
    return FINE
