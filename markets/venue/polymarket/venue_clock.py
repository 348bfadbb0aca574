"""The venue's clock as this process knows it: one measurement, carried on by the monotonic clock.

Requests are stamped by it, so a wall clock that is set back or forth meanwhile changes nothing that is signed. The
difference to the wall clock is watched all the same: beyond five seconds the machine is not to be trusted with orders.
How far off the venue lets a stamp be is not documented (unverified).
"""

import asyncio
from collections.abc import Awaitable, Callable

from markets.venue.errors import Refused
from polyhub.lib.clock import Clock

MAX_OFFSET_S = 5.0
WARN_OFFSET_S = 1.0
FRESH_S = 60.0
# Between two measurements asked for because the clocks disagree.
AGAIN_S = 10.0


class VenueClock:
    """`ask` gives the venue's clock in whole seconds. One per process, shared by all its accounts."""

    def __init__(self, *, wall: Clock, monotonic: Callable[[], float], ask: Callable[[], Awaitable[int]]) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._ask = ask
        self._measuring = asyncio.Lock()
        self._venue_s = 0.0
        self._at: float | None = None

    @property
    def age_s(self) -> float | None:
        """Seconds since the measurement; None before the first."""
        return None if self._at is None else self._monotonic() - self._at

    def now_s(self) -> int:
        """The venue's second; the wall's until something was measured."""
        if self._at is None:
            return int(self._wall.now().timestamp())
        return int(self._venue_s + self._monotonic() - self._at)

    def offset_s(self) -> float:
        """How far the venue's clock is ahead of the wall clock."""
        if self._at is None:
            return 0.0
        return self._venue_s + self._monotonic() - self._at - self._wall.now().timestamp()

    async def measure(self, *, older_than_s: float = 0.0) -> None:
        """Ask the venue, unless the last answer is young enough. Raises Refused or Unavailable."""
        async with self._measuring:
            age = self.age_s
            if age is not None and age < older_than_s:
                return
            before = self._monotonic()
            theirs = await self._ask()
            after = self._monotonic()
            # The venue cuts its seconds: half of one is the best guess of what it cut.
            self._venue_s, self._at = theirs + 0.5, (before + after) / 2

    def check(self) -> None:
        """Raises Refused when the wall clock is too far off to be believed."""
        offset = self.offset_s()
        if abs(offset) > MAX_OFFSET_S:
            raise Refused(f"This machine's clock is {-offset:.0f} s off the venue's.", code="CLOCK_OFFSET")

    async def trusted(self) -> None:
        """Before an order: free while the clocks agree; measured again before it is refused. Raises as above."""
        if self._at is not None and abs(self.offset_s()) <= MAX_OFFSET_S:
            return
        await self.measure(older_than_s=0.0 if self._at is None else AGAIN_S)
        self.check()
