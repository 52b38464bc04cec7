"""`pdp audit`: is the log whole, and what does it prove? One small module for each verb beside this one."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import TYPE_CHECKING, Final

from pdp.cli.failure import USAGE

if TYPE_CHECKING:
    from pdp.cli.main import Subparsers

VERBS: Final = {
    "verify": "audit_verify",
    "prove": "audit_prove",
    "check-proof": "audit_check_proof",
    "keys": "audit_keys",
    "repair": "audit_repair",
    "witness": "audit_witness",
    "reconcile": "audit_reconcile",
    "retain": "audit_retain",
    "export": "audit_export",
    "ship": "audit_ship",
    "query": "audit_query",
    "report": "audit_report",
    "review": "audit_review",
    "disclosure": "audit_disclosure",
    "detect": "audit_detect",
    "case": "audit_case",
    "timeline": "audit_timeline",
    "tail": "audit_tail",
    "index": "audit_index",
}


def add(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "audit",
        help="the audit log: is it whole, who saw whom, reports, reviews, misuse, keys, retention",
        description=(
            "The audit log. `verify`, `check-proof` and `report check` need public keys alone; what reads the log puts"
            " on record first that it was read. Docs: docs/audit.md, and the pages that it names."
        ),
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs")
    for module in VERBS.values():
        import_module(f"pdp.cli.{module}").add(verbs)
    parser.set_defaults(parser=parser)


def run(args: argparse.Namespace) -> int:
    if not args.verb:
        args.parser.print_help()
        return USAGE
    code: int = import_module(f"pdp.cli.{VERBS[args.verb]}").run(args)
    return code
