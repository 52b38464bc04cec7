"""The sealed records one after the other, also those that are none: such a one is told of, and stops nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from pdp.audit.evidence import EvidenceError
from pdp.audit.leaf import LOG, Leaf, Opener, leaf, sealed_size
from pdp.audit.tree.tiles import records

MALFORMED: Final = "malformed"
NOWHERE: Final = "(no stream)"


def sealed(
    directory: Path, opener: Opener, first: int = 0, progress: Callable[[int, int], None] = lambda _, __: None
) -> Iterator[Leaf]:
    """From index `first` on; what was pruned is left out. Raises EvidenceError where files of the log are missing."""
    size = sealed_size(directory)
    for index, payload in records(directory / LOG, size, lambda done: progress(done, size), first):
        try:
            yield leaf(index, payload, opener)
        except EvidenceError:
            said = {"stream": NOWHERE, "seq": index, "id": f"{MALFORMED}-{index}", "kind": MALFORMED}
            yield Leaf(index, payload, said, {})
