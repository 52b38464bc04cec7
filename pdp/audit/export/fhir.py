"""FHIR R4 AuditEvent after IHE's Basic Audit Log Patterns (IHE ITI.BasicAudit 1.1).

`decisions`: each decision as a Security Alert (DCM 110113) of the kind authorization decision, after the pattern
AuthZconsent; that profile asks for the Consent that was decided by, which a record does not name, so none is claimed,
and the subtype is AuthZ-Role. `accesses`: each permitted read, search, creation, change or deletion after the profiles
PatientRead, PatientCreate and so on, which are claimed where all is known that they ask for; that the enforcement point
then let the request through is what its own log says. One event for each patient. Ids only, never what was read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from pdp.audit.asking.deeds import NOBODY, Name
from pdp.audit.export.fact import DECISIONS, Fact
from pdp.audit.record import RESULTS, stamp

DCM: Final = "http://dicom.nema.org/resources/ontology/DCM"
ENTITY: Final = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
ROLE: Final = "http://terminology.hl7.org/CodeSystem/object-role"
PURPOSE: Final = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
PARTICIPATION: Final = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
AUTHSERVER: Final = "http://terminology.hl7.org/CodeSystem/extra-security-role-type"
REST: Final = "http://hl7.org/fhir/restful-interaction"
BALP: Final = "https://profiles.ihe.net/ITI/BALP"
PSEUDONYM: Final = "urn:chaperone:pseudonym"
DECISION_ID: Final = "urn:chaperone:decision"
OURS: Final = "urn:chaperone:type:"
MACHINE: Final = "1"  # network-type: a name


@dataclass(frozen=True, slots=True)
class Pattern:
    """One of the patterns for what was done: its profile, and which roles it gives to whom."""

    profile: str  # "" where a record lacks what the profile asks for
    interaction: str
    action: str
    client: tuple[str, str]
    server: tuple[str, str]
    user: str


SOURCE: Final = (DCM, "110153")
DESTINATION: Final = (DCM, "110152")
APPLICATION: Final = (DCM, "110150")
CUSTODIAN: Final = ("http://terminology.hl7.org/CodeSystem/provenance-participant-type", "custodian")
PATTERNS: Final = {
    "C": Pattern("PatientCreate", "create", "C", SOURCE, DESTINATION, "AUT"),
    "R": Pattern("PatientRead", "read", "R", DESTINATION, SOURCE, "IRCP"),
    "U": Pattern("PatientUpdate", "update", "U", SOURCE, DESTINATION, "AUT"),
    "D": Pattern("PatientDelete", "delete", "D", APPLICATION, CUSTODIAN, "CST"),
    "Q": Pattern("", "search", "E", SOURCE, DESTINATION, "IRCP"),  # PatientQuery asks for the query as it was sent.
}


def decisions(fact: Fact) -> bytes:
    """Lines of JSON, one for each patient; none for what is no decision."""
    return _lines(fact, _decision) if fact.leaf.kind in DECISIONS else b""


def accesses(fact: Fact) -> bytes:
    """The same for what was permitted."""
    return (
        _lines(fact, _access)
        if fact.leaf.kind in DECISIONS and fact.deed.allowed and fact.deed.verb in PATTERNS
        else b""
    )


def _lines(fact: Fact, make: Callable[[Fact, Name], dict[str, Any]]) -> bytes:
    events = [make(fact, each) for each in fact.patients or (NOBODY,)]
    for number, event in enumerate(events):
        event["id"] = f"{fact.leaf.hash.hex()[:40]}-{number}"
    return b"\n".join(orjson.dumps(each) for each in events)


def _decision(fact: Fact, patient: Name) -> dict[str, Any]:
    agents = [_client(fact, _coded(DCM, "110150", "Application")), _user(fact), _authorizer(fact)]
    why = fact.deed.status or fact.deed.reason
    return {
        "resourceType": "AuditEvent",
        "type": _coding(DCM, "110113", "Security Alert"),
        "subtype": [_coding(f"{BALP}/CodeSystem/AuthZsubType", "AuthZ-Role")],
        "action": "E",
        "recorded": stamp(fact.leaf.time),
        **({"outcome": "0" if fact.deed.allowed else "8"} if fact.deed.effect or fact.leaf.kind != RESULTS else {}),
        "outcomeDesc": f"{why}: {', '.join(fact.deed.rules)}" if fact.deed.rules else why or "results of a search",
        **_purposes(fact, "purposeOfEvent"),
        "agent": agents,
        "source": _source(fact),
        "entity": [*_of_patient(patient), *_of_data(fact), *_of_request(fact), _of_decision(fact)],
    }


def _access(fact: Fact, patient: Name) -> dict[str, Any]:
    pattern = PATTERNS[fact.deed.verb]
    service = _client(fact, _coded(*pattern.server)) | {"who": {"identifier": {"value": fact.pep or "-"}}}
    event = {
        "resourceType": "AuditEvent",
        "type": _coding("http://terminology.hl7.org/CodeSystem/audit-event-type", "rest", "RESTful Operation"),
        "subtype": [_coding(REST, pattern.interaction)],
        "action": pattern.action,
        "recorded": stamp(fact.leaf.time),
        "outcome": "0",
        **_purposes(fact, "purposeOfEvent"),
        "agent": [_client(fact, _coded(*pattern.client)), service, _user(fact, pattern.user)],
        "source": _source(fact),
        "entity": [*_of_patient(patient), *_of_data(fact), *_of_request(fact)],
    }
    if pattern.profile and patient.id and fact.deed.resource.id:
        event["meta"] = {"profile": [f"{BALP}/StructureDefinition/IHE.BasicAudit.{pattern.profile}"]}
    return event


def _client(fact: Fact, role: dict[str, Any]) -> dict[str, Any]:
    """The application that asked, as far as it is known; the enforcement point is how it is connected to us."""
    return {
        "type": role,
        "who": {"identifier": {"value": fact.deed.client or fact.pep or "-"}},
        "requestor": False,
        "network": {"address": fact.pep or "-", "type": MACHINE},
    }


def _user(fact: Fact, part: str = "IRCP") -> dict[str, Any]:
    user: dict[str, Any] = {
        "type": _coded(PARTICIPATION, part),
        "who": _reference(fact.deed.who) if fact.deed.who.id else {"display": "not established"},
        "requestor": True,
        **_purposes(fact, "purposeOfUse"),
    }
    if fact.scopes:
        user["policy"] = [f"urn:chaperone:scope:{scope}" for scope in fact.scopes]
    return user


def _authorizer(fact: Fact) -> dict[str, Any]:
    role = _coded(AUTHSERVER, "authserver", "authorization server")
    return {"type": role, "who": _source(fact)["observer"], "requestor": False}


def _source(fact: Fact) -> dict[str, Any]:
    security = _coding("http://terminology.hl7.org/CodeSystem/security-source-type", "6", "Security Server")
    return {"observer": {"identifier": {"value": fact.leaf.stream}}, "type": [security]}


def _of_patient(patient: Name) -> list[dict[str, Any]]:
    if not patient.id:
        return []
    person, role = _coding(ENTITY, "1", "Person"), _coding(ROLE, "1", "Patient")
    return [{"type": person, "role": role, "what": _reference(patient)}]


def _of_data(fact: Fact) -> list[dict[str, Any]]:
    if not fact.deed.resource.kind:
        return []
    role = _coding(ROLE, "24", "Query") if fact.deed.verb == "Q" else _coding(ROLE, "4", "Domain Resource")
    entity = {"type": _coding(ENTITY, "2", "System Object"), "role": role, "what": _reference(fact.deed.resource)}
    return [entity | ({"description": fact.deed.action} if fact.deed.action else {})]


def _of_request(fact: Fact) -> list[dict[str, Any]]:
    if not fact.request:
        return []
    kind = _coding(f"{BALP}/CodeSystem/BasicAuditEntityType", "XrequestId")
    return [{"type": kind, "what": {"identifier": {"value": fact.request}}}]


def _of_decision(fact: Fact) -> dict[str, Any]:
    """Where the record is that this was made from, and which policies were in force."""
    said = {
        "receipt": fact.leaf.receipt,
        "program": fact.deed.digest,
        "data": fact.data,
        "rules": " ".join(fact.deed.rules),
        "count": str(fact.deed.count) if fact.deed.count > 1 else "",
    }
    return {
        "type": _coding(ENTITY, "4", "Other"),
        "role": _coding(ROLE, "13", "Security Resource"),
        "what": {"identifier": {"system": DECISION_ID, "value": fact.leaf.id or fact.leaf.receipt}},
        "detail": [{"type": name, "valueString": value} for name, value in said.items() if value],
    }


def _reference(name: Name) -> dict[str, Any]:
    system = PSEUDONYM if name.hidden else f"{OURS}{name.kind}"
    reference: dict[str, Any] = {"identifier": {"system": system, "value": name.id or "-"}}
    if name.kind == "Patient":
        reference["type"] = "Patient"
    return reference


def _purposes(fact: Fact, member: str) -> dict[str, Any]:
    return {member: [_coded(PURPOSE, fact.deed.purpose)]} if fact.deed.purpose else {}


def _coded(system: str, code: str, display: str = "") -> dict[str, Any]:
    return {"coding": [_coding(system, code, display)]}


def _coding(system: str, code: str, display: str = "") -> dict[str, str]:
    return {"system": system, "code": code} | ({"display": display} if display else {})
