"""`pdp audit reconcile`: was everything that a proxy served decided, and everything that was allowed seen?"""

from __future__ import annotations

import argparse
import gzip
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from pdp.cli.auditing import Progress, directory, recorded
from pdp.cli.failure import FINDINGS, FINE, Failure
from pdp.cli.given import add_form
from pdp.cli.terminal import count, emit_json, paint, printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from pdp.audit.asking.period import Period
    from pdp.audit.reports.accesslog import Values
    from pdp.audit.reports.reconcile import Mismatch, Reconciled, Reconciliation

SHOWN: Final = 40
MOST: Final = 10_000


def add(verbs: Any) -> None:
    parser = verbs.add_parser(
        "reconcile",
        help="compare the access log of a proxy with the decisions, both ways",
        description=(
            "Compare the access log of a proxy with the log of decisions: each request that passed needs a decision\n"
            "and its sealed record, and each decision that allowed needs a request."
        ),
        epilog="exit codes: 0 all fits, 1 findings, 2 usage",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--directory", metavar="DIR", default="", help="the audit directory (else as the settings say)")
    parser.add_argument("--access-log", required=True, metavar="FILE", help="`-` is standard input; `.gz` is unpacked")
    parser.add_argument("--format", choices=("envoy-json", "nginx", "regex"), default="envoy-json")
    parser.add_argument(
        "--pattern",
        metavar="REGEX",
        help="with `--format regex`: fits a whole line; groups time, status, decision, and receipt, details, effect",
    )
    parser.add_argument("--from", dest="begin", default="", metavar="TIME", help="2026-03-04 or 2026-03-04T08:00:00Z")
    parser.add_argument("--to", dest="end", default="", metavar="TIME", help="all of it is meant: 2026-03 is the month")
    parser.add_argument(
        "--pep",
        action="append",
        default=[],
        metavar="NAME",
        help="the enforcement point whose log this is; several times; without it: those that the lines name",
    )
    parser.add_argument(
        "--delay", type=int, default=60, metavar="SECONDS", help="within which a record has to be sealed; 60"
    )
    parser.add_argument("--ids-only", action="store_true", help="lines have no receipts: their decision ids are enough")
    add_form(parser, "json")


def run(args: argparse.Namespace) -> int:
    from pdp.audit.evidence import EvidenceError
    from pdp.audit.reports.accesslog import lines
    from pdp.audit.reports.reconcile import Reconciliation

    now = time.time_ns() // 1_000
    period, read = _period(args, now), _reader(args)
    if not 0 < args.delay <= 86_400:
        raise Failure("--delay: from 1 to 86400 seconds")
    where = directory(args.directory)
    asked = {"from": args.begin, "to": args.end, "pep": args.pep, "format": args.format}
    recorded(where, "audit.read", {"verb": "reconcile", "asked": asked})
    found = Reconciliation(
        where, period=period, peps=args.pep, now=now, delay_seconds=args.delay, receipts=not args.ids_only
    )
    progress = Progress("records")
    try:
        found.read(lines(_data(args.access_log), read))
        found.compare(progress)
        progress.end()
        if args.output == "json":
            emit_json(_members(found))
        else:
            _say(found)
    except EvidenceError as error:
        raise Failure(str(error), "`pdp audit verify` says more", FINDINGS) from error
    except (OSError, EOFError) as error:
        raise Failure(f"{args.access_log}: {getattr(error, 'strerror', None) or 'cannot be read'}") from error
    finally:
        found.close()
    return FINDINGS if found.result.counts else FINE


def _period(args: argparse.Namespace, now: int) -> Period:
    from pdp.audit.asking.period import BadPeriod, period

    try:
        return period(now, begin=args.begin, end=args.end)
    except BadPeriod as error:
        raise Failure(str(error)) from error


def _reader(args: argparse.Namespace) -> Callable[[bytes], Values]:
    from pdp.audit.reports import accesslog

    if (args.format == "regex") != (args.pattern is not None):
        raise Failure("--format regex and --pattern go together")
    if args.format == "envoy-json":
        return accesslog.envoy
    try:
        return accesslog.pattern(args.pattern or accesslog.NGINX)
    except accesslog.PatternError as error:
        raise Failure(f"--pattern: {error}") from error


def _data(name: str) -> Iterator[bytes]:
    """Line by line, none of them longer in memory than it may be."""
    from pdp.audit.reports.accesslog import MAX_BYTES

    with sys.stdin.buffer if name == "-" else _opened(name) as file:
        long = False
        while data := file.readline(MAX_BYTES + 2):
            if not long:
                yield data
            long = not data.endswith(b"\n")  # The rest of a line that was too long was said already.


def _opened(name: str) -> BinaryIO:
    return gzip.open(name) if name.endswith(".gz") else Path(name).open("rb")  # type: ignore[return-value]


def _say(found: Reconciliation) -> None:
    from datetime import UTC

    from pdp.audit.asking.period import shown
    from pdp.audit.reports.reconcile import SENTENCES

    colour, result = paint(), found.result
    for each in found.findings(SHOWN):
        where = f"line {each.line}" if each.line else f"record {each.index}" if each.index is not None else "a record"
        at = shown(each.at, UTC) if each.at else ""
        parts = [where, each.decision, at, each.why]
        print(f"{colour('red', each.kind)}: {', '.join(printable(part) for part in parts if part)}")
    for kind, number in sorted(result.counts.items()):
        print(f"{number:>8,} {kind}: {SENTENCES[kind]}")
    print(_sentence(result))
    if not result.counts:
        print(colour("green", "all fits"))


def _sentence(result: Reconciled) -> str:
    peps = ", ".join(map(printable, result.peps)) or "no enforcement point"
    return (
        f"{count(result.lines, 'line')}, {result.passed} of them passed, {result.matched} with their decision;"
        f" {count(result.records, 'decision')} of {peps}"
    )


def _members(found: Reconciliation) -> dict[str, Any]:
    result = found.result
    return {
        "lines": result.lines,
        "passed": result.passed,
        "matched": result.matched,
        "decisions": result.records,
        "peps": list(result.peps),
        "counts": dict(sorted(result.counts.items())),
        "findings": [_finding(each) for each in found.findings(MOST)],
    }


def _finding(each: Mismatch) -> dict[str, Any]:
    from pdp.audit.record import stamp

    said: dict[str, Any] = {"kind": each.kind, "why": each.why}
    if each.line:
        said["line"] = each.line
    if each.decision:
        said["decision"] = each.decision
    if each.at:
        said["at"] = stamp(each.at)
    if each.index is not None:
        said["index"] = each.index
    return said
