"""Policy files from disk: which there are, and their text, or one clear message about why not.

A directory is read exactly as the service reads it (`pdp.bundle.files`). A file that is no text, or too long, is a
finding like any other, so that the rest of the set is still looked at.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from pdp.bundle import files
from pdp.cli.failure import Failure
from pdp.diagnostics.diagnostic import Diagnostic
from pdp.diagnostics.source import Source

MAX_FILE_BYTES: Final = 1 << 20


def policy_files(path: str, problems: list[Diagnostic]) -> list[Path]:
    """The policy files that a path names: itself, or every `*.ward` below it, sorted. Raises Failure."""
    mode = _mode(path)
    if stat.S_ISREG(mode):
        return [Path(path)]
    if not stat.S_ISDIR(mode):
        raise Failure(f"{path} is neither a file nor a directory")
    found = files.found(Path(path), (".ward",), problems)
    if not found and not problems:
        raise Failure(f"no policy files in {path}", "policy files end in .ward, and may stand in directories below")
    return found


def _mode(path: str) -> int:
    try:
        return os.stat(path).st_mode
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error


def unreadable(path: str, error: OSError | ValueError, verb: str = "read") -> Failure:
    """What stands between us and a file, in words."""
    match error:
        case FileNotFoundError():
            parent = os.path.dirname(os.path.normpath(path)) or "."
            hint = "" if os.path.isdir(parent) else f"there is no directory {parent} either"
            return Failure(f"there is no file or directory {path}", hint)
        case PermissionError():
            return Failure(f"no permission to {verb} {path}")
        case OSError():
            return Failure(f"cannot {verb} {path}: {error.strerror or error}")
        case _:
            return Failure(f"{path!r} is not the name of a file")


def source(path: Path, problems: list[Diagnostic]) -> Source | None:
    """One file's text, by its name as given; None, and a finding, where it has none."""
    text = files.text(path, MAX_FILE_BYTES, problems)
    return None if text is None else Source(path.as_posix(), text)


def raw(path: str, limit: int) -> bytes:
    """The bytes of any file, a pipe too, cut off one byte behind the limit. Raises Failure."""
    try:
        with open(path, "rb") as file:
            return file.read(limit + 1)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
