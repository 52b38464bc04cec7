"""Who asks, for every door: evidence becomes a caller, and a caller whose session is over is none."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pdp.config import Profile, Settings
from pdp.doors.original import Original
from pdp.identity import certificate
from pdp.identity.caller import Caller, Evidence, Unknown, Waiting
from pdp.identity.identify import Identify
from pdp.identity.proofs import Proofs

PROOFS = "proofs"
WAITERS = 4
"""Threads for each issuer: one that hangs keeps nobody waiting who waits for another one."""

MAX_WAITING = 64
"""Requests that wait for one issuer at a time. The next ones are refused: they would take all the places there are."""


class Ended(Exception):
    """The caller is known, and may not go on. `kind` is a stable word: revoked, idle, too-old, sessions-unavailable."""

    def __init__(self, caller: Caller, kind: str) -> None:
        super().__init__(kind)
        self.caller = caller
        self.kind = kind


class Callers:
    """One worker's. Safe for threads."""

    def __init__(self, settings: Settings, directory: Path, judge: Callable[[Caller, int], str]) -> None:
        """`directory`: shared by all workers, for proofs of possession that were used. `judge`: of `Sessions`."""
        self._header = settings.trust_unverified_subject_header.encode("ascii")
        self._header_type = settings.unverified_subject_type
        proofs = Proofs(directory / PROOFS, began=time.time_ns() // 1000)
        self._identify = Identify(settings.issuers, settings.trust_domains, proofs)
        self.problems = self._identify.problems
        self._judge = judge
        self._outside: dict[str, ThreadPoolExecutor] = {}  # by the issuer's name
        self._waiting: Counter[str] = Counter()
        self._max_waiting = max(1, min(MAX_WAITING, settings.max_in_flight // 8))

    def behind(self, original: Original, profile: Profile, now: int) -> Caller:
        """Who asks through a proxy. Raises Unknown, Ended or Waiting."""
        if self._header:
            return self._unverified(original)
        shown = certificate.leaf(profile.client_certificate, original.certificate)
        evidence = Evidence(
            original.lines(b"authorization"),
            original.lines(b"dpop"),
            shown,
            original.method,
            profile.origin + original.path.decode("ascii", "replace") if profile.origin else "",
        )
        return self.shown(evidence, profile.evidence, profile, now)

    def shown(self, evidence: Evidence, allowed: tuple[str, ...], profile: Profile, now: int) -> Caller:
        """Who shows this evidence. Raises Unknown, Ended or Waiting."""
        caller = self._identify.caller(evidence, allowed, profile.issuers, now)
        over = self._judge(caller, now)
        if over:
            raise Ended(caller, over)
        return caller

    async def wait(self, waiting: Waiting) -> None:
        """Let what has to come from outside come, without holding up the event loop; not at all, where too many wait
        for the same issuer.
        """
        whose = waiting.whose
        if self._waiting[whose] >= self._max_waiting:
            return
        pool = self._outside.get(whose)
        if pool is None:
            pool = self._outside[whose] = ThreadPoolExecutor(WAITERS, "identity")
        self._waiting[whose] += 1
        try:
            await asyncio.get_running_loop().run_in_executor(pool, waiting.work)
        finally:
            self._waiting[whose] -= 1

    def close(self) -> None:
        for pool in self._outside.values():
            pool.shutdown(wait=False, cancel_futures=True)

    def _unverified(self, original: Original) -> Caller:
        """Whoever the header names, without proof: for demonstrations, on loopback alone."""
        values = original.lines(self._header)
        if not values:
            raise Unknown("no-subject")
        # Envoy joins duplicates with a comma: two identities are none.
        if len(values) > 1 or b"," in values[0] or not 1 <= len(values[0]) <= 256:
            raise Unknown("ambiguous-subject")
        if any(not 0x21 <= byte <= 0x7E for byte in values[0]):
            raise Unknown("malformed-subject")
        return Caller(self._header_type, values[0].decode("ascii"), "header")
