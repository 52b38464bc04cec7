"""A record that says something twice means two things: nobody reads it, and `verify` finds it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdp.audit.checking.findings import Kind
from pdp.audit.checking.verify import verify
from pdp.audit.evidence import EvidenceError
from pdp.audit.leaf import leaf, says_twice
from pdp.audit.tree.keys import published
from tests.unit.audit.hosts import Writer, sealed

TWICE = [
    b',"kind":"heartbeat"',
    b',"id":"another"',
    b',"dec":{"effect":"deny"},"dec":{"effect":"allow"}',
    b',"sub":{"id":"nina","id":"omar"}',
    b',"k\\u0069nd":"heartbeat"',
    b',"x":1e20,"kind" :"heartbeat"',
    b',"dec":1,"dec":1',
]
ONCE = [
    b"",
    b',"sub":{"id":"nina"},"res":{"id":"r"}',
    b',"x":"\\"kind\\":1"',
    b',"x":1e20',
    b',"x":"\\u00e9"',
    b', "y" : [ ] ',
]


@pytest.mark.parametrize("more", TWICE)
def test_a_record_that_says_something_twice_is_malformed(tmp_path: Path, more: bytes) -> None:
    writer = Writer(tmp_path)
    writer.write(2)
    forged = writer.payload()[:-1] + more + b"}"
    writer.write_these([forged])
    writer.write(2)
    sealed(tmp_path)
    report = verify(tmp_path, published(tmp_path / "keys"))
    assert [(each.kind, each.index) for each in report.findings] == [(Kind.MALFORMED, 2)]
    with pytest.raises(EvidenceError, match="twice"):
        leaf(2, forged)


@pytest.mark.parametrize("more", ONCE)
def test_what_is_merely_written_in_another_way_is_none(tmp_path: Path, more: bytes) -> None:
    writer = Writer(tmp_path)
    writer.write_these([writer.payload()[:-1] + more + b"}"])
    sealed(tmp_path)
    assert verify(tmp_path, published(tmp_path / "keys")).findings == []
    assert leaf(0, writer.payload()[:-1] + more + b"}").kind == "decision"


def test_what_is_no_json_says_nothing_twice() -> None:
    assert not any(says_twice(each) for each in (b"", b"{", b"[" * 100_000, b'"' + b"\xff" + b'"', b"1" * 5_000))
