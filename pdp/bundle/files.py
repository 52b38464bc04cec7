"""The files of a policy set: found in a fixed order, never outside the directory, each bad one a clear finding."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pdp.diagnostics.diagnostic import Diagnostic, PolicyError
from pdp.diagnostics.source import Source, Span

MAX_FILES: Final = 10_000
MAX_DEPTH: Final = 32


def about(path: Path | str, code: str, message: str, hint: str = "") -> Diagnostic:
    """A finding about a file as a whole."""
    return Diagnostic(code, Span(Source(str(path), ""), 0, 0), message, hint)


def found(directory: Path, suffixes: tuple[str, ...], problems: list[Diagnostic]) -> list[Path]:
    """The files below a directory with one of these endings, sorted. Hidden files and directories are left out.

    A link is followed where it stays inside (as mounted volumes have them), so that no file counts twice; one that
    leads outside is a finding. Raises PolicyError if there is no such directory.
    """
    if not directory.is_dir():
        kind = "is not a directory" if directory.exists() else "does not exist"
        raise PolicyError([about(directory, "no-such-directory", f"`{directory}` {kind}")])
    root = os.path.realpath(directory)
    paths: list[Path] = []
    seen = {root}
    for path in _walk(directory, root, seen, problems, 0):
        if path.name.endswith(suffixes):
            paths.append(path)
            if len(paths) > MAX_FILES:
                problems.append(about(directory, "too-many-files", f"there are more than {MAX_FILES} files"))
                break
    return sorted(paths)


def _walk(directory: Path, root: str, seen: set[str], problems: list[Diagnostic], depth: int) -> Iterator[Path]:
    try:
        entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
    except OSError as error:
        problems.append(about(directory, "unreadable-file", f"the directory cannot be read: {error.strerror}"))
        return
    if depth > MAX_DEPTH:
        problems.append(about(directory, "too-many-files", f"directories are nested deeper than {MAX_DEPTH}"))
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        path = directory / entry.name
        real = os.path.realpath(path)
        if real != root and not real.startswith(root + os.sep):
            problems.append(
                about(path, "link-leads-outside", "the link leads out of the directory", "copy what it points to")
            )
        elif real not in seen:
            seen.add(real)
            if entry.is_dir():
                yield from _walk(path, root, seen, problems, depth + 1)
            else:
                yield path


def text(path: Path, max_bytes: int, problems: list[Diagnostic]) -> str | None:
    """The UTF-8 text of a regular file; None, and a finding, where it is none."""
    try:
        # A pipe or a device by this name must not block or feed us.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            data = file.read(max_bytes + 1) if _is_regular(descriptor) else None
    except OSError as error:
        problems.append(about(path, "unreadable-file", f"the file cannot be read: {error.strerror}"))
        return None
    if data is None:
        problems.append(about(path, "unreadable-file", "this is not a regular file"))
        return None
    if len(data) > max_bytes:
        problems.append(about(path, "file-too-large", f"the file is larger than {max_bytes} bytes"))
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"byte {error.start} (line {line}) is not UTF-8"
        problems.append(about(path, "not-utf8", message, "save the file as UTF-8"))
        return None


def _is_regular(descriptor: int) -> bool:
    return stat.S_ISREG(os.fstat(descriptor).st_mode)
