"""Where to ship, as the settings say it: one noun for each kind of target."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pdp.audit.ship.cursor import FILES, RECORDS


@dataclass(frozen=True, slots=True)
class Trust:
    """With what the target is recognised, and we are to it. Files are PEM; None: the authorities of the system."""

    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None


@dataclass(frozen=True, slots=True)
class S3:
    bucket: str
    prefix: str = ""
    endpoint: str = ""  # "" is that of AWS for the region
    region: str = "us-east-1"
    access_key: str = ""  # "": as boto3 finds credentials by itself
    secret: bytes = field(default=b"", repr=False)
    lock: str = "COMPLIANCE"  # or GOVERNANCE, or "" for none
    retain_days: int = 0
    ca_file: Path | None = None

    kind: str = field(default="s3", init=False)
    feed: str = field(default=FILES, init=False)

    @property
    def place(self) -> str:
        return f"s3 {self.endpoint or 'aws ' + self.region} {self.bucket}/{self.prefix}"


@dataclass(frozen=True, slots=True)
class Nats:
    servers: tuple[str, ...]
    stream: str = "PDP_AUDIT"
    subject: str = "pdp.audit"
    create: bool = True
    replicas: int = 1
    duplicate_window_seconds: int = 120
    user: str = ""
    secret: bytes = field(default=b"", repr=False)  # the password, or a token where there is no user
    credentials_file: Path | None = None
    trust: Trust = Trust()

    kind: str = field(default="nats", init=False)
    feed: str = field(default=RECORDS, init=False)

    @property
    def place(self) -> str:
        return f"nats {self.stream} {self.subject}"


@dataclass(frozen=True, slots=True)
class Syslog:
    url: str  # tls://HOST:PORT, tcp://HOST:PORT or unix:///PATH
    facility: int = 13  # log audit
    trust: Trust = Trust()

    kind: str = field(default="syslog", init=False)
    feed: str = field(default=RECORDS, init=False)

    @property
    def place(self) -> str:
        return f"syslog {self.url}"


@dataclass(frozen=True, slots=True)
class Otlp:
    url: str  # .../v1/logs
    header: str = "Authorization"
    secret: bytes = field(default=b"", repr=False)  # the whole value of that header
    trust: Trust = Trust()

    kind: str = field(default="otlp", init=False)
    feed: str = field(default=RECORDS, init=False)

    @property
    def place(self) -> str:
        return f"otlp {self.url}"


@dataclass(frozen=True, slots=True)
class Kafka:
    brokers: tuple[str, ...]
    topic: str = "pdp-audit"
    tls: bool = True
    mechanism: str = "SCRAM-SHA-512"
    user: str = ""
    secret: bytes = field(default=b"", repr=False)
    trust: Trust = Trust()

    kind: str = field(default="kafka", init=False)
    feed: str = field(default=RECORDS, init=False)

    @property
    def place(self) -> str:
        return f"kafka {self.topic}"


@dataclass(frozen=True, slots=True)
class Folder:
    directory: Path
    rotate_megabytes: int = 64

    kind: str = field(default="file", init=False)
    feed: str = field(default=RECORDS, init=False)

    @property
    def place(self) -> str:
        return f"file {self.directory}"


FORMATS: Final = ("raw", "ocsf", "ecs", "cef")
"""In which form records leave."""

Where = S3 | Nats | Syslog | Otlp | Kafka | Folder


@dataclass(frozen=True, slots=True)
class Destination:
    """`[ship.NAME]`."""

    name: str
    where: Where
    form: str = "raw"  # of records
    timeout_seconds: int = 10  # of one wait for the target
    partial_minutes: int = 0  # of files: after how long what is not full is shipped; 0: never
    trust_plain_text_network: bool = False


EXTRAS: Final[Mapping[str, tuple[str, str]]] = {
    "s3": ("boto3", "ship-s3"),
    "nats": ("nats", "ship-nats"),
    "kafka": ("confluent_kafka", "ship-kafka"),
}
"""For each kind of target that needs one: the module, and the extra of our package that brings it."""


def local(url: str) -> bool:
    """Does it stay on this machine?"""
    if url.startswith("unix://"):
        return True
    host = urlsplit(url if "//" in url else f"//{url}").hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
