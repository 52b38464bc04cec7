"""CSV (RFC 4180), for people with a spreadsheet: a cell that a spreadsheet would take for a formula is made a text."""

from __future__ import annotations

import csv
import io
from typing import Final

from pdp.audit.export.fact import Fact
from pdp.audit.record import stamp
from pdp.audit.spreadsheet import guarded

COLUMNS: Final = (
    "time",
    "kind",
    "decision",
    "effect",
    "reason",
    "status",
    "rules",
    "subject_type",
    "subject",
    "client",
    "pep",
    "door",
    "action",
    "verb",
    "resource_type",
    "resource",
    "patient",
    "purpose",
    "obligations",
    "request_id",
    "trace",
    "program",
    "count",
    "stream",
    "seq",
    "index",
    "receipt",
)


def header() -> bytes:
    return ",".join(COLUMNS).encode()


def encoded(fact: Fact) -> bytes:
    """One row, without its end. Rules, obligations and results of a search are parted by spaces."""
    leaf = fact.leaf
    return row(
        stamp(fact.leaf.time),
        fact.leaf.kind,
        fact.leaf.id,
        fact.deed.effect,
        fact.deed.reason,
        fact.deed.status,
        " ".join(fact.deed.rules),
        fact.deed.who.kind,
        fact.deed.who.id,
        fact.deed.client,
        fact.pep,
        fact.door,
        fact.deed.action,
        fact.deed.verb,
        fact.deed.resource.kind,
        " ".join([fact.deed.resource.id, *(each.id for each in fact.results)]).strip(),
        fact.deed.patient.id,
        fact.deed.purpose,
        " ".join(fact.obligations),
        fact.request,
        fact.trace,
        fact.deed.digest,
        str(fact.deed.count),
        leaf.stream,
        str(leaf.seq),
        "" if leaf.index is None else str(leaf.index),
        leaf.receipt,
    )


def row(*cells: str) -> bytes:
    """One line of CSV, without its end."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow([_harmless(each) for each in cells])
    return text.getvalue().encode()


def _harmless(cell: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in guarded(cell))
