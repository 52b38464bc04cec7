"""The builder process: watches the policy directory, builds outside the decision workers, publishes what checks.

Last good is kept: what does not check, cannot be read, or moved while it was read changes nothing but the status that
`/ready` and the console show. The pointer is replaced by one rename, after the artefact is whole on disk.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pdp.config import Settings
from pdp.diagnostics.diagnostic import PolicyError
from pdp.serve.process import say
from pdp.serve.runtime import POINTER, Runtime
from pdp.serve.watch import Content, Scan, Unreadable, Watcher

if TYPE_CHECKING:
    from pdp.bundle.build import Built
    from pdp.language.core import PolicySet

    Compare = Callable[[PolicySet], list[str]]

Activate = Callable[[dict[str, Any]], bool]
"""Puts on record that a policy set goes live. False: it could not be."""
Keep = Callable[[str, Mapping[str, str]], bool]
"""Keeps the texts of a policy set by its digest, beside the log. False: it could not."""

STATUS: Final = "builder"
EXIT_DOES_NOT_CHECK: Final = 3
KEPT_ARTEFACTS: Final = 3
LOSS_FACTOR: Final = 5  # how much longer a change has to rest that drops a forbid or a mask: it may be half of a copy
RESTLESS_SECONDS: Final = 5.0
ACTIVATED: Final = "policy.activate"
BEING_BUILT: Final = "a change is being built"


class Builder:
    """One policy directory, one runtime directory. `step` is one look; all waiting is outside."""

    def __init__(
        self,
        directory: Path,
        runtime: Runtime,
        settle_seconds: float = 0.0,
        compare: Compare = lambda _: [],
        activate: Activate = lambda _: True,
        keep: Keep = lambda _, __: True,
    ) -> None:
        """`compare`: what the settings say and a policy set does not know, one sentence each."""
        self._directory = directory
        self._runtime = runtime
        self._compare = compare
        self._activate = activate
        self._keep = keep
        self._unrecorded: dict[str, Any] | None = None  # of the active policy set, while it is not on record
        self._unkept: tuple[str, Mapping[str, str]] | None = None  # the same, while its texts are not kept
        self._settle_seconds = settle_seconds
        self._watcher = Watcher(directory, settle_seconds)
        self._active: Content | None = None
        # The forbids and masks that are active, also those of a builder that died before us.
        self._restrictions = frozenset(runtime.read(POINTER).get("restrictions", ()))
        self._sequence = int(runtime.read(POINTER).get("sequence", 0))
        self._stale_since: float | None = runtime.read(STATUS).get("stale_since")  # Of a builder that died before us.
        self._disagreements: list[str] = runtime.read(STATUS).get("disagreements", [])
        self._problem = ""
        self._details = ""
        self._waiting_since: float | None = None

    def step(self, now: float, force: bool = False) -> bool:
        """Look once, and build when a change is there to be taken. True when something new was published."""
        published = False
        try:
            seen = self._watcher.look(now, force, first=not self._sequence)
            if seen is not None:
                published = self._take(seen, now, force)
            elif self._active is not None and self._watcher.steady == self._active:
                self._fresh()  # What was there for a while is gone, and what is active is back.
            self._note_waiting(published, now)
        except Unreadable as error:
            self._failed("the policy directory cannot be read", str(error), now)
        self._record_again()
        self._tell(now)
        return published

    def _tell(self, now: float) -> None:
        """Where there is no room for it the next look tells it; who reads it sees by its time that it is old."""
        with suppress(OSError):
            self._runtime.write(STATUS, self._status(now))

    def _note_waiting(self, published: bool, now: float) -> None:
        """A directory in which something is always moving is never read: what is decided by is stale all the same."""
        if published or not self._watcher.waiting:
            self._waiting_since = None
            return
        self._waiting_since = self._waiting_since or now
        if now - self._waiting_since >= RESTLESS_SECONDS + LOSS_FACTOR * self._settle_seconds and not self._problem:
            self._failed("the policy directory does not come to rest", "", now)

    def _take(self, seen: Scan, now: float, force: bool) -> bool:
        if self._stale_since is None:
            self._stale_since, self._problem = now, BEING_BUILT
        self._tell(now)  # Should building end this process, this is what is left of it.
        try:
            built = self._build()
        except (PolicyError, OSError) as error:
            if self._watcher.still(seen):
                self._watcher.tried(seen)
                self._failed("the policy set does not check", rendered(error), now)
            return False
        if not self._watcher.still(seen):
            return False  # It moved while it was read: what was read is thrown away, and the next looks take it.
        restrictions = frozenset(rule.id for rule in built.policies.rules if rule.effect in ("forbid", "mask"))
        lost = sorted(self._restrictions - restrictions)
        rested = seen.youngest + LOSS_FACTOR * self._settle_seconds
        if lost and now < rested and not force:
            self._watcher.hold(seen, rested)
            problem = "a change drops a forbid or a mask: it is taken when it has rested, or on HUP"
            self._failed(problem, f"it would drop {', '.join(lost)}", now)
            return False
        before, self._restrictions = self._restrictions, restrictions
        try:
            self._publish(built, now)
        except OSError as error:  # The next look tries it again.
            self._restrictions = before
            self._failed("what was built cannot be published", str(error), now)
            return False
        self._watcher.tried(seen)
        self._active = seen.content
        self._fresh()
        return True

    def _fresh(self) -> None:
        self._stale_since, self._problem, self._details = None, "", ""

    def _build(self) -> Built:
        from pdp.bundle.build import build

        return build(self._directory)

    def _publish(self, built: Built, now: float) -> None:
        from pdp.bundle import artefact

        sequence = self._sequence + 1
        name = f"program-{sequence}.bin"
        artefact.write(built, self._runtime.directory / name)
        pointer: dict[str, Any] = {
            "sequence": sequence,
            "artefact": name,
            "digest": built.program.digest,
            "revision": built.revision,
            "source_digest": built.source_digest,
            "rules": len(built.policies.rules),
            "entities": len(built.entities),
            "restrictions": sorted(self._restrictions),
            "built_at": now,
        }
        self._record(built)
        self._runtime.write(POINTER, pointer)
        self._sequence = sequence
        with suppress(OSError):
            (self._runtime.directory / f"program-{sequence - KEPT_ARTEFACTS}.bin").unlink(missing_ok=True)
        say(f"policy set {built.program.digest[:12]} is active: {len(built.policies.rules)} rules")
        self._told(self._compare(built.policies))

    def _record(self, built: Built) -> None:
        """On record before any decision by it is. What cannot be recorded becomes active all the same, since it may be
        what closes a door; then it is tried again with each look.
        """
        self._unkept = built.program.digest, built.texts
        active = self._runtime.read(POINTER)
        if (active.get("digest"), active.get("revision")) == (built.program.digest, built.revision):
            self._record_again()
            return
        self._unrecorded = {
            "bundle": {"sha256": built.program.digest, "version": built.revision},
            "source": built.source_digest,
            "rules": len(built.policies.rules),
        }
        self._record_again()

    def _record_again(self) -> None:
        if self._unkept is not None and self._keep(*self._unkept):
            self._unkept = None
        if self._unrecorded is not None and self._activate(self._unrecorded):
            self._unrecorded = None

    def _told(self, disagreements: list[str]) -> None:
        """Said when it is new; `/ready` and the console show it for as long as it is so."""
        for each in disagreements:
            if each not in self._disagreements:
                say(f"WARNING: {each}")
        if self._disagreements and not disagreements:
            say("the settings and the policy set agree again")
        self._disagreements = disagreements

    def _failed(self, problem: str, details: str, now: float) -> None:
        """`problem` is shown to everybody by `/ready` and names nothing; `details` go to the operator alone."""
        if self._stale_since is None:
            self._stale_since = now
        if (problem, details) != (self._problem, self._details):
            self._problem, self._details = problem, details
            say(f"{problem}; the last good policy set stays active" if self._sequence else problem)
            if details and details != problem:
                say(details)

    def _status(self, now: float) -> dict[str, Any]:
        return {
            "scanned_at": now,
            "stale": self._stale_since is not None,
            "stale_since": self._stale_since,
            "problem": self._problem,
            "details": self._details[:65_536],
            "disagreements": self._disagreements,
            "pid": os.getpid(),
        }

    @property
    def failed(self) -> bool:
        return self._stale_since is not None and self._problem != BEING_BUILT


def rendered(error: PolicyError | OSError) -> str:
    if isinstance(error, OSError):
        return str(error)
    from pdp.diagnostics.render import text

    return text(error.diagnostics)


class Once:
    """Says what is amiss once, until it is something else; and that it is mended."""

    def __init__(self, mended: str) -> None:
        self._mended = mended
        self._said = ""

    def __call__(self, problem: str) -> None:
        if problem != self._said:
            self._said = problem
            say(problem or self._mended)


def _activated(settings: Settings, once: Once, said: dict[str, Any]) -> bool:
    from pdp.audit.evidence import EvidenceError
    from pdp.audit.tell import tell

    try:
        tell(settings.audit_dir, settings.audit_origin, ACTIVATED, said)
    except EvidenceError as error:
        once(f"ALARM: it is not on record that a policy set becomes active: {error}")
        return False
    once("")
    return True


def _kept(settings: Settings, once: Once, digest: str, texts: Mapping[str, str]) -> bool:
    """So that a record can be read by the rules that it names, for as long as records are kept."""
    from pdp.audit.evidence import EvidenceError
    from pdp.audit.reports import policies

    try:
        policies.keep(settings.audit_dir, digest, {name: text.encode() for name, text in texts.items()})
    except EvidenceError as error:
        once(f"ALARM: the texts of the policy set that becomes active are not kept: {error}")
        return False
    once("")
    return True


def main(settings: Settings, runtime: Runtime) -> int:
    """Build once, then watch for ever. Returns only when the first policy set cannot be used."""
    from pdp.serve.agreement import disagreements

    compare = partial(disagreements, settings)
    activate = partial(_activated, settings, Once("it is on record now which policy set is active"))
    keep = partial(_kept, settings, Once("the texts of the policy set that is active are kept now"))
    builder = Builder(settings.policies, runtime, settings.settle_milliseconds / 1000, compare, activate, keep)
    wanted = []
    signal.signal(signal.SIGHUP, lambda *_: wanted.append(1))
    has_one = bool(runtime.read(POINTER))
    while not has_one:
        force = bool(wanted)
        wanted.clear()
        has_one = builder.step(time.time(), force)
        if builder.failed and not has_one:
            return EXIT_DOES_NOT_CHECK
        time.sleep(0.01)
    os.nice(10)  # From now on decisions come first.
    while True:
        time.sleep(settings.scan_milliseconds / 1000)
        force = bool(wanted)
        wanted.clear()
        builder.step(time.time(), force)
