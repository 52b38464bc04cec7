"""`pdp`: finds the subcommand, runs it, and turns what goes wrong into one message and an exit code.

Nothing but argparse is imported before a subcommand is chosen, so that `pdp --help` is instant.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from pdp.cli.failure import INTERRUPTED, PIPE_CLOSED, Failure

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

COMMANDS: Final[dict[str, str]] = {
    "check": "check a policy set: names, types, rules, data and tests",
    "format": "write policy files in their canonical form",
    "eval": "decide one request, as the service would",
    "explain": "decide one request, say why, and what would change the answer",
    "test": "run the tests of a policy set and measure their coverage",
    "routes": "list the routes, or say what an HTTP request maps to",
    "lint-proxy": "find what in a proxy's configuration lets a request past the check",
    "serve": "run the service",
    "audit": "the audit log: is it whole, who saw whom, reports, reviews, misuse, keys, retention",
    "revoke": "end the sessions of somebody, a session, a token, or the tokens of a client",
    "version": "print the versions",
}
"""Subcommand -> what it does. Each is a module beside this one, with `add(subparsers)` and `run(args)`."""

_MODULES: Final = {"eval": "evaluate", "lint-proxy": "lint_proxy"}  # `eval` would hide the builtin, `-` is no name
_EPILOGUE: Final = (
    "exit codes: 0 fine, 1 findings or failed tests, 2 usage, 3 the policy set does not check; `pdp audit VERB --help`"
    " says which more that verb has"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Never raises but SystemExit of argparse (0 or 2)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    _escape_what_the_terminal_cannot_show()
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except Failure as failure:
        _complain(failure)
        return failure.code
    except KeyboardInterrupt:
        print("\npdp: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (`| head`) has gone. What is left in the buffer must not raise again when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    return code


def _run(arguments: list[str]) -> int:
    chosen = next((each for each in arguments if not each.startswith("-")), "")
    parser = _parser(chosen)
    args, wrong = parser.parse_known_args(arguments)
    if wrong:
        _innermost(parser, args).error(f"unrecognized arguments: {' '.join(wrong)}")
    if not args.command:
        parser.print_help()
        return 0
    return int(_module(args.command).run(args))


def _innermost(parser: argparse.ArgumentParser, args: argparse.Namespace) -> argparse.ArgumentParser:
    """The parser of the verb that was chosen: its usage helps, that of `pdp` does not."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            nested = action.choices.get(getattr(args, action.dest, None) or "")
            if nested is not None:
                return _innermost(nested, args)
    return parser


def _parser(chosen: str) -> argparse.ArgumentParser:
    """The parser; only the chosen command's module is imported and says its own options."""
    parser = argparse.ArgumentParser(
        prog="pdp", description="Chaperone: decides who may see which patient data, and says why.", epilog=_EPILOGUE
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the versions and stop")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands", prog="pdp")
    if chosen and chosen not in COMMANDS:
        _unknown(parser, chosen)
    for name, summary in COMMANDS.items():
        if name == chosen:
            _module(name).add(subparsers)
        else:
            subparsers.add_parser(name, help=summary)
    return parser


def _module(command: str) -> Any:
    """The command's module: the one place where a name becomes an import."""
    return import_module(f"pdp.cli.{_MODULES.get(command, command)}")


def _unknown(parser: argparse.ArgumentParser, chosen: str) -> None:
    from difflib import get_close_matches

    close = get_close_matches(chosen, COMMANDS, 1)
    parser.error(
        f"no command {chosen!r}" + (f"; did you mean {close[0]!r}?" if close else f"; try {', '.join(COMMANDS)}")
    )


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(_module("version").text())
        parser.exit(0)


def _complain(failure: Failure) -> None:
    sys.stdout.flush()
    print(f"pdp: {failure.message}", file=sys.stderr)
    if failure.hint:
        print(f"     hint: {failure.hint}", file=sys.stderr)


def _escape_what_the_terminal_cannot_show() -> None:
    """A policy text that the terminal's encoding lacks is printed escaped, not refused with a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
