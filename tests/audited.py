"""Records as tests look at them: those of a decision, sealed or not yet, in one flat object each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pdp.audit.journal.reader import slots
from pdp.audit.journal.wal import Ticket
from pdp.audit.leaf import CLEAR, PLAIN, Opener
from pdp.audit.tree.checkpoint import last
from pdp.audit.tree.tiles import records as sealed
from pdp.audit.veil.privacy import Keys, vault_of

SAME = {"door", "pep", "search", "count"}
DECISION = {"effect", "reason", "discarded", "errors", "obligations", "fields"}


def records(directory: Path) -> list[dict[str, Any]]:
    """The decisions in an audit directory; the records of one worker are in order."""
    payloads = [
        frame.payload for slot in slots(directory) for _, frame in slot.frames()
    ]  # First: they move to the log.
    size = last(directory / "log") or 0
    vault = vault_of(directory)
    keys = PLAIN if vault is None else Keys(vault)
    found = [
        opened(json.loads(each), keys)
        for each in (*payloads, *(record for _, record in sealed(directory / "log", size)))
    ]
    known = {(each["stream"].rpartition("/")[0], each["seq"]): each for each in found}
    return [flat(known[place]) for place in sorted(known) if known[place]["kind"] == "decision"]


def opened(members: dict[str, Any], keys: Opener) -> dict[str, Any]:
    """A record with what it hides."""
    detail, how = keys.open(members)
    assert how == CLEAR
    return {**members, "detail": detail}


def flat(leaf: dict[str, Any]) -> dict[str, Any]:
    """What a record says, without the places where it says it."""
    decision, detail = leaf["dec"], leaf["detail"]
    found = {name: leaf[name] for name in SAME & leaf.keys()}
    if "search" in leaf:
        found["search"] = {name: value for name, value in leaf["search"].items() if name != "found"}
    found |= {name: decision[name] for name in DECISION & decision.keys()}
    found |= {"time": leaf["ts"], "decision_id": leaf["id"], "rules": decision["rule"]}
    found |= {"program_digest": decision["bundle"]["sha256"], "data_revision": decision["bundle"]["version"]}
    for name, given in (("detail", "status"), ("cached", "cache_hit")):
        if given in decision:
            found[name] = decision[given]
    if "sub" in detail:
        found["subject"] = {"type": leaf["sub"]["type"], **detail["sub"]}
    if "identity" in leaf:
        found["identity"] = identity = dict(leaf["identity"])
        if "identity" in detail:
            identity["subject"] = {"type": identity.pop("type"), "id": detail["identity"]["id"]}
        for name in ("id", "id_p"):
            identity.pop(name, None)
        if "client" in leaf:
            identity["client"] = leaf["client"]["id"]
        if "actors" in detail:
            identity["actors"] = detail["actors"]
    if "res" in leaf:
        found["action"] = detail.get("act", leaf["act"])["action"]
        found["resource"] = {"type": leaf["res"]["type"], **detail["res"]}
    if "refused_token" in leaf:
        found["refused_token"] = {"issuer": leaf["refused_token"]["issuer"]}
        if "refused_token" in detail:
            of = {"type": leaf["refused_token"]["type"], "id": detail["refused_token"]["id"]}
            found["refused_token"]["subject"] = of
    if "results" in detail:
        found["search"]["results"] = detail["results"]
    return found


class Kept:
    """A log in memory: what is handed over is kept at once."""

    warning = ""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []

    def open(self) -> None: ...

    def probe(self) -> None: ...

    def close(self) -> None: ...

    def hand(self, records: Any) -> Ticket:
        from pdp.audit.record import payloads

        self.payloads += [payload for each in records for payload in payloads(each)]
        ticket = Ticket((), 1, 0)
        ticket.settle("", {})
        return ticket

    def records(self) -> list[dict[str, Any]]:
        return [flat(each) for each in map(json.loads, self.payloads) if each["kind"] == "decision"]
