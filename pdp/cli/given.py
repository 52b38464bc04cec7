"""What options have in common: a name that is not to stand in the list of processes, and how an answer is written."""

from __future__ import annotations

import argparse
import sys
from typing import Final

FROM_INPUT: Final = "-"
TEXT: Final = "text"
MAX_LINE: Final = 4_096


def name(given: str) -> str:
    """For `type=`: as it was given, or, for `-`, the next line of standard input. Whoever may list processes sees their
    arguments, and a patient's number is not for them.
    """
    if given != FROM_INPUT:
        return given
    try:
        line = sys.stdin.readline(MAX_LINE + 1)
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError("standard input cannot be read") from error
    if len(line) > MAX_LINE:
        raise argparse.ArgumentTypeError(f"the line of standard input is longer than {MAX_LINE:,} characters")
    found = line.strip()
    if not found:
        raise argparse.ArgumentTypeError("- is a line of standard input, and there is none, or it is empty")
    return found


def form(given: str) -> str:
    """For `type=`: `human` is another word for `text`."""
    return TEXT if given == "human" else given


def add_form(parser: argparse.ArgumentParser, *others: str) -> None:
    """`--output`: text, or one of these."""
    parser.add_argument("--output", type=form, choices=(TEXT, *others), default=TEXT, help="text unless said otherwise")
