"""c2sp.org/tlog-checkpoint, and where the published ones are kept."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pdp.audit.tree import checkpoint, note
from pdp.audit.tree.checkpoint import Checkpoint, kept, last, parse, place, read, sign
from pdp.audit.tree.note import NoteError, UnknownSigner, verifier

ORIGIN = "pdp.example/host-1"
PRIVATE = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
KEY = verifier(ORIGIN, PRIVATE)
ROOT = b64encode(bytes(32)).decode()


def test_the_text_of_the_specification_is_read_and_written_as_it_is() -> None:
    text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    found = parse(text)
    assert (found.origin, found.size, found.root.hex()[:8]) == ("example.com/behind-the-sofa", 20_852_163, "0ac5186a")
    assert found.text() == text


def test_a_checkpoint_that_we_sign_is_read_with_our_key_alone() -> None:
    signed = sign(Checkpoint(ORIGIN, 7, b"r" * 32), PRIVATE)
    assert read(signed, [KEY]).checkpoint == Checkpoint(ORIGIN, 7, b"r" * 32)
    with pytest.raises(UnknownSigner):
        read(signed, [])


@pytest.mark.parametrize(
    "text",
    [
        f"o\n1\n{ROOT}",
        f"\n1\n{ROOT}\n",
        f"o\n01\n{ROOT}\n",
        f"o\n-1\n{ROOT}\n",
        f"o\n+1\n{ROOT}\n",
        f"o\n1_0\n{ROOT}\n",
        f"o\n\u0661\n{ROOT}\n",
        f"o\n\n{ROOT}\n",
        f"o\n{'9' * 16}\n{ROOT}\n",
        f"o\n1\n{ROOT[:-4]}\n",
        f"o\n1\n{ROOT[:-1]}\n",
        f"o\n1\n{ROOT}\nan extension\n",
        "o\n1\n",
    ],
)
def test_what_is_not_a_checkpoint_is_refused_though_it_is_signed(text: str) -> None:
    with pytest.raises(NoteError):
        parse(text)
    if text.endswith("\n"):
        with pytest.raises(NoteError):
            read(note.sign(text, ORIGIN, PRIVATE), [KEY])


def test_the_kept_ones_are_found_in_order_and_the_last_of_them_without_reading_all(tmp_path: Path) -> None:
    assert last(tmp_path) is None
    assert list(kept(tmp_path)) == []
    sizes = [0, 7, 999, 1_000, 2_000, 999_999, 1_000_000, 1_234_067, 10**12]
    for size in reversed(sizes):
        (tmp_path / place(size)).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place(size)).touch()
    (tmp_path / (place(10**12) + ".tmp")).touch()
    assert list(kept(tmp_path)) == sizes
    assert last(tmp_path) == 10**12
    assert place(1_234_067) == "checkpoints/000/000/001/234/067"


def test_aics_tlog_reads_our_checkpoint() -> None:
    aics = pytest.importorskip("aics_tlog", reason="aics-tlog is not installed")
    signed = sign(Checkpoint(ORIGIN, 7, b"r" * 32), PRIVATE)
    found = aics.verify_checkpoint(aics.parse_note(signed), aics.parse_vkey(str(KEY)))
    assert found.ok
    assert checkpoint.PUBLISHED == "checkpoint"
