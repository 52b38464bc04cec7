"""In which form a record leaves: as it stands in the log, or as an encoder of `pdp.audit.export` writes it."""

from __future__ import annotations

from importlib import import_module
from typing import Final

from pdp.audit.leaf import Leaf
from pdp.audit.ship.feed import Encoder
from pdp.audit.ship.target import ShipError

RAW: Final = "raw"


def raw(leaf: Leaf) -> bytes:
    """Unchanged, so that its hash can be found in the log: pseudonyms stay, details stay encrypted."""
    return leaf.payload


def encoder(name: str) -> Encoder:
    """Raises ShipError."""
    if name == RAW:
        return raw
    try:
        found: Encoder = import_module("pdp.audit.export").encoder(name)
    except (ImportError, AttributeError, LookupError) as error:
        raise ShipError(f'records cannot be written as "{name}"') from error
    return found
