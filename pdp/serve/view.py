"""What the management plane may know of the others: through the runtime directory, and nowhere else."""

from __future__ import annotations

from threading import Lock
from typing import Any

from pdp.serve.runtime import POINTER, Runtime
from pdp.serve.snapshot import Snapshot, load


class View:
    """Read only, and safe for several threads."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._lock = Lock()
        self._signature: tuple[int, int] | None = None
        self._current: Snapshot | None = None

    def pointer(self) -> dict[str, Any]:
        """What is active: digests, revision, number of rules, when it was built. Empty before the first one."""
        return self._runtime.read(POINTER)

    def builder(self) -> dict[str, Any]:
        """Staleness, its reason, and what the diagnostics say."""
        return self._runtime.read("builder")

    def children(self) -> dict[str, Any]:
        return self._runtime.read("children")

    def audit(self) -> dict[str, Any]:
        """How long records wait to be sealed, and the space that is left for them."""
        return self._runtime.read("audit")

    def sealer(self) -> dict[str, Any]:
        return self._runtime.read("sealer")

    def shipping(self) -> list[dict[str, Any]]:
        """Of each target that something is shipped to: how far it is, and what is amiss."""
        found = [self._runtime.read(each.name) for each in sorted(self._runtime.directory.glob("ship-*"))]
        return [each for each in found if each]

    def worker_restarts(self) -> int:
        return int(self._runtime.read("workers").get("restarts", 0))

    def counters(self) -> list[dict[str, Any]]:
        """Those of every worker that ever ran under this parent: a total never falls when a worker dies."""
        found = [self._runtime.read(each.name) for each in sorted(self._runtime.directory.glob("metrics-*"))]
        return [each for each in found if each]

    def current(self) -> Snapshot | None:
        """What workers decide with, loaded again when the pointer has moved."""
        with self._lock:
            signature = self._runtime.signature()
            if signature is not None and signature != self._signature:
                snapshot = load(self._runtime, cache_size=0)
                if snapshot is not None:
                    self._current, self._signature = snapshot, signature
            return self._current
