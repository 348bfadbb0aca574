"""Resting orders of one market, all in terms of token 0, by price and then by arrival.

BUY of token 1 at q is an ask of token 0 at 1 - q (matching it mints), SELL of token 1 at q is a bid at 1 - q (merges).
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator

from markets.venue.ports import Side
from markets.venue.simulator.orders import Order
from polyhub.lib import money


def place_in_book(*, first_token: bool, side: Side, price_units: int) -> tuple[Side, int]:
    """Side and price of an order in terms of token 0."""
    if first_token:
        return side, price_units
    return opposite(side), money.PRICE_UNITS - price_units


def opposite(side: Side) -> Side:
    return Side.SELL if side is Side.BUY else Side.BUY


class OrderQueue:
    def __init__(self) -> None:
        self._levels: dict[Side, dict[int, deque[Order]]] = {Side.BUY: {}, Side.SELL: {}}
        self._prices: dict[Side, list[int]] = {Side.BUY: [], Side.SELL: []}

    def add(self, order: Order) -> None:
        levels = self._levels[order.book_side]
        if order.book_price not in levels:
            levels[order.book_price] = deque()
            insort(self._prices[order.book_side], order.book_price)
        levels[order.book_price].append(order)

    def remove(self, order: Order) -> None:
        levels = self._levels[order.book_side]
        level = levels[order.book_price]
        level.remove(order)
        if not level:
            del levels[order.book_price]
            prices = self._prices[order.book_side]
            del prices[bisect_left(prices, order.book_price)]

    def against(self, side: Side, limit_price: int) -> Iterator[Order]:
        """Orders a taker on `side` may hit: best price first, oldest first."""
        other = opposite(side)
        for price in self.prices(other):
            if price > limit_price if side is Side.BUY else price < limit_price:
                return
            yield from self._levels[other][price]

    def prices(self, side: Side) -> list[int]:
        """Best first."""
        prices = self._prices[side]
        return prices[::-1] if side is Side.BUY else list(prices)

    def best(self, side: Side) -> int | None:
        prices = self._prices[side]
        return (prices[-1] if side is Side.BUY else prices[0]) if prices else None

    def size_at(self, side: Side, price_units: int) -> int:
        return sum(order.remaining_units for order in self._levels[side].get(price_units, ()))

    def levels(self, side: Side) -> list[tuple[int, int]]:
        """(price, shares), best first."""
        return [(price, self.size_at(side, price)) for price in self.prices(side)]

    def __iter__(self) -> Iterator[Order]:
        for levels in self._levels.values():
            for level in levels.values():
                yield from level
