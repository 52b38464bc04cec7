"""OCSF 1.8 (schema.ocsf.io): a decision is API Activity (6003) with the profile `security_control`, what somebody does
with the log is API Activity without it, what detection found is a Detection Finding (2004), and what the log says of
itself is Application Lifecycle (6002), activity Other.

Class 3003, Authorize Session, is of privileges at log-on, and not for the decision of one request.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from pdp import __version__
from pdp.audit.asking.deeds import Name
from pdp.audit.export.fact import DECISIONS, VERBS, Fact, given

VERSION: Final = "1.8.0"
ACTIVITIES: Final = {"C": 1, "R": 2, "U": 3, "D": 4}
OTHER: Final = 99
FINDINGS: Final = frozenset({"finding", "case", "case.disposition"})
INFORMATIONAL, LOW, MEDIUM, HIGH = 1, 2, 3, 4
SEVERITY: Final = {
    "permitted": INFORMATIONAL,
    "unauthenticated": MEDIUM,
    "unknown_pep": HIGH,
    "fault": HIGH,
    "audit_unavailable": HIGH,
}
"""By reason; any other refusal is `LOW`."""
BLOCKED: Final = (2, "Blocked")
DISPOSITIONS: Final = {
    "permitted": (1, "Allowed"),
    "unauthenticated": (26, "Unauthorized"),
    "unknown_pep": (26, "Unauthorized"),
    "session_ended": (26, "Unauthorized"),
    "step_up": (23, "Challenge"),
    "fault": (27, "Error"),
    "indeterminate": (27, "Error"),
    "audit_unavailable": (27, "Error"),
}


def encoded(fact: Fact) -> bytes:
    """One JSON object."""
    if fact.leaf.kind in DECISIONS:
        return orjson.dumps(_activity(fact))
    if fact.leaf.kind in FINDINGS:
        return orjson.dumps(_finding(fact))
    return orjson.dumps(_deed(fact) if fact.leaf.members.get("by") else _lifecycle(fact))


def _activity(fact: Fact) -> dict[str, Any]:
    activity = ACTIVITIES.get(fact.deed.verb, OTHER)
    event = _base(fact, 6, 6003, activity, SEVERITY.get(fact.deed.reason, LOW)) | {
        "activity_name": VERBS.get(fact.deed.verb, "other").capitalize(),
        "actor": _actor(fact),
        "api": {"operation": fact.deed.action or "unknown", "service": {"name": fact.pep or "-"}},
        "src_endpoint": {"svc_name": fact.deed.client or fact.pep or "-", "name": fact.pep or "-"},
        "resources": _resources(fact),
        "policy": _policy(fact),
    }
    if fact.deed.effect:
        event |= _control(fact)
    if fact.method or fact.request:
        event["http_request"] = given(http_method=fact.method, uid=fact.request)
    if fact.trace:
        event["trace"] = {"uid": fact.trace}
        event["metadata"]["profiles"].append("trace")
    return event


def _control(fact: Fact) -> dict[str, Any]:
    number, caption = DISPOSITIONS.get(fact.deed.reason, BLOCKED)
    if fact.deed.allowed != (number == 1):  # A reason that we do not know yet opens nothing here either.
        number, caption = (1, "Allowed") if fact.deed.allowed else BLOCKED
    decision = "allowed" if fact.deed.allowed else "denied"
    return {
        "action_id": 1 if fact.deed.allowed else 2,
        "action": "Allowed" if fact.deed.allowed else "Denied",
        "disposition_id": number,
        "disposition": caption,
        "authorizations": [
            {
                "decision": decision,
                "policy": given(uid=rule, name=rule, version=fact.deed.digest) | {"is_applied": True},
            }
            for rule in fact.deed.rules
        ]
        or [{"decision": decision}],
        "status_id": 1 if fact.deed.allowed else 2,
        "status": "Success" if fact.deed.allowed else "Failure",
        **given(status_code=fact.deed.reason, status_detail=fact.deed.status or fact.deed.reason),
    }


def _finding(fact: Fact) -> dict[str, Any]:
    said = fact.leaf.members
    title = str(said.get("title") or said.get("rule") or fact.leaf.kind)
    activity = 3 if fact.leaf.kind == "case.disposition" else 1
    return _base(fact, 2, 2004, activity, MEDIUM) | {
        "finding_info": {
            "uid": str(said.get("case") or fact.leaf.id),
            "title": title,
            "created_time": fact.leaf.time // 1_000,
        },
        "is_alert": activity == 1,
    }


def _deed(fact: Fact) -> dict[str, Any]:
    """What somebody did with the log: read it, held or pruned it, signed a review."""
    reading = fact.leaf.kind == "audit.read"
    return _base(fact, 6, 6003, 2 if reading else OTHER, INFORMATIONAL) | {
        "activity_name": "Read" if reading else "Other",
        "actor": {"user": {"name": str(fact.leaf.members["by"])}},
        "api": {"operation": fact.leaf.kind, "service": {"name": "Chaperone"}},
        "src_endpoint": {"svc_name": "Chaperone"},
        "resources": [{"name": "the audit log", "type": "audit log", "role_id": 1}],
    }


def _lifecycle(fact: Fact) -> dict[str, Any]:
    return _base(fact, 6, 6002, OTHER, INFORMATIONAL) | {
        "activity_name": fact.leaf.kind,
        "app": {"name": "Chaperone", "vendor_name": "Chaperone", "version": __version__},
    }


def _base(fact: Fact, category: int, kind: int, activity: int, severity: int) -> dict[str, Any]:
    leaf = fact.leaf
    event: dict[str, Any] = {
        "category_uid": category,
        "class_uid": kind,
        "activity_id": activity,
        "type_uid": kind * 100 + activity,
        "time": fact.leaf.time // 1_000,
        "severity_id": severity,
        "metadata": {
            "version": VERSION,
            "product": {"name": "Chaperone", "vendor_name": "Chaperone", "version": __version__},
            "uid": leaf.hash.hex(),
            "sequence": leaf.seq,
            "log_name": leaf.stream,
            "original_event_uid": leaf.receipt,
            "event_code": fact.leaf.kind,
            "profiles": ["security_control"] if fact.deed.effect else [],
            **given(correlation_uid=fact.leaf.id),
        },
    }
    if fact.deed.count > 1:
        event |= {
            "count": fact.deed.count,
            "start_time": fact.leaf.time // 1_000,
            "end_time": fact.leaf.time // 1_000 + 1_000,
        }
    return event


def _actor(fact: Fact) -> dict[str, Any]:
    actor: dict[str, Any] = given(app_uid=fact.deed.client, app_name=fact.pep or "-")
    if fact.deed.who.id:
        actor["user"] = {"uid": fact.deed.who.id, "type": fact.deed.who.kind}
    if fact.issuer:
        actor["idp"] = {"name": fact.issuer}
    if fact.scopes:
        actor["authorizations"] = [{"decision": "granted", "policy": {"name": scope}} for scope in fact.scopes]
    return actor


def _resources(fact: Fact) -> list[dict[str, Any]]:
    found = [_resource(fact.deed.resource, 1)] if fact.deed.resource.kind else []
    if fact.deed.patient.id:
        found.append(_resource(fact.deed.patient, 3))
    return found + [_resource(each, 3) for each in fact.results]


def _resource(name: Name, role: int) -> dict[str, Any]:
    labels = ["pseudonym"] if name.hidden else []
    return given(type=name.kind, uid=name.id) | {"role_id": role, **({"labels": labels} if labels else {})}


def _policy(fact: Fact) -> dict[str, Any]:
    return given(uid=fact.deed.digest, version=fact.data) | {"name": "policy set", "is_applied": bool(fact.deed.rules)}
