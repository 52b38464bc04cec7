"""Names that nobody bears: syllables, drawn by seed."""

from __future__ import annotations

from random import Random
from typing import Final

_HEADS: Final = ("ba", "do", "fe", "gu", "ki", "lo", "mu", "na", "pe", "ro", "su", "ta", "vi", "we", "zo", "cha", "tri")
_MIDDLES: Final = ("bel", "dor", "fin", "gam", "lun", "mor", "nev", "pil", "rud", "sim", "tov", "vak")
_TAILS: Final = ("a", "ek", "in", "os", "ur", "ix", "an", "eth")


def surnames(count: int, random: Random) -> list[str]:
    """So many different ones; the first are the common ones."""
    made: dict[str, None] = {}
    while len(made) < count:
        name = random.choice(_HEADS) + random.choice(_MIDDLES) + random.choice(_TAILS)
        if name in made:
            name = random.choice(_HEADS) + name
        made[name.capitalize()] = None
    return list(made)
