"""`[ship.NAME]`: where what is sealed is brought to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from pdp.audit.ship.destination import FORMATS, S3, Destination, Folder, Kafka, Nats, Otlp, Syslog, Trust, Where, local
from pdp.config.reading import Table, named

KINDS: Final = ("s3", "nats", "syslog", "otlp", "kafka", "file")
MECHANISMS: Final = ("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN")
PLAIN: Final = "trust_plain_text_network"
CENTURY_DAYS: Final = 36_600


def shipping(given: Any, file: Path, problems: list[str]) -> tuple[Destination, ...]:
    """The destinations of a settings file."""
    found = []
    for name, table in named("ship", given, file, problems):
        if not name.isascii() or not name.replace("-", "").replace("_", "").isalnum() or len(name) > 64:
            table.wrong("its name is that of a file: letters, digits, `-` and `_`, 64 at most")
        kind = table.one_of("kind", KINDS, "")
        if not kind:
            if "kind" not in table:
                table.wrong(f"`kind` must be one of {', '.join(KINDS)}")
            continue
        plain = table.flag(PLAIN)
        where = _READERS[kind](table, plain)
        found.append(
            Destination(
                name,
                where,
                table.one_of("format", FORMATS, "raw") if kind != "s3" else "raw",
                table.number("timeout_seconds", 10, 1, 300),
                table.number("partial_minutes", 0, 0, 1_440) if kind == "s3" else 0,
                plain,
            )
        )
        table.close()
    return tuple(found)


def _s3(table: Table, plain: bool) -> S3:
    endpoint = table.url("endpoint")
    _guarded(table, "endpoint", (endpoint,) if endpoint else (), ("https",), ("http",), plain)
    lock = table.one_of("object_lock", ("COMPLIANCE", "GOVERNANCE", "none"), "COMPLIANCE").replace("none", "")
    days = table.number("retain_days", 0, 1, CENTURY_DAYS)
    years = table.number("retain_years", 0, 1, 100)
    if days and years:
        table.wrong("`retain_days` and `retain_years` say the same thing: one of them is enough")
    if lock and not days and not years:
        table.wrong('`retain_years` (or `retain_days`) must say for how long, or `object_lock` be "none"')
    if not lock and (days or years):
        table.wrong('nothing is retained with `object_lock` "none"')
    prefix = table.text("prefix").lstrip("/")
    access, secret = table.text("access_key"), table.secret("secret_key_file")
    if bool(access) != bool(secret):
        table.wrong("`access_key` and `secret_key_file` need each other")
    return S3(
        _needed(table, "bucket"),
        f"{prefix.rstrip('/')}/" if prefix else "",
        endpoint,
        table.text("region", "us-east-1"),
        access,
        secret or b"",
        lock,
        days or years * 366,
        table.path("ca_file"),
    )


def _nats(table: Table, plain: bool) -> Nats:
    servers = table.texts("servers", alone=True)
    if not servers:
        table.wrong("`servers` must list tls://HOST:PORT")
    _guarded(table, "servers", servers, ("tls",), ("nats",), plain)
    user, password, token = table.text("user"), table.secret("password_secret_file"), table.secret("token_secret_file")
    credentials = table.path("credentials_secret_file")
    if sum(map(bool, (user, token, credentials))) > 1:
        table.wrong("one of `user`, `token_secret_file` and `credentials_secret_file` is enough")
    if bool(user) != bool(password):
        table.wrong("`user` and `password_secret_file` need each other")
    return Nats(
        servers,
        table.text("stream", "PDP_AUDIT"),
        table.text("subject", "pdp.audit"),
        table.flag("create", True),
        table.number("replicas", 1, 1, 5),
        table.number("duplicate_window_seconds", 120, 1, 86_400),
        user,
        password or token or b"",
        credentials,
        _trust(table),
    )


def _syslog(table: Table, plain: bool) -> Syslog:
    url = _needed(table, "url")
    if url.startswith("unix:///"):
        return Syslog(url, table.number("facility", 13, 0, 23), _trust(table))
    _guarded(table, "url", (url,) if url else (), ("tls",), ("tcp",), plain, "unix:///PATH")
    return Syslog(url, table.number("facility", 13, 0, 23), _trust(table))


def _otlp(table: Table, plain: bool) -> Otlp:
    url = table.url("url")
    if not url:
        table.wrong("`url` must be set, like https://collector.example:4318/v1/logs")
    _guarded(table, "url", (url,) if url else (), ("https",), ("http",), plain)
    header = table.text("header", "Authorization")
    if not header.isascii() or not header.replace("-", "").isalnum():
        table.wrong("`header` must be the name of a header")
    return Otlp(url, header, table.read("header_secret_file", _line, b""), _trust(table))


def _kafka(table: Table, plain: bool) -> Kafka:
    brokers = table.texts("brokers", alone=True)
    if not brokers:
        table.wrong("`brokers` must list HOST:PORT")
    tls = table.flag("tls", True)
    for each in brokers:
        if "//" in each or "@" in each or not _port(f"//{each}"):
            table.wrong("`brokers` must list HOST:PORT")
        elif not tls and not plain and not local(each):
            table.wrong(_WHY.format("brokers", PLAIN))
    user, password = table.text("user"), table.secret("password_secret_file")
    if bool(user) != bool(password):
        table.wrong("`user` and `password_secret_file` need each other")
    mechanism = table.one_of("mechanism", MECHANISMS, MECHANISMS[0])
    return Kafka(brokers, table.text("topic", "pdp-audit"), tls, mechanism, user, password or b"", _trust(table))


def _folder(table: Table, plain: bool) -> Folder:
    if plain:
        table.wrong(f"`{PLAIN}` means nothing for a directory")
    where = table.path("directory")
    if where is None:
        table.wrong("`directory` must be set")
    return Folder(where or Path(), table.number("rotate_megabytes", 64, 1, 65_536))


_READERS: Final[dict[str, Callable[[Table, bool], Where]]] = {
    "s3": _s3,
    "nats": _nats,
    "syslog": _syslog,
    "otlp": _otlp,
    "kafka": _kafka,
    "file": _folder,
}
_WHY: Final = "`{}`: records would travel in clear, and believed by whoever answers; TLS, or, knowing that, `{}`"


def _needed(table: Table, key: str) -> str:
    found = table.text(key)
    if not found:
        table.wrong(f"`{key}` must be set")
    return found


def _guarded(
    table: Table,
    key: str,
    urls: tuple[str, ...],
    good: tuple[str, ...],
    bare: tuple[str, ...],
    plain: bool,
    also: str = "",
) -> None:
    """Each is of a scheme that we know, names no user, and has TLS unless it stays on this machine."""
    for each in urls:
        try:
            parts = urlsplit(each)
            known = parts.scheme in (*good, *bare) and bool(parts.hostname) and _port(each, optional=True)
        except ValueError:
            known = False
        if not known or "@" in parts.netloc or not each.isprintable() or " " in each:
            forms = " or ".join([*(f"{scheme}://HOST[:PORT]" for scheme in (*good, *bare)), *filter(None, [also])])
            table.wrong(f"`{key}` must be {forms}, without a user or a secret in it")
        elif parts.scheme in bare and not plain and not local(each):
            table.wrong(_WHY.format(key, PLAIN))


def _port(url: str, optional: bool = False) -> bool:
    try:
        return urlsplit(url).port is not None or optional
    except ValueError:
        return False


def _line(value: object, base: Path) -> bytes:
    """The value of a header, from a file: like a secret, and may hold spaces."""
    if not isinstance(value, str) or not value:
        raise ValueError("must be a path")
    where = Path(base, value)
    try:
        found = where.read_bytes().strip()
    except OSError as error:
        raise ValueError(f"{where} cannot be read: {error.strerror}") from error
    if not 16 <= len(found) <= 4_096 or any(not 0x20 <= byte <= 0x7E for byte in found):
        raise ValueError(f"{where} must hold 16 to 4096 visible ASCII characters and spaces")
    return found


def _trust(table: Table) -> Trust:
    made = Trust(table.path("ca_file"), table.path("certificate_file"), table.path("key_file"))
    if (made.certificate_file is None) != (made.key_file is None):
        table.wrong("`certificate_file` and `key_file` need each other")
    return made
