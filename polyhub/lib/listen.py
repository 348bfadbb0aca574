"""PostgreSQL notifications as an async stream that reconnects by itself.

A notification may be lost while disconnected, so each (re)connect is announced as if every channel had spoken:
listeners always look at the tables, the notification only says when.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence

import psycopg
from django.db import connection
from psycopg import sql

logger = logging.getLogger(__name__)

RETRY_S = 0.5
CONNECT_TIMEOUT_S = 5
# Wakes the loop to notice a connection that died silently.
QUIET_S = 15.0


async def listen(channels: Sequence[str]) -> AsyncIterator[tuple[str, str]]:
    """(channel, payload) of each notification; (channel, "") for every channel after each connect and quiet spell."""
    while True:
        try:
            async with await _connect() as listener:
                for channel in channels:
                    await listener.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                async for told in _told(listener, channels):
                    yield told
        except (psycopg.OperationalError, psycopg.InterfaceError, TimeoutError) as error:
            logger.warning("Listening to the database interrupted", extra={"reason": str(error)[:200]})
            await asyncio.sleep(RETRY_S)


async def _told(
    listener: psycopg.AsyncConnection[tuple[object, ...]], channels: Sequence[str]
) -> AsyncIterator[tuple[str, str]]:
    while True:
        for channel in channels:
            yield channel, ""
        is_quiet = False
        while not is_quiet:
            is_quiet = True
            async for notify in listener.notifies(timeout=QUIET_S, stop_after=1):
                is_quiet = False
                yield notify.channel, notify.payload
        await asyncio.wait_for(listener.execute("SELECT 1"), CONNECT_TIMEOUT_S)


async def _connect() -> psycopg.AsyncConnection[tuple[object, ...]]:
    params = connection.get_connection_params()
    wanted = {key: value for key, value in params.items() if key not in {"cursor_factory", "context"}}
    return await asyncio.wait_for(
        psycopg.AsyncConnection.connect(**wanted, autocommit=True),
        CONNECT_TIMEOUT_S,
    )
