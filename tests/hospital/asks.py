"""One question to the decision point, and the questions that opening a chart is made of."""

from __future__ import annotations

from random import Random
from typing import Final, NamedTuple

from tests.hospital.people import Patient, Staff

SECOND: Final = 1_000_000
"""Microseconds: what `Ask.at` counts."""
WORKSTATIONS: Final = 6
"""In each unit."""


class Ask(NamedTuple):
    """`at`: microseconds since the local midnight on which all begins. `plant`: its number, -1 where it is none."""

    at: int
    subject_type: str
    subject: str
    action: str
    resource_type: str
    resource: str
    patient: str
    purpose: str
    client: str
    plant: int = -1


def workstation(unit: str, number: int) -> str:
    return f"ws-{unit}-{number % WORKSTATIONS}"


def user(staff: Staff, action: str, kind: str, thing: str, patient: str, at: float, client: str, purpose: str) -> Ask:
    return Ask(int(at * SECOND), "user", staff.id, action, kind, thing, patient, purpose, client)


def opened(
    staff: Staff, patient: Patient, at: float, random: Random, client: str, purpose: str = "", deep: float = 0.55
) -> list[Ask]:
    """A chart that is opened, as this role does it: a few questions within a minute or three. `deep`: how many."""
    made = [_first(staff, patient, at, random, client, purpose)]
    while random.random() < deep and len(made) < 6:
        at += random.uniform(4, 45)
        made.append(_next(staff, patient, at, random, client, purpose))
    return made


def _first(staff: Staff, patient: Patient, at: float, random: Random, client: str, purpose: str) -> Ask:
    if staff.role in ("registrar", "billing"):
        return user(staff, "read", "Patient", patient.id, patient.id, at, client, purpose)
    if staff.role in ("pharmacist", "researcher"):
        return _next(staff, patient, at, random, client, purpose)
    if staff.role == "privacy_officer" or random.random() < 0.7:
        return user(staff, "list", "Chart", patient.id, patient.id, at, client, purpose)
    return user(staff, "read", "Patient", patient.id, patient.id, at, client, purpose)


def _next(staff: Staff, patient: Patient, at: float, random: Random, client: str, purpose: str) -> Ask:
    action, kind = "read", "Record"
    if staff.role == "registrar":
        kind = "Patient"
    elif staff.role == "pharmacist":
        kind = "MedicationRequest"
    elif staff.role == "privacy_officer":
        action, kind = "list", "Chart"
    elif staff.role == "billing":
        action, kind = random.choice((("read", "Claim"), ("update", "Claim"), ("read", "Record"), ("bill", "Chart")))
    elif staff.role == "researcher":
        kind = random.choice(("Record", "Observation"))
    else:
        kinds = ("Record", "Observation", "MedicationRequest", "Chart")
        kind = random.choices(kinds, (3, 5, 1, 1) if staff.role == "nurse" else (5, 3, 1, 1))[0]
        action = "add" if kind == "Chart" else "read"
        if action == "add" and staff.role == "trainee":
            action, kind = "read", "Record"
    thing = document(patient, kind, random)
    return user(staff, action, kind, thing, patient.id, at, client, purpose)


def document(patient: Patient, kind: str, random: Random) -> str:
    many = {
        "Record": patient.records,
        "Observation": patient.observations,
        "MedicationRequest": patient.prescriptions,
        "Claim": patient.claims,
    }.get(kind)
    return random.choice(many) if many else patient.id
