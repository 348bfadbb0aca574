"""The dead-man switch: while it beats, orders rest; when it stops, the venue cancels every one of these credentials.

Opt-in: never started, nothing is ever cancelled by it. One beat at a time, by the holder of the account's lease only.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from markets.venue.errors import VenueError

logger = logging.getLogger(__name__)

EVERY_S = 5.0
# The venue sweeps after ten seconds without a beat; by then the orders have to be looked up.
DEAD_S = 10.0
BEAT_TIMEOUT_S = 4.0


class Heartbeat:
    """`beat(id)` sends one and gives the next id. `missed` is true once the venue must have swept."""

    def __init__(
        self, beat: Callable[[str], Awaitable[str]], *, monotonic: Callable[[], float], every_s: float = EVERY_S
    ) -> None:
        self._beat = beat
        self._monotonic = monotonic
        self._every_s = every_s
        self._id = ""
        self._beaten_at: float | None = None

    @property
    def missed(self) -> bool:
        return self._beaten_at is not None and self._monotonic() - self._beaten_at >= DEAD_S

    async def once(self) -> bool:
        """One beat; false when it got no answer. The same id follows: the venue names the right one if it moved on."""
        try:
            async with asyncio.timeout(BEAT_TIMEOUT_S):
                self._id = await self._beat(self._id)
        except (VenueError, TimeoutError) as error:
            logger.warning("A heartbeat got no answer (%s)", getattr(error, "code", "TIMEOUT"))
            return False
        self._beaten_at = self._monotonic()
        return True

    async def run(self, *, stop: asyncio.Event) -> None:
        """Beat until `stop`; then the venue cancels what rests."""
        while not stop.is_set():
            await self.once()
            try:
                async with asyncio.timeout(self._every_s):
                    await stop.wait()
            except TimeoutError:
                continue
