"""How often may be asked: token buckets for each subject, each client, and each subject about each patient.

A request takes from all that apply, or from none. What cannot be counted is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, Final

from pdp.config.limits import Limiting
from pdp.identity.stripes import Busy
from pdp.serve import buckets
from pdp.serve.buckets import Bucket, Buckets
from pdp.serve.runtime import Runtime

TABLE: Final = "limits"
WORDS: Final = ("subject-limit", "client-limit", "subject-and-patient-limit")
LEFT: Final = ("subject_left", "client_left", "subject_patient_left")
"""What `source limits` says of a request, in the same order (`pdp.language.schema.REQUEST_SOURCES`)."""

UNAVAILABLE: Final = "limits-unavailable"


@dataclass(frozen=True, slots=True)
class Taken:
    """`refused`: "" or the stable word of the bucket that refuses; then `retry_after`: seconds until it would not.

    `left`: how many more requests each bucket allows now, by the names that policies read.
    """

    refused: str = ""
    retry_after: int = 0
    left: Mapping[str, int] = field(default_factory=dict)

    @property
    def sourced(self) -> Mapping[str, Mapping[str, Any]]:
        """For `Request.sourced`."""
        return {"limits": self.left}


FREE: Final = Taken()


class Limits:
    """One process's. Safe for threads."""

    def __init__(self, limiting: Limiting, runtime: Runtime, counted: dict[str, int] | None = None) -> None:
        """`counted`: refusals by word. The table was made by `make`, before there was any worker."""
        self._limits = limiting.each()
        self.none = all(each is None for each in self._limits)
        self._path = path(runtime)
        self._buckets: Buckets | None = None
        self._counted = {} if counted is None else counted
        self._lock = Lock()

    def take(self, subject: str, client: str, patient: str | None, now: int) -> Taken:
        """One request by this subject, through this client (`""`: none), about this patient (None: about none)."""
        if self.none:
            return FREE
        pair = None if patient is None else f"{len(subject)}:{subject}{patient}"
        wanted = [
            Bucket(region, name.encode("utf-8", "surrogatepass"), limit)
            for region, (limit, name) in enumerate(zip(self._limits, (subject, client, pair), strict=True))
            if limit is not None and name
        ]
        if not wanted:
            return FREE
        try:
            refusing, wait, left = self._table().take(wanted, now)
        except (Busy, OSError, ValueError):
            return self._refused(UNAVAILABLE, 1, {})
        told = {LEFT[each.region]: number for each, number in zip(wanted, left, strict=True)}
        if refusing < 0:
            return Taken("", 0, told)
        return self._refused(WORDS[wanted[refusing].region], -(-wait // 1_000_000), told)

    def _refused(self, word: str, retry_after: int, left: Mapping[str, int]) -> Taken:
        with self._lock:
            self._counted[word] = self._counted.get(word, 0) + 1
        return Taken(word, retry_after, left)

    def _table(self) -> Buckets:
        """Opened when it is first needed, so after the fork."""
        found = self._buckets
        if found is None:
            with self._lock:
                found = self._buckets = self._buckets or Buckets(self._path)
        return found


def make(limiting: Limiting, runtime: Runtime) -> None:
    """The table of this start, where there is a limit. In the private directory of our processes."""
    if any(each is not None for each in limiting.each()):
        buckets.make(path(runtime), len(WORDS), limiting.names)


def path(runtime: Runtime) -> Path:
    return runtime.directory / TABLE
