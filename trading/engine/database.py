"""Blocking database work for the engine's loop, on a few threads of its own."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from django.db import InterfaceError, OperationalError, connection

from trading.engine.ports import JournalUnavailable

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 3
STATEMENT_TIMEOUT_MS = 8_000
# A process stopped amid a transaction holds its locks, the lease's among them: shorter than the lease lasts.
IDLE_TRANSACTION_MS = 5_000
CALL_TIMEOUT_S = 10.0


class Database:
    """Runs service functions in threads; a database that is away becomes JournalUnavailable."""

    def __init__(self, *, threads: int = THREADS) -> None:
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="engine-db")
        self._limited = threading.local()

    async def call(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of `work`. Raises JournalUnavailable when the database is away or too slow."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                return await loop.run_in_executor(self._pool, lambda: self._run(work, *args, **kwargs))
        except TimeoutError:
            raise JournalUnavailable("The database did not answer in time.") from None

    def _run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            self._limit()
            return work(*args, **kwargs)
        except (OperationalError, InterfaceError) as error:
            # The connection may be dead: the next call opens a new one.
            connection.close()
            raise JournalUnavailable(f"The database is not available: {type(error).__name__}.") from error

    def _limit(self) -> None:
        """Bound every statement of this thread's connection, once per connection."""
        connection.ensure_connection()
        if getattr(self._limited, "connection", None) is not connection.connection:
            with connection.cursor() as cursor:
                cursor.execute(
                    f"SET statement_timeout = {STATEMENT_TIMEOUT_MS};"
                    f"SET idle_in_transaction_session_timeout = {IDLE_TRANSACTION_MS}"
                )
            self._limited.connection = connection.connection

    def close(self) -> None:
        """Close every thread's connection and end the threads."""
        everyone = threading.Barrier(self._threads)

        def leave() -> None:
            # Each thread takes exactly one of these: none returns before all have come.
            everyone.wait(timeout=CALL_TIMEOUT_S)
            connection.close()

        for _ in range(self._threads):
            self._pool.submit(leave)
        self._pool.shutdown(wait=True)
