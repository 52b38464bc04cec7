"""Repositories, teams and organisations: `github` of the Cedar paper (OOPSLA 2024), made anew."""

from __future__ import annotations

import random

from workloads.base import Question, Ref, Thing, Workload

WARD = """\
module bench.github

entity OrgPermission
entity RepoPermission
entity Organization { readers: OrgPermission  writers: OrgPermission  admins: OrgPermission }
entity Team in Team, OrgPermission, RepoPermission
entity User in Team, OrgPermission, RepoPermission
entity Repository {
    owner: Organization
    readers: RepoPermission
    triagers: RepoPermission
    writers: RepoPermission
    maintainers: RepoPermission
    admins: RepoPermission
}

action pull, triage, push, maintain, admin on Repository by User
action upToTriage = pull or triage
action upToPush = upToTriage or push
action upToMaintain = upToPush or maintain
action upToAdmin = upToMaintain or admin

permit pull on Repository as reader "Readers pull" when subject in resource.readers
permit upToTriage on Repository as triager "Triagers triage" when subject in resource.triagers
permit upToPush on Repository as writer "Writers push" when subject in resource.writers
permit upToMaintain on Repository as maintainer "Maintainers maintain" when subject in resource.maintainers
permit upToAdmin on Repository as admin-of-the-repository "Admins do all" when subject in resource.admins
permit pull on Repository as org-reader "Readers of the owner pull" when subject in resource.owner.readers
permit upToPush on Repository as org-writer "Writers of the owner push" when subject in resource.owner.writers
permit upToAdmin on Repository as org-admin "Admins of the owner do all" when subject in resource.owner.admins
"""

_UP_TO = {
    "triage": '[Action::"pull", Action::"triage"]',
    "push": '[Action::"pull", Action::"triage", Action::"push"]',
    "maintain": '[Action::"pull", Action::"triage", Action::"push", Action::"maintain"]',
    "admin": '[Action::"pull", Action::"triage", Action::"push", Action::"maintain", Action::"admin"]',
}

CEDAR = f"""\
permit (principal, action == Action::"pull", resource) when {{ principal in resource.readers }};
permit (principal, action in {_UP_TO["triage"]}, resource) when {{ principal in resource.triagers }};
permit (principal, action in {_UP_TO["push"]}, resource) when {{ principal in resource.writers }};
permit (principal, action in {_UP_TO["maintain"]}, resource) when {{ principal in resource.maintainers }};
permit (principal, action in {_UP_TO["admin"]}, resource) when {{ principal in resource.admins }};
permit (principal, action == Action::"pull", resource) when {{ principal in resource.owner.readers }};
permit (principal, action in {_UP_TO["push"]}, resource) when {{ principal in resource.owner.writers }};
permit (principal, action in {_UP_TO["admin"]}, resource) when {{ principal in resource.owner.admins }};
"""

LEVELS = ("readers", "triagers", "writers", "maintainers", "admins")
ORG_LEVELS = ("readers", "writers", "admins")


def github(size: int = 20, questions: int = 500, seed: int = 1, chance: float = 0.05) -> Workload:
    """`size` users, teams, repositories and organisations."""
    draw = random.Random(f"github-{seed}")
    permissions = [Ref("RepoPermission", f"repo-{each}-{level}") for each in range(size) for level in LEVELS]
    permissions += [Ref("OrgPermission", f"org-{each}-{level}") for each in range(size) for level in ORG_LEVELS]
    things = [Thing(each.type, each.id) for each in permissions]

    def parents(teams: int) -> tuple[Ref, ...]:
        joined = [Ref("Team", f"team-{each}") for each in range(teams) if draw.random() < chance]
        return tuple(joined + [each for each in permissions if draw.random() < chance])

    for each in range(size):
        held = {level: Ref("OrgPermission", f"org-{each}-{level}") for level in ORG_LEVELS}
        things.append(Thing("Organization", f"org-{each}", held))
    things += [Thing("Team", f"team-{each}", {}, parents(each)) for each in range(size)]
    things += [Thing("User", f"user-{each}", {}, parents(size)) for each in range(size)]
    for each in range(size):
        owned = {level: Ref("RepoPermission", f"repo-{each}-{level}") for level in LEVELS}
        owned["owner"] = Ref("Organization", f"org-{draw.randrange(size)}")
        things.append(Thing("Repository", f"repo-{each}", owned))
    asked = tuple(
        Question(
            Ref("User", f"user-{draw.randrange(size)}"),
            draw.choice(["pull", "triage", "push", "maintain", "admin"]),
            Ref("Repository", f"repo-{draw.randrange(size)}"),
        )
        for _ in range(questions)
    )
    return Workload("github", 8, {"policy.ward": WARD}, CEDAR, tuple(things), asked)
