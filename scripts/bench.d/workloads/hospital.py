"""hospital-N: N departments, 9 roles, 10 resource types, 33 rules for each department and 5 for the house.

One table makes the rules of every engine, and the index that a programmer would write by hand (`Indexed`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from workloads.base import Question, Ref, Thing, Workload

ROLES = ("physician", "nurse", "resident", "pharmacist", "technician", "therapist", "clerk", "manager", "auditor")
TYPES = (
    "Chart",
    "LabResult",
    "Imaging",
    "Prescription",
    "CareOrder",
    "CareNote",
    "Allergy",
    "Vital",
    "Invoice",
    "Appointment",
)
ACTIONS = ("read", "write", "sign", "share")

# (effect, actions, type, role, extra condition): the rules of one department, 30 permits and 3 forbids.
RULES: tuple[tuple[str, tuple[str, ...], str, str, str], ...] = (
    ("permit", ("read", "write", "sign"), "Chart", "physician", ""),
    ("permit", ("read", "write", "sign"), "LabResult", "physician", "cleared"),
    ("permit", ("read", "share"), "Imaging", "physician", "cleared"),
    ("permit", ("read", "write", "sign"), "Prescription", "physician", ""),
    ("permit", ("read", "write", "sign"), "CareOrder", "physician", ""),
    ("permit", ("read", "write"), "CareNote", "physician", "owner"),
    ("permit", ("read", "write"), "Allergy", "physician", ""),
    ("permit", ("read",), "Vital", "physician", ""),
    ("permit", ("read",), "Chart", "nurse", "cleared"),
    ("permit", ("read",), "LabResult", "nurse", "cleared"),
    ("permit", ("read",), "CareOrder", "nurse", ""),
    ("permit", ("read", "write"), "CareNote", "nurse", "owner"),
    ("permit", ("read", "write"), "Vital", "nurse", ""),
    ("permit", ("read",), "Allergy", "nurse", ""),
    ("permit", ("read",), "Appointment", "nurse", ""),
    ("permit", ("read", "write"), "Chart", "resident", "cleared"),
    ("permit", ("read",), "LabResult", "resident", "cleared"),
    ("permit", ("read",), "Imaging", "resident", "cleared"),
    ("permit", ("read",), "CareNote", "resident", ""),
    ("permit", ("read", "sign"), "Prescription", "pharmacist", ""),
    ("permit", ("read",), "Allergy", "pharmacist", ""),
    ("permit", ("read", "write"), "LabResult", "technician", ""),
    ("permit", ("read", "write"), "Imaging", "technician", ""),
    ("permit", ("read", "write"), "CareNote", "therapist", "owner"),
    ("permit", ("read",), "Chart", "therapist", "cleared"),
    ("permit", ("read", "write"), "Appointment", "clerk", ""),
    ("permit", ("read", "write"), "Invoice", "clerk", ""),
    ("permit", ("read", "share"), "Invoice", "manager", ""),
    ("permit", ("read",), "Appointment", "manager", ""),
    ("permit", ("read",), "Chart", "auditor", "cleared"),
    ("forbid", ("write", "sign"), "Chart", "resident", "secret"),
    ("forbid", ("share",), "Imaging", "physician", "secret"),
    ("forbid", ("write",), "Invoice", "clerk", "secret"),
)

WARD_EXTRA = {
    "": "",
    "cleared": " and subject.clearance >= resource.sensitivity",
    "owner": " and resource.owner == subject",
    "secret": " and resource.sensitivity >= 4",
}
CEDAR_EXTRA = {
    "": "",
    "cleared": " && principal.clearance >= resource.sensitivity",
    "owner": " && resource.owner == principal",
    "secret": " && resource.sensitivity >= 4",
}

_ATTRIBUTES = "{ department: Text  sensitivity: Int  sealed: Bool  owner: User }"

WARD_HEAD = "\n".join(
    [
        f'vocabulary Role "urn:bench:role" {{ {" ".join(ROLES)} }}',
        "entity User { role: Role  department: Text  clearance: Int  active: Bool }",
        *(f"entity {each} {_ATTRIBUTES}" for each in TYPES),
        f"kind Anything = {' or '.join(TYPES)}",
        f"action {', '.join(ACTIONS)} on {', '.join(TYPES)} by User",
        """
forbid any on any as g1-active "Only active accounts" unless subject.active
forbid any on Anything as g2-sealed "Sealed things are for their owner" when resource.sealed
    unless resource.owner == subject
permit read on Anything as g3-own "Owners read their own" when resource.owner == subject
permit read on Invoice, Appointment as g4-audit "Auditors read the books" when subject.role == Role.auditor
forbid share on Anything as g5-secret "Secrets are not shared" when resource.sensitivity >= 5
""",
    ]
)

CEDAR_HEAD = """\
forbid (principal, action, resource) unless { principal.active };
forbid (principal, action, resource) when { resource.sealed } unless { resource.owner == principal };
permit (principal, action == Action::"read", resource) when { resource.owner == principal };
permit (principal, action == Action::"read", resource)
when { (resource is Invoice || resource is Appointment) && principal.role == "auditor" };
forbid (principal, action == Action::"share", resource) when { resource.sensitivity >= 5 };
"""


def department(number: int) -> str:
    return f"department-{number}"


def _ward_rules(number: int) -> str:
    name = department(number)
    return "\n".join(
        f"{effect} {', '.join(actions)} on {kind} as d{number}-{index} "
        f'"{role} of {name}: {effect} {" and ".join(actions)} {kind}"\n'
        f'    when subject.department == "{name}" and resource.department == "{name}" '
        f"and subject.role == Role.{role}{WARD_EXTRA[extra]}"
        for index, (effect, actions, kind, role, extra) in enumerate(RULES)
    )


def _cedar_rules(number: int) -> str:
    name = department(number)
    return "\n".join(
        f"{effect} (principal, action in ["
        + ", ".join('Action::"' + each + '"' for each in actions)
        + f"], resource is {kind}) "
        + f'when {{ principal.department == "{name}" && resource.department == "{name}" '
        + f'&& principal.role == "{role}"{CEDAR_EXTRA[extra]} }};'
        for effect, actions, kind, role, extra in RULES
    )


def hospital(departments: int, questions: int = 500, seed: int = 1) -> Workload:
    """33 * departments + 5 rules; for each department 12 people and 20 things."""
    draw = random.Random(f"hospital-{seed}-{departments}")
    things: list[Thing] = []
    for number in range(departments):
        for person in range(12):
            attributes = {
                "role": ROLES[person % len(ROLES)],
                "department": department(number),
                "clearance": draw.randrange(6),
                "active": draw.random() < 0.95,
            }
            things.append(Thing("User", f"user-{number}-{person}", attributes))
        for item in range(20):
            attributes = {
                "department": department(number),
                "sensitivity": draw.randrange(6),
                "sealed": draw.random() < 0.05,
                "owner": Ref("User", f"user-{number}-{draw.randrange(12)}"),
            }
            things.append(Thing(TYPES[item % len(TYPES)], f"thing-{number}-{item}", attributes))
    asked = [_question(draw, departments) for _ in range(questions)]
    ward = {"house.ward": WARD_HEAD}
    for first in range(0, departments, 20):
        texts = (_ward_rules(each) for each in range(first, min(first + 20, departments)))
        ward[f"departments-{first}.ward"] = "\n".join(texts) + "\n"
    cedar = CEDAR_HEAD + "\n".join(_cedar_rules(each) for each in range(departments)) + "\n"
    rules = departments * len(RULES) + 5
    return Workload(f"hospital-{departments}", rules, ward, cedar, tuple(things), tuple(asked))


def _question(draw: random.Random, departments: int) -> Question:
    """Half of them are what some rule of a department speaks about, half are anybody asking for anything."""
    home = draw.randrange(departments)
    if draw.random() < 0.5:
        _, actions, kind, role, _ = draw.choice(RULES)
        subject = Ref("User", f"user-{home}-{ROLES.index(role)}")
        item = TYPES.index(kind) + len(TYPES) * draw.randrange(2)
        return Question(subject, draw.choice(actions), Ref(kind, f"thing-{home}-{item}"))
    subject = Ref("User", f"user-{home}-{draw.randrange(12)}")
    item = draw.randrange(20)
    resource = Ref(TYPES[item % len(TYPES)], f"thing-{draw.randrange(departments)}-{item}")
    return Question(subject, draw.choice(ACTIONS), resource)


Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Entry:
    forbids: bool
    holds: Callable[[str, Row, Row], bool]


EXTRA: dict[str, Callable[[str, Row, Row], bool]] = {
    "": lambda _who, _subject, _resource: True,
    "cleared": lambda _who, subject, resource: bool(subject["clearance"] >= resource["sensitivity"]),
    "owner": lambda who, _subject, resource: bool(resource["owner"].id == who),
    "secret": lambda _who, _subject, resource: bool(resource["sensitivity"] >= 4),
}


class Indexed:
    """What a programmer writes by hand: a dict by (action, type, department, role), no reasons, no duties."""

    def __init__(self, workload: Workload, departments: int) -> None:
        self.rows = {each.id: each.attributes for each in workload.things}
        self.index: dict[tuple[str, str, str, str], list[_Entry]] = {}
        for number in range(departments):
            for effect, actions, kind, role, extra in RULES:
                for action in actions:
                    key = (action, kind, department(number), role)
                    self.index.setdefault(key, []).append(_Entry(effect == "forbid", EXTRA[extra]))

    def allows(self, question: Question) -> bool:
        who, action, resource_type = question.subject.id, question.action, question.resource.type
        subject, resource = self.rows[who], self.rows[question.resource.id]
        owned = resource["owner"].id == who
        if not subject["active"] or (resource["sealed"] and not owned):
            return False
        if action == "share" and resource["sensitivity"] >= 5:
            return False
        permitted = action == "read" and (
            owned or (resource_type in ("Invoice", "Appointment") and subject["role"] == "auditor")
        )
        if subject["department"] == resource["department"]:
            for entry in self.index.get((action, resource_type, subject["department"], subject["role"]), ()):
                if entry.holds(who, subject, resource):
                    if entry.forbids:
                        return False
                    permitted = True
        return permitted
