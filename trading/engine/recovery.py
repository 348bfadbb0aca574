"""Finding out what the venue knows: orders without an answer, live orders, trades, balances. Pure asyncio.

Venue truth wins, and nothing becomes final without a look-up that names the order.
"""

import asyncio
import logging
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

from markets.venue.errors import Unavailable, VenueError
from markets.venue.ports import Venue, VenueOrder
from polyhub.lib.clock import Clock
from trading.domain.orders import OrderStatus
from trading.domain.reports import AnswerKind, OpenWork, OrderSeen, SentOrder
from trading.engine.ports import Journal, Policy
from trading.engine.sending import Sender

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Trades are asked for a little further back than needed: clocks differ, indexes lag.
TRADES_OVERLAP = timedelta(seconds=120)


@dataclass(slots=True)
class _Lookup:
    order: SentOrder
    due: float
    attempts: int = 0
    resends: int = 0


class Recovery:
    """What one account still has to ask its venue."""

    def __init__(
        self, *, account_id: UUID, venue: Venue, journal: Journal, clock: Clock, sender: Sender, policy: Policy
    ) -> None:
        self._account_id = account_id
        self._venue = venue
        self._journal = journal
        self._clock = clock
        self._sender = sender
        self._policy = policy
        self._lookups: dict[int, _Lookup] = {}
        self._missing: dict[int, int] = {}
        self._watch_due: dict[int, float] = {}
        self.foreign_orders = 0

    # -- orders without an answer --------------------------------------------------------------------------------

    def follow(self, order: SentOrder, *, at_once: bool = False) -> None:
        """Look this order up until its fate is known."""
        wait = 0.0 if at_once else self._policy.lookup_wait(0)
        self._lookups.setdefault(order.order_id, _Lookup(order, self._now_s() + wait))

    def next_due_s(self) -> float | None:
        """Seconds until the next look-up, None when nothing is unknown."""
        if not self._lookups:
            return None
        return max(0.0, min(lookup.due for lookup in self._lookups.values()) - self._now_s())

    async def look_up_due(self) -> None:
        for lookup in [lookup for lookup in self._lookups.values() if lookup.due <= self._now_s()]:
            lookup.due = self._now_s() + self._policy.lookup_wait(lookup.attempts)
            lookup.attempts += 1
            try:
                await self._look_up(lookup)
            except VenueError as error:
                logger.info("A look-up has no answer", extra={"order": lookup.order.order_id, "code": error.code})

    async def _look_up(self, lookup: _Lookup) -> None:
        order = lookup.order
        found = await self._ask(self._venue.order_by_hash(order.order_hash))
        if found is not None:
            await self._found(order, found)
            del self._lookups[order.order_id]
        elif self._clock.now() - order.sent_at >= self._policy.horizon:
            await self._give_up(lookup)

    async def _found(self, order: SentOrder, found: VenueOrder) -> None:
        await self._journal.seen(self._account_id, [_seen(found)])
        if found.matched_share_units:
            await self._book_trades_since(order)

    async def _give_up(self, lookup: _Lookup) -> None:
        """The horizon passed without a trace: a resting order may go again as the same bytes, others never."""
        order = lookup.order
        await self._book_trades_since(order)
        if not order.immediate and order.wire and lookup.resends < self._policy.max_resends:
            answer = await self._sender.resend(order)
            if answer is not None and answer.kind in {AnswerKind.UNKNOWN, AnswerKind.NOT_SENT}:
                lookup.resends += 1
                lookup.order = replace(order, sent_at=self._clock.now())
                return
            if answer is not None:
                del self._lookups[order.order_id]
                return
        await self._journal.presume_not_placed(order.order_id, code="NOT_FOUND_AT_VENUE")
        del self._lookups[order.order_id]

    async def _book_trades_since(self, order: SentOrder) -> None:
        trades = await self._ask(self._venue.trades(after=order.sent_at - TRADES_OVERLAP))
        await self._journal.trades(self._account_id, trades)

    # -- the whole account ---------------------------------------------------------------------------------------

    async def reconcile(self) -> None:
        """Compare everything with the venue. Raises VenueError or JournalUnavailable, and may then be repeated."""
        work = await self._journal.open_work(self._account_id)
        for order in work.unknown:
            self.follow(order, at_once=True)
        await self.look_up_due()
        trades = await self._ask(self._venue.trades(after=work.trades_after - TRADES_OVERLAP))
        await self._journal.trades(self._account_id, trades)
        await self._live(work)
        await self._watched(work)
        await self._journal.balances(self._account_id, await self._ask(self._venue.balances(())))

    async def _live(self, work: OpenWork) -> None:
        listed = {order.order_hash: order for order in await self._ask(self._venue.open_orders())}
        seen = [_seen(listed[order.order_hash]) for order in work.live if order.order_hash in listed]
        known = {order.order_hash for order in (*work.live, *work.unknown, *work.watched)}
        strange = [_seen(order) for order_hash, order in listed.items() if order_hash not in known]
        self.foreign_orders = await self._journal.seen(self._account_id, [*seen, *strange])
        for order in work.live:
            if order.order_hash in listed:
                self._missing.pop(order.order_id, None)
                continue
            found = await self._ask(self._venue.order_by_hash(order.order_hash))
            if found is not None:
                self._missing.pop(order.order_id, None)
                await self._journal.seen(self._account_id, [_seen(found)])
            else:
                await self._gone(order)

    async def _gone(self, order: SentOrder) -> None:
        """The venue has forgotten a live order: canceled, once it said so often enough. A late fill still counts."""
        misses = self._missing[order.order_id] = self._missing.get(order.order_id, 0) + 1
        old = self._clock.now() - order.sent_at >= self._policy.horizon
        if misses >= self._policy.missing_limit and old:
            await self._journal.close(order.order_id, to=OrderStatus.CANCELED, code="NOT_FOUND_AT_VENUE")
            del self._missing[order.order_id]

    async def _watched(self, work: OpenWork) -> None:
        """Orders presumed not placed: one look-up now and then; their trades come with the others."""
        for order in work.watched:
            if self._watch_due.get(order.order_id, 0.0) > self._now_s():
                continue
            self._watch_due[order.order_id] = self._now_s() + self._policy.watch_every_s
            found = await self._ask(self._venue.order_by_hash(order.order_hash))
            if found is not None:
                await self._found(order, found)

    # -- cancels -------------------------------------------------------------------------------------------------

    async def cancel(self, order_hash: str, order_id: int) -> bool:
        """Ask for a cancel; true when the order's fate is on record. Otherwise ask again later."""
        report = await self._ask(self._venue.cancel(order_hash))
        if report.canceled:
            await self._journal.close(order_id, to=OrderStatus.CANCELED, code="BY_USER")
            return True
        found = await self._ask(self._venue.order_by_hash(order_hash))
        if found is None:
            return False
        await self._journal.seen(self._account_id, [_seen(found)])
        return found.status != "LIVE"

    async def _ask(self, call: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._policy.venue_timeout_s):
                return await call
        except TimeoutError:
            raise Unavailable("The venue did not answer in time.", code="TIMEOUT") from None

    def _now_s(self) -> float:
        return self._clock.now().timestamp()


def _seen(order: VenueOrder) -> OrderSeen:
    return OrderSeen(order.order_hash, order.status, order.trade_ids, order.matched_share_units)
