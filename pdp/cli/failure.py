"""Exit codes, and the one exception that ends a command with a message."""

from __future__ import annotations

from typing import Final

FINE: Final = 0
FINDINGS: Final = 1  # findings (`--strict`, `format --check`), failed tests, a deny under `--exit-code`
USAGE: Final = 2  # the command line is wrong, or what it names cannot be read
UNCHECKED: Final = 3  # the policy set, or its data, does not check
INCOMPLETE: Final = 4  # answered, but not everything could be looked into
INTERRUPTED: Final = 130  # as shells report SIGINT
PIPE_CLOSED: Final = 141  # as shells report SIGPIPE


class Failure(Exception):
    """Ends the command: `message` says what is wrong, `hint` what to do, `code` is the exit code."""

    def __init__(self, message: str, hint: str = "", code: int = USAGE) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code
