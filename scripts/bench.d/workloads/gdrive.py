"""Documents in folders, shared with users and groups: `gdrive` of the Cedar paper (OOPSLA 2024), made anew."""

from __future__ import annotations

import random

from workloads.base import Question, Ref, Thing, Workload

WARD = """\
module bench.gdrive

entity Group
entity View in View
entity Folder in Folder, View
entity Document in Folder, View { isPublic: Bool }
entity User in Group { canView: View  ownedDocuments: Set<Document>  ownedFolders: Set<Folder> }

action read, write, share, changeOwner on Document by User
action createDocument on Folder by User

permit read on Document as shared-with-me
    "Who was given view access to a document, or to what it lies in, reads it"
    when resource in subject.canView

permit read on Document as public
    "Anybody reads what is public"
    when resource.isPublic

permit read, write, share on Document as owner-of-it-or-of-its-folder
    "Who owns a document, or a folder that it lies in, reads, writes and shares it"
    when resource in subject.ownedDocuments or any folder in subject.ownedFolders: resource in folder

permit changeOwner on Document as owner-gives-away
    "The owner of a document gives it away"
    when resource in subject.ownedDocuments

permit createDocument on Folder as owner-fills-a-folder
    "The owner of a folder makes documents in it"
    when resource in subject.ownedFolders
"""

CEDAR = """\
permit (principal, action == Action::"read", resource) when { resource in principal.canView };
permit (principal, action == Action::"read", resource) when { resource.isPublic };
permit (principal, action in [Action::"read", Action::"write", Action::"share"], resource)
when { resource in principal.ownedDocuments || resource in principal.ownedFolders };
permit (principal, action == Action::"changeOwner", resource) when { principal.ownedDocuments.contains(resource) };
permit (principal, action == Action::"createDocument", resource) when { principal.ownedFolders.contains(resource) };
"""


def gdrive(size: int = 20, questions: int = 500, seed: int = 1, chance: float = 0.05) -> Workload:
    """`size` users, groups, documents and folders; each pair is linked with probability `chance`."""
    draw = random.Random(f"gdrive-{seed}")

    def some(kind: str, count: int = size) -> list[Ref]:
        return [Ref(kind, f"{kind.lower()}-{each}") for each in range(count) if draw.random() < chance]

    members: dict[int, list[int]] = {group: [] for group in range(size)}
    things: list[Thing] = []
    for user in range(size):
        groups = [each for each in range(size) if draw.random() < chance]
        for each in groups:
            members[each].append(user)
        attributes = {
            "canView": Ref("View", f"user-{user}"),
            "ownedDocuments": some("Document"),
            "ownedFolders": some("Folder"),
        }
        parents = tuple(Ref("Group", f"group-{each}") for each in groups)
        things += [Thing("User", f"user-{user}", attributes, parents), Thing("View", f"user-{user}")]
    for group in range(size):
        views = tuple(Ref("View", f"user-{each}") for each in members[group])
        things += [Thing("Group", f"group-{group}"), Thing("View", f"group-{group}", {}, views)]

    def shared() -> list[Ref]:
        names = [f"user-{each}" for each in range(size)] + [f"group-{each}" for each in range(size)]
        return [Ref("View", each) for each in names if draw.random() < chance]

    for folder in range(size):
        # Folders lie only in folders before them: no cycles.
        things.append(Thing("Folder", f"folder-{folder}", {}, tuple(some("Folder", folder) + shared())))
    for document in range(size):
        attributes = {"isPublic": draw.random() < 0.5}
        things.append(Thing("Document", f"document-{document}", attributes, tuple(some("Folder") + shared())))
    asked = []
    for _ in range(questions):
        action = draw.choice(["read", "write", "share", "changeOwner", "createDocument"])
        kind = "Folder" if action == "createDocument" else "Document"
        resource = Ref(kind, f"{kind.lower()}-{draw.randrange(size)}")
        asked.append(Question(Ref("User", f"user-{draw.randrange(size)}"), action, resource))
    return Workload("gdrive", 5, {"policy.ward": WARD}, CEDAR, tuple(things), tuple(asked))
