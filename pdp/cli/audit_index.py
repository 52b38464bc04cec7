"""`pdp audit index`: makes the index that queries look into first, or compares it with the log."""

from __future__ import annotations

import argparse
import sys
from typing import Any, Final

from pdp.cli.auditing import Progress, add_directory, directory, recorded
from pdp.cli.failure import FINDINGS, FINE, USAGE, Failure

SHOWN: Final = 20


def add(verbs: Any) -> None:
    parser = verbs.add_parser(
        "index",
        help="make the index that queries use, or compare it with the log",
        description="Make parquet files of the clear parts of sealed records, with DuckDB. They can be deleted.",
        epilog="exit codes: 0 made, or the same as the log; 1 --check found a difference; 2 usage, or no DuckDB",
    )
    add_directory(parser)
    parser.add_argument("--check", action="store_true", help="compare each row with the log; change nothing")
    parser.set_defaults(parser=parser)


def run(args: argparse.Namespace) -> int:
    from pdp.audit.asking import index
    from pdp.audit.evidence import EvidenceError
    from pdp.audit.leaf import sealed_size

    where = directory(args.directory)
    recorded(where, "audit.read", {"verb": "index", "check": args.check})
    progress = Progress("records")
    try:
        if args.check:
            return _checked(index.read(where, sealed_size(where)), progress)
        made = index.build(where, progress)
    except index.NotUsable as error:
        raise Failure(f"the index: {error}", code=FINDINGS if args.check else USAGE) from error
    except EvidenceError as error:
        raise Failure(str(error), "`pdp audit verify` says more") from error
    finally:
        progress.end()
    size = sum((where / index.DIRECTORY / each.name).stat().st_size for each in made.files)
    print(f"{made.size:,} sealed records are in the index, {size / 1_048_576:.1f} MiB")
    return FINE


def _checked(found: Any, progress: Progress) -> int:
    from pdp.audit.asking import index

    count = 0
    for count, each in enumerate(index.differences(found, progress), 1):
        if count <= SHOWN:
            print(each)
    if count:
        print(f"{count:,} differences: delete the index, and ask who changed it", file=sys.stderr)
        return FINDINGS
    print(f"the index says what the first {found.size:,} records of the log say")
    return FINE
