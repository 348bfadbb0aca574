"""Writes a book cache's notes into the continuity ledger every few seconds: each process for its own cache."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from django.db import InterfaceError, OperationalError

from markets.books import BookCache
from markets.services import continuity
from polyhub.lib.clock import Clock
from polyhub.lib.threads import DatabaseThread

logger = logging.getLogger(__name__)

EVERY_S = 5.0


class Ledger:
    """`run` goes on until it is cancelled; what could not be written is written the next time."""

    def __init__(self, *, books: BookCache, clock: Clock) -> None:
        self._books, self._clock = books, clock
        self._database = DatabaseThread("ledger")

    async def run(self) -> None:
        try:
            while True:
                await asyncio.sleep(EVERY_S)
                try:
                    await self.write()
                except (OperationalError, InterfaceError) as error:
                    logger.warning("The ledger waits for the database: %s", " ".join(str(error).split())[:200])
                except Exception:
                    logger.exception("Ledger not written")
        finally:
            await self.close()

    async def write(self) -> None:
        told = self._books.notebook.take()
        try:
            await self._database.run(continuity.store, told=told, now=self._clock.now())
        except (OperationalError, InterfaceError):
            self._books.notebook.give_back(told)
            raise

    async def close(self) -> None:
        await self._database.close()

    def detail(self) -> Mapping[str, Any]:
        return {f"book_{kind}s": count for kind, count in sorted(self._books.notebook.totals.items())}
