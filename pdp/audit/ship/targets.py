"""From a destination of the settings to its target, and to the lane that leads there."""

from __future__ import annotations

import random
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import assert_never

from pdp.audit.ship.cursor import FILES
from pdp.audit.ship.destination import EXTRAS, S3, Destination, Folder, Kafka, Nats, Otlp, Syslog
from pdp.audit.ship.encode import encoder
from pdp.audit.ship.feed import Feed, Records, Sealed
from pdp.audit.ship.lane import Lane
from pdp.audit.ship.target import ShipError, Target


def lane(directory: Path, origin: str, to: Destination) -> Lane:
    """The lane to one target; nothing is connected yet. Raises EvidenceError."""
    found = missing(to)
    if found:
        raise ShipError(found)
    return Lane(
        directory,
        to.name,
        origin,
        to.where.place,
        to.where.feed,
        feed(directory, to),
        lambda: target(to),
        jitter=random.random,
        clock=time.monotonic,
    )


def feed(directory: Path, to: Destination) -> Feed:
    if to.where.feed == FILES:
        return Sealed(directory, to.partial_minutes * 60, time.monotonic)
    return Records(directory, encoder(to.form))


def missing(to: Destination) -> str:
    """What has to be installed, as a sentence; "" where everything is there."""
    module, extra = EXTRAS.get(to.where.kind, ("", ""))
    if not module or find_spec(module) is not None:
        return ""
    return f"[ship.{to.name}] needs the extra `{extra}`: pip install 'chaperone-pdp[{extra}]'"


def target(to: Destination) -> Target:
    """Raises ShipError. Each client library is imported by its own module, and only where it is used."""
    where, seconds = to.where, to.timeout_seconds
    made: Target
    match where:
        case S3():
            made = import_module("pdp.audit.ship.s3").Bucket(where, seconds)
        case Nats():
            made = import_module("pdp.audit.ship.nats").Stream(where, seconds)
        case Syslog():
            made = import_module("pdp.audit.ship.syslog").Collector(where, seconds)
        case Otlp():
            made = import_module("pdp.audit.ship.otlp").Collector(where, seconds)
        case Kafka():
            made = import_module("pdp.audit.ship.kafka").Topic(where, seconds)
        case Folder():
            made = import_module("pdp.audit.ship.folder").Lines(where)
        case _:
            assert_never(where)
    return made
