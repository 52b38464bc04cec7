"""Waiting for identity providers: one that hangs keeps nobody waiting but those who need it, and not many of them."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from pdp.config import Settings
from pdp.identity.caller import Waiting
from pdp.serve.callers import MAX_WAITING, WAITERS, Callers


@pytest.fixture
def callers(tmp_path: Path) -> Iterator[Callers]:
    made = Callers(Settings(), tmp_path, lambda _caller, _now: "")
    yield made
    made.close()


def test_a_storm_for_an_issuer_that_hangs_keeps_few_places_and_no_other_issuer(callers: Callers) -> None:
    release = Event()
    begun: list[int] = []

    def hang() -> None:
        begun.append(1)
        release.wait(20)

    async def storm() -> None:
        waits = [asyncio.create_task(callers.wait(Waiting(hang, "one"))) for _ in range(1_000)]
        await asyncio.sleep(0)
        done: list[int] = []
        await asyncio.wait_for(callers.wait(Waiting(lambda: done.append(1), "other")), 10)
        assert done == [1]
        await asyncio.sleep(0)
        assert sum(each.done() for each in waits) == 1_000 - MAX_WAITING, "the others are refused at once"
        assert len(begun) <= WAITERS
        release.set()
        await asyncio.gather(*waits)
        await callers.wait(Waiting(lambda: done.append(2), "one"))
        assert done == [1, 2], "afterwards there is room again"

    asyncio.run(storm())


def test_a_wait_that_nobody_waits_for_any_more_gives_its_place_back(callers: Callers) -> None:
    release = Event()

    def hang() -> None:
        release.wait(20)

    async def leave() -> None:
        waits = [asyncio.create_task(callers.wait(Waiting(hang, "one"))) for _ in range(MAX_WAITING)]
        await asyncio.sleep(0)
        for each in waits:
            each.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        release.set()
        done: list[int] = []
        await asyncio.wait_for(callers.wait(Waiting(lambda: done.append(1), "one")), 10)
        assert done == [1]

    asyncio.run(leave())
