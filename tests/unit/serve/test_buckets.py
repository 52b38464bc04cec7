"""The shared table of token buckets: exact, whatever processes, clocks and kills do."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
import struct
import time
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdp.config.limits import Limit
from pdp.identity.stripes import Busy
from pdp.serve import buckets
from pdp.serve.buckets import Bucket, Buckets

SECOND = 1_000_000
FORK = multiprocessing.get_context("fork")


def table(directory: Path, regions: int = 1, names: int = 1_024) -> Path:
    path = directory / "limits"
    path.unlink(missing_ok=True)
    buckets.make(path, regions, names)
    return path


def one(limit: Limit, name: bytes = b"ann", region: int = 0) -> list[Bucket]:
    return [Bucket(region, name, limit)]


def takes(asked: Buckets, wanted: list[Bucket], now: int) -> bool:
    return asked.take(wanted, now)[0] < 0


def test_a_burst_and_then_the_rate(tmp_path: Path) -> None:
    asked, limit = Buckets(table(tmp_path)), Limit(2, 1, 5)
    assert [takes(asked, one(limit), 0) for _ in range(7)] == [True] * 5 + [False] * 2
    assert [takes(asked, one(limit), SECOND // 2) for _ in range(2)] == [True, False]
    assert [takes(asked, one(limit), SECOND // 2 + SECOND // 2 - 1) for _ in range(1)] == [False]
    assert takes(asked, one(limit), SECOND)
    assert [takes(asked, one(limit), 100 * SECOND) for _ in range(6)] == [True] * 5 + [False]


def test_a_refusal_says_for_how_long_to_the_microsecond_and_takes_nothing(tmp_path: Path) -> None:
    asked, limit = Buckets(table(tmp_path)), Limit(3, 1, 1)
    assert takes(asked, one(limit), 0)
    for now in (0, 0, 1, 100_000):
        refusing, wait, left = asked.take(one(limit), now)
        assert (refusing, now + wait, left) == (0, 333_334, [0])
    assert not takes(asked, one(limit), 333_333)
    assert takes(asked, one(limit), 333_334)


def test_reading_what_is_left_goes_with_taking(tmp_path: Path) -> None:
    asked, limit = Buckets(table(tmp_path)), Limit(1, 10, 3)
    assert [asked.take(one(limit), 0)[2] for _ in range(4)] == [[2], [1], [0], [0]]
    assert asked.take(one(limit), 25 * SECOND)[2] == [1]


def test_all_or_nothing(tmp_path: Path) -> None:
    asked = Buckets(table(tmp_path, regions=3))
    wide, narrow = Limit(100, 1, 100), Limit(1, 1, 2)
    wanted = [Bucket(0, b"ann", wide), Bucket(1, b"app", narrow), Bucket(2, b"pair", wide)]
    assert [asked.take(wanted, 0) for _ in range(4)] == [
        (-1, 0, [99, 1, 99]),
        (-1, 0, [98, 0, 98]),
        (1, SECOND, [98, 0, 98]),
        (1, SECOND, [98, 0, 98]),
    ]


def test_names_and_regions_do_not_share(tmp_path: Path) -> None:
    asked, limit = Buckets(table(tmp_path, regions=2)), Limit(1, 1, 1)
    assert takes(asked, one(limit, b"ann"), 0)
    assert takes(asked, one(limit, b"bob"), 0)
    assert takes(asked, one(limit, b"ann", 1), 0)
    assert not takes(asked, one(limit, b"ann"), 0)


def test_the_file_is_ours_alone_names_nobody_and_has_a_key_of_its_own(tmp_path: Path) -> None:
    path = table(tmp_path)
    first = path.read_bytes()[:32]
    asked = Buckets(path)
    asked.take(one(Limit(1, 1, 1), b"somebody"), 0)
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"somebody" not in path.read_bytes()
    assert table(tmp_path).read_bytes()[:32] != first


# ------------------------------------------------------------------------------------------------------------- clocks


@given(
    limit=st.builds(Limit, st.integers(1, 50), st.integers(1, 20), st.integers(1, 30)),
    moves=st.lists(st.integers(0, 3 * SECOND), min_size=1, max_size=120),
)
@settings(max_examples=60)
def test_never_more_than_burst_and_rate(
    tmp_path_factory: pytest.TempPathFactory, limit: Limit, moves: list[int]
) -> None:
    """Exactly: what is granted in any stretch of time is at most its burst and what the rate gives in it."""
    asked = Buckets(table(tmp_path_factory.mktemp("b")))
    now, granted = 0, []
    for move in moves:
        now += move
        while takes(asked, one(limit), now):
            granted.append(now)
    for first in range(len(granted)):
        for last in range(first, len(granted)):
            number, stretch = last - first + 1, granted[last] - granted[first]
            assert number * limit.per_seconds * SECOND <= (
                limit.burst * limit.per_seconds * SECOND + limit.rate * stretch
            )
    asked.close()


@given(steps=st.lists(st.integers(-10_000 * SECOND, 10 * SECOND), min_size=1, max_size=60))
def test_a_clock_that_steps_back_gives_nothing(tmp_path_factory: pytest.TempPathFactory, steps: list[int]) -> None:
    limit = Limit(2, 1, 5)
    asked = Buckets(table(tmp_path_factory.mktemp("b")))
    now, forward, granted = 10**15, 0, 0
    for step in steps:
        now += step
        forward += max(0, step)
        while takes(asked, one(limit), now):
            granted += 1
    assert granted * SECOND <= 5 * SECOND + 2 * forward
    asked.close()


@pytest.mark.parametrize("back", [1, SECOND, SECOND + 1, 3_600 * SECOND, 10**15])
def test_a_clock_that_steps_back_locks_nobody_out_for_long(tmp_path: Path, back: int) -> None:
    asked, limit = Buckets(table(tmp_path)), Limit(1, 1, 3)
    now = 10**15
    while takes(asked, one(limit), now):
        pass
    now -= back
    assert not takes(asked, one(limit), now)
    assert takes(asked, one(limit), now + 2 * SECOND)


def test_two_processes_that_look_at_the_clock_one_after_the_other_are_no_step(tmp_path: Path) -> None:
    asked, limit = Buckets(table(tmp_path)), Limit(10, 1, 10)
    granted = sum(takes(asked, one(limit), 10**15 + (step % 2) * 900_000) for step in range(1_000))
    assert granted <= 10 + 9


# ------------------------------------------------------------------------------------------------------ a full table


def test_leaving_the_table_never_pays_off(tmp_path: Path) -> None:
    """In a table with one set: others push a name out, and it may not do more for that."""
    asked, limit = Buckets(table(tmp_path, names=8)), Limit(1, 1, 10)
    granted = 0
    for turn in range(300):
        now = turn * 10_000
        granted += takes(asked, one(limit, b"ann"), now)
        for number in range(12):
            takes(asked, one(limit, b"other-%d-%d" % (number, turn)), now)
    assert granted <= 10 + 3


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 14), st.integers(0, SECOND)), min_size=20, max_size=300),
    st.integers(1, 4),
)
def test_no_name_is_over_its_limit_whoever_crowds_the_table(
    tmp_path_factory: pytest.TempPathFactory, asks: list[tuple[int, int]], burst: int
) -> None:
    asked, limit = Buckets(table(tmp_path_factory.mktemp("b"), names=8)), Limit(1, 1, burst)
    now, granted = 0, dict.fromkeys(range(15), 0)
    for name, pause in asks:
        now += pause
        granted[name] += takes(asked, one(limit, b"%d" % name), now)
    assert all(number * SECOND <= burst * SECOND + now for number in granted.values())
    asked.close()


def test_names_that_owe_nothing_are_no_crowd(tmp_path: Path) -> None:
    asked, limit = Buckets(table(tmp_path, names=8)), Limit(10, 1, 1)
    for turn in range(1_000):
        assert takes(asked, one(limit, b"%d" % turn), turn * 100_000)


@pytest.mark.parametrize("noise", [b"\xff", b"\x00", b"\x7f", b"\x80"])
def test_a_table_of_nonsense_heals(tmp_path: Path, noise: bytes) -> None:
    path, limit = table(tmp_path, names=8), Limit(5, 1, 5)
    content = path.read_bytes()
    path.write_bytes(content[:64] + noise * (len(content) - 64))
    asked, now = Buckets(path), 10**15
    granted = 0
    for _ in range(100):
        now += SECOND
        while takes(asked, one(limit), now):
            granted += 1
    assert 0 < granted <= 5 + 5 * 100


# ------------------------------------------------------------------------------------------------------------- others


def hammer(path: Path, limit: Limit, seconds: float, result: Any) -> None:
    asked, granted = Buckets(path), 0
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        with suppress(Busy):
            granted += takes(asked, one(limit, b"all"), time.time_ns() // 1000)
    result.value = granted


def test_ten_processes_on_one_bucket_get_what_one_would(tmp_path: Path) -> None:
    path, limit = table(tmp_path), Limit(1_000, 1, 100)
    results = [FORK.Value("q", 0) for _ in range(10)]
    workers = [FORK.Process(target=hammer, args=(path, limit, 1.5, each)) for each in results]
    began = time.time_ns() // 1000
    for each in workers:
        each.start()
    for each in workers:
        each.join(30)
    passed = time.time_ns() // 1000 - began
    granted = sum(each.value for each in results)
    assert granted <= 100 + 1_000 * passed // SECOND
    assert granted >= 1_000  # and not much less


def test_threads_share_exactly_too(tmp_path: Path) -> None:
    asked, limit = Buckets(table(tmp_path)), Limit(1, 86_400, 500)
    granted = [0] * 8

    def run(number: int) -> None:
        granted[number] = sum(takes(asked, one(limit), 0) for _ in range(200))

    threads = [Thread(target=run, args=(number,)) for number in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sum(granted) == 500


def hold(path: Path, ready: Any) -> None:
    """Take every stripe, and never let go."""
    file = os.open(path, os.O_RDWR)
    fcntl.lockf(file, fcntl.LOCK_EX, buckets.STRIPES, 0)
    ready.set()
    time.sleep(60)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_who_dies_with_a_lock_holds_it_no_longer_and_who_is_stopped_stops_nobody(tmp_path: Path, number: int) -> None:
    path, limit = table(tmp_path), Limit(1, 1, 5)
    ready = FORK.Event()
    holder = FORK.Process(target=hold, args=(path, ready))
    holder.start()
    assert ready.wait(10)
    assert holder.pid is not None
    asked = Buckets(path)
    os.kill(holder.pid, number)
    if number == signal.SIGKILL:
        holder.join(10)
        assert takes(asked, one(limit), 0)
        return
    began = time.monotonic()
    with pytest.raises(Busy):
        asked.take(one(limit), 0)
    assert time.monotonic() - began < 1
    os.kill(holder.pid, signal.SIGKILL)
    holder.join(10)
    assert takes(asked, one(limit), 0)


def test_workers_that_are_killed_in_the_middle_leave_a_sound_table(tmp_path: Path) -> None:
    path, limit = table(tmp_path, names=8), Limit(2_000, 1, 50)
    began = time.time_ns() // 1000
    for _ in range(20):
        result = FORK.Value("q", 0)
        worker = FORK.Process(target=hammer, args=(path, limit, 60, result))
        worker.start()
        time.sleep(0.01)
        worker.kill()
        worker.join(10)
    asked = Buckets(path)
    time.sleep(0.05)
    now = time.time_ns() // 1000
    assert now > began
    _, _, (left,) = asked.take(one(limit, b"all"), now)
    assert 0 < left < 50
    assert struct.unpack_from("qq", path.read_bytes(), 32)[0] == 1
