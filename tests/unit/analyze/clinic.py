"""A policy set in a text, an engine over given entities, and a question: what the tests of this room start from."""

from __future__ import annotations

from typing import Any

from pdp.analyze.explain import Explanation, explain
from pdp.analyze.testing import everything
from pdp.analyze.world import Given, Question, world
from pdp.compile.program import Program, compile_program
from pdp.decide.engine import Engine
from pdp.diagnostics.source import Source
from pdp.language.check import policies
from pdp.language.core import PolicySet, Rule
from pdp.language.parse import policy

NOW = 1_772_359_200_000_000  # 2026-03-01T10:00:00Z

SCHEMA = """
vocabulary Role "urn:r" { clinician nurse in clinician clerk }
entity Ward
entity Patient in Ward { team: Set<User>  vip: Bool }
entity User as "user" {
    role: Role
    level: Int
    token_level: Int? from token
    badge: Text? from certificate
    said: Bool? from caller
    friends: List<User>
}
entity Record in Patient { patient: Patient  author: User?  routed: Patient? from route  level: Int }
action read, update on Record by User
action drop on Record by User { soft: Bool from caller }
context { purpose: Text? from caller  ip: Ip? from caller  scope: Text? from token }
obligation tell(whom: Text)
fields Summary = /id, /name
"""


def policy_set(rules: str) -> PolicySet:
    return policies([policy(Source("t.ward", SCHEMA + rules))])[0]


def program(rules: str) -> Program:
    return compile_program(policy_set(rules))


def rule(rules: str) -> Rule:
    (found,) = policy_set(rules).rules
    return found


NINA = Given("User", "nina", (), {"role": "nurse", "level": 2, "friends": ["omar"]})
OMAR = Given("User", "omar", (), {"role": "clerk", "level": 1, "friends": []})
P1 = Given("Patient", "p1", (("Ward", "w"),), {"team": ["nina"], "vip": False})
R1 = Given("Record", "r1", (("Patient", "p1"),), {"patient": "p1", "author": "nina", "level": 2})
WARD = Given("Ward", "w")
HOUSE = (WARD, NINA, OMAR, P1, R1)


def question(subject: str = "nina", action: str = "read", resource: str = "r1", **more: Any) -> Question:
    return Question(("user", subject), action, ("Record", resource), **more)


def why(rules: str, asked: Question | None = None, givens: tuple[Given, ...] = HOUSE) -> Explanation:
    """The explanation of one question, decided by the real engine."""
    compiled = program(rules)
    built = world(givens, asked or question(), compiled.schema)
    return explain(Engine(compiled, built.entities), built.request, NOW, everything(compiled.schema))
