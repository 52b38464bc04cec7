"""`pdp audit export`: records in the words of other systems, one to a line."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from pdp.cli.auditing import Progress, add_directory, directory, opener, recorded
from pdp.cli.failure import FINDINGS, FINE, Failure
from pdp.cli.reporting import add_period, clock, period
from pdp.cli.terminal import printable

if TYPE_CHECKING:
    from pdp.audit.leaf import Leaf

FORMATS: Final = ("raw", "ocsf", "ecs", "fhir", "fhir-access", "cef", "csv")
QUIET: Final = frozenset({"heartbeat"})
"""Left out unless they are asked for with `--kind`."""


def add(verbs: Any) -> None:
    parser = verbs.add_parser(
        "export",
        help="records for a SIEM or an audit record repository: OCSF, ECS, FHIR AuditEvent, CEF, CSV",
        description="Write records in the words of another system, one to a line, in the order of the log. What leaves "
        "are pseudonyms, unless --identities says otherwise.",
        epilog="exit codes: 0 all of them, 1 some identities could not be opened, or records say no time, 2 usage",
    )
    parser.add_argument("--format", choices=FORMATS, required=True, help="what they are written as")
    add_period(parser)
    parser.add_argument("--first", metavar="INDEX", type=_index, default=0, help="begin at this place of the log")
    parser.add_argument("--kind", action="append", default=[], metavar="KIND", help="only these (such as `decision`)")
    parser.add_argument("--sealed", action="store_true", help="only what is sealed, and can be proven")
    parser.add_argument("--identities", action="store_true", help="REAL ids of patients and resources, where they open")
    parser.add_argument("--to-file", metavar="FILE", default="", help="a new file, for its owner alone (else stdout)")
    add_directory(parser)


def run(args: argparse.Namespace) -> int:
    from pdp.audit.evidence import EvidenceError
    from pdp.audit.export import InClear, encoder, header
    from pdp.audit.leaf import CLEAR, PLAIN, leaves

    where = directory(args.directory)
    wanted = period(args, clock())
    opens = opener(where, args) if args.identities else PLAIN
    asked = {"format": args.format, "period": wanted.text, "first": args.first, "identities": args.identities}
    recorded(where, "audit.read", {"verb": "export", "asked": asked | ({"kinds": args.kind} if args.kind else {})})
    make, progress = encoder(args.format, args.identities), Progress("records")
    written = locked = timeless = 0
    following = args.first
    try:
        with _to(args.to_file) as write:
            if header(args.format):
                write(header(args.format))
            for leaf in leaves(where, opens, first=args.first, unsealed=not args.sealed, progress=progress):
                following = max(following, (leaf.index if leaf.index is not None else -1) + 1)
                if not _of_kind(leaf, args.kind):
                    continue
                if leaf.time not in wanted:
                    timeless += not leaf.time
                    continue
                line = make(leaf)
                if line:
                    write(line)
                    written += 1
                    locked += args.identities and leaf.opened != CLEAR
    except InClear as error:
        raise Failure(str(error), "--identities, where that is meant") from error
    except EvidenceError as error:
        raise Failure(str(error), "`pdp audit verify` says more", FINDINGS) from error
    finally:
        progress.end()
    print(f"pdp: {written} records, {wanted.text}; the next one sealed is --first {following}", file=sys.stderr)
    _pruned(where, args.first)
    if timeless:
        print(
            f"pdp: {timeless} records say no time, and are not among them: they may be of this period", file=sys.stderr
        )
    if locked:
        print(f"pdp: of {locked} the identities could not be opened: erased, or no key", file=sys.stderr)
    return FINDINGS if locked or timeless else FINE


def _pruned(where: Path, first: int) -> None:
    """What is not there any more is in no export."""
    from pdp.audit.leaf import LOG
    from pdp.audit.tree.pruned import read

    gone = read(where / LOG)
    if gone.min_index > first:
        print(f"pdp: records older than {printable(gone.before)} were pruned, below {gone.min_index}", file=sys.stderr)


def _of_kind(leaf: Leaf, kinds: list[str]) -> bool:
    return leaf.kind in kinds if kinds else leaf.kind not in QUIET


@contextmanager
def _to(name: str) -> Iterator[Callable[[bytes], None]]:
    """Writes lines. A file is there under its name only once it is whole."""
    if not name:
        yield _lines(sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    path, making = Path(name), Path(f"{name}.part")
    if path.exists():
        raise Failure(f"{name} is there already", "name a new file")
    try:
        with os.fdopen(os.open(making, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as file:
            yield _lines(file)
            file.flush()
            os.fsync(file.fileno())
        making.rename(path)
    except OSError as error:
        raise Failure(f"{name}: {error.strerror}") from error
    finally:
        making.unlink(missing_ok=True)


def _lines(file: IO[bytes]) -> Callable[[bytes], None]:
    def write(line: bytes) -> None:
        file.write(line)
        file.write(b"\n")

    return write


def _index(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("an index is 0 or more")
    return number
