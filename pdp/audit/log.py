"""The log of decisions: one JSON line for each, written before its answer leaves. What cannot be written is denied.

Each worker has a file of its own (0600) and writes whole lines with one call, so lines never mix and a crash loses none
that was answered. Fields are an allow-list: identities, what was decided and why; no properties, no context, no message
of an error (it may quote values), no tokens.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from time import gmtime, strftime
from typing import Any, Final

import orjson

from pdp.audit.evidence import EvidenceError as EvidenceError
from pdp.model.decision import Decision
from pdp.model.request import Request

RECHECK_MICROSECONDS: Final = 1_000_000
MAX_DISCARDED: Final = 64
MAX_NAME: Final = 128
MAX_TEXT: Final = 1_024
"""Of an identifier or a name in a record. Sound ones are shorter; a batch of long ones would fill the disk."""


@dataclass(frozen=True, slots=True)
class Who:
    """Who was established, and how. Never the token itself."""

    subject_type: str
    subject_id: str
    via: str
    issuer: str = ""
    client: str = ""
    actors: tuple[str, ...] = ()
    scopes: tuple[str, ...] | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """What one page of a search gave away. Every name of it: a list of patients is a disclosure of each of them."""

    kind: str  # "subject", "resource", "action"
    names: tuple[str, ...]
    looked_at: int
    undecided: int
    more: bool  # the page was not the last one


@dataclass(slots=True)
class Record:
    """One decision, as it leaves. `request` is None where nothing could be read; `detail` is then a stable word."""

    time: int  # microseconds since the epoch
    decision_id: str
    door: str
    pep: str
    decision: Decision
    request: Request | None = None
    discarded: Sequence[str] = ()
    detail: str = ""
    cached: bool | None = None
    program_digest: str = ""
    data_revision: str = ""
    who: Who | None = None  # None: nobody was established, the enforcement point names the subject
    found: Found | None = None  # of a search; `decision` is then an allow where anything was found
    count: int = 1  # of how many refusals alike, within one second from `time`, this is the record


class Log:
    """Appends records to one file. Safe for threads; several processes each have their own."""

    def __init__(self, directory: Path, name: str) -> None:
        """The directory (0700) and the file are made with the first record."""
        self._lock = RLock()
        self._directory = directory
        self._path = directory / f"decisions-{name}.jsonl"
        self._file = -1
        self._checked = 0
        self._torn = False
        self._second = -1
        self._stamp = ""

    def probe(self, now: int) -> None:
        """Raise EvidenceError when no record could be written now, as far as can be told without writing one."""
        with self._lock:
            if self._file < 0 or self._gone(now):
                self.close()
                self._open()

    def append(self, record: Record) -> None:
        """Write one record. Raises EvidenceError."""
        self.append_all((record,))

    def append_all(self, records: Sequence[Record]) -> None:
        """Write the records of one batch with one call: all of them, or EvidenceError."""
        if records:
            with self._lock:
                self._write(b"".join(map(self._line, records)), records[0].time)

    def close(self) -> None:
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1

    def _open(self) -> None:
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            self._file = os.open(self._path, flags, 0o600)  # Without a wait: a pipe of that name has no reader.
            regular = stat.S_ISREG(os.fstat(self._file).st_mode)
        except OSError as error:
            self._file = -1
            raise EvidenceError(f"the log cannot be opened: {error.strerror}") from error
        if not regular:
            self.close()
            raise EvidenceError("the log is not a regular file")

    def _write(self, data: bytes, now: int) -> None:
        try:
            self.probe(now)
            if self._torn:
                data = b"\n" + data  # The last line was cut short: this one begins on its own.
            written = os.write(self._file, data)
        except OSError as error:
            self.close()
            raise EvidenceError(f"the log cannot be written: {error.strerror}") from error
        if written != len(data):
            self._torn = True
            raise EvidenceError("the log took only a part of a record")
        self._torn = False

    def _gone(self, now: int) -> bool:
        """Was the file deleted (looked at each time), or moved away (looked at each second)?"""
        opened = os.fstat(self._file)
        if opened.st_nlink == 0:
            return True
        if 0 <= now - self._checked < RECHECK_MICROSECONDS:
            return False
        self._checked = now
        try:
            there = os.stat(self._path, follow_symlinks=False)
        except OSError:
            return True  # Nothing is there, or not in a directory, or not for us: opening it will say.
        return (there.st_dev, there.st_ino) != (opened.st_dev, opened.st_ino)

    def _line(self, record: Record) -> bytes:
        decision, request = record.decision, record.request
        members: dict[str, Any] = {
            "time": self._time(record.time),
            "decision_id": record.decision_id,
            "door": record.door,
            "pep": record.pep,
            "effect": decision.effect,
            "reason": decision.reason,
            "rules": decision.rules,
            "program_digest": decision.program_digest or record.program_digest,
            "data_revision": decision.data_revision or record.data_revision,
        }
        if request is not None:
            members["subject"] = {"type": request.subject_type[:MAX_TEXT], "id": request.subject_id[:MAX_TEXT]}
            members["action"] = request.action[:MAX_TEXT]
            members["resource"] = {"type": request.resource_type[:MAX_TEXT], "id": request.resource_id[:MAX_TEXT]}
        if record.who is not None:
            members |= _who(record.who)
        if record.found is not None:
            members["search"] = _found(record.found)
        if record.detail:
            members["detail"] = record.detail
        if record.count != 1:
            members["count"] = record.count
        if record.cached is not None:
            members["cached"] = record.cached
        if decision.errors:
            members["errors"] = [
                {"rule": each.rule, "code": each.code, "where": each.where} for each in decision.errors
            ]
        if record.discarded:
            members["discarded"] = [name[:MAX_NAME] for name in sorted(record.discarded)[:MAX_DISCARDED]]
        if decision.obligations:
            members["obligations"] = [{"name": each.name, "rule": each.rule} for each in decision.obligations]
        if decision.fields.limited:
            released = decision.fields.released
            members["fields"] = {
                "released": None if released is None else sorted(released),
                "masked": sorted(decision.fields.masked),
            }
        try:
            line = orjson.dumps(members, option=orjson.OPT_APPEND_NEWLINE)
            if line.isascii():
                return line
            # Some readers take U+2028 or U+0085 for a line end: nothing but ASCII is ever written.
            return json.dumps(members, separators=(",", ":")).encode("ascii") + b"\n"
        except (TypeError, ValueError) as error:  # A lone surrogate in an identifier: no record, no access.
            raise EvidenceError("the record cannot be encoded") from error

    def _time(self, now: int) -> str:
        """RFC 3339 with microseconds. The part down to seconds is made once a second."""
        second, rest = divmod(now, 1_000_000)
        if second != self._second:
            self._stamp = strftime("%Y-%m-%dT%H:%M:%S.", gmtime(second))
            self._second = second
        return f"{self._stamp}{rest:06d}Z"


def _who(who: Who) -> dict[str, Any]:
    identity: dict[str, Any] = {"via": who.via}
    if who.issuer:
        identity["issuer"] = who.issuer[:MAX_TEXT]
    if who.client:
        identity["client"] = who.client[:MAX_TEXT]
    if who.actors:
        identity["actors"] = [each[:MAX_TEXT] for each in who.actors[:MAX_DISCARDED]]
    if who.scopes is not None:
        identity["scopes"] = [each[:MAX_NAME] for each in who.scopes[:MAX_DISCARDED]]
    if who.warnings:
        identity["warnings"] = list(who.warnings)
    subject = {"type": who.subject_type[:MAX_TEXT], "id": who.subject_id[:MAX_TEXT]}
    return {"subject": subject, "identity": identity}


def _found(found: Found) -> dict[str, Any]:
    return {
        "for": found.kind,
        "results": [name[:MAX_TEXT] for name in found.names],
        "looked_at": found.looked_at,
        "undecided": found.undecided,
        "more": found.more,
    }
