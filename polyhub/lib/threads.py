"""Database work of an async service on its own thread: one thread, one connection, calls strictly in order."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from django.db import InterfaceError, OperationalError, connection

Params = ParamSpec("Params")
Result = TypeVar("Result")


class DatabaseThread:
    """Runs functions that use the ORM. A broken connection is dropped, so that the next call opens a new one."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def run(self, work: Callable[Params, Result], *args: Params.args, **kwargs: Params.kwargs) -> Result:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: self._guarded(work, *args, **kwargs))

    def _guarded(self, work: Callable[Params, Result], *args: Params.args, **kwargs: Params.kwargs) -> Result:
        try:
            return work(*args, **kwargs)
        except (OperationalError, InterfaceError):
            if not connection.in_atomic_block:
                connection.close()
            raise

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._pool, _close_own)
        self._pool.shutdown(wait=True)


def _close_own() -> None:
    # Looked up on the thread itself: each thread has its own connection behind this name.
    connection.close()
