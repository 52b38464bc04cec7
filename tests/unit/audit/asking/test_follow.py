"""Each record once, in the order of its stream, whatever is sealed and deleted meanwhile."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from pdp.audit.asking.follow import Follower
from pdp.audit.evidence import EvidenceError
from pdp.audit.leaf import members_of
from tests.unit.audit.hosts import NOW, Writer, sealed, sealer


def step(follower: Follower) -> list[tuple[int, int]]:
    """(slot, seq) of the workers' records."""
    found = []
    for _, payload in follower.step():
        members = members_of(payload)
        slot = members["stream"].split("/")[-2]
        if slot.isdigit():
            found.append((int(slot), members["seq"]))
    return found


def test_what_is_written_and_then_sealed_is_shown_once(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.write(3)
    sealed(tmp_path)
    follower = Follower.from_now(tmp_path, 2)
    assert step(follower) == [(0, 2), (0, 3)]
    writer.write(2)
    assert step(follower) == [(0, 4), (0, 5)]
    sealed(tmp_path, NOW + 1)
    assert step(follower) == []
    writer.write(1)
    sealed(tmp_path, NOW + 2)
    assert step(follower) == [(0, 6)]


@pytest.mark.parametrize("seed", range(12))
def test_nothing_is_missed_or_twice_or_out_of_order_whenever_somebody_looks(seed: int, tmp_path: Path) -> None:
    """Segments end, are sealed and deleted, also between the parts of one step."""
    draw = random.Random(seed)
    writers = [Writer(tmp_path, slot) for slot in (0, 1, 7)]
    ours, now, found = sealer(tmp_path), NOW, list[tuple[int, int]]()
    follower = Follower.from_now(tmp_path)

    def something() -> None:
        nonlocal now
        match draw.randrange(4):
            case 0 | 1:
                draw.choice(writers).write(draw.randrange(1, 9))
            case 2:
                draw.choice(writers).next_segment()
            case _:
                now += 1
                ours.step(now)

    for _ in range(80):
        something()
        for _, payload in follower.step():
            members = members_of(payload)
            slot = members["stream"].split("/")[-2]
            if slot.isdigit():
                found.append((int(slot), members["seq"]))
            if draw.random() < 0.1:
                something()
    ours.step(now + 1)
    found += step(follower)
    ours.close()
    for writer in writers:
        mine = [seq for slot, seq in found if slot == writer.slot]
        assert mine == list(range(1, writer.seq + 1))


def test_a_log_that_became_shorter_is_said(tmp_path: Path) -> None:
    Writer(tmp_path).write(3)
    sealed(tmp_path)
    follower = Follower.from_now(tmp_path)
    follower.sealed = 99
    with pytest.raises(EvidenceError, match="shorter"):
        step(follower)


def test_a_write_ahead_log_that_is_damaged_is_said_and_the_others_go_on(tmp_path: Path) -> None:
    first, second = Writer(tmp_path, 0), Writer(tmp_path, 1)
    first.write(2)
    first.write(2)
    second.write(2)
    data = bytearray(first.file.read_bytes())
    data[4_200] ^= 1
    first.file.write_bytes(data)
    follower = Follower.from_now(tmp_path)
    assert step(follower) == [(1, 1), (1, 2)]
    assert "damaged" in follower.problems[0]
