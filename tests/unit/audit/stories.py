"""Logs that tell a story: records of every form in which they can stand, and keys that open some of them."""

from __future__ import annotations

import os
from base64 import b32encode, b64decode, b64encode
from collections.abc import Mapping
from hmac import digest
from pathlib import Path
from typing import Any

import orjson

from pdp.audit.leaf import CLEAR, DAMAGED, ERASED, LOCKED
from pdp.audit.record import encoded, stamp
from pdp.audit.tree.state import State
from pdp.audit.tree.tiles import Edge
from tests.unit.audit.hosts import ORIGIN, SEGMENT_BYTES, Writer, sealed

MARCH = 1_772_323_200_000_000  # 2026-03-01T00:00:00Z
MINUTE = 60_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
ROOM = SEGMENT_BYTES - 6_000


class Locks:
    """Keys of days and of names. Not encryption: only what stands where, and for whom it opens."""

    def __init__(self, *epochs: int, erased: tuple[str, ...] = (), locked: tuple[str, ...] = ()) -> None:
        self.epochs, self.erased, self.locked = epochs or (1,), erased, locked
        self.opened = 0

    def open(self, members: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
        detail = members.get("detail", {})
        if not isinstance(detail, dict):
            return {}, DAMAGED
        if "kid" not in detail:
            return detail, CLEAR
        self.opened += 1
        if detail["kid"] in self.erased:
            return {}, ERASED
        if detail["kid"] in self.locked:
            return {}, LOCKED
        try:
            return orjson.loads(b64decode(detail["c"])), CLEAR
        except (ValueError, TypeError):
            return {}, DAMAGED

    def names(self, kind: str, identifier: str, /) -> frozenset[str]:
        return frozenset(name(epoch, kind, identifier) for epoch in self.epochs)


def name(epoch: int, kind: str, identifier: str) -> str:
    made = digest(b"key %d" % epoch, f"{kind}\0{identifier}".encode("utf-8", "surrogatepass"), "sha256")[:16]
    return f"p{epoch}-{b32encode(made).decode().rstrip('=').lower()}"


def decided(
    who: str = "nina",
    patient: str = "pat-1",
    *,
    at: int = MARCH,
    id: str = "",
    kind: str = "user",
    resource: str = "Record r1",
    effect: str = "allow",
    reason: str = "",
    rule: tuple[str, ...] = ("treated-patient",),
    action: str = "read",
    purpose: str = "TREAT",
    request_id: str = "",
    trace: str = "",
    pep: str = "envoy",
    epoch: int = 0,
    kid: str = "",
    hidden: bool = False,
    more: Mapping[str, Any] | None = None,
    detail: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """One decision. `epoch`: of the pseudonyms, 0 for a log in clear; `hidden`: the subject has one too."""
    what, _, thing = resource.partition(" ")
    inner: dict[str, Any] = {"res": {"id": thing}, **(detail or {})}
    members: dict[str, Any] = {
        "v": 1,
        "id": id or f"d-{os.urandom(6).hex()}",
        "kind": "decision",
        "ts": stamp(at),
        "door": "authz",
        "pep": pep,
        "dec": {
            "effect": effect,
            "reason": reason or ("permitted" if effect == "allow" else "no_permit"),
            "rule": rule,
        },
        "act": {"action": action, "verb": action[0].upper()},
        "res": {"type": what},
        "sub": {"type": kind},
        "identity": {"via": "token"},
        "pou": {"asserted": purpose},
        **(more or {}),
    }
    if request_id or trace:
        members["ctx"] = {"request_id": request_id, "trace": trace}
    if patient:
        inner["patient"] = {"id": patient}
    if epoch:
        members["res"]["id_p"] = name(epoch, what, thing)
        if patient:
            members["res"]["patient_p"] = name(epoch, "Patient", patient)
        members["sub"] |= {"id_p": name(epoch, kind, who)} if hidden else {"id": who}
    if not epoch or hidden:
        inner["sub"] = {**inner.get("sub", {}), "id": who}
    members["n"] = os.urandom(16).hex()
    members["detail"] = {"kid": kid, "c": b64encode(orjson.dumps(inner)).decode()} if kid else inner
    return members


def log(directory: Path, *records: dict[str, Any] | bytes, slot: int = 0, seal: bool = True) -> Writer:
    """A log of these records, in this order; what is no object is written as it is."""
    return grown(directory, Writer(directory, slot), *records, seal=seal)


def grown(directory: Path, writer: Writer, *records: dict[str, Any] | bytes, seal: bool = True) -> Writer:
    for each in records:
        if writer.offset > ROOM:
            writer.next_segment()
        writer.write_these([each if isinstance(each, bytes) else stamped(writer, each)])
    if seal:
        sealed(directory)
    return writer


def stamped(writer: Writer, members: dict[str, Any] | str) -> bytes:
    """As the write-ahead log would put its place into a record."""
    head = b'{"stream":"%s","seq":%d,"prev":"%s",'
    rest = members.encode() if isinstance(members, str) else encoded(members)[1:]
    return head % (writer.stream.encode(), writer.seq + 1, writer.chain.hex().encode()) + rest


def direct(directory: Path, *records: dict[str, Any] | bytes) -> None:
    """The same as files, without chains and signatures: for logs that are only read."""
    head = b'{"stream":"%s/0/x","seq":%d,"prev":"",'
    payloads = [
        each if isinstance(each, bytes) else head % (ORIGIN.encode(), number) + encoded(each)[1:]
        for number, each in enumerate(records, 1)
    ]
    edge = Edge()
    for place, content in edge.grow(payloads).items():
        (directory / "log" / place).parent.mkdir(parents=True, exist_ok=True)
        (directory / "log" / place).write_bytes(content)
    (directory / "state").mkdir()
    (directory / "state/tree.json").write_bytes(State(ORIGIN, len(payloads), edge.root()).encoded())
