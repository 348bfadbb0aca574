"""A paper account: real public books, simulated fills. It answers as the venue does and remembers nothing on restart.

The model, stated: an order reaches the market `latency_s` after it is sent and takes what the public book shows then,
paying the market's own fee; it leaves no mark on that book. A resting order fills at its own price, as maker, once the
public book crosses it, at most for the size shown across. Fills are final at once.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from markets.books import BookCache, TrustedBook, Untrusted
from markets.domain.book import Book
from markets.venue import signing
from markets.venue.errors import Refused, Unavailable
from markets.venue.ports import (
    ApprovedOrder,
    Balances,
    CancelReport,
    OrderTerms,
    OrderType,
    PreparedOrder,
    Side,
    StreamStatus,
    SubmitReport,
    TradeStatus,
    UserEvent,
    VenueOrder,
    VenueOrderStatus,
    VenueTrade,
)
from markets.venue.simulator import admission
from markets.venue.simulator.external import BookFill, FeeSchedule, take_from_book
from markets.venue.simulator.ledger import UNLIMITED, Holdings
from markets.venue.simulator.orders import Leg, MarketSpec, NewOrder, OrderRejected, lot_units
from polyhub.lib import clock as clocks
from polyhub.lib import money
from polyhub.lib.clock import Clock

BOOK_WAIT_S = 3.0
_DUST_UNITS = 10_000
_EXPIRY_MARGIN_S = 60


@dataclass(frozen=True, slots=True)
class RestoredOrder:
    """An order that was resting when the account's engine last stopped."""

    terms: OrderTerms
    matched_share_units: int = 0


@dataclass(frozen=True, slots=True)
class RestoredState:
    """What the account owns by our own books. Cash includes what resting orders hold back."""

    cash_units: int = 0
    shares: Mapping[str, int] = field(default_factory=dict)
    open_orders: Sequence[RestoredOrder] = ()


@dataclass(frozen=True, slots=True)
class MarketTerms:
    """What a paper fill needs to know of a market beside its book."""

    condition_id: str
    fee: FeeSchedule


@dataclass(slots=True)
class _PaperOrder:
    terms: OrderTerms
    order_hash: str
    price_units: int
    status: VenueOrderStatus = VenueOrderStatus.LIVE
    matched_units: int = 0
    reserved_units: int = 0
    trade_ids: list[str] = field(default_factory=list)
    unwatch: Callable[[], None] | None = None

    @property
    def share_units(self) -> int:
        return self.terms.taker_units if self.terms.side is Side.BUY else self.terms.maker_units

    @property
    def remaining_units(self) -> int:
        return self.share_units - self.matched_units


class PaperVenue:
    """The Venue port for one paper account."""

    name = "paper"

    def __init__(
        self,
        *,
        account_id: UUID,
        books: BookCache,
        market_terms: Callable[[str], Awaitable[MarketTerms]],
        clock: Clock,
        restored: RestoredState,
        latency_s: float = 0.25,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._account_id = account_id
        self._books = books
        self._market_terms = market_terms
        self._clock = clock
        self._latency_s = latency_s
        self._sleep = sleep
        self._holdings = Holdings(
            cash=restored.cash_units,
            cash_allowance=UNLIMITED,
            shares_approved=True,
            shares=dict(restored.shares),
        )
        self._orders: dict[str, _PaperOrder] = {}
        self._resting: dict[str, _PaperOrder] = {}
        self._trades: list[VenueTrade] = []
        self._events: asyncio.Queue[UserEvent] = asyncio.Queue()
        for order in restored.open_orders:
            self._restore(order)

    async def open(self) -> None:
        """A paper account can always trade."""

    async def prepare(self, order: ApprovedOrder) -> PreparedOrder:
        return PreparedOrder(terms=order.terms, order_hash=self._hash(order.terms), wire=b"")

    async def send(self, prepared: PreparedOrder) -> SubmitReport:
        """Match against the public book as it is on arrival. Sent twice, it is one order."""
        known = self._orders.get(prepared.order_hash)
        if known is not None:
            return _report(known, (), note="duplicate")
        if self._latency_s:
            await self._sleep(self._latency_s)
        terms = prepared.terms
        market = await self._market_terms(terms.token_id)
        view = await self._books.ready(terms.token_id, timeout_s=BOOK_WAIT_S)
        if isinstance(view, Untrusted):
            if view.reason == "NO_ORDERBOOK":
                raise Refused("No orderbook exists for the requested token id", code="MARKET_NOT_FOUND")
            raise Unavailable(f"The public book cannot be trusted: {view.reason}", code="BOOK_UNTRUSTED")
        # No await from here on: two orders of the account cannot spend the same cash, nor one order be placed twice.
        if prepared.order_hash in self._orders:
            return _report(self._orders[prepared.order_hash], (), note="duplicate")
        try:
            order, fills = self._admit(prepared, market, view)
        except OrderRejected as rejected:
            raise Refused(rejected.message, code=rejected.code) from rejected
        self._orders[order.order_hash] = order
        trades = tuple(self._fill(order, fill, is_maker=False) for fill in fills)
        if terms.order_type in (OrderType.GTC, OrderType.GTD) and order.remaining_units >= _DUST_UNITS:
            self._rest(order)
        else:
            order.status = VenueOrderStatus.MATCHED
        return _report(order, trades)

    async def cancel(self, order_hash: str) -> CancelReport:
        self._expire()
        order = self._orders.get(order_hash)
        if order is None:
            return CancelReport(order_hash, canceled=False, reason="order not found")
        if order.status is not VenueOrderStatus.LIVE:
            return CancelReport(order_hash, canceled=False, reason=f"order already {order.status.lower()}")
        self._end(order, VenueOrderStatus.CANCELED)
        return CancelReport(order_hash, canceled=True)

    async def order_by_hash(self, order_hash: str) -> VenueOrder | None:
        self._expire()
        order = self._orders.get(order_hash)
        return _told(order) if order else None

    async def open_orders(self) -> Sequence[VenueOrder]:
        self._expire()
        return [_told(order) for order in self._resting.values()]

    async def trades(self, *, after: datetime) -> Sequence[VenueTrade]:
        return [trade for trade in self._trades if trade.venue_at >= after]

    async def balances(self, token_ids: Sequence[str]) -> Balances:
        shares = {token_id: self._holdings.shares.get(token_id, 0) for token_id in token_ids}
        return Balances(cash_units=self._holdings.cash, allowance_units=self._holdings.cash_allowance, shares=shares)

    async def user_events(self) -> AsyncIterator[UserEvent]:
        """Fills of resting orders and expiries; what an order takes at once is in its report."""
        yield StreamStatus(connected=True)
        while True:
            yield await self._events.get()

    async def close(self) -> None:
        for order in self._resting.values():
            self._stop_watching(order)

    def _hash(self, terms: OrderTerms) -> str:
        """Of the account and everything the order says, so that the same intent is always the same order."""
        said = (
            *("paper", self._account_id, terms.client_order_id, terms.token_id, terms.side, terms.order_type),
            *(terms.maker_units, terms.taker_units, terms.salt, terms.timestamp_ms, terms.expiration_s),
        )
        return "0x" + signing.keccak256("|".join(str(part) for part in said).encode()).hex()

    def _admit(
        self, prepared: PreparedOrder, market: MarketTerms, view: TrustedBook
    ) -> tuple[_PaperOrder, Sequence[BookFill]]:
        """What the order takes at once. Raises OrderRejected as the venue would refuse it."""
        terms = prepared.terms
        new = _new_order(prepared, str(self._account_id))
        spec = MarketSpec(
            condition_id=market.condition_id,
            token_ids=(terms.token_id, ""),
            tick_units=view.tick_units,
            min_share_units=view.min_share_units,
            fee_rate=market.fee.rate,
            fee_exponent=market.fee.exponent,
        )
        price = admission.check_terms(new, spec, now_ms=clocks.to_ms(self._clock.now()), exempt=False)
        amount = new.cash_units if new.by_budget else new.share_units
        fills = take_from_book(view.book, terms.side, price, amount, terms.order_type, market.fee)
        legs = [
            Leg(new.wallet, new.order_hash, new.token_id, new.side, f.price_units, f.share_units, f.fee_units)
            for f in fills
        ]
        # FOK completeness was judged by the walk itself.
        admission.check_matches(new, legs, price=price, complete=True, exempt=False)
        admission.check_funds(new, legs, self._holdings, price=price)
        return _PaperOrder(terms, prepared.order_hash, price), fills

    def _fill(self, order: _PaperOrder, fill: BookFill, *, is_maker: bool) -> VenueTrade:
        """Book one fill; the trade's id follows from the order and what it had matched, so it is never used twice."""
        terms, holdings = order.terms, self._holdings
        trade = VenueTrade(
            trade_id=f"paper-{order.order_hash[2:26]}-{order.matched_units}",
            order_hash=order.order_hash,
            token_id=terms.token_id,
            side=terms.side,
            price_units=fill.price_units,
            share_units=fill.share_units,
            fee_units=fill.fee_units,
            is_maker=is_maker,
            status=TradeStatus.CONFIRMED,
            venue_at=self._clock.now(),
        )
        held = holdings.shares.get(terms.token_id, 0)
        if terms.side is Side.BUY:
            holdings.cash -= fill.cost_units + fill.fee_units
            holdings.shares[terms.token_id] = held + fill.share_units
        else:
            holdings.cash += fill.cost_units - fill.fee_units
            holdings.shares[terms.token_id] = held - fill.share_units
        order.matched_units += fill.share_units
        order.trade_ids.append(trade.trade_id)
        self._trades.append(trade)
        return trade

    def _restore(self, restored: RestoredOrder) -> None:
        terms = restored.terms
        order = _PaperOrder(terms, self._hash(terms), terms.price_units, matched_units=restored.matched_share_units)
        self._orders[order.order_hash] = order
        self._rest(order)

    def _rest(self, order: _PaperOrder) -> None:
        self._resting[order.order_hash] = order
        self._reserve(order)
        self._books.need([order.terms.token_id])
        order.unwatch = self._books.watch(order.terms.token_id, lambda: self._book_changed(order))

    def _book_changed(self, order: _PaperOrder) -> None:
        """Fill a resting order that the public book crosses."""
        self._expire()
        view = self._books.view(order.terms.token_id)
        if order.status is not VenueOrderStatus.LIVE or isinstance(view, Untrusted):
            return
        across = _across(view.book, order.terms.side, order.price_units)
        lot = lot_units(order.price_units)
        shares = min(order.remaining_units, across)
        shares -= shares % lot
        if shares <= 0:
            return
        cost = shares * order.price_units // money.PRICE_UNITS
        trade = self._fill(order, BookFill(order.price_units, shares, cost, 0), is_maker=True)
        self._events.put_nowait(trade)
        if order.remaining_units < max(lot, _DUST_UNITS):
            self._end(order, VenueOrderStatus.MATCHED)
        else:
            self._reserve(order)

    def _expire(self) -> None:
        now_s = clocks.to_ms(self._clock.now()) // 1000
        for order in list(self._resting.values()):
            expires = order.terms.expiration_s
            if expires and now_s >= expires - _EXPIRY_MARGIN_S:
                self._end(order, VenueOrderStatus.CANCELED)

    def _end(self, order: _PaperOrder, status: VenueOrderStatus) -> None:
        order.status = status
        self._resting.pop(order.order_hash, None)
        self._reserve(order)
        self._stop_watching(order)
        self._events.put_nowait(_told(order))

    def _stop_watching(self, order: _PaperOrder) -> None:
        if order.unwatch is not None:
            order.unwatch()
            order.unwatch = None

    def _reserve(self, order: _PaperOrder) -> None:
        """Hold back what the rest of a live order may take."""
        is_live = order.status is VenueOrderStatus.LIVE
        shares = order.remaining_units if is_live else 0
        holdings = self._holdings
        if order.terms.side is Side.BUY:
            units = -(-shares * order.price_units // money.PRICE_UNITS)
            holdings.reserved_cash += units - order.reserved_units
        else:
            units = shares
            token = order.terms.token_id
            reserved = holdings.reserved_shares.get(token, 0) + units - order.reserved_units
            holdings.reserved_shares[token] = reserved
        order.reserved_units = units


def _new_order(prepared: PreparedOrder, wallet: str) -> NewOrder:
    terms = prepared.terms
    return NewOrder(
        order_hash=prepared.order_hash,
        wallet=wallet,
        token_id=terms.token_id,
        side=terms.side,
        order_type=terms.order_type,
        maker_units=terms.maker_units,
        taker_units=terms.taker_units,
        expiration_s=terms.expiration_s,
        post_only=terms.post_only,
    )


def _across(book: Book, side: Side, price_units: int) -> int:
    """Shares the public book offers at the order's price or better."""
    if side is Side.BUY:
        return sum(size for price, size in book.levels("SELL") if price <= price_units)
    return sum(size for price, size in book.levels("BUY") if price >= price_units)


def _report(order: _PaperOrder, trades: tuple[VenueTrade, ...], *, note: str = "") -> SubmitReport:
    status = order.status
    if status is VenueOrderStatus.LIVE and trades:
        status = VenueOrderStatus.MATCHED
    return SubmitReport(order.order_hash, status, tuple(order.trade_ids), trades, note)


def _told(order: _PaperOrder) -> VenueOrder:
    return VenueOrder(
        order_hash=order.order_hash,
        token_id=order.terms.token_id,
        side=order.terms.side,
        order_type=order.terms.order_type,
        price_units=order.price_units,
        share_units=order.share_units,
        matched_share_units=order.matched_units,
        status=order.status,
        trade_ids=tuple(order.trade_ids),
    )
