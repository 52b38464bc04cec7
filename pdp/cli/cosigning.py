"""What verbs of `pdp audit` share that ask for cosignatures: which witnesses, and how many of them are enough."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from pdp.cli.failure import Failure
from pdp.cli.reading import raw

if TYPE_CHECKING:
    from pdp.audit.tree.policy import Policy

MAX_BYTES: Final = 1 << 20
_LATEST: Final = 253_402_300_799


def add_policy(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--witness",
        action="append",
        default=[],
        metavar="KEY",
        help="the verifier key of a witness, whose cosignature counts; may be given several times",
    )
    parser.add_argument(
        "--quorum", type=int, metavar="N", help="so many of the witnesses are enough; all of them by default"
    )
    parser.add_argument(
        "--policy", metavar="FILE", help="the same as a policy file (c2sp.org/tlog-policy), with the keys of logs"
    )


def policy(args: argparse.Namespace) -> Policy | None:
    """What is asked of witnesses; None: nothing. Raises Failure."""
    from pdp.audit.tree.cosign import cosigner
    from pdp.audit.tree.note import NoteError
    from pdp.audit.tree.policy import PolicyError, parse, quorum

    if args.policy and (args.witness or args.quorum is not None):
        raise Failure("--policy says which witnesses there are, and how many are enough: --witness and --quorum do not")
    try:
        if args.policy:
            return parse(raw(args.policy, MAX_BYTES))
        if args.quorum is not None and not args.witness:
            raise Failure("--quorum: of which witnesses?", "--witness KEY, once for each")
        witnesses = [cosigner(each) for each in args.witness]
        return quorum(witnesses, len(witnesses) if args.quorum is None else args.quorum) if witnesses else None
    except PolicyError as error:
        raise Failure(f"{args.policy or '--quorum'}: {error}") from error
    except NoteError as error:
        raise Failure(f"--witness: {error}", "`pdp audit witness` says its key when it starts") from error


def moment(seconds: int) -> str:
    """For people; a time that no calendar has stays a number."""
    if not 0 <= seconds <= _LATEST:
        return str(seconds)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
