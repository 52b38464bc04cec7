"""Who runs a command, as the system knows it: never the environment, where anybody may call themselves anything."""

from __future__ import annotations

import os
import pwd


def operator() -> str:
    """The name of the user that this process runs as; the number where it has none."""
    number = os.getuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
