"""Settings: the only reader of files and environment for them. One frozen `Settings`, checked at start.

One file at most is read: the one `PDP_CONFIG` names, else `./pdp.toml`, else `pdp.toml` in the policy directory (so
that a policy set can say what its enforcement points may assert). A variable `PDP_NAME` wins over the key `name`.
"""

from __future__ import annotations

import inspect
import ipaddress
import textwrap
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, get_origin, get_type_hints
from urllib.parse import urlsplit

from pdp.model.decision import Capabilities

DOORS: Final = frozenset({"authzen", "ext_authz"})


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


@dataclass(frozen=True, slots=True)
class Profile:
    """Who a policy enforcement point (PEP) is, and what it may and can do. Never taken from a request."""

    name: str
    secret: bytes | None = field(default=None, repr=False)
    doors: frozenset[str] = DOORS
    may_assert: frozenset[str] = frozenset({"context.*"})
    capabilities: Capabilities = field(default_factory=Capabilities)
    context: Mapping[str, Any] = field(default_factory=dict)


def _path(text: object, base: Path) -> Path:
    if not isinstance(text, str) or not text or "\0" in text:
        raise ValueError("must be a path")
    return Path(base, text)


def _address(text: object, _base: Path) -> Address:
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


def _url(text: object, _base: Path) -> str:
    if not isinstance(text, str) or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be a URL")
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError("must be http(s)://HOST[:PORT][/PATH], with nothing behind it")
    return text.rstrip("/")


def _number(low: int, high: int) -> Callable[[object, Path], int]:
    def read(value: object, _base: Path) -> int:
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 12:
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return value

    return read


def _header(text: object, _base: Path) -> str:
    allowed = set("abcdefghijklmnopqrstuvwxyz0123456789-")
    if not isinstance(text, str) or not text or not set(text) <= allowed or len(text) > 64:
        raise ValueError("must be the name of a header: lower-case letters, digits and hyphens")
    if text in ("authorization", "cookie", "host", "x-pdp-secret", "x-pdp-decision"):
        raise ValueError(f"must not be `{text}`")
    return text


def _text(text: object, _base: Path) -> str:
    if not isinstance(text, str) or not text or not text.isprintable():
        raise ValueError("must be a text")
    return text


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting with its safe default. The comment above each is its paragraph in docs/settings.md."""

    # The directory of the policy set: `*.ward` files, `data/` beside them. It is watched; a change is taken when two
    # scans agree, or at once on HUP, and only when it checks.
    policies: Annotated[Path, _path] = Path("policies/hospital")
    # Where decisions are asked for. Any other address than loopback needs a secret for every enforcement point.
    http_listen: Annotated[Address, _address] = Address("127.0.0.1", 8181)
    # Where metrics and the console are. Any other address than loopback needs `management_secret_file`.
    management_listen: Annotated[Address, _address] = Address("127.0.0.1", 8282)
    # The base of every URL that we publish (the AuthZEN metadata). Never taken from a request's `Host`. When it is not
    # set: `http://` and `http_listen`.
    public_url: Annotated[str, _url] = ""
    # Where each decision is recorded before its answer leaves, one file for each worker (mode 0600).
    audit_dir: Annotated[Path, _path] = Path("audit")
    # The file with the secret of every enforcement point whose profile names no `secret_file` of its own: 16 to 512
    # visible ASCII characters, sent as `x-pdp-secret: SECRET`, or as `Authorization: Bearer SECRET` at the API doors.
    pep_secret_file: Annotated[Path | None, _path] = None
    # The file with the secret of the management listener: a Bearer token, or the password of HTTP Basic.
    management_secret_file: Annotated[Path | None, _path] = None
    # How many decision worker processes: one for each core that decides.
    workers: Annotated[int, _number(1, 256)] = 1
    # How many policy results each worker keeps. 0: none.
    cache_size: Annotated[int, _number(0, 10_000_000)] = 65_536
    # The longest request body that is read; a longer one is refused.
    max_body_bytes: Annotated[int, _number(1_024, 64 * 1_048_576)] = 1_048_576
    # How deep the JSON of a request may be nested.
    max_depth: Annotated[int, _number(4, 32)] = 32
    # How many evaluations one batch may hold.
    max_evaluations: Annotated[int, _number(1, 10_000)] = 100
    # The longest request line, and the longest header field. Room for real tokens.
    max_header_bytes: Annotated[int, _number(1_024, 65_535)] = 16_384
    # For how long a proxy may keep a permit (`Cache-Control: private, max-age`), never past the first instant at which
    # time alone changes it. 0: not at all (`no-store`). Accesses under a kept permit are not audited one by one.
    max_permit_age_seconds: Annotated[int, _number(0, 86_400)] = 0
    # How many requests one worker has open at once; the next one is denied with 429.
    max_in_flight: Annotated[int, _number(1, 100_000)] = 1_024
    # When a worker's event loop runs this late, requests are denied with 429 until it has caught up.
    shed_after_milliseconds: Annotated[int, _number(10, 60_000)] = 1_000
    # The pause between two scans of the policy directory. A change is taken when two of them agree.
    scan_milliseconds: Annotated[int, _number(50, 60_000)] = 500
    # How long a change that was written in place has to rest before it is taken, so that a copy that pauses is not
    # taken for whole; five times as long where a forbid or a mask that is active would go. What is swapped in whole
    # (by a symlink) waits only while its files are younger than this. HUP takes what is there at once.
    settle_milliseconds: Annotated[int, _number(0, 600_000)] = 2_000
    # DANGEROUS, for demonstrations: the header that names the subject of a proxied request, believed without proof. Off
    # by default, refused unless `http_listen` is loopback. Whoever can set the header is whoever it says.
    trust_unverified_subject_header: Annotated[str, _header] = ""
    # The (wire) type of the subject that `trust_unverified_subject_header` names.
    unverified_subject_type: Annotated[str, _text] = "user"

    profiles: tuple[Profile, ...] = (Profile("default"),)
    management_secret: bytes | None = field(default=None, repr=False)
    source: str = "defaults"  # which file was read


READERS: Final[dict[str, Callable[[Any, Path], Any]]] = {
    name: hint.__metadata__[0]
    for name, hint in get_type_hints(Settings, include_extras=True).items()
    if get_origin(hint) is Annotated
}
"""How each setting is read; raises ValueError with what the value must be."""


def load(environment: Mapping[str, str], directory: Path) -> Settings:
    """Read the settings. `directory` is where relative paths of variables start. Raises ConfigError."""
    problems: list[str] = []
    path = _file(environment, directory)
    table = _table(path, problems) if path else {}
    problems += _unknown(environment, path, table)
    values = _values(environment, directory, path, table, problems)
    if path and path.parent == values.get("policies") and "policies" in table:
        problems.append(f"{path}: `policies` is the directory that this file is in; leave the key out")
    values["profiles"] = _profiles(table.get("pep"), path, values.get("pep_secret_file"), problems)
    if values.get("management_secret_file"):
        values["management_secret"] = _secret(values["management_secret_file"], "management_secret_file", problems)
    if not problems:
        settings = Settings(**values)
        problems = _contradictions(settings)
        if not problems:
            return settings
    raise ConfigError(problems)


def _values(
    environment: Mapping[str, str], directory: Path, path: Path | None, table: dict[str, Any], problems: list[str]
) -> dict[str, Any]:
    values: dict[str, Any] = {"source": str(path) if path else "defaults"}
    defaults: dict[str, Any] = {each.name: each.default for each in fields(Settings)}
    for name, read in READERS.items():
        variable = f"PDP_{name.upper()}"
        try:
            if environment.get(variable):
                values[name] = read(environment[variable], directory)
            elif path and name in table:
                variable = f"{path}: `{name}`"
                values[name] = read(table[name], path.parent)
            elif isinstance(defaults[name], Path):
                values[name] = Path(directory, defaults[name])
        except ValueError as error:
            problems.append(f"{variable}: {error}")
    if not values.get("public_url"):
        values["public_url"] = f"http://{values.get('http_listen', defaults['http_listen'])}"
    return values


def _unknown(environment: Mapping[str, str], path: Path | None, table: dict[str, Any]) -> list[str]:
    keys = [f"{path}: unknown key `{key}`{_hint(key)}" for key in table if key not in READERS and key != "pep"]
    ours = (
        each
        for each in environment
        if each.startswith("PDP_") and each != "PDP_CONFIG" and not each.startswith("PDP_TEST_")
    )
    return keys + [
        f"{each}: unknown setting{_hint(each[4:].lower(), 'PDP_')}" for each in ours if each[4:].lower() not in READERS
    ]


def _hint(key: str, prefix: str = "") -> str:
    close = get_close_matches(key, sorted(READERS), 1, 0.6)
    return f"; did you mean `{(prefix + close[0]).upper() if prefix else close[0]}`?" if close else ""


def _file(environment: Mapping[str, str], directory: Path) -> Path | None:
    if environment.get("PDP_CONFIG"):
        return Path(directory, environment["PDP_CONFIG"])
    policies = environment.get("PDP_POLICIES") or "policies/hospital"
    candidates = (Path(directory, "pdp.toml"), Path(directory, policies, "pdp.toml"))
    return next((each for each in candidates if each.is_file()), None)


def _table(path: Path, problems: list[str]) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        problems.append(f"{path}: cannot be read: {error.strerror}")
    except ValueError as error:
        problems.append(f"{path}: not TOML: {error}")
    return {}


def _secret(path: Path, where: str, problems: list[str]) -> bytes | None:
    try:
        secret = path.read_bytes().strip()
    except OSError as error:
        problems.append(f"{where}: {path} cannot be read: {error.strerror}")
        return None
    if not 16 <= len(secret) <= 512 or any(not 0x21 <= byte <= 0x7E for byte in secret):
        problems.append(f"{where}: {path} must hold 16 to 512 visible ASCII characters")
        return None
    return secret


PROFILE_KEYS: Final = frozenset({"secret_file", "door", "may_assert", "obligations", "fields", "context"})


def _profiles(given: Any, path: Path | None, shared: Path | None, problems: list[str]) -> tuple[Profile, ...]:
    secret = _secret(shared, "pep_secret_file", problems) if shared else None
    if given is None or path is None:
        return (Profile("default", secret),)
    if not isinstance(given, dict) or not given or not all(isinstance(table, dict) for table in given.values()):
        problems.append(f"{path}: `pep` must hold tables: [pep.NAME]")
        return ()
    return tuple(_profile(name, table, path, secret, problems) for name, table in sorted(given.items()))


def _profile(name: str, table: dict[str, Any], path: Path, secret: bytes | None, problems: list[str]) -> Profile:
    where = f"{path}: [pep.{name}]"
    found = [f"unknown key `{key}`" for key in sorted(set(table) - PROFILE_KEYS)]
    door, asserts = table.get("door"), table.get("may_assert", ["context.*"])
    duties, releases, context = table.get("obligations", []), table.get("fields", False), table.get("context", {})
    if door is not None and door not in sorted(DOORS):
        found.append(f"`door` must be one of {', '.join(sorted(DOORS))}")
    if not _texts(asserts) or not all(map(_assertion, asserts)):
        found.append("`may_assert` must list `subject.NAME`, `action.NAME`, `resource.NAME`, `context.NAME`, or `*`")
    if not _texts(duties):
        found.append("`obligations` must list names")
    if not isinstance(releases, bool):
        found.append("`fields` must be true or false")
    if not isinstance(context, dict) or not _json_ready(context):
        found.append("`context` must be a table of texts, whole numbers, booleans, lists and tables")
    own = table.get("secret_file", "")
    if not isinstance(own, str) or ("secret_file" in table and not own):
        found.append("`secret_file` must be a path")
    elif own:
        secret = _secret(path.parent / own, f"{where} secret_file", problems)
    if found:
        problems.extend(f"{where}: {each}" for each in found)
        return Profile(name)
    doors = frozenset({door}) if door else DOORS
    return Profile(name, secret, doors, frozenset(asserts), Capabilities(releases, frozenset(duties)), context)


def _texts(given: object) -> bool:
    return isinstance(given, list) and all(isinstance(each, str) and each for each in given)


def _assertion(text: str) -> bool:
    place, _, name = text.partition(".")
    return text == "*" or (
        place in ("subject", "action", "resource", "context") and (name == "*" or name.isidentifier())
    )


def _json_ready(value: object) -> bool:
    if isinstance(value, dict):
        return all(map(_json_ready, value.values()))
    if isinstance(value, list):
        return all(map(_json_ready, value))
    return isinstance(value, bool | int | str)


def _contradictions(settings: Settings) -> list[str]:
    """What each setting alone may say, and all together may not: each of them would leave a door open."""
    listen, found = settings.http_listen, []
    bare = [each.name for each in settings.profiles if each.secret is None]
    if bare and not listen.loopback:
        found.append(
            f"http_listen: {listen} is not loopback, and there is no secret for {', '.join(bare)};"
            " set pep_secret_file (PDP_PEP_SECRET_FILE), or listen on 127.0.0.1"
        )
    if settings.trust_unverified_subject_header and not listen.loopback:
        found.append(f"trust_unverified_subject_header: refused, since {listen} is not loopback")
    if settings.management_secret is None and not settings.management_listen.loopback:
        where = settings.management_listen
        found.append(f"management_listen: {where} is not loopback, and there is no management_secret_file")
    if listen == settings.management_listen and listen.port:
        found.append("http_listen and management_listen are the same address")
    for door in sorted(DOORS):
        seen: dict[bytes | None, str] = {}
        for each in (profile for profile in settings.profiles if door in profile.doors):
            if each.secret in seen:
                found.append(
                    f"[pep.{seen[each.secret]}] and [pep.{each.name}] have the same secret, or none, at {door}"
                )
            seen[each.secret] = each.name
    return found


def reference() -> str:
    """The keys as a page: docs/settings.md holds exactly this between its marks, which a test asserts."""
    paragraphs, comment = [], ""
    defaults = {each.name: each.default for each in fields(Settings)}
    for line in inspect.getsource(Settings).splitlines():
        text = line.strip()
        name = text.partition(":")[0]
        if text.startswith("# "):
            comment += text[1:]
        elif name in READERS and comment:
            default = f" Default: `{defaults[name]}`." if defaults[name] not in (None, "") else ""
            body = textwrap.fill(f"`PDP_{name.upper()}`.{default}{comment}", 120, break_long_words=False)
            paragraphs.append(f"### `{name}`\n\n{body}\n")
            comment = ""
    return "\n".join(paragraphs)
