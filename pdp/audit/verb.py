"""What is done to data, in one letter, whatever the action is called: one small table.

C create   R read   U update   D delete   Q query   T transmit (disclose, export)   E execute, and all else
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_WORDS: Final = {
    "C": ("create", "add", "insert", "append", "new"),
    "R": ("read", "vread", "get", "view", "open", "history", "download", "capabilities"),
    "U": ("update", "patch", "write", "edit", "modify", "amend", "sign", "change", "set", "put"),
    "D": ("delete", "remove", "purge", "destroy", "erase"),
    "Q": ("search", "list", "query", "find", "count"),
    "T": ("disclose", "export", "transmit", "share", "send", "transfer", "print"),
    "E": ("execute", "run", "approve", "bill"),
}
VERBS: Final = {word: verb for verb, words in _WORDS.items() for word in words}
_METHODS: Final = {"GET": "R", "HEAD": "R", "PUT": "U", "PATCH": "U", "DELETE": "D"}
METHODS: Final = frozenset({*_METHODS, "POST", "OPTIONS", "CONNECT", "TRACE"})
OTHER: Final = "other"
"""A client may call its method whatever it likes; on record stands what is known."""

_WEIGHT: Final = "TDUCEQR"
"""Of a request that is several actions, the gravest."""


@lru_cache(4_096)
def verb(action: str, method: str = "") -> str:
    """Of an action's wire name (`+` between several), and the HTTP method where the name says nothing."""
    found = {_verb(each, method) for each in action.split("+")}
    return next(each for each in _WEIGHT if each in found)


def known(method: str) -> str:
    """The method as it stands on record."""
    return method if method in METHODS else OTHER


def _verb(action: str, method: str) -> str:
    words = [word for word in re.split(r"[^a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", action).lower()) if word]
    return next((VERBS[word] for word in words if word in VERBS), _METHODS.get(method, "E"))
