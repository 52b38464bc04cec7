"""`pdp version`: what runs here, in the words that a report of a fault needs."""

from __future__ import annotations

import argparse
import platform
from importlib import metadata
from typing import TYPE_CHECKING, Final

from pdp import __version__
from pdp.cli.failure import FINE

if TYPE_CHECKING:
    from pdp.cli.main import Subparsers

LANGUAGE_VERSION: Final = 1


def add(subparsers: Subparsers) -> None:
    subparsers.add_parser("version", help="print the versions", description="Print the versions.")


def run(_args: argparse.Namespace) -> int:
    print(text())
    return FINE


def text() -> str:
    return (
        f"chaperone-pdp {__version__}, Ward {LANGUAGE_VERSION}, "
        f"Python {platform.python_version()}, time zones {_zones()}"
    )


def _zones() -> str:
    """The version of the time zone data, which is part of every program's digest."""
    try:
        return metadata.version("tzdata")
    except metadata.PackageNotFoundError:
        return "not installed"
