"""Keeps the catalogue equal to the venue's listing: the largest markets first, then all open ones, page by page.

A start fetches a capped number of pages, so that a first installation has something to show within seconds; the rest
follows in the background. What a whole pass has not met is asked for by id, because it has most likely closed.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import InterfaceError, OperationalError

from markets.domain.catalogue import MarketFacts, MarketPage
from markets.services import catalogue, listing
from markets.venue.errors import VenueError
from polyhub.lib.clock import Clock
from polyhub.lib.threads import DatabaseThread

logger = logging.getLogger(__name__)

EVERY = timedelta(minutes=5)
# 1,000 markets of the largest volume; everything else is the background's.
START_PAGES = 10
PAGE_S = 0.25
RETRY_S = 5.0
CALL_TIMEOUT_S = 20.0
VANISHED_PER_PASS = 1_000
BY_ID = 50


@dataclass(frozen=True, slots=True)
class Listing:
    """The venue's two ways to tell of markets: `page(cursor, order)` and those of some conditions, closed."""

    page: Callable[[str, str], Awaitable[MarketPage]]
    closed: Callable[[Sequence[str]], Awaitable[Sequence[MarketFacts]]]


class CatalogueSync:
    """`run` goes on until it is cancelled."""

    def __init__(self, *, source: Listing, clock: Clock, page_s: float = PAGE_S) -> None:
        self._source, self._clock, self._page_s = source, clock, page_s
        self._database = DatabaseThread("catalogue")
        self._failures = 0

    async def run(self) -> None:
        try:
            await self._persistently(self.start)
            while True:
                await self._persistently(self.walk)
                await asyncio.sleep(max(await self._wait_s(), self._page_s))
        finally:
            await self.close()

    async def close(self) -> None:
        await self._database.close()

    def detail(self) -> dict[str, Any]:
        return {"catalogue_failures": self._failures}

    async def start(self) -> int:
        """The largest markets, START_PAGES pages at most; the number stored."""
        stored, cursor = 0, ""
        for _ in range(START_PAGES):
            page = await self._page(cursor, "volume24hr")
            stored += await self._database.run(catalogue.upsert_markets, markets=page.markets, now=self._clock.now())
            cursor = page.next_cursor
            if not cursor:
                break
            await asyncio.sleep(self._page_s)
        return stored

    async def walk(self) -> None:
        """Go on with the pass under way to its end, or make a new one if the last is EVERY old."""
        now = self._clock.now()
        walk = await self._database.run(listing.current, now=now)
        if walk.completed_since == walk.started_at:
            if now - walk.started_at < EVERY:
                return
            walk = await self._database.run(listing.begin, now=now)
        while True:
            page = await self._page(walk.cursor, "")
            walk = await self._database.run(listing.store_page, page=page, now=self._clock.now())
            if not walk.cursor:
                break
            await asyncio.sleep(self._page_s)
        await self._close_vanished(walk.started_at)

    async def _close_vanished(self, before: datetime) -> None:
        gone = await self._database.run(listing.vanished, before=before, limit=VANISHED_PER_PASS)
        for start in range(0, len(gone), BY_ID):
            conditions = gone[start : start + BY_ID]
            facts = await asyncio.wait_for(self._source.closed(conditions), CALL_TIMEOUT_S)
            now = self._clock.now()
            await self._database.run(catalogue.upsert_markets, markets=facts, now=now)
            found = {one.condition_id for one in facts}
            await self._database.run(listing.touch, conditions=[one for one in conditions if one not in found], now=now)
            await asyncio.sleep(self._page_s)

    async def _page(self, cursor: str, order: str) -> MarketPage:
        return await asyncio.wait_for(self._source.page(cursor, order), CALL_TIMEOUT_S)

    async def _wait_s(self) -> float:
        walk = await self._database.run(listing.current, now=self._clock.now())
        return (walk.started_at + EVERY - self._clock.now()).total_seconds()

    async def _persistently(self, step: Callable[[], Awaitable[object]]) -> None:
        """Until it succeeds: an outage costs a pause, and a pass goes on from its last stored page."""
        while True:
            try:
                await step()
                return
            except (VenueError, OperationalError, InterfaceError, TimeoutError) as error:
                logger.warning("The catalogue waits: %s", " ".join(str(error).split())[:200])
            except Exception:
                logger.exception("Catalogue step failed")
            self._failures += 1
            await asyncio.sleep(RETRY_S)
