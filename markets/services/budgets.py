"""One budget of the venue's rate limits for all processes, and the venue's clock kept fresh in each of them.

The keeper of a process asks for its parts every two seconds, tells the others of pauses the venue announced, and hears
of theirs. The order path never waits for any of this. Without the database for as long as a part lasts, the process
falls back to a guest's.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from django.db import DatabaseError

from markets.venue.errors import VenueError
from markets.venue.registry import GUEST_SHARE, READING, TRADING, Transport
from polyhub.lib import shares
from polyhub.lib.threads import DatabaseThread

logger = logging.getLogger(__name__)

EVERY_S = 2.0
TTL = timedelta(seconds=10)
# The longest of the venue's windows that a burst can fill; its ten-minute ones are never filled by half a share.
LINGER = timedelta(seconds=10)
# Checks and commands take guests' parts without asking.
WHOLE = 0.8
STANDSTILL = "standstill"
STANDSTILL_S = 30 * 24 * 3600.0
CLOCK_EVERY_S = 60.0
_POOL, _HOLD = "venue:", "venue:"


class BudgetKeeper:
    """One per long-running service. `holder` is the service's name: its successor takes over the same parts.

    `groups` are the limits it takes part in: who never trades leaves the whole of that to those who do.
    """

    def __init__(
        self,
        *,
        transport: Transport,
        holder: str,
        monotonic: Callable[[], float],
        groups: Sequence[str] = (TRADING, READING),
    ) -> None:
        self._transport = transport
        self._holder = holder
        self._groups = groups
        self._monotonic = monotonic
        self._database = DatabaseThread("venue-budget")
        self._agreed_at: float | None = None
        self._told: dict[str, float] = {}
        self._standstill = ""

    async def run(self) -> None:
        """Until canceled; then the parts are given back."""
        try:
            while True:
                try:
                    await self.once()
                except Exception:
                    logger.exception("The venue's budgets were not kept")
                await asyncio.sleep(EVERY_S)
        finally:
            await self._leave()

    def detail(self) -> Mapping[str, object]:
        """For people: what is left of our part, and how far the clocks are apart."""
        offset = round(self._transport.venue_clock.offset_s(), 1)
        return {"budget": self._transport.budget.detail(), "venue_clock_offset_s": offset}

    async def once(self) -> None:
        await self._agree()
        try:
            await self._transport.venue_clock.measure(older_than_s=CLOCK_EVERY_S)
        except VenueError as error:
            logger.warning("The venue's clock was not measured (%s)", error.code)

    async def _agree(self) -> None:
        budget = self._transport.budget
        wanted = {group: float(budget.demand(group)) for group in self._groups}
        held, standstill = budget.held(), self._transport.standstill
        try:
            parts, others, stopped = await self._database.run(self._exchange, wanted, held, standstill)
        except DatabaseError as error:
            logger.warning("Rate limits are not agreed on: %s", type(error).__name__)
            if self._agreed_at is None or self._monotonic() - self._agreed_at > TTL.total_seconds():
                for group in self._groups:
                    budget.share(group, GUEST_SHARE)
            return
        self._agreed_at = self._monotonic()
        for group, part in parts.items():
            # A newcomer has nothing until the others have let go of it; one request at a time is no plan to trade by.
            budget.share(group, max(part, GUEST_SHARE / 2))
        self._told = {**held, **others}
        budget.hold(others)
        self._standstill = self._transport.standstill = stopped

    def _exchange(
        self, wanted: dict[str, float], held: dict[str, float], standstill: str
    ) -> tuple[dict[str, float], dict[str, float], str]:
        parts = {
            group: shares.settle(
                pool=_POOL + group, holder=self._holder, demand=demand, whole=WHOLE, ttl=TTL, linger=LINGER
            )
            for group, demand in wanted.items()
        }
        for name, seconds in held.items():
            # What was heard from the others, and has only grown shorter since, is not news.
            if name not in self._told or seconds > self._told[name]:
                shares.hold(name=_HOLD + name, seconds=seconds, reason="the venue said so")
        if standstill and standstill != self._standstill:
            # News from this process; once told, the database's word counts, so that a person can end it.
            shares.hold(name=_HOLD + STANDSTILL, seconds=STANDSTILL_S, reason=standstill)
        found = dict(shares.holds(prefix=_HOLD))
        _, stopped = found.pop(STANDSTILL, (0.0, ""))
        return parts, {name: left for name, (left, _) in found.items()}, stopped

    async def _leave(self) -> None:
        try:
            for group in self._groups:
                await self._database.run(shares.leave, pool=_POOL + group, holder=self._holder)
        except DatabaseError as error:
            logger.warning("Parts of the rate limits were not given back: %s", type(error).__name__)
        finally:
            await self._database.close()


def end_standstill() -> bool:
    """Let orders leave again after a person has looked; every process hears of it within seconds."""
    return shares.release(name=_HOLD + STANDSTILL)
