"""`pdp audit witness`: a server, in other hands than the log's, that cosigns what continues all that it saw before."""

from __future__ import annotations

import argparse
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdp.cli.failure import FINE, Failure

if TYPE_CHECKING:
    from pdp.audit.tree.note import VerifierKey


def add(verbs: Any) -> None:
    parser = verbs.add_parser(
        "witness",
        help="run a witness, which cosigns the checkpoints of logs",
        description=(
            "Run a witness (c2sp.org/tlog-witness), in other hands than the logs: it cosigns a checkpoint when it\n"
            "continues every one that it saw before, and refuses forks and logs that were set back."
        ),
        epilog="exit codes: 0 ended as asked, 2 usage, or what it names cannot be used",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--listen", default="127.0.0.1:8383", metavar="HOST:PORT", help="127.0.0.1:8383 by default")
    parser.add_argument("--state", required=True, metavar="DIR", help="what was seen; never set it back")
    parser.add_argument(
        "--origin",
        action="append",
        required=True,
        metavar="NAME=VKEY",
        help="a log that is watched, and its key; may be given several times, also for one log",
    )
    parser.add_argument("--key", required=True, metavar="FILE", help="the private key; made (0600) if it is not there")
    parser.add_argument("--name", default="", help="of the witness; `witness.` and the host's by default")


def run(args: argparse.Namespace) -> int:
    from pdp.audit.checking.witness import Witness
    from pdp.audit.evidence import EvidenceError
    from pdp.audit.journal.files import Files
    from pdp.audit.tree.keys import kept
    from pdp.audit.tree.note import valid_name
    from pdp.config.reading import address
    from pdp.serve import witness_server

    name = args.name or f"witness.{socket.gethostname()}"
    if not valid_name(name):
        raise Failure("--name: a name has neither spaces nor `+`")
    try:
        where = address(args.listen, Path())
        witness = Witness(Path(args.state), name, kept(Path(args.key), Files()), _origins(args.origin))
        print(f"pdp: the witness is {witness.key}", file=sys.stderr)
        witness_server.run(where, witness)
    except ValueError as error:
        raise Failure(f"--listen: {error}") from error
    except EvidenceError as error:
        raise Failure(str(error)) from error
    except OSError as error:
        raise Failure(f"{args.listen}: {error.strerror}") from error
    return FINE


def _origins(given: list[str]) -> dict[str, list[VerifierKey]]:
    from pdp.audit.tree.note import NoteError, vkey

    found: dict[str, list[VerifierKey]] = {}
    for each in given:
        origin, _, key = each.partition("=")
        try:
            found.setdefault(origin, []).append(vkey(key))
        except NoteError as error:
            hint = "it looks like `pdp.example/host-1=pdp.example/host-1+1a2b3c4d+AbC..`"
            raise Failure(f"--origin: {error}", hint) from error
    return found
