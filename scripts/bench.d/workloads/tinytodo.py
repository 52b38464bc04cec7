"""Task lists, their owners, readers and editors: `tinytodo` of the Cedar paper (OOPSLA 2024), made anew."""

from __future__ import annotations

import random

from workloads.base import Question, Ref, Thing, Workload

WARD = """\
module bench.tinytodo

entity Application
entity Team in Team, Application
entity User in Team, Application
entity TaskList in Application { owner: User  readers: Team  editors: Team }

action CreateList, GetLists on Application by User
action GetList, UpdateList, DeleteList, CreateTask, UpdateTask, DeleteTask, EditShares on TaskList by User

permit CreateList, GetLists on Application as everybody-makes-lists
    "Any user makes a list, and sees which lists the user owns"
    when resource == Application "TinyTodo"

permit any on TaskList as owners-do-all
    "Who owns a list does anything with it"
    when resource.owner == subject

permit GetList on TaskList as readers-and-editors-see
    "Readers and editors see a list"
    when subject in resource.readers or subject in resource.editors

permit UpdateList, CreateTask, UpdateTask, DeleteTask on TaskList as editors-edit
    "Editors change a list and its tasks"
    when subject in resource.editors
"""

CEDAR = """\
permit (principal, action in [Action::"CreateList", Action::"GetLists"], resource == Application::"TinyTodo");
permit (principal, action, resource) when { resource has owner && resource.owner == principal };
permit (principal, action == Action::"GetList", resource)
when { principal in resource.readers || principal in resource.editors };
permit (
    principal,
    action in [Action::"UpdateList", Action::"CreateTask", Action::"UpdateTask", Action::"DeleteTask"],
    resource
)
when { principal in resource.editors };
"""

ON_LISTS = ("GetList", "UpdateList", "DeleteList", "CreateTask", "UpdateTask", "DeleteTask", "EditShares")


def tinytodo(size: int = 20, questions: int = 500, seed: int = 1, chance: float = 0.05) -> Workload:
    """`size` users, teams and lists."""
    draw = random.Random(f"tinytodo-{seed}")
    application = Ref("Application", "TinyTodo")
    things = [Thing("Application", "TinyTodo")]

    def parents(teams: int) -> tuple[Ref, ...]:
        joined = [Ref("Team", f"team-{each}") for each in range(teams) if draw.random() < chance]
        return (*joined, application)

    things += [Thing("Team", f"team-{each}", {}, parents(each)) for each in range(size)]
    things += [Thing("User", f"user-{each}", {}, parents(size)) for each in range(size)]
    for each in range(size):
        held = {
            "owner": Ref("User", f"user-{draw.randrange(size)}"),
            "readers": Ref("Team", f"team-{draw.randrange(size)}"),
            "editors": Ref("Team", f"team-{draw.randrange(size)}"),
        }
        things.append(Thing("TaskList", f"list-{each}", held, (application,)))
    asked = []
    for _ in range(questions):
        action = draw.choice((*ON_LISTS, "CreateList", "GetLists"))
        resource = Ref("TaskList", f"list-{draw.randrange(size)}") if action in ON_LISTS else application
        asked.append(Question(Ref("User", f"user-{draw.randrange(size)}"), action, resource))
    return Workload("tinytodo", 4, {"policy.ward": WARD}, CEDAR, tuple(things), tuple(asked))
