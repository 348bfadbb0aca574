"""A price-level order book of one token: prices in 1/10,000, shares in base units, whole numbers only."""

from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from polyhub.lib import money

BUY = "BUY"
SELL = "SELL"
Level = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Walk:
    """What taking liquidity level by level would give. `worst_price_units` is 0 when nothing was there."""

    filled_units: int
    cost_units: int
    worst_price_units: int

    @property
    def average_price(self) -> Decimal:
        """Dollars per share; 0 when nothing would fill."""
        return Decimal(self.cost_units) / self.filled_units if self.filled_units else money.ZERO


class Book:
    """Bids and asks by price. `side` says whose quotes: BUY are bids, SELL are asks."""

    __slots__ = ("_ask_prices", "_bid_prices", "_sizes")

    def __init__(self) -> None:
        self._bid_prices: list[int] = []
        self._ask_prices: list[int] = []
        self._sizes: dict[str, dict[int, int]] = {BUY: {}, SELL: {}}

    def apply_level(self, side: str, price_units: int, share_units: int) -> None:
        """Set a level to its new absolute size; 0 removes it. Hot path, 0.3 us."""
        sizes = self._sizes[side]
        prices = self._bid_prices if side == BUY else self._ask_prices
        if share_units > 0:
            if price_units not in sizes:
                insort(prices, price_units)
            sizes[price_units] = share_units
        elif sizes.pop(price_units, None) is not None:
            del prices[bisect_left(prices, price_units)]

    def replace(self, *, bids: Iterable[Level], asks: Iterable[Level]) -> None:
        """Forget everything and take these levels, in any order."""
        self._sizes = {BUY: {p: s for p, s in bids if s > 0}, SELL: {p: s for p, s in asks if s > 0}}
        self._bid_prices = sorted(self._sizes[BUY])
        self._ask_prices = sorted(self._sizes[SELL])

    @property
    def best_bid(self) -> int | None:
        return self._bid_prices[-1] if self._bid_prices else None

    @property
    def best_ask(self) -> int | None:
        return self._ask_prices[0] if self._ask_prices else None

    def is_best(self, bid: int | None, ask: int | None) -> bool:
        """Whether these are the best prices, None for an empty side. Hot path."""
        bids, asks = self._bid_prices, self._ask_prices
        return (bids[-1] if bids else None) == bid and (asks[0] if asks else None) == ask

    @property
    def crossed(self) -> bool:
        """True when a bid reaches an ask: the book cannot be trusted."""
        return bool(self._bid_prices and self._ask_prices and self._bid_prices[-1] >= self._ask_prices[0])

    def size_at(self, side: str, price_units: int) -> int:
        return self._sizes[side].get(price_units, 0)

    def levels(self, side: str) -> list[Level]:
        """(price, shares), best first."""
        sizes = self._sizes[side]
        ordered = reversed(self._bid_prices) if side == BUY else iter(self._ask_prices)
        return [(price, sizes[price]) for price in ordered]

    def walk(self, side: str, share_units: int, *, limit_price_units: int | None = None) -> Walk:
        """Take up to `share_units` as a taker on `side`, no worse than the limit. Cost is rounded against the taker."""
        wanted, value, worst = share_units, 0, 0
        for price, size in self.levels(SELL if side == BUY else BUY):
            if wanted <= 0 or (limit_price_units is not None and _is_worse(side, price, limit_price_units)):
                break
            taken = min(size, wanted)
            wanted -= taken
            value += taken * price
            worst = price
        rounding = money.PRICE_UNITS - 1 if side == BUY else 0
        return Walk(share_units - wanted, (value + rounding) // money.PRICE_UNITS, worst)

    def mirrored(self) -> "Book":
        """The book of the other outcome token: a bid at p is its ask at 1 - p."""
        other = Book()
        other.replace(
            bids=[(money.PRICE_UNITS - price, size) for price, size in self._sizes[SELL].items()],
            asks=[(money.PRICE_UNITS - price, size) for price, size in self._sizes[BUY].items()],
        )
        return other


def _is_worse(side: str, price_units: int, limit_price_units: int) -> bool:
    return price_units > limit_price_units if side == BUY else price_units < limit_price_units
