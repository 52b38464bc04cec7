"""Reading records, sealed or not, each once; and what others than workers put on record."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdp.audit.evidence import EvidenceError
from pdp.audit.leaf import instant, leaf, leaves
from pdp.audit.tell import tell
from pdp.audit.tree.sealer import Sealer

ORIGIN = "pdp.example/host"
NOW = 1_767_225_600_000_000


def told(directory: Path, count: int) -> list[str]:
    return [tell(directory, ORIGIN, "audit.read", {"what": str(number)}, now=NOW + number) for number in range(count)]


def test_each_record_is_read_once_whether_sealed_or_not(tmp_path: Path) -> None:
    first = told(tmp_path, 2)
    sealer = Sealer(tmp_path, ORIGIN)
    sealer.step(NOW * 1_000)
    waiting = told(tmp_path, 1)
    found = [each for each in leaves(tmp_path) if each.kind == "audit.read"]
    assert [each.id for each in found] == first + waiting
    assert [each.index is None for each in found] == [False, False, True]
    assert [each.id for each in leaves(tmp_path, unsealed=False) if each.kind == "audit.read"] == first
    sealer.step(NOW * 1_000 + 1)
    assert [each.id for each in leaves(tmp_path) if each.kind == "audit.read"] == first + waiting
    sealer.close()


def test_reading_can_begin_anywhere(tmp_path: Path) -> None:
    told(tmp_path, 5)
    Sealer(tmp_path, ORIGIN).step(NOW * 1_000)
    every = list(leaves(tmp_path))
    for first in range(len(every)):
        assert [each.index for each in leaves(tmp_path, first=first)] == [each.index for each in every[first:]]


def test_what_was_told_has_a_place_a_time_and_somebody(tmp_path: Path) -> None:
    (identifier,) = told(tmp_path, 1)
    (found,) = (each for each in leaves(tmp_path) if each.kind == "audit.read")
    assert (found.id, found.time, found.members["what"]) == (identifier, NOW, "0")
    assert found.members["by"]
    assert found.receipt == f"{found.stream}:{found.seq}:{found.hash.hex()[:16]}"


def test_an_empty_directory_has_no_records(tmp_path: Path) -> None:
    assert list(leaves(tmp_path)) == []


@pytest.mark.parametrize("payload", [b"", b"[]", b"{}", b'{"seq": "1", "stream": "a/b"}', b'{"seq": 1}'])
def test_what_is_no_record_is_an_error(payload: bytes) -> None:
    with pytest.raises(EvidenceError):
        leaf(None, payload)


@pytest.mark.parametrize(("text", "moment"), [("2026-01-01T00:00:00.000001Z", NOW + 1), ("", 0), ("2026-01-01", 0)])
def test_instants(text: str, moment: int) -> None:
    assert instant(text) == moment
