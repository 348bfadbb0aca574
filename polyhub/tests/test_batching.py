"""Calls that arrive together leave together, and fail apart."""

import asyncio
from collections.abc import Sequence

import pytest

from polyhub.lib.batching import Batcher


async def test_calls_of_one_turn_share_a_batch_and_keep_their_results() -> None:
    batches: list[list[int]] = []

    async def double(items: Sequence[int]) -> Sequence[int | BaseException]:
        batches.append(list(items))
        return [item * 2 for item in items]

    batcher: Batcher[int, int] = Batcher(double)
    assert await asyncio.gather(*(batcher.submit(number) for number in range(5))) == [0, 2, 4, 6, 8]
    assert batches == [[0, 1, 2, 3, 4]]


async def test_what_arrives_during_a_batch_leaves_in_the_next() -> None:
    batches: list[list[int]] = []
    begun, gate = asyncio.Event(), asyncio.Event()

    async def slow(items: Sequence[int]) -> Sequence[int | BaseException]:
        batches.append(list(items))
        begun.set()
        await gate.wait()
        return list(items)

    batcher: Batcher[int, int] = Batcher(slow)
    first = asyncio.ensure_future(batcher.submit(1))
    await begun.wait()
    later = [asyncio.ensure_future(batcher.submit(number)) for number in (2, 3)]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(first, *later)
    assert batches == [[1], [2, 3]]


async def test_one_bad_item_fails_alone() -> None:
    async def picky(items: Sequence[int]) -> Sequence[int | BaseException]:
        return [ValueError(str(item)) if item == 2 else item for item in items]

    batcher: Batcher[int, int] = Batcher(picky)
    results = await asyncio.gather(*(batcher.submit(number) for number in (1, 2, 3)), return_exceptions=True)
    assert [type(result) for result in results] == [int, ValueError, int]


async def test_a_failed_batch_fails_all_its_callers_and_the_next_one_works() -> None:
    broken = True

    async def flush(items: Sequence[int]) -> Sequence[int | BaseException]:
        if broken:
            raise OSError("away")
        return list(items)

    batcher: Batcher[int, int] = Batcher(flush)
    results = await asyncio.gather(batcher.submit(1), batcher.submit(2), return_exceptions=True)
    assert [type(result) for result in results] == [OSError, OSError]
    broken = False
    assert await batcher.submit(3) == 3


async def test_a_caller_that_gave_up_does_not_disturb_the_others() -> None:
    gate = asyncio.Event()

    async def slow(items: Sequence[int]) -> Sequence[int | BaseException]:
        await gate.wait()
        return list(items)

    batcher: Batcher[int, int] = Batcher(slow)
    waiting = [asyncio.ensure_future(batcher.submit(number)) for number in (1, 2)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    gate.set()
    assert await waiting[1] == 2
    with pytest.raises(asyncio.CancelledError):
        await waiting[0]


async def test_a_batch_is_bounded() -> None:
    sizes: list[int] = []

    async def count(items: Sequence[int]) -> Sequence[int | BaseException]:
        sizes.append(len(items))
        return list(items)

    batcher: Batcher[int, int] = Batcher(count, max_items=4)
    await asyncio.gather(*(batcher.submit(number) for number in range(10)))
    assert sizes == [4, 4, 2]


async def test_a_lingering_batch_takes_what_trickles_in() -> None:
    batches: list[list[int]] = []

    async def count(items: Sequence[int]) -> Sequence[int | BaseException]:
        batches.append(list(items))
        return list(items)

    batcher: Batcher[int, int] = Batcher(count, linger_s=lambda: 0.05)
    first = asyncio.ensure_future(batcher.submit(1))
    for _ in range(5):
        await asyncio.sleep(0)
    await asyncio.gather(first, batcher.submit(2))
    assert batches == [[1, 2]]
