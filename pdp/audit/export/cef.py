"""Common Event Format, version 0: one line for a SIEM that takes nothing else. A line never holds a line break."""

from __future__ import annotations

from typing import Final

from pdp import __version__
from pdp.audit.export.fact import Fact
from pdp.audit.export.ocsf import LOW, SEVERITY

SCALE: Final = {1: 1, 2: 3, 3: 6, 4: 8}
"""From OCSF's severity to CEF's, 0 to 10."""


def encoded(fact: Fact) -> bytes:
    """One line, UTF-8, without its end."""
    severity = SCALE[SEVERITY.get(fact.deed.reason, LOW) if fact.deed.effect else 1]
    name = f"{fact.leaf.kind} {fact.deed.effect}".strip()
    head = "|".join(
        _headed(each) for each in ("Chaperone", "PDP", __version__, fact.deed.reason or fact.leaf.kind, name)
    )
    said = {
        "rt": str(fact.leaf.time // 1_000),
        "externalId": fact.leaf.id,
        "deviceExternalId": fact.leaf.stream,
        "act": fact.deed.action,
        "outcome": fact.deed.effect,
        "reason": fact.deed.status or fact.deed.reason,
        "suid": fact.deed.who.id,
        "sproc": fact.deed.client,
        "deviceFacility": fact.pep,
        "requestMethod": fact.method,
        "requestContext": fact.request,
        "fileType": fact.deed.resource.kind,
        "fileId": fact.deed.resource.id,
        "cn1Label": "sequence",
        "cn1": str(fact.leaf.seq),
        "cs1Label": "rules",
        "cs1": " ".join(fact.deed.rules),
        "cs2Label": "patient",
        "cs2": fact.deed.patient.id,
        "cs3Label": "purpose",
        "cs3": fact.deed.purpose,
        "cs4Label": "receipt",
        "cs4": fact.leaf.receipt,
        "cs5Label": "program",
        "cs5": fact.deed.digest,
        "cs6Label": "results",
        "cs6": " ".join(each.id for each in fact.results),
        "cnt": str(fact.deed.count) if fact.deed.count > 1 else "",
    }
    extension = " ".join(f"{key}={_valued(value)}" for key, value in said.items() if _told(said, key, value))
    return f"CEF:0|{head}|{severity}|{extension}".encode()


def _told(said: dict[str, str], key: str, value: str) -> bool:
    """A label without a value says nothing."""
    return bool(said[key.removesuffix("Label")] if key.endswith("Label") else value)


def _headed(text: str) -> str:
    return _one_line(text.replace("\\", "\\\\").replace("|", "\\|"))


def _valued(text: str) -> str:
    text = text.replace("\\", "\\\\").replace("=", "\\=").replace("\r", "\\r").replace("\n", "\\n")
    return _one_line(text)


def _one_line(text: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in text)
