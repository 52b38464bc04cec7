"""`pdp audit report`: what an officer, an auditor and a patient ask of the log. One small module for each report."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import Any, Final

from pdp.cli.failure import USAGE

REPORTS: Final = {
    "access": "report_access",
    "disclosures": "report_disclosures",
    "suspend": "report_suspend",
    "activity": "report_activity",
    "incident": "report_incident",
    "evidence": "report_evidence",
    "check": "report_check",
}


def add(verbs: Any) -> None:
    parser = verbs.add_parser(
        "report",
        help="who saw a patient, what was disclosed, what went on, and the evidence of a period",
        description="Reports over the audit log. That a report was made is a record of the log.",
    )
    reports = parser.add_subparsers(dest="report", metavar="REPORT", title="reports")
    for module in REPORTS.values():
        import_module(f"pdp.cli.{module}").add(reports)
    parser.set_defaults(report_parser=parser)


def run(args: argparse.Namespace) -> int:
    if not args.report:
        args.report_parser.print_help()
        return USAGE
    code: int = import_module(f"pdp.cli.{REPORTS[args.report]}").run(args)
    return code
