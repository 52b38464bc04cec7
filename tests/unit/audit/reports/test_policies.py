"""Policy sets kept beside the log, by their digest."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from pdp.audit.evidence import EvidenceError
from pdp.audit.reports import policies

DIGEST = "0f" * 32
TEXTS = {"care.ward": b"module care\n", "deep/er/" + "x" * 200 + ".ward": b"module x\n"}


def test_a_set_is_kept_once_and_read_again(tmp_path: Path) -> None:
    assert policies.keep(tmp_path, DIGEST, TEXTS)
    assert not policies.keep(tmp_path, DIGEST, {"care.ward": b"another"})
    assert policies.kept(tmp_path, DIGEST) == TEXTS
    assert policies.place(tmp_path, DIGEST).stat().st_mode & 0o077 == 0


def test_the_same_texts_are_the_same_bytes() -> None:
    assert policies.packed(TEXTS) == policies.packed(dict(reversed(TEXTS.items())))


@pytest.mark.parametrize("digest", ["", "../" + "0" * 61, "0F" * 32, DIGEST + "0"])
def test_what_is_no_digest_is_no_path(tmp_path: Path, digest: str) -> None:
    with pytest.raises(EvidenceError):
        policies.keep(tmp_path, digest, TEXTS)


def test_what_was_not_kept_or_is_no_such_archive_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError):
        policies.kept(tmp_path, DIGEST)
    for data in (b"nonsense" * 200, linked()):
        with pytest.raises(EvidenceError):
            policies.unpacked(data)


def linked() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        member = tarfile.TarInfo("care.ward")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(member)
    return buffer.getvalue()
