"""The exchange: takes orders, matches them, moves money and shares, settles trades when told the time."""

import hashlib
import uuid
from dataclasses import dataclass
from itertools import groupby

from markets.domain import fees
from markets.venue.ports import OrderType, Side, TradeStatus, VenueOrderStatus
from markets.venue.simulator import admission
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


@dataclass(slots=True)
class _Market:
    spec: MarketSpec
    queue: OrderQueue
    published: dict[tuple[Side, int], int]
    touched: set[tuple[Side, int]]
    closed: bool = False


@dataclass(frozen=True, slots=True)
class _Match:
    maker: Order
    share_units: int


@dataclass(frozen=True, slots=True)
class _Group:
    """What the taker gets at one price, and from whom."""

    taker: Leg
    matches: list[_Match]


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

    def resolve(self, condition_id: str, winning_token: str, *, now_ms: int) -> dict[str, int]:
        """Close a market: cancel what rests, settle what is in flight, redeem; returns what each wallet was paid."""
        market = self._markets[condition_id]
        for order in list(market.queue):
            self.cancel(order.new.order_hash, reason="CANCELED_MARKET_RESOLVED")
        for trade in [t for t in self._unsettled.values() if t.condition_id == condition_id]:
            if trade.status is TradeStatus.MATCHED:
                self._mine(trade, now_ms)
        market.closed = True
        return self.ledger.redeem(condition_id, market.spec.token_ids, winning_token)

    def check(self) -> None:
        """Raise LedgerBroken when money or shares are not where they must be."""
        self.ledger.check({m.spec.condition_id: m.spec.token_ids for m in self._markets.values()})

    # -- orders --------------------------------------------------------------------------------------------------

    def place(
        self, new: NewOrder, *, now_ms: int, transaction_hash: str = "", doomed: bool = False, exempt: bool = False
    ) -> Order:
        """Accept, match and rest an order. Raises OrderRejected.

        `doomed` trades end FAILED; `exempt` orders (recorded trades, market makers) skip the minimum sizes.
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
        groups = self._plan(market, order)
        legs = [group.taker for group in groups]
        admission.check_matches(new, legs, price=price, complete=_is_complete(order, legs), exempt=exempt)
        admission.check_funds(new, legs, self.ledger.wallet(new.wallet), price=price)
        self.orders[new.order_hash] = order
        tx_hash = transaction_hash or self._hash()
        for group in groups:
            self._trade(market, order, group, now_ms=now_ms, tx_hash=tx_hash, doomed=doomed)
        self._finish_placement(market, order)
        self._publish_levels(market)
        return order

    def cancel(self, order_hash: str, *, reason: str = "CANCELED", wallet: str = "") -> str:
        """Cancel a resting order; answers "" or the reason why there was nothing to cancel."""
        order = self.orders.get(order_hash)
        if order is None or (wallet and order.new.wallet != wallet):
            return "order not found"
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
        """Settle trades and expire orders that are due."""
        for trade in list(self._unsettled.values()):
            if trade.status is TradeStatus.MATCHED and now_ms >= trade.matched_ms + self.mined_after_ms:
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

    # -- matching ------------------------------------------------------------------------------------------------

    def _plan(self, market: _Market, order: Order) -> list[_Group]:
        """One group per price, so that cost and fee of a trade follow from its size and price alone."""
        groups: list[_Group] = []
        matches = self._matches(market, order)
        for price, same_price in groupby(matches, key=lambda match: _own_price(order, match.maker)):
            parts = list(same_price)
            shares = sum(part.share_units for part in parts)
            spec, new = market.spec, order.new
            fee = fees.fee_units(share_units=shares, price_units=price, rate=spec.fee_rate, exponent=spec.fee_exponent)
            leg = Leg(new.wallet, new.order_hash, new.token_id, new.side, price, shares, fee)
            groups.append(_Group(leg, parts))
        return groups

    def _matches(self, market: _Market, order: Order) -> list[_Match]:
        shares, budget, matches = order.remaining_units, order.new.cash_units, []
        buying = order.new.side is Side.BUY
        for maker in market.queue.against(order.book_side, order.book_price):
            price = _own_price(order, maker)
            wanted = maker.remaining_units
            if not order.new.by_budget:
                wanted = min(wanted, shares)
            if buying:
                wanted = min(wanted, budget * money.PRICE_UNITS // price)
            wanted -= wanted % lot_units(price)
            if wanted <= 0:
                break
            matches.append(_Match(maker, wanted))
            shares -= wanted
            budget -= wanted * price // money.PRICE_UNITS
        return matches

    def _trade(self, market: _Market, order: Order, group: _Group, *, now_ms: int, tx_hash: str, doomed: bool) -> None:
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

    def _fill_maker(self, market: _Market, match: _Match, trade_id: str) -> Leg:
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
            self._reserve(maker, _needed(maker))
        self._events.append(OrderChanged(maker, "UPDATE"))
        return leg

    def _finish_placement(self, market: _Market, order: Order) -> None:
        if not order.new.rests or order.remaining_units < _DUST_UNITS:
            order.status = VenueOrderStatus.MATCHED
        else:
            self._reserve(order, _needed(order))
            market.queue.add(order)
            market.touched.add((order.book_side, order.book_price))
            if order.new.order_type is OrderType.GTD:
                self._expiring[order.new.order_hash] = order
        self._events.append(OrderChanged(order, "PLACEMENT"))

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


def _is_complete(order: Order, legs: list[Leg]) -> bool:
    """Nothing tradable is left of the order: less than a lot, at most 0.01 share."""
    if not order.new.by_budget:
        return order.new.share_units - sum(leg.share_units for leg in legs) < lot_units(order.price_units)
    left = order.new.cash_units - sum(leg.cost_units for leg in legs)
    price = legs[-1].price_units if legs else order.price_units
    return left * money.PRICE_UNITS // price < lot_units(price)


def _own_price(order: Order, maker: Order) -> int:
    """The maker's price in terms of the taker's token."""
    same = order.new.token_id == maker.new.token_id
    return maker.price_units if same else money.PRICE_UNITS - maker.price_units


def _needed(order: Order) -> int:
    """What a resting order holds back: cash for BUY, shares for SELL."""
    if order.new.side is Side.SELL:
        return order.remaining_units
    return -(-order.remaining_units * order.price_units // money.PRICE_UNITS)
