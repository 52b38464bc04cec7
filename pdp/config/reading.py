"""How single values, and the tables of the settings file, are read. Nothing here has a default that opens."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")

NO_ORIGIN: Final = re.compile(r'[^!-~]|["\\\\+]')
"""What the name of a log may not hold."""
NEVER_A_HEADER: Final = frozenset({"authorization", "cookie", "host", "x-pdp-secret", "x-pdp-decision"})


class ConfigError(Exception):
    """Settings that cannot be used. `problems` holds all of them, each one sentence."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problems))


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int

    @property
    def loopback(self) -> bool:
        return ipaddress.ip_address(self.host).is_loopback

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


# ------------------------------------------------------------------------------------------------------ single values


def path(text: object, base: Path) -> Path:
    if not isinstance(text, str) or not text or "\0" in text:
        raise ValueError("must be a path")
    return Path(base, text)


def address(text: object, _base: Path) -> Address:
    if not isinstance(text, str):
        raise ValueError("must be a text HOST:PORT")
    host, colon, port = text.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    host = "127.0.0.1" if host == "localhost" else host
    if not colon or not port.isascii() or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise ValueError("must be HOST:PORT")
    try:
        return Address(str(ipaddress.ip_address(host)), int(port))
    except ValueError:
        raise ValueError("must name its host by an IP address (or `localhost`)") from None


def url(text: object, _base: Path) -> str:
    if not isinstance(text, str) or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be a URL")
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError("must be http(s)://HOST[:PORT][/PATH], with nothing behind it")
    return text.rstrip("/")


def number(low: int, high: int) -> Callable[[object, Path], int]:
    def read(value: object, _base: Path) -> int:
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 12:
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return value

    return read


def header(text: object, _base: Path) -> str:
    allowed = set("abcdefghijklmnopqrstuvwxyz0123456789-")
    if not isinstance(text, str) or not text or not set(text) <= allowed or len(text) > 64:
        raise ValueError("must be the name of a header: lower-case letters, digits and hyphens")
    if text in NEVER_A_HEADER:
        raise ValueError(f"must not be `{text}`")
    return text


def text(given: object, _base: Path) -> str:
    if not isinstance(given, str) or not given or not given.isprintable():
        raise ValueError("must be a text")
    return given


def words(given: object, _base: Path) -> tuple[str, ...]:
    """A list of texts; in a variable, with commas between them."""
    found = given.split(",") if isinstance(given, str) else given
    if not isinstance(found, list) or not all(isinstance(each, str) and each.strip().isprintable() for each in found):
        raise ValueError("must list texts")
    return tuple(each.strip() for each in found if each.strip())


def origin(given: object, _base: Path) -> str:
    """The name of a log: it stands in records, in keys and in the first line of a signed checkpoint."""
    if not isinstance(given, str) or not 0 < len(given) <= 255 or NO_ORIGIN.search(given):
        raise ValueError('must be a name of visible ASCII without `"`, `\\` and `+`, like `pdp.example/host-1`')
    return given


def choice(*choices: str) -> Callable[[object, Path], str]:
    def read(value: object, _base: Path) -> str:
        if value not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return str(value)

    return read


def secret(where: Path) -> bytes:
    """The secret in a file. Raises ValueError: a secret that cannot be read is never no secret."""
    try:
        found = where.read_bytes().strip()
    except OSError as error:
        raise ValueError(f"{where} cannot be read: {error.strerror}") from error
    if not 16 <= len(found) <= 512 or any(not 0x21 <= byte <= 0x7E for byte in found):
        raise ValueError(f"{where} must hold 16 to 512 visible ASCII characters")
    return found


def json_ready(value: object) -> bool:
    if isinstance(value, dict):
        return all(map(json_ready, value.values()))
    if isinstance(value, list):
        return all(map(json_ready, value))
    return isinstance(value, bool | int | str)


def hint(key: str, known: Collection[str], prefix: str = "") -> str:
    close = get_close_matches(key, sorted(known), 1, 0.6)
    return f"; did you mean `{(prefix + close[0]).upper() if prefix else close[0]}`?" if close else ""


# -------------------------------------------------------------------------------------------------------------- tables


class Table:
    """One table of the settings file, read key by key. What is wrong is collected in `problems`, also a key that nobody
    asked for, which `close` says. A getter that finds a mistake gives its default: no file with a problem is used.
    """

    def __init__(self, where: str, given: Mapping[str, Any], base: Path, problems: list[str]) -> None:
        self.where = where  # "pdp.toml: [pep.envoy]"
        self.base = base  # where relative paths start
        self._given = given
        self._problems = problems
        self._known: set[str] = set()

    def __contains__(self, key: str) -> bool:
        self._known.add(key)
        return key in self._given

    def wrong(self, sentence: str) -> None:
        self._problems.append(f"{self.where}: {sentence}")

    def read(self, key: str, reader: Callable[[object, Path], T], default: T) -> T:
        """One value by a reader of this module, or one like it, which raises ValueError with what it must be."""
        if key not in self:
            return default
        try:
            return reader(self._given[key], self.base)
        except ValueError as error:
            self.wrong(f"`{key}` {error}")
            return default

    def text(self, key: str, default: str = "") -> str:
        return self.read(key, text, default)

    def texts(self, key: str, default: tuple[str, ...] = (), alone: bool = False) -> tuple[str, ...]:
        """A list of texts. `alone`: one text may stand for a list of one."""
        if key not in self:
            return default
        given = self._given[key]
        given = [given] if alone and isinstance(given, str) else given
        if not isinstance(given, list) or not all(isinstance(each, str) and each.strip() for each in given):
            self.wrong(f"`{key}` must list texts")
            return default
        return tuple(given)

    def flag(self, key: str, default: bool = False) -> bool:
        if key not in self:
            return default
        if not isinstance(self._given[key], bool):
            self.wrong(f"`{key}` must be true or false")
            return default
        return bool(self._given[key])

    def number(self, key: str, default: int, low: int, high: int) -> int:
        return self.read(key, number(low, high), default)

    def one_of(self, key: str, choices: tuple[str, ...], default: str) -> str:
        return self.read(key, choice(*choices), default)

    def url(self, key: str, default: str = "") -> str:
        return self.read(key, url, default)

    def path(self, key: str) -> Path | None:
        return self.read(key, path, None)

    def secret(self, key: str) -> bytes | None:
        """The secret in the file that the key names."""
        return self.read(key, lambda value, base: secret(path(value, base)), None)

    def table(self, key: str) -> Mapping[str, Any]:
        """A table within, of texts, whole numbers, booleans, lists and tables."""
        if key not in self:
            return {}
        given = self._given[key]
        if not isinstance(given, dict) or not json_ready(given):
            self.wrong(f"`{key}` must be a table of texts, whole numbers, booleans, lists and tables")
            return {}
        return given

    def close(self) -> None:
        """Say which keys nobody knows."""
        for key in sorted(set(self._given) - self._known):
            self.wrong(f"unknown key `{key}`{hint(key, self._known)}")


def named(section: str, given: object, file: Path, problems: list[str]) -> Iterator[tuple[str, Table]]:
    """The tables `[section.NAME]`, sorted by name. Each has to be closed by whoever reads it."""
    if not isinstance(given, dict) or not given or not all(isinstance(each, dict) for each in given.values()):
        problems.append(f"{file}: `{section}` must hold tables: [{section}.NAME]")
        return
    for name, table in sorted(given.items()):
        yield name, Table(f"{file}: [{section}.{name}]", table, file.parent, problems)
