import asyncio
from collections.abc import Sequence

import pytest

from polyhub.lib.batching import Batcher


async def test_calls_that_wait_leave_together_and_each_gets_its_own_result() -> None:
    batches: list[list[int]] = []

    async def flush(items: Sequence[int]) -> list[int | BaseException]:
        batches.append(list(items))
        await asyncio.sleep(0)
        return [item * 10 if item != 3 else ValueError("three") for item in items]

    batcher: Batcher[int, int] = Batcher(flush)
    results = await asyncio.gather(*(batcher.submit(n) for n in range(5)), return_exceptions=True)
    assert [r for r in results if not isinstance(r, BaseException)] == [0, 10, 20, 40]
    assert isinstance(results[3], ValueError)
    assert batches == [[0, 1, 2, 3, 4]]


async def test_a_failed_flush_reaches_every_caller_of_that_batch_and_the_next_batch_works() -> None:
    calls = 0

    async def flush(items: Sequence[int]) -> list[int | BaseException]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ConnectionError("database gone")
        return list(items)

    batcher: Batcher[int, int] = Batcher(flush)
    with pytest.raises(ConnectionError):
        await batcher.submit(1)
    assert await batcher.submit(2) == 2
