"""Replays recorded trades and books into a sandbox as if they happened now, at a chosen speed."""

import asyncio
import logging
import time
from collections.abc import Iterable
from decimal import Decimal
from itertools import count

from markets.venue.ports import OrderType, Side, VenueOrderStatus
from markets.venue.sandbox import depth
from markets.venue.sandbox.core import Sandbox, UnknownMarket
from markets.venue.sandbox.events import (
    BookEvent,
    LeaderTradeEvent,
    ResolveEvent,
    TapeEvent,
    TickSizeEvent,
)
from markets.venue.sandbox.wallets import Wallet
from markets.venue.simulator.orders import MarketSpec, NewOrder, Order, OrderRejected
from markets.venue.simulator.queue import opposite, place_in_book
from polyhub.lib import money

log = logging.getLogger(__name__)

_LONGEST_WAIT_S = 0.5


class Replay:
    """`speed` and `paused` may be changed while `play` runs."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.speed = 1.0
        self.paused = False
        self.played = 0
        self._sandbox = sandbox
        self._serial = count(1)
        self._books: dict[str, depth.Quotes] = {}

    def status(self) -> dict[str, object]:
        return {"speed": self.speed, "paused": self.paused, "played": self.played}

    async def play(self, events: Iterable[TapeEvent], speed: float) -> None:
        """Apply each event when its time comes. An event that cannot be applied is logged and left out."""
        self.speed = speed
        position: float | None = None
        for event in events:
            if position is None:
                position = event.at_ms
            while self.paused or position < event.at_ms:
                started = time.monotonic()
                left_s = (event.at_ms - position) / 1000 / self.speed
                await asyncio.sleep(_LONGEST_WAIT_S if self.paused else min(max(left_s, 0), _LONGEST_WAIT_S))
                if not self.paused:
                    position += (time.monotonic() - started) * 1000 * self.speed
            try:
                self.apply(event)
            except (OrderRejected, UnknownMarket, money.NotExact) as error:
                log.warning("Left out a recorded event", extra={"at_ms": event.at_ms, "reason": str(error)})
            self.played += 1
            await asyncio.sleep(0)

    def apply(self, event: TapeEvent) -> None:
        """Make one recorded event happen now."""
        if isinstance(event, LeaderTradeEvent):
            self.leader_trade(event)
        elif isinstance(event, BookEvent):
            self._book(event)
        elif isinstance(event, TickSizeEvent):
            self._tick_size(event)
        else:
            self._resolve(event)

    def leader_trade(self, event: LeaderTradeEvent) -> Order | None:
        """The wallet takes liquidity now, at the recorded price and size; None when less than a lot was traded.

        The wallet is made known and given the cash or shares it needs. Raises UnknownMarket, OrderRejected.
        """
        sandbox = self._sandbox
        now = sandbox.now_ms()
        definition, spec = sandbox.market_of(event.token_id)
        side = Side(event.side)
        first = event.token_id == definition.token_ids[0]
        price = event.price if first else 1 - event.price
        book_side, _ = place_in_book(first_token=first, side=side, price_units=0)
        parts = depth.parts_of(price, money.floor_units(event.size), spec.tick_units)
        if not parts:
            return None
        wallet = sandbox.catalogue.add_wallet(Wallet(event.wallet.lower(), name=event.name, pseudonym=event.pseudonym))
        quotes = depth.before_trade(book_side, parts, spec.tick_units, self._books.get(spec.condition_id, {}))
        sandbox.maker.quote(spec, quotes, now_ms=now)
        new = self._order(wallet, event.token_id, side, parts, first=first)
        self._fund(wallet, spec, new)
        order = sandbox.exchange.place(new, now_ms=now, transaction_hash=event.tx_hash, exempt=True)
        if order.status is VenueOrderStatus.LIVE:
            sandbox.exchange.cancel(new.order_hash)
        hit = opposite(book_side)
        left = {key: shares - dict(parts).get(key[1], 0) if key[0] is hit else shares for key, shares in quotes.items()}
        sandbox.publisher.publish(now)
        sandbox.maker.settle_on(spec.condition_id, {key: shares for key, shares in left.items() if shares > 0})
        sandbox.exchange.forget(new.order_hash)
        return order

    def _order(
        self, wallet: Wallet, token_id: str, side: Side, parts: list[tuple[int, int]], *, first: bool
    ) -> NewOrder:
        own_prices = [price if first else money.PRICE_UNITS - price for price, _ in parts]
        limit = max(own_prices) if side is Side.BUY else min(own_prices)
        shares = sum(shares for _, shares in parts)
        cash = -(-shares * limit // money.PRICE_UNITS)
        maker, taker = (cash, shares) if side is Side.BUY else (shares, cash)
        name = f"0x1e{next(self._serial):062x}"
        return NewOrder(name, wallet.key, token_id, side, OrderType.GTC, maker, taker)

    def _fund(self, wallet: Wallet, spec: MarketSpec, new: NewOrder) -> None:
        ledger = self._sandbox.exchange.ledger
        ledger.approve(wallet.key)
        holdings = ledger.wallet(wallet.key)
        if new.side is Side.BUY:
            fee_at_most = money.floor_units(money.from_units(new.share_units) * spec.fee_rate) + money.UNITS
            ledger.deposit(wallet.key, max(new.maker_units + fee_at_most - holdings.free_cash, 0))
            return
        missing = new.maker_units - holdings.free_shares(new.token_id)
        if missing > 0:
            ledger.deposit(wallet.key, missing)
            ledger.split(wallet.key, spec.condition_id, spec.token_ids, missing)

    def _book(self, event: BookEvent) -> None:
        definition, spec = self._sandbox.market_of(event.token_id)
        quotes = depth.recorded_quotes(
            _levels(event.bids), _levels(event.asks), mirrored=event.token_id != definition.token_ids[0]
        )
        self._books[spec.condition_id] = quotes
        now = self._sandbox.now_ms()
        self._sandbox.maker.quote(spec, quotes, now_ms=now)
        self._sandbox.publisher.publish(now)

    def _tick_size(self, event: TickSizeEvent) -> None:
        self._sandbox.change_tick(event.condition_id, money.price_to_units(event.tick_size))

    def _resolve(self, event: ResolveEvent) -> None:
        self._sandbox.market_of(event.winning_token_id)
        self._sandbox.resolve(event.condition_id, event.winning_token_id)


def _levels(levels: Iterable[tuple[Decimal, Decimal]]) -> list[tuple[int, int]]:
    """Recorded dollars and shares as units; prices finer than the venue knows are left out."""
    exact = [(price * money.PRICE_UNITS, size) for price, size in levels]
    return [(int(price), money.floor_units(size)) for price, size in exact if price == int(price)]
