"""The wallet that stands for everybody the tape does not name; it quotes what `depth` says."""

from itertools import count

from markets.venue.ports import OrderType, Side, VenueOrderStatus
from markets.venue.sandbox import depth
from markets.venue.simulator.matching import Exchange
from markets.venue.simulator.orders import MarketSpec, NewOrder, Order, OrderRejected, lot_units
from polyhub.lib import money

WALLET = "0x" + "5a" * 20
_PURSE_UNITS = 1_000_000 * money.UNITS


class MarketMaker:
    """Bids are BUY of token 0, asks are BUY of token 1 at the complement: cash is all it needs."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._serial = count(1)
        self._resting: dict[str, dict[tuple[Side, int], Order]] = {}
        self._targets: dict[str, depth.Quotes] = {}
        self._refill_at_ms: dict[str, int] = {}
        exchange.ledger.approve(WALLET)

    def quote(self, market: MarketSpec, quotes: depth.Quotes, *, now_ms: int) -> None:
        """Make exactly these quotes rest, touching only those that differ."""
        resting = self._resting.setdefault(market.condition_id, {})
        for key, order in list(resting.items()):
            live = order.status is VenueOrderStatus.LIVE
            if live and quotes.get(key) == order.remaining_units:
                continue
            if live:
                self._exchange.cancel(order.new.order_hash)
            self._exchange.forget(order.new.order_hash)
            del resting[key]
        for key in quotes.keys() - resting.keys():
            placed = self._place(market, key, quotes[key], now_ms)
            if placed is not None and placed.status is VenueOrderStatus.LIVE:
                resting[key] = placed
        self._targets[market.condition_id] = quotes
        self._refill_at_ms.pop(market.condition_id, None)

    def settle_on(self, condition_id: str, quotes: depth.Quotes) -> None:
        """What should stand from now on, where it was just taken on purpose (a replayed trade)."""
        self._targets[condition_id] = quotes

    def taken(self, condition_id: str, *, now_ms: int) -> None:
        """Somebody took liquidity: quote it again in a while."""
        if condition_id in self._targets:
            self._refill_at_ms.setdefault(condition_id, now_ms + depth.REFILL_MS)

    def refill_due(self, *, now_ms: int) -> list[str]:
        """Markets whose quotes should come back now."""
        return [condition for condition, at_ms in self._refill_at_ms.items() if now_ms >= at_ms]

    def target(self, condition_id: str) -> depth.Quotes:
        return self._targets.get(condition_id, {})

    def leave(self, market: MarketSpec, *, now_ms: int) -> None:
        """Withdraw from a market for good."""
        self.quote(market, {}, now_ms=now_ms)
        self._targets.pop(market.condition_id, None)

    def _place(self, market: MarketSpec, key: tuple[Side, int], shares: int, now_ms: int) -> Order | None:
        side, price = key
        shares -= shares % lot_units(price)
        first = side is Side.BUY
        own_price = price if first else money.PRICE_UNITS - price
        cost = own_price * shares // money.PRICE_UNITS
        if cost <= 0:
            return None
        if self._exchange.ledger.wallet(WALLET).free_cash < cost:
            self._exchange.ledger.deposit(WALLET, max(cost, _PURSE_UNITS))
        new = NewOrder(
            f"0x5a{next(self._serial):062x}",
            WALLET,
            market.token_ids[0 if first else 1],
            Side.BUY,
            OrderType.GTC,
            cost,
            shares,
        )
        try:
            return self._exchange.place(new, now_ms=now_ms, exempt=True)
        except OrderRejected:  # a recorded level off today's tick grid
            return None
