"""Elastic Common Schema 9.1 (elastic.co/docs/reference/ecs). What ECS has no name for stands under `chaperone`."""

from __future__ import annotations

from typing import Any, Final

import orjson

from pdp import __version__
from pdp.audit.export.fact import DECISIONS, Fact, given
from pdp.audit.record import stamp

VERSION: Final = "9.1.0"
ALERTS: Final = frozenset({"finding", "case"})


def encoded(fact: Fact) -> bytes:
    """One JSON object."""
    decided = fact.leaf.kind in DECISIONS
    document: dict[str, Any] = {
        "@timestamp": stamp(fact.leaf.time),
        "ecs": {"version": VERSION},
        "event": _event(fact, decided),
        "observer": {"vendor": "Chaperone", "product": "Chaperone", "type": "pdp", "version": __version__},
        "chaperone": _ours(fact),
    }
    if not decided:
        return orjson.dumps(document)
    document["user"] = given(id=fact.deed.who.id, domain=fact.issuer)
    document["service"] = given(name=fact.pep, type=fact.door)
    document["client"] = {"user": given(id=fact.deed.client)} if fact.deed.client else {}
    document["rule"] = given(id=list(fact.deed.rules), ruleset=fact.deed.digest, version=fact.data)
    document["http"] = {"request": given(id=fact.request, method=fact.method)}
    document["trace"] = given(id=fact.trace)
    return orjson.dumps({name: value for name, value in document.items() if value not in ({}, {"request": {}})})


def _event(fact: Fact, decided: bool) -> dict[str, Any]:
    leaf = fact.leaf
    event: dict[str, Any] = {
        "kind": "alert" if fact.leaf.kind in ALERTS else "event",
        "id": leaf.receipt,
        "sequence": leaf.seq,
        "hash": leaf.hash.hex(),
        "module": "chaperone",
        "dataset": f"chaperone.{fact.leaf.kind}",
        "provider": leaf.stream,
        "action": fact.deed.action or fact.leaf.kind,
    }
    if decided:
        event |= {
            "category": ["api", "iam"],
            "type": ["access", *(["allowed" if fact.deed.allowed else "denied"] * bool(fact.deed.effect))],
        }
        event["outcome"] = ("success" if fact.deed.allowed else "failure") if fact.deed.effect else "unknown"
        event |= given(reason=fact.deed.status or fact.deed.reason, code=fact.deed.reason)
    else:
        event |= {"category": ["configuration"], "type": ["info"]}
    return event


def _ours(fact: Fact) -> dict[str, Any]:
    return given(
        decision=fact.leaf.id,
        kind=fact.leaf.kind,
        stream=fact.leaf.stream,
        subject_type=fact.deed.who.kind,
        resource=given(type=fact.deed.resource.kind, id=fact.deed.resource.id),
        patient=given(id=fact.deed.patient.id),
        results=[each.id for each in fact.results],
        pseudonyms=[name for name in ("who", "resource", "patient") if getattr(fact.deed, name).hidden],
        purpose=fact.deed.purpose,
        verb=fact.deed.verb,
        route=fact.route,
        via=fact.via,
        scopes=list(fact.scopes),
        obligations=list(fact.obligations),
        count=fact.deed.count if fact.deed.count > 1 else 0,
    )
