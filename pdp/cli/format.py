"""`pdp format`: policy files in their one canonical form, comments kept."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pdp.cli.failure import FINDINGS, FINE, UNCHECKED, Failure
from pdp.cli.loading import diagnosed
from pdp.cli.reading import MAX_FILE_BYTES, policy_files, source, unreadable
from pdp.cli.terminal import count, paint
from pdp.diagnostics.diagnostic import Diagnostic, PolicyError
from pdp.diagnostics.source import Source

if TYPE_CHECKING:
    from pdp.cli.main import Subparsers


def add(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "format",
        help="write policy files in their canonical form",
        description="Write policy files in their canonical form. A file that does not parse is left alone.",
    )
    parser.add_argument("paths", metavar="PATH", nargs="*", help="policy files, or directories of them")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a file would change")
    parser.add_argument("--diff", action="store_true", help="write nothing; show what would change")
    parser.add_argument("--stdin", action="store_true", help="format standard input to standard output")


def run(args: argparse.Namespace) -> int:
    if args.stdin and args.paths:
        raise Failure("--stdin takes no files")
    if not args.stdin and not args.paths:
        raise Failure("give files or directories to format, or --stdin")
    with diagnosed():
        return _stdin(args) if args.stdin else _files(args)


def _files(args: argparse.Namespace) -> int:
    """Every file that parses is formatted; what does not is said at the end. Raises PolicyError."""
    broken: list[Diagnostic] = []
    changed = files = 0
    for path in [file for each in args.paths for file in policy_files(each, broken)]:
        files += 1
        try:
            changed += _file(path, args, broken)
        except PolicyError as error:
            broken.extend(error.diagnostics)
    if broken:
        raise PolicyError(broken)
    if not args.diff:
        verb = "would change" if args.check else "changed"
        print(f"{count(changed, 'file')} {verb}, {count(files - changed, 'file')} as they should be")
    return FINDINGS if changed and args.check else FINE


def _file(path: Path, args: argparse.Namespace, broken: list[Diagnostic]) -> bool:
    """Would the file change? Unless told not to, it does."""
    before = source(path, broken)
    after = "" if before is None else formatted(before)
    if before is None or after == before.text:
        return False
    if args.diff:
        _show_difference(before, after)
    elif args.check:
        print(f"would change {path}")
    else:
        _replace(str(path), after)
        print(f"changed {path}")
    return True


def _stdin(args: argparse.Namespace) -> int:
    data = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise Failure("standard input is larger than 1 MiB", code=UNCHECKED)
    try:
        before = Source("<stdin>", data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise Failure(f"standard input is not UTF-8 text (byte {error.start})", code=UNCHECKED) from error
    after = formatted(before)
    if args.diff:
        _show_difference(before, after)
    elif not args.check:
        sys.stdout.write(after)
    return FINDINGS if args.check and after != before.text else FINE


def formatted(before: Source) -> str:
    """The canonical text. Raises PolicyError."""
    from pdp.language.format import module
    from pdp.language.parse import policy

    return module(policy(before))


def _show_difference(before: Source, after: str) -> None:
    colour = paint()
    colours = {"+": "green", "-": "red", "@": "blue"}
    lines = difflib.unified_diff(
        before.text.splitlines(), after.splitlines(), before.name, f"{before.name} (formatted)", lineterm=""
    )
    for line in lines:
        print(colour(colours[line[0]], line) if line[:1] in colours else line)


def _replace(path: str, after: str) -> None:
    """The whole new file or the whole old one, also when the disk is full; links stay links, modes stay modes."""
    target = os.path.realpath(path)
    temporary = ""
    try:
        mode = os.stat(target).st_mode
        handle, temporary = tempfile.mkstemp(dir=os.path.dirname(target), prefix=".pdp-format-")
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(after)
        os.chmod(temporary, mode & 0o7777)
        os.replace(temporary, target)
    except OSError as error:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        raise unreadable(path, error, "write") from error
