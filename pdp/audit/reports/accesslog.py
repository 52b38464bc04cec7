"""Lines of a proxy's access log: Envoy's JSON, nginx's as our configuration writes it, or what a pattern says.

What a client sent may stand in a line. So nothing is looked for in the middle of one: JSON has its names, a pattern
fits the whole line, and our own values stand where a client writes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import re2

from pdp.audit.leaf import instant
from pdp.model.request import RequestError, strict_json

MAX_BYTES: Final = 65_536
MAX_TEXT: Final = 512
NGINX: Final = r"\S+ (?P<time>\S+) \S+ (?P<status>[0-9]{3}) (?P<decision>\S*) (?P<receipt>\S*)"
NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "time": ("time", "start_time", "timestamp", "@timestamp"),
    "status": ("status", "response_code"),
    "decision": ("decision", "decision_id", "x-pdp-decision"),
    "receipt": ("receipt", "x-pdp-receipt"),
    "details": ("details", "response_code_details"),
    "effect": ("effect",),
}
"""Under which names a value may stand, and the names of groups in a pattern."""
UPSTREAM: Final = ("via_upstream", "upstream_", "response_timeout")
NONE: Final = ("", "-")
_CLF: Final = ("%d/%b/%Y:%H:%M:%S %z", "%d/%b/%Y:%H:%M:%S.%f %z", "%d/%b/%Y:%H:%M:%S.%f", "%d/%b/%Y:%H:%M:%S")


class PatternError(ValueError):
    """The pattern cannot be used."""


@dataclass(frozen=True, slots=True)
class Line:
    """`passed`: it was let through to the service, as far as the line says. `upstream`: the line says so outright."""

    number: int
    at: int  # microseconds since the epoch
    status: int
    decision: str = ""
    receipt: str = ""
    passed: bool = True
    upstream: bool = False


@dataclass(frozen=True, slots=True)
class Unreadable:
    number: int
    why: str


Values = Mapping[str, str]


def envoy(text: bytes) -> Values:
    """An access log with a `json_format`. Raises ValueError."""
    try:
        found = strict_json(text)
    except RequestError as error:
        raise ValueError("it is no JSON") from error
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    values = {}
    for name, names in NAMES.items():
        said = next((found[each] for each in names if found.get(each) is not None), "")
        values[name] = str(said) if isinstance(said, str | int) else ""
    return values


def pattern(text: str) -> Callable[[bytes], Values]:
    """What reads a line by a regular expression (RE2) that fits all of it. Raises PatternError."""
    try:
        compiled = re2.compile(text)
    except re2.error as error:
        raise PatternError("it is no regular expression (RE2)") from error
    groups = set(compiled.groupindex)
    if not {"time", "status", "decision"} <= groups or not groups <= NAMES.keys():
        raise PatternError(f"it has the groups time, status and decision, and may have {', '.join(NAMES)}")

    def read(line: bytes) -> Values:
        try:
            found = compiled.fullmatch(line.decode())
        except UnicodeDecodeError as error:
            raise ValueError("it is not UTF-8") from error
        if found is None:
            raise ValueError("it does not fit the format")
        return {name: found[name] or "" for name in groups}

    return read


def lines(data: Iterable[bytes], read: Callable[[bytes], Values]) -> Iterator[Line | Unreadable]:
    """One by one; empty ones are left out. Each element of `data` is one line."""
    for number, each in enumerate(data, 1):
        text = each.rstrip(b"\r\n")
        if not text:
            continue
        try:
            if len(text) > MAX_BYTES:
                raise ValueError("it is too long")
            yield line(number, read(text))
        except ValueError as error:
            yield Unreadable(number, str(error))


def line(number: int, values: Values) -> Line:
    """Raises ValueError."""
    status = values.get("status", "")
    if not re.fullmatch("[0-9]{1,3}", status):
        raise ValueError("its status is no number")
    at = instant(values.get("time", "")) or _common(values.get("time", ""))
    details, effect = values.get("details", ""), values.get("effect", "")
    upstream = details.startswith(UPSTREAM)
    passed = upstream or effect == "allow" or (details in NONE and 200 <= int(status) < 400)
    decision, receipt = (_named(values.get(name, "")) for name in ("decision", "receipt"))
    return Line(number, at, int(status), decision, receipt, passed, upstream)


def _named(text: str) -> str:
    if len(text) > MAX_TEXT:
        raise ValueError("an id that is too long")
    return "" if text in NONE else text


def _common(text: str) -> int:
    """A time of the Common Log Format; without an offset it is UTC. Raises ValueError."""
    for each in _CLF:
        try:
            found = datetime.strptime(text, each)
        except ValueError:
            continue
        return instant((found if found.tzinfo else found.replace(tzinfo=UTC)).isoformat())
    raise ValueError("its time cannot be read")
