"""The policy sets that were in force, kept beside the log by their digest: `policies/<digest>.tar`, policy texts alone.

Written when a set becomes active, never changed, to be kept for six years after it was last in effect (45 CFR
164.316(b)(2)(i)), so that whoever reads a record can read the rule that it names. Data (people, patients) is not in it.
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pdp.audit.evidence import EvidenceError
from pdp.audit.journal.files import Files

DIRECTORY: Final = "policies"
DIGEST: Final = re.compile(r"[0-9a-f]{64}")
MAX_BYTES: Final = 64 << 20


def keep(audit: Path, digest: str, texts: Mapping[str, bytes], files: Files | None = None) -> bool:
    """Keep one set; False where it is kept already. Raises EvidenceError."""
    path = place(audit, digest)
    try:
        if path.exists():
            return False
        (files or Files()).put(path, packed(texts))
    except OSError as error:
        raise EvidenceError(f"{path} cannot be written: {error.strerror}") from error
    return True


def place(audit: Path, digest: str) -> Path:
    """Raises EvidenceError for what is no digest: it would be a path."""
    if not DIGEST.fullmatch(digest):
        raise EvidenceError("that is no digest of a policy set")
    return audit / DIRECTORY / f"{digest}.tar"


def kept(audit: Path, digest: str) -> dict[str, bytes]:
    """The files of a set. Raises EvidenceError."""
    path = place(audit, digest)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise EvidenceError(f"{path.name} is longer than a policy set may be")
        return unpacked(path.read_bytes())
    except FileNotFoundError as error:
        raise EvidenceError(f"the policy set {digest[:12]} was not kept") from error
    except OSError as error:
        raise EvidenceError(f"{path.name} cannot be read: {error.strerror}") from error


def packed(texts: Mapping[str, bytes]) -> bytes:
    """A tar whose every byte follows from its content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(texts):
            tar.addfile(member(name, len(texts[name])), io.BytesIO(texts[name]))
    return buffer.getvalue()


def member(name: str, size: int) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.size, found.mode, found.mtime = size, 0o444, 0
    return found


def unpacked(data: bytes) -> dict[str, bytes]:
    """Regular files alone. Raises EvidenceError."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            for each in tar:
                file = tar.extractfile(each) if each.isreg() and not each.issparse() else None
                if file is None or each.name in found:
                    raise EvidenceError("the archive of a policy set holds what is no file of one")
                found[each.name] = file.read()
    except (tarfile.TarError, OSError, ValueError) as error:
        raise EvidenceError("the archive of a policy set cannot be read") from error
    return found
