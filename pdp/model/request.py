"""The question: may this subject do this to this resource, in this context?

A `Request` holds what was *said*, by which place (SEMANTICS 5), still as JSON values: ``None``, ``bool``, ``int``,
``Decimal``, ``str``, ``list``, ``dict``. What a program reads of it is typed when it is read (`pdp.decide.frame`), so a
value that does not fit is an error only where a rule reads it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NoReturn

MAX_DEPTH: Final = 32


class RequestError(Exception):
    """A request that cannot be read. `field` names the offending member (``subject.id``), empty for the whole."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.message = message
        self.field = field


@dataclass(slots=True)
class Request:
    """One question. Types and the action are wire names (``user``), not Ward names (``Clinician``).

    Treated as immutable once made; not frozen, since a frozen dataclass costs a microsecond to build.
    """

    subject_type: str
    subject_id: str
    action: str
    resource_type: str
    resource_id: str
    # What the caller says (place `from caller`).
    subject_properties: Mapping[str, Any] = field(default_factory=dict)
    action_properties: Mapping[str, Any] = field(default_factory=dict)
    resource_properties: Mapping[str, Any] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)
    # What verified places say: `from token` and `from certificate` of subject and context, `from route` of the
    # resource. None: the place is silent (no token at all), so what it owns is unknown, not absent.
    token: Mapping[str, Any] | None = None
    certificate: Mapping[str, Any] | None = None
    route: Mapping[str, Any] | None = None
    # Fields (JSON pointers) that a search filters or sorts by; a mask over one of them denies (SEMANTICS 18).
    searched_fields: frozenset[str] = frozenset()
    # Attributes ("subject.role") for which a value was offered and refused, by `pdp.decide.admit`: each is unknown,
    # not absent, unless its own place gave it a value (SEMANTICS 5).
    refused: frozenset[str] = frozenset()
    # What our own sources say of this one request, by the name of the source (`from source limits` of the context).
    # It may be another thing the next moment: what reads it is never kept (SEMANTICS 23). None: no source has spoken.
    sourced: Mapping[str, Mapping[str, Any]] | None = None


def strict_json(text: bytes | str, max_depth: int = MAX_DEPTH) -> Any:
    """Parse I-JSON (RFC 7493): UTF-8, unique names, finite numbers, no lone surrogates, bounded depth.

    Integers stay ``int``, other numbers become `Decimal` (never a float). Raises RequestError.
    """
    encoded = isinstance(text, bytes)  # What UTF-8 decodes to holds a surrogate only where an escape says so.
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8")
        except UnicodeDecodeError as error:
            raise RequestError(f"not UTF-8 (byte {error.start})") from error
    if text.startswith("\ufeff"):
        raise RequestError("starts with a byte order mark")
    if _too_deep(text, max_depth):
        raise RequestError(f"nested deeper than {max_depth}")
    try:
        value = _DECODER.decode(text)
    except RequestError:
        raise
    except (ValueError, RecursionError) as error:
        raise RequestError(f"not JSON: {error}") from error
    if "\\u" in text or not (encoded or text.isascii()):
        _refuse_surrogates(value)
    return value


def strict_json_at(text: str, start: int) -> tuple[Any, int]:
    """One JSON value out of a longer text, as strict as `strict_json` but for depth and surrogates, which whoever types
    the value refuses; and where it ends. Raises RequestError, its `field` empty, or a ValueError with a `pos`.
    """
    try:
        return _DECODER.raw_decode(text, start)
    except RecursionError as error:
        raise RequestError("nested too deep") from error


def _too_deep(text: str, allowed: int) -> bool:
    """Reads no further than to the bracket that is one too many."""
    if text.count("[") + text.count("{") <= allowed:
        return False
    depth = 0
    in_string = escaped = False
    for character in text:
        if in_string:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                in_string = False
        elif character == '"':
            in_string = True
        elif character in "[{":
            depth += 1
            if depth > allowed:
                return True
        elif character in "]}":
            depth -= 1
    return False


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise RequestError(f"the name {name!r} occurs twice in one object")
            seen.add(name)
    return members


def _no_constant(name: str) -> NoReturn:
    raise RequestError(f"{name} is not a JSON number")


def _integer(digits: str) -> int:
    if len(digits) > 20:
        raise RequestError("a number is longer than 64 bits")
    return int(digits)


def _fraction(digits: str) -> Decimal:
    if len(digits) > 40:
        raise RequestError("a number has more than 40 characters")
    try:
        return Decimal(digits)
    except InvalidOperation as error:
        raise RequestError("a number's exponent has too many digits") from error


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_no_constant, parse_int=_integer, parse_float=_fraction
)


def _refuse_surrogates(value: Any) -> None:
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise RequestError("a text holds a lone surrogate") from error
    elif isinstance(value, list):
        for item in value:
            _refuse_surrogates(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            _refuse_surrogates(name)
            _refuse_surrogates(item)
