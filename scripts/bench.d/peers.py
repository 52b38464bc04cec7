"""The other engines, on the same workloads, everything parsed before where their interface allows it."""

from __future__ import annotations

import importlib.util
import statistics
from typing import Any

from workloads import Question, Workload
from workloads.hospital import EXTRA, RULES, department


def installed(name: str) -> Any:
    """The module, or None: a peer that is missing is a row that says so."""
    return importlib.import_module(name) if importlib.util.find_spec(name) else None


cedarpy = installed("cedarpy")
casbin = installed("casbin")


class Cedar:
    """Cedar's Rust core behind `cedarpy`: policies and entities are parsed once; a call is one request."""

    def __init__(self, workload: Workload) -> None:
        self.policies = cedarpy.PolicySet.from_str(workload.cedar)
        self.entities = cedarpy.Entities.from_json_str(workload.cedar_entities())
        self.requests = [_cedar_request(each) for each in workload.questions]

    def ask(self, request: dict[str, Any]) -> Any:
        return cedarpy.is_authorized(request, self.policies, self.entities)

    def answers(self) -> list[bool]:
        return [self.ask(each).allowed for each in self.requests]

    def core_microseconds(self) -> float:
        """The time that Cedar's core itself reports for its evaluation (whole microseconds): the median."""
        return float(statistics.median(self.ask(each).metrics["authz_duration_micros"] for each in self.requests))


def _cedar_request(question: Question) -> dict[str, Any]:
    # Structured references are read in half the time that their surface syntax takes.
    return {
        "principal": {"type": question.subject.type, "id": question.subject.id},
        "action": {"type": "Action", "id": question.action},
        "resource": {"type": question.resource.type, "id": question.resource.id},
        "context": "{}",
    }


CASBIN_MODEL = """
[request_definition]
r = sub, act, obj
[policy_definition]
p = department, role, kind, acts, extra, eft
[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))
[matchers]
m = (p.department == "*" || r.sub.department == p.department && r.obj.department == p.department \
&& r.sub.role == p.role && r.obj.kind == p.kind) && acts(p.acts, r.act) && extra(p.extra, r.sub, r.obj, r.act)
"""


class _Attributes:
    def __init__(self, identifier: str, kind: str, attributes: dict[str, Any]) -> None:
        self.__dict__.update(attributes)
        self.row = attributes
        self.id = identifier
        self.kind = kind


class Casbin:
    """casbin on hospital-N: the same table as policy lines. It walks all of them for every request."""

    def __init__(self, workload: Workload, departments: int) -> None:
        model = casbin.Enforcer.new_model(text=CASBIN_MODEL)
        self.enforcer = casbin.Enforcer(model)
        self.enforcer.add_function("acts", lambda acts, act: acts == "*" or act in acts.split())
        self.enforcer.add_function("extra", _extra)
        for number in range(departments):
            for effect, actions, kind, role, extra in RULES:
                verdict = "allow" if effect == "permit" else "deny"
                self.enforcer.add_policy(department(number), role, kind, " ".join(actions), extra, verdict)
        for extra, verdict in (("inactive", "deny"), ("sealed", "deny"), ("own", "allow"), ("books", "allow")):
            self.enforcer.add_policy("*", "*", "*", "*" if verdict == "deny" else "read", extra, verdict)
        self.enforcer.add_policy("*", "*", "*", "share", "top-secret", "deny")
        rows = {each.id: _Attributes(each.id, each.type, each.attributes) for each in workload.things}
        self.requests = [(rows[each.subject.id], each.action, rows[each.resource.id]) for each in workload.questions]

    def ask(self, request: tuple[Any, str, Any]) -> bool:
        return bool(self.enforcer.enforce(*request))

    def answers(self, count: int) -> list[bool]:
        return [self.ask(each) for each in self.requests[:count]]


def _extra(name: str, subject: _Attributes, resource: _Attributes, _act: str) -> bool:
    owned = resource.row["owner"].id == subject.id
    match name:
        case "inactive":
            return not subject.row["active"]
        case "sealed":
            return bool(resource.row["sealed"]) and not owned
        case "own":
            return owned
        case "books":
            return resource.kind in ("Invoice", "Appointment") and subject.row["role"] == "auditor"
        case "top-secret":
            return bool(resource.row["sensitivity"] >= 5)
        case _:
            return EXTRA[name](subject.id, subject.row, resource.row)
