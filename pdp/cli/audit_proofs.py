"""A proof of each line of an answer, and one file that says what they belong to. Written as the lines come."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from pdp.cli.audit_filters import record_of
from pdp.cli.failure import INCOMPLETE, Failure

if TYPE_CHECKING:
    from pdp.audit.asking.row import Row
    from pdp.audit.tree.note import VerifierKey

SUMMARY: Final = "summary.json"


class Proofs:
    """Each proof carries the checkpoint that it leads to; `summary.json` the newest one."""

    def __init__(self, log: Path, to: str, keys: list[VerifierKey]) -> None:
        """Raises Failure."""
        from pdp.audit.checking import proof
        from pdp.audit.evidence import EvidenceError

        self._log, self._to, self._keys, self._count, self.missing = log, Path(to), keys, 0, 0
        self._file: IO[str] | None = None
        try:
            self._size = proof.published(log, keys)[1].size
            self._to.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = (self._to / f"{SUMMARY}.new").open("w", encoding="utf-8")
            self._file.write('{"lines": [')
        except EvidenceError as error:
            raise Failure(str(error), "`pdp audit verify` says more", INCOMPLETE) from error
        except OSError as error:
            raise Failure(f"{to}: {error.strerror}") from error

    def add(self, row: Row, payload: bytes) -> None:
        """Raises EvidenceError, and Failure."""
        from pdp.audit.checking import proof
        from pdp.audit.tree import merkle

        assert self._file is not None
        name = None
        if row.index is not None and row.index >= self._size:
            self._size = proof.published(self._log, self._keys)[1].size
        try:
            if row.index is not None and row.index < self._size:
                name = name_of(row)
                (self._to / name).write_bytes(proof.prove(self._log, row.index, payload, self._keys))
            else:
                self.missing += 1
            line = {"proof": name, "leaf_hash": merkle.leaf(payload).hex(), **record_of(row)}
            self._file.write(("," if self._count else "") + "\n" + json.dumps(line))
        except OSError as error:
            raise Failure(f"{self._to}: {error.strerror}") from error
        self._count += 1

    def end(self, said: dict[str, Any]) -> None:
        """`said`: of the answer as a whole. Raises EvidenceError, and Failure."""
        from pdp.audit.checking import proof

        assert self._file is not None
        note, head = proof.published(self._log, self._keys)
        told = {
            **said,
            "not_proven": self.missing,
            "keys": [str(each) for each in self._keys],
            "size": head.size,
            "root": head.root.hex(),
            "checkpoint": note.decode("utf-8", "replace"),
        }
        try:
            self._file.write("\n], " + json.dumps(told)[1:] + "\n")
            self._file.close()
            os.replace(self._to / f"{SUMMARY}.new", self._to / SUMMARY)
        except OSError as error:
            raise Failure(f"{self._to}: {error.strerror}") from error
        done = self._count - self.missing
        print(f"{_lines(done)} proven, {SUMMARY} says which: {self._to}", file=sys.stderr)
        if self.missing:
            are, have = ("is", "has") if self.missing == 1 else ("are", "have")
            said_so = f"{_lines(self.missing)} {are} not sealed yet and {have} no proof: ask again in a moment"
            print(said_so, file=sys.stderr)


def _lines(count: int) -> str:
    return "1 line" if count == 1 else f"{count:,} lines"


def name_of(row: Row) -> str:
    """The file of a row's proof; ids of others are made harmless."""
    name = "".join(each if each.isascii() and (each.isalnum() or each in "-_") else "_" for each in row.decision)
    return f"{(name or row.kind)[:80]}.{row.index}.tlog-proof"
