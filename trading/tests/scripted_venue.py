"""A venue in memory whose answers a test writes down beforehand. It keeps orders by hash, as the real one does."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from markets.venue.errors import VenueError
from markets.venue.ports import (
    ApprovedOrder,
    Balances,
    CancelReport,
    PreparedOrder,
    StreamStatus,
    SubmitReport,
    TradeStatus,
    UserEvent,
    VenueOrder,
    VenueOrderStatus,
    VenueTrade,
)
from polyhub.lib.clock import Clock


@dataclass
class Say:
    """The next answer to a submission: an error, and whether the order was placed all the same."""

    error: VenueError | None = None
    placed: bool = True


@dataclass
class ScriptedVenue:
    """Fills every order whole at its own price, unless it rests (`resting`) or a script says otherwise."""

    clock: Clock
    name: str = "scripted"
    script: deque[Say] = field(default_factory=deque)
    resting: bool = False
    open_errors: deque[VenueError] = field(default_factory=deque)
    prepare_errors: deque[VenueError] = field(default_factory=deque)
    look_back_errors: deque[VenueError] = field(default_factory=deque)
    orders: dict[str, VenueOrder] = field(default_factory=dict)
    filled: list[VenueTrade] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)
    events: "asyncio.Queue[UserEvent | Exception]" = field(default_factory=asyncio.Queue)
    opened: int = 0
    closed: int = 0

    async def open(self) -> None:
        self.opened += 1
        if self.open_errors:
            raise self.open_errors.popleft()

    async def prepare(self, order: ApprovedOrder) -> PreparedOrder:
        if self.prepare_errors:
            raise self.prepare_errors.popleft()
        order_hash = f"0x{order.terms.client_order_id.hex}"
        return PreparedOrder(order.terms, order_hash, order_hash.encode())

    async def send(self, prepared: PreparedOrder) -> SubmitReport:
        self.sent.append(prepared.wire)
        say = self.script.popleft() if self.script else Say()
        if say.placed and prepared.order_hash not in self.orders:
            self.place(prepared)
        if say.error is not None:
            raise say.error
        order = self.orders[prepared.order_hash]
        return SubmitReport(prepared.order_hash, order.status, order.trade_ids)

    def place(self, prepared: PreparedOrder) -> None:
        """The order reaches the book, and trades unless orders rest."""
        terms = prepared.terms
        trade_ids = () if self.resting else (f"t-{prepared.order_hash}",)
        self.orders[prepared.order_hash] = VenueOrder(
            order_hash=prepared.order_hash,
            token_id=terms.token_id,
            side=terms.side,
            order_type=terms.order_type,
            price_units=terms.price_units,
            share_units=terms.share_units,
            matched_share_units=0 if self.resting else terms.share_units,
            status=VenueOrderStatus.LIVE if self.resting else VenueOrderStatus.MATCHED,
            trade_ids=trade_ids,
        )
        for trade_id in trade_ids:
            self.filled.append(
                VenueTrade(
                    trade_id=trade_id,
                    order_hash=prepared.order_hash,
                    token_id=terms.token_id,
                    side=terms.side,
                    price_units=terms.price_units,
                    share_units=terms.share_units,
                    fee_units=0,
                    is_maker=False,
                    status=TradeStatus.CONFIRMED,
                    venue_at=self.clock.now(),
                )
            )
            self.events.put_nowait(self.filled[-1])

    async def cancel(self, order_hash: str) -> CancelReport:
        order = self.orders.pop(order_hash, None)
        return CancelReport(order_hash, canceled=order is not None, reason="" if order else "order not found")

    async def order_by_hash(self, order_hash: str) -> VenueOrder | None:
        return self.orders.get(order_hash)

    async def open_orders(self) -> Sequence[VenueOrder]:
        return [order for order in self.orders.values() if order.status is VenueOrderStatus.LIVE]

    async def trades(self, *, after: datetime) -> Sequence[VenueTrade]:
        if self.look_back_errors:
            raise self.look_back_errors.popleft()
        return [trade for trade in self.filled if trade.venue_at >= after]

    async def balances(self, token_ids: Sequence[str]) -> Balances:
        return Balances(cash_units=0, allowance_units=0, shares={})

    async def user_events(self) -> AsyncIterator[UserEvent]:
        yield StreamStatus(connected=True)
        while True:
            event = await self.events.get()
            if isinstance(event, Exception):
                raise event
            yield event

    async def close(self) -> None:
        self.closed += 1
