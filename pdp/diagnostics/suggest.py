"""What a misspelt name was meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

CUTOFF = 0.6
_MAX_LENGTH = 100


def closest(name: str, choices: Iterable[str]) -> str | None:
    """The nearest of the choices, None when none is near. Case alone never keeps two names apart."""
    if len(name) > _MAX_LENGTH:
        return None
    by_folded = {choice.lower(): choice for choice in sorted(choices, reverse=True) if len(choice) <= _MAX_LENGTH}
    near = difflib.get_close_matches(name.lower(), by_folded, n=1, cutoff=CUTOFF)
    return by_folded[near[0]] if near else None
