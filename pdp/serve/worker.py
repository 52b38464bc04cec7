"""What a decision worker does beside deciding: follow the pointer, notice lateness, tell how it is."""

from __future__ import annotations

import asyncio
import gc
import os
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final, Protocol

import orjson

from pdp.audit.log import EvidenceError, Log
from pdp.bundle.artefact import BadArtefact
from pdp.config import Settings
from pdp.serve.ladder import Ladder, Rung, Step
from pdp.serve.metrics import Metrics
from pdp.serve.process import say
from pdp.serve.runtime import Runtime
from pdp.serve.sessions import Following
from pdp.serve.snapshot import Snapshot, load

TICK_SECONDS: Final = 0.1
FLUSH_SECONDS: Final = 1.0
FIRST_PROGRAM_SECONDS: Final = 25.0
SILENT_BUILDER_SECONDS: Final = 60.0
SILENT_SEALER_SECONDS: Final = 60.0
REPORTED_FAULTS: Final = 100
AUDIT_FAILURE_SECONDS: Final = 5.0


def breathe() -> None:
    """Between two steps of loading: let the event loop answer."""
    time.sleep(0.0005)


class Beside(Protocol):
    """A door with a server of its own, beside the one of this event loop."""

    problem: str  # "" or what is amiss, for `/ready`

    def start(self) -> None: ...

    def end(self) -> None:
        """Take nothing new. At once."""

    async def stop(self) -> None:
        """End, and wait for it; a bounded time."""


class Worker:
    """The state of one worker outside its requests."""

    def __init__(self, settings: Settings, runtime: Runtime, log: Log) -> None:
        self._settings = settings
        self._runtime = runtime
        self._log = log
        self.metrics = Metrics()
        self.following = Following(settings)
        self.snapshot: Snapshot | None = None
        self.late = False  # the event loop is behind: shed
        self.beside: Beside | None = None
        self._signature: tuple[int, int] | None = None
        self._load_problem = ""
        self._outside: Mapping[str, str] = {}
        self._audit_problem = ""
        self._audit_failed_at = 0.0
        self._ladder = Ladder(settings, time.time())
        self._reported = 0
        self.at_start: Callable[[], None] = lambda: None
        self.at_end: Callable[[], None] = lambda: None  # the last thing before the log is closed
        self._tasks: list[asyncio.Task[None]] = []

    # ------------------------------------------------------------------------------------------------------ lifespan

    async def lifespan(
        self, receive: Callable[[], Awaitable[dict[str, Any]]], send: Callable[[dict[str, Any]], Awaitable[None]]
    ) -> None:
        await receive()  # lifespan.startup
        await self._start()
        if self.beside is not None:
            self.beside.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()  # lifespan.shutdown
        if self.beside is not None:
            await self.beside.stop()  # Before the log is closed.
        for task in self._tasks:
            task.cancel()
        self.at_end()
        self._flush()
        self.following.stop()
        self._log.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _start(self) -> None:
        """Wait for the first program, so that the first question gets an answer and not a refusal."""
        self.following.start()
        try:
            self._log.open()  # Now, and not while the first question waits.
        except EvidenceError as error:
            self.audit_failed(error)
        self.at_start()
        deadline = time.monotonic() + FIRST_PROGRAM_SECONDS
        while self.snapshot is None and time.monotonic() < deadline:
            self._load_if_changed()
            if self.snapshot is None:
                await asyncio.sleep(0.01)
        gc.collect()
        gc.freeze()  # What lives as long as the process is not looked at again.
        self._tasks = [asyncio.create_task(self._watch_time()), asyncio.create_task(self._follow())]

    def ending(self) -> None:
        """Told to end: what is open may finish, nothing new is taken."""
        if self.beside is not None:
            self.beside.end()

    async def _watch_time(self) -> None:
        limit = self._settings.shed_after_milliseconds / 1000
        flushed = time.monotonic()
        while True:
            before = time.monotonic()
            await asyncio.sleep(TICK_SECONDS)
            now = time.monotonic()
            self.late = now - before - TICK_SECONDS > limit
            if now - flushed >= FLUSH_SECONDS:
                flushed = now
                self._flush()

    async def _follow(self) -> None:
        """Load what the builder published, beside the requests; swap it by one assignment."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as thread:
            while True:
                await asyncio.sleep(TICK_SECONDS)
                if self._runtime.signature() != self._signature:
                    await loop.run_in_executor(thread, self._load_if_changed, breathe)

    def _load_if_changed(self, pause: Callable[[], None] | None = None) -> None:
        signature = self._runtime.signature()
        if signature is None or signature == self._signature:
            return
        self._signature = signature
        try:
            loaded = load(self._runtime, self._settings.cache_size, pause)
        except (OSError, MemoryError, BadArtefact) as error:
            self.metrics.reload_failures += 1
            if not isinstance(error, BadArtefact):
                self._signature = None  # It may pass: looked at again with the next tick.
            problem = str(error) or type(error).__name__
            if problem != self._load_problem:
                self._load_problem = problem
                say(f"a worker could not load what was built: {problem}")
            return
        self._load_problem = ""
        if loaded is not None:
            self.snapshot = loaded
            self.metrics.reloads += 1

    def _flush(self) -> None:
        with suppress(OSError):  # The numbers wait for the next second.
            told = {"wal": self._log.counters() | {"at": time.time()}}
            self._runtime.write(f"metrics-{os.getpid()}", self.metrics.as_json() | told)

    # ------------------------------------------------------------------------------------------------------- telling

    def audit_failed(self, error: EvidenceError) -> None:
        if str(error) != self._audit_problem:
            self._audit_problem = str(error)
            say(f"ALARM: {error}; everything is denied until it can be")
        self._audit_failed_at = time.monotonic()

    def audit_works(self) -> None:
        if self._audit_problem:
            self._audit_problem = ""
            say("the log can be written again")

    def outside(self, problems: Mapping[str, str]) -> None:
        """What did not come from identity providers, by issuer: said once, until it is another problem."""
        before, self._outside = self._outside, problems
        for name in sorted(problems.keys() - before.keys()):
            say(f"ALARM: [issuer.{name}]: {problems[name]}; what was known before counts as long as the settings say")
        for name in sorted(before.keys() - problems.keys()):
            say(f"mended: [issuer.{name}]")

    def report(self, error: Exception, decision_id: str) -> None:
        """A fault of ours, for the operator: where, but not the message, which may quote values. Bounded."""
        self._reported += 1
        if self._reported <= REPORTED_FAULTS:
            frames = "".join(traceback.format_tb(error.__traceback__))
            say(f"ALARM: {type(error).__name__} in decision {decision_id}\n{frames}")

    def ready(self, now: int) -> tuple[int, bytes]:
        """Can this worker decide, by what, and what is amiss. 503 only when it cannot: stale rules still decide."""
        seconds = now / 1_000_000
        builder, children = self._runtime.read("builder"), self._runtime.read("children")
        sealer = self._runtime.read("sealer")
        rungs = self._ladder.rungs(seconds, sealer)
        problems = self._problems(now, builder, children) + _unsealed(seconds, sealer) + _unwitnessed(sealer)
        problems += [each.problem for each in rungs if each.step > Step.ALARM]
        able = self.able(now, rungs)
        state: dict[str, Any] = {
            "status": "unavailable" if not able else "degraded" if problems else "ready",
            "problems": problems,
            "program": self._program(seconds),
            "stale": bool(builder.get("stale")),
            "children": {
                name: {"alive": each["alive"], "restarts": each["restarts"], "last_exit": each["last_exit"]}
                for name, each in children.items()
            },
            "log": {"sealed": sealer.get("size", 0), "key_epoch": sealer.get("epoch", 0), **_cosigned(sealer)},
            "workers": {"restarts": self._runtime.read("workers").get("restarts", 0)},
        }
        if builder.get("stale"):
            state["stale_seconds"] = round(max(0.0, seconds - builder["stale_since"]), 3)
            state["stale_reason"] = builder.get("problem", "")
        return (200 if able else 503), orjson.dumps(state)

    def able(self, now: int, rungs: list[Rung] | None = None) -> bool:
        """Should questions be sent to this worker?"""
        if rungs is None:
            rungs = self._ladder.rungs(now / 1_000_000, self._runtime.read("sealer"))
        if any(each.step is Step.NOT_READY for each in rungs):
            return False
        return self.snapshot is not None and self._audit_able() and self.following.able(now)

    def _problems(self, now: int, builder: dict[str, Any], children: dict[str, Any]) -> list[str]:
        found = [f"{name} is not running" for name, each in children.items() if not each["alive"]]
        if self.snapshot is None:
            found.append("no policy set")
        if self._load_problem:
            found.append("a worker could not load the policy set")
        if builder.get("stale"):
            found.append("the policy set is stale")
        elif builder and now / 1_000_000 - builder["scanned_at"] > SILENT_BUILDER_SECONDS:
            found.append("the builder is silent")
        if builder.get("disagreements"):  # Which, the console and standard error say: here they would be public.
            found.append("the settings and the policy set disagree")
        if not self._audit_able():
            found.append("audit")
        elif self._log.warning:
            found.append("the master key of the log")
        if self._outside:
            found.append("an identity provider")
        if self.beside is not None and self.beside.problem:
            found.append(self.beside.problem)
        return found + self.following.problems()

    def _audit_able(self) -> bool:
        """A failed write counts for some seconds only: under 503 nobody asks, so nobody would find it mended."""
        try:
            self._log.probe()
        except EvidenceError:
            return False
        return not self._audit_problem or time.monotonic() - self._audit_failed_at > AUDIT_FAILURE_SECONDS

    def _program(self, seconds: float) -> dict[str, Any] | None:
        snapshot = self.snapshot
        if snapshot is None:
            return None
        return {
            "digest": snapshot.digest,
            "source_digest": snapshot.source_digest,
            "data_revision": snapshot.revision,
            "age_seconds": round(max(0.0, seconds - snapshot.built_at), 3),
        }


def _unsealed(seconds: float, sealer: dict[str, Any]) -> list[str]:
    """What is amiss with the sealer, as far as everybody may know. Records are safe without it, and prove less."""
    if sealer.get("problem"):
        return ["the audit log is not sealed as it should be"]
    if sealer and seconds - sealer["looked_at"] > SILENT_SEALER_SECONDS:
        return ["the sealer is silent"]
    return []


def _unwitnessed(sealer: dict[str, Any]) -> list[str]:
    """A witness that does not cosign stops nothing; what was sealed since can be rewritten by whoever has the key."""
    amiss = any(each["problem"] for each in sealer.get("witnesses", {}).values())
    return ["a witness does not cosign the audit log"] if amiss else []


def _cosigned(sealer: dict[str, Any]) -> dict[str, int]:
    """Where there are witnesses: up to where the slowest of them has cosigned."""
    sizes = [max(0, each["size"]) for each in sealer.get("witnesses", {}).values()]
    return {"cosigned": min(sizes)} if sizes else {}
