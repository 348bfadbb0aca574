"""The exchange: takes orders, matches them, moves money and shares, settles trades when told the time."""

import hashlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from markets.venue.ports import OrderType, Side, TradeStatus, VenueOrderStatus
from markets.venue.simulator import admission, plan
from markets.venue.simulator.ledger import Ledger
from markets.venue.simulator.orders import (
    ExchangeEvent,
    Leg,
    LevelChanged,
    MarketSpec,
    NewOrder,
    Order,
    OrderChanged,
    OrderRejected,
    Trade,
    TradeChanged,
    lot_units,
)
from markets.venue.simulator.queue import OrderQueue, place_in_book
from polyhub.lib import money

_NAMES = uuid.UUID("6f0b2d0e-5f57-4a0c-9a3f-2c1c6f7a9b11")
_EXPIRY_MARGIN_S = 60  # GTD dies this long before its stated time
_DUST_UNITS = 10_000  # 0.01 share, the largest lot: less of a taker's order is dropped instead of resting
_UNMINED = (TradeStatus.MATCHED, TradeStatus.RETRYING)


@dataclass(slots=True)
class _Market:
    spec: MarketSpec
    queue: OrderQueue
    published: dict[tuple[Side, int], int]
    touched: set[tuple[Side, int]]
    closed: bool = False


@dataclass(frozen=True, slots=True)
class _Delayed:
    """An accepted order that waits before it may take."""

    order: Order
    due_ms: int
    doomed: bool


class Exchange:
    """`name` makes ids of trades unique between runs; settlement takes the two delays, in milliseconds.

    After each call `drain` gives what happened, in order: book levels (net), orders, trades.
    """

    def __init__(self, *, name: str = "", mined_after_ms: int = 0, confirmed_after_ms: int = 0) -> None:
        self.ledger = Ledger()
        self.orders: dict[str, Order] = {}
        self.trades: dict[str, Trade] = {}
        self.mined_after_ms = mined_after_ms
        self.confirmed_after_ms = confirmed_after_ms
        self._name = name
        self._serial = 0
        self._markets: dict[str, _Market] = {}
        self._by_token: dict[str, _Market] = {}
        self._unsettled: dict[str, Trade] = {}
        self._expiring: dict[str, Order] = {}
        self._delayed: dict[str, _Delayed] = {}
        self.on_mined: Callable[[Trade, int], None] = lambda trade, now_ms: None
        self._events: list[ExchangeEvent] = []

    # -- markets -------------------------------------------------------------------------------------------------

    def add_market(self, spec: MarketSpec) -> None:
        market = _Market(spec, OrderQueue(), {}, set())
        self._markets[spec.condition_id] = market
        for token in spec.token_ids:
            self._by_token[token] = market

    def market(self, token_id: str) -> MarketSpec | None:
        found = self._by_token.get(token_id)
        return found.spec if found else None

    def is_closed(self, condition_id: str) -> bool:
        return self._markets[condition_id].closed

    def change_tick(self, condition_id: str, tick_units: int) -> None:
        """New orders keep to the new tick; resting ones stay."""
        market = self._markets[condition_id]
        old = market.spec
        market.spec = MarketSpec(
            old.condition_id, old.token_ids, tick_units, old.min_share_units, old.fee_rate, old.fee_exponent
        )

    def levels(self, token_id: str) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """(bids, asks) of a token with the other token's orders mirrored in; (price, shares), best first."""
        market = self._by_token[token_id]
        bids, asks = market.queue.levels(Side.BUY), market.queue.levels(Side.SELL)
        if token_id == market.spec.token_ids[0]:
            return bids, asks
        return [(money.PRICE_UNITS - p, s) for p, s in asks], [(money.PRICE_UNITS - p, s) for p, s in bids]

    def best(self, token_id: str) -> tuple[int | None, int | None]:
        """(best bid, best ask) of a token."""
        market = self._by_token[token_id]
        bid, ask = market.queue.best(Side.BUY), market.queue.best(Side.SELL)
        if token_id == market.spec.token_ids[0]:
            return bid, ask
        return None if ask is None else money.PRICE_UNITS - ask, None if bid is None else money.PRICE_UNITS - bid

    def open_orders(self, condition_id: str) -> list[Order]:
        return list(self._markets[condition_id].queue)

    def resolve(
        self, condition_id: str, winning_token: str, *, now_ms: int, payouts: tuple[int, int] | None = None
    ) -> dict[str, int]:
        """Close a market: cancel what rests, settle what is in flight, redeem; returns what each wallet was paid."""
        self.close(condition_id, winning_token, now_ms=now_ms, payouts=payouts)
        return self.ledger.redeem(condition_id, self._markets[condition_id].spec.token_ids)

    def close(
        self, condition_id: str, winning_token: str, *, now_ms: int, payouts: tuple[int, int] | None = None
    ) -> None:
        """Decide a market and leave redeeming to its holders. `payouts` are parts, where not all goes to one token."""
        market = self._markets[condition_id]
        for waiting in [one for one in self._delayed.values() if one.order.condition_id == condition_id]:
            self._release(waiting, reason="CANCELED_MARKET_RESOLVED")
        for order in list(market.queue):
            self.cancel(order.new.order_hash, reason="CANCELED_MARKET_RESOLVED")
        for trade in [t for t in self._unsettled.values() if t.condition_id == condition_id]:
            if trade.status in _UNMINED:
                self._mine(trade, now_ms)
        market.closed = True
        first = market.spec.token_ids[0]
        self.ledger.settle_market(condition_id, payouts or ((1, 0) if winning_token == first else (0, 1)))

    def check(self) -> None:
        """Raise LedgerBroken when money or shares are not where they must be."""
        self.ledger.check({m.spec.condition_id: m.spec.token_ids for m in self._markets.values()})

    # -- orders --------------------------------------------------------------------------------------------------

    def place(
        self,
        new: NewOrder,
        *,
        now_ms: int,
        transaction_hash: str = "",
        doomed: bool = False,
        exempt: bool = False,
        delay_ms: int = 0,
        believed: admission.Believed | None = None,
    ) -> Order:
        """Accept, match and rest an order. Raises OrderRejected.

        `doomed` trades end FAILED; `exempt` orders (recorded trades, market makers) skip the minimum sizes. An order
        that would take waits `delay_ms` first and cannot be canceled meanwhile.
        """
        if new.order_hash in self.orders:
            raise OrderRejected(f"order {new.order_hash} is invalid. Duplicated.", code="DUPLICATED")
        market = self._by_token.get(new.token_id)
        if market is None or market.closed:
            raise OrderRejected("the market is not yet ready to process new orders", code="MARKET_NOT_READY")
        price = admission.check_terms(new, market.spec, now_ms=now_ms, exempt=exempt)
        first = new.token_id == market.spec.token_ids[0]
        book_side, book_price = place_in_book(first_token=first, side=new.side, price_units=price)
        order = Order(new, market.spec.condition_id, price, book_side, book_price, now_ms, new.share_units)
        groups = plan.groups_of(market.spec, market.queue, order)
        legs = [group.taker for group in groups]
        admission.check_matches(new, legs, price=price, complete=plan.is_complete(order, legs), exempt=exempt)
        admission.check_funds(new, legs, self.ledger.wallet(new.wallet), price=price, believed=believed)
        self.orders[new.order_hash] = order
        if legs and delay_ms:
            return self._hold(order, due_ms=now_ms + delay_ms, doomed=doomed)
        tx_hash = transaction_hash or self._hash()
        for group in groups:
            self._trade(market, order, group, now_ms=now_ms, tx_hash=tx_hash, doomed=doomed)
        self._finish_placement(market, order, "PLACEMENT")
        self._publish_levels(market)
        return order

    def would_take(self, new: NewOrder) -> bool:
        """Whether this order crosses the book now."""
        market = self._by_token.get(new.token_id)
        if market is None or market.closed:
            return False
        price = admission.implied_price(new, market.spec.tick_units)
        if price is None:
            return False
        first = new.token_id == market.spec.token_ids[0]
        side, book_price = place_in_book(first_token=first, side=new.side, price_units=price)
        return next(market.queue.against(side, book_price), None) is not None

    def cancel(self, order_hash: str, *, reason: str = "CANCELED", wallet: str = "") -> str:
        """Cancel a resting order; answers "" or the reason why there was nothing to cancel."""
        order = self.orders.get(order_hash)
        if order is None or (wallet and order.new.wallet != wallet):
            return "order not found"
        if order.status is VenueOrderStatus.DELAYED:
            return "order is delayed and can't be canceled"  # wording (unverified)
        if order.status is not VenueOrderStatus.LIVE:
            return "order already canceled" if order.status is VenueOrderStatus.CANCELED else "order already matched"
        market = self._markets[order.condition_id]
        self._leave_book(market, order)
        order.status, order.reason = VenueOrderStatus.CANCELED, reason
        self._events.append(OrderChanged(order, "CANCELLATION"))
        self._publish_levels(market)
        return ""

    def forget(self, order_hash: str) -> None:
        """Drop a finished order that nobody will ask for again; its hash could then be used anew."""
        if self.orders[order_hash].status is not VenueOrderStatus.LIVE:
            del self.orders[order_hash]

    def advance(self, now_ms: int) -> None:
        """Match delayed orders, settle trades and expire orders that are due."""
        for waiting in [one for one in self._delayed.values() if now_ms >= one.due_ms]:
            self._match_delayed(waiting, now_ms)
        for trade in list(self._unsettled.values()):
            if trade.status in _UNMINED and now_ms >= trade.updated_ms + self.mined_after_ms:
                if trade.retries:
                    trade.retries -= 1
                    self._set_status(trade, TradeStatus.RETRYING, now_ms)
                    continue
                if trade.doomed:
                    self._fail(trade, now_ms)
                    continue
                self._mine(trade, now_ms)
            if trade.status is TradeStatus.MINED and now_ms >= trade.matched_ms + self.confirmed_after_ms:
                self._set_status(trade, TradeStatus.CONFIRMED, now_ms)
        for order in list(self._expiring.values()):
            if order.status is not VenueOrderStatus.LIVE:
                del self._expiring[order.new.order_hash]
            elif now_ms >= (order.new.expiration_s - _EXPIRY_MARGIN_S) * 1000:
                self.cancel(order.new.order_hash, reason="CANCELED_EXPIRED_ORDER")

    def drain(self) -> list[ExchangeEvent]:
        """What happened since the last call."""
        events, self._events = self._events, []
        return events

    # -- delays --------------------------------------------------------------------------------------------------

    def _hold(self, order: Order, *, due_ms: int, doomed: bool) -> Order:
        order.status = VenueOrderStatus.DELAYED
        self._reserve(order, order.new.maker_units)
        self._delayed[order.new.order_hash] = _Delayed(order, due_ms, doomed)
        self._events.append(OrderChanged(order, "PLACEMENT"))
        return order

    def _release(self, waiting: _Delayed, *, reason: str) -> None:
        """A delayed order ends without a match."""
        order = waiting.order
        del self._delayed[order.new.order_hash]
        self._reserve(order, 0)
        order.status, order.reason = VenueOrderStatus.CANCELED, reason
        self._events.append(OrderChanged(order, "CANCELLATION"))

    def _match_delayed(self, waiting: _Delayed, now_ms: int) -> None:
        """Take what is left in the book; what never rests and finds nothing is killed."""
        order, market = waiting.order, self._markets[waiting.order.condition_id]
        self._reserve(order, 0)
        groups = plan.groups_of(market.spec, market.queue, order)
        legs = [group.taker for group in groups]
        new, price = order.new, order.price_units
        try:
            admission.check_matches(new, legs, price=price, complete=plan.is_complete(order, legs), exempt=True)
            admission.check_funds(new, legs, self.ledger.wallet(new.wallet), price=price)
        except OrderRejected:
            self._release(waiting, reason="CANCELED")
            return
        del self._delayed[new.order_hash]
        order.status = VenueOrderStatus.LIVE
        tx_hash = self._hash()
        for group in groups:
            self._trade(market, order, group, now_ms=now_ms, tx_hash=tx_hash, doomed=waiting.doomed)
        self._finish_placement(market, order, "UPDATE")
        self._publish_levels(market)

    # -- matching ------------------------------------------------------------------------------------------------

    def _trade(
        self, market: _Market, order: Order, group: plan.Group, *, now_ms: int, tx_hash: str, doomed: bool
    ) -> None:
        self._serial += 1
        trade_id = str(uuid.uuid5(_NAMES, f"{self._name}:{self._serial}"))
        taker = group.taker
        makers = tuple(self._fill_maker(market, match, trade_id) for match in group.matches)
        trade = Trade(trade_id, order.condition_id, tx_hash, taker, makers, now_ms, updated_ms=now_ms, doomed=doomed)
        for leg in (taker, *makers):
            self._send(leg, +1)
        order.remaining_units = max(order.remaining_units - taker.share_units, 0)
        order.matched_units += taker.share_units
        order.matched_cost_units += taker.cost_units
        order.trade_ids.append(trade_id)
        self.trades[trade_id] = self._unsettled[trade_id] = trade
        self._events.append(TradeChanged(trade, TradeStatus.MATCHED))

    def _fill_maker(self, market: _Market, match: plan.Match, trade_id: str) -> Leg:
        maker = match.maker
        new = maker.new
        leg = Leg(new.wallet, new.order_hash, new.token_id, new.side, maker.price_units, match.share_units)
        market.touched.add((maker.book_side, maker.book_price))
        maker.remaining_units -= match.share_units
        maker.matched_units += match.share_units
        maker.matched_cost_units += leg.cost_units
        maker.trade_ids.append(trade_id)
        if maker.remaining_units < lot_units(maker.price_units):
            self._leave_book(market, maker)
            maker.status = VenueOrderStatus.MATCHED
        else:
            self._reserve(maker, plan.reserve_needed(maker))
        self._events.append(OrderChanged(maker, "UPDATE"))
        return leg

    def _finish_placement(self, market: _Market, order: Order, kind: str) -> None:
        if not order.new.rests or order.remaining_units < _DUST_UNITS:
            order.status = VenueOrderStatus.MATCHED
        else:
            self._reserve(order, plan.reserve_needed(order))
            market.queue.add(order)
            market.touched.add((order.book_side, order.book_price))
            if order.new.order_type is OrderType.GTD:
                self._expiring[order.new.order_hash] = order
        self._events.append(OrderChanged(order, kind))

    def _leave_book(self, market: _Market, order: Order) -> None:
        self._reserve(order, 0)
        market.queue.remove(order)
        market.touched.add((order.book_side, order.book_price))

    def _reserve(self, order: Order, units: int) -> None:
        change, order.reserved_units = units - order.reserved_units, units
        if order.new.side is Side.BUY:
            self.ledger.reserve_cash(order.new.wallet, change)
        else:
            self.ledger.reserve_shares(order.new.wallet, order.new.token_id, change)

    # -- settlement ----------------------------------------------------------------------------------------------

    def _send(self, leg: Leg, sign: int) -> None:
        if leg.side is Side.BUY:
            self.ledger.send_cash(leg.wallet, sign * (leg.cost_units + leg.fee_units))
        else:
            self.ledger.send_shares(leg.wallet, leg.token_id, sign * leg.share_units)

    def _mine(self, trade: Trade, now_ms: int) -> None:
        ledger = self.ledger
        for leg in (trade.taker, *trade.makers):
            if leg.side is Side.BUY:
                ledger.cash_in_flight -= leg.cost_units + leg.fee_units
                ledger.collateral[trade.condition_id] += leg.cost_units
                ledger.receive_shares(leg.wallet, leg.token_id, leg.share_units)
            else:
                ledger.shares_in_flight[leg.token_id] -= leg.share_units
                ledger.collateral[trade.condition_id] -= leg.cost_units
                ledger.receive_cash(leg.wallet, leg.cost_units - leg.fee_units)
            ledger.fees_units += leg.fee_units
        self._set_status(trade, TradeStatus.MINED, now_ms)
        self.on_mined(trade, now_ms)

    def _fail(self, trade: Trade, now_ms: int) -> None:
        """Give back what was sent; the orders stay matched, as at the venue."""
        for leg in (trade.taker, *trade.makers):
            self._send(leg, -1)
        self._set_status(trade, TradeStatus.FAILED, now_ms)

    def _set_status(self, trade: Trade, status: TradeStatus, now_ms: int) -> None:
        trade.status, trade.updated_ms = status, now_ms
        if status in (TradeStatus.CONFIRMED, TradeStatus.FAILED):
            self._unsettled.pop(trade.trade_id, None)
        self._events.append(TradeChanged(trade, status))

    def _publish_levels(self, market: _Market) -> None:
        for key in market.touched:
            size = market.queue.size_at(*key)
            if market.published.get(key, 0) == size:
                continue
            if size:
                market.published[key] = size
            else:
                market.published.pop(key, None)
            self._events.append(LevelChanged(market.spec.condition_id, key[0], key[1], size))
        market.touched.clear()

    def _hash(self) -> str:
        return "0x" + hashlib.sha256(f"{self._name}:{self._serial}".encode()).hexdigest()
