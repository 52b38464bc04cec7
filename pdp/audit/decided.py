"""What goes on record of one decision. Fields are an allow-list: identities, what was decided and why; no properties,
no context, no message of an error (it may quote values), no tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from pdp.model.decision import Decision
from pdp.model.request import Request

MAX_DISCARDED: Final = 64
MAX_NAME: Final = 128
MAX_TEXT: Final = 1_024
"""Of an identifier or a name in a record. Sound ones are shorter; a batch of long ones would fill the disk."""


class Who(NamedTuple):
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
class Refused:
    """Of a token that does not count: our name of its issuer; whom it is about, where its signature was good."""

    issuer: str
    subject_type: str = ""
    subject_id: str = ""


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
    refused: Refused | None = None  # instead of `who`
    method: str = ""  # of HTTP, at proxy doors; one of `pdp.audit.verb.METHODS`, or "other"
    route: str = ""  # the pattern that the path fits, never the path
    purpose: str = ""  # that the request asserts, as far as that is believed
    strange: Sequence[str] = ()  # members that would hold a name which no schema has: `sub`, `act`, `res`, `pou`
    patient: str = ""  # whose data it is about, as the data say; "": not known
    request_id: str = ""
    trace: str = ""  # W3C trace id
    count: int = 1  # of how many refusals alike, within one second from `time`, this is the record
