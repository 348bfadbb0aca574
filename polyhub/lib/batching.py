"""Group commit for async callers: calls that arrive while one batch is under way leave together in the next.

Each account stays strictly in order (its task awaits its own call); many accounts share one statement.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Collects items and runs `flush(items) -> results` (same length, same order) over them.

    A result that is an exception instance is raised to its caller alone; an exception raised by `flush`
    itself is raised to every caller of that batch. `linger_s` tells how long to hold each batch back, so that what
    trickles in together leaves together: for writes that nobody waits for in a hurry.
    """

    def __init__(
        self,
        flush: Callable[[Sequence[Item]], Awaitable[Sequence[Result | BaseException]]],
        *,
        max_items: int = 500,
        linger_s: Callable[[], float] | None = None,
    ) -> None:
        self._flush = flush
        self._max_items = max_items
        self._linger_s = linger_s
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._running: asyncio.Task[None] | None = None

    async def submit(self, item: Item) -> Result:
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._running is None or self._running.done():
            self._running = asyncio.ensure_future(self._drain())
        return await future

    async def _drain(self) -> None:
        # One turn of the loop lets every task that is already runnable join the first batch.
        await asyncio.sleep(0)
        while self._waiting:
            if self._linger_s is not None:
                await asyncio.sleep(self._linger_s())
            batch, self._waiting = self._waiting[: self._max_items], self._waiting[self._max_items :]
            try:
                results = await self._flush([item for item, _ in batch])
            except BaseException as error:
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                if isinstance(error, asyncio.CancelledError):
                    raise
                continue
            for (_, future), result in zip(batch, results, strict=True):
                if future.done():
                    continue
                if isinstance(result, BaseException):
                    future.set_exception(result)
                else:
                    future.set_result(result)
