"""The stated depth model: what a tape of trades does not know about the book around them.

A synthetic market maker with endless cash stands behind each replayed market.

- Around a last price P (in 1/10,000 of the first outcome) it bids from the next tick below and asks from the next tick
  above (`ladder`), LEVELS ticks deep, LEVEL_USD dollars on the best level and LEVEL_USD more on each further one.
- Just before a recorded trade is replayed, its quotes move so that the best ones on the side taken are exactly the
  recorded shares at the recorded price. A price between two ticks becomes two levels whose average is that price. On
  top, the last of those levels keeps one LEVEL_USD more, and the ladder goes on behind it: who copies the trade pays
  the same price for the first LEVEL_USD dollars and a tick more for each next, growing level.
- Orders of users have their place in the queue: a better resting order of a user is hit first, as at the venue.
- Where a tape has a recorded book, the recorded levels stand in place of the ladder.
- A level taken by somebody else is quoted again REFILL_MS later.

It does not model other traders' reactions, hidden size, or quotes pulled in news.
"""

from collections.abc import Iterable
from decimal import Decimal

from markets.venue.ports import Side
from markets.venue.simulator.orders import lot_units
from polyhub.lib import money

LEVELS = 10
LEVEL_USD = 250
REFILL_MS = 3_000
_CHEAPEST = 200  # below two cents a level holds no more shares than at two cents


Quotes = dict[tuple[Side, int], int]


def level_shares(price_units: int, rank: int) -> int:
    """Whole shares (base units) of the level `rank` ticks behind the best one."""
    dollars = LEVEL_USD * (rank + 1)
    return dollars * money.PRICE_UNITS // max(price_units, _CHEAPEST) * money.UNITS


def ladder(side: Side, best_units: int, tick_units: int) -> Quotes:
    """Quotes of one side from its best price away from the other side."""
    step = -tick_units if side is Side.BUY else tick_units
    quotes: Quotes = {}
    for rank in range(LEVELS):
        price = best_units + rank * step
        if tick_units <= price <= money.PRICE_UNITS - tick_units:
            quotes[side, price] = level_shares(price, rank)
    return quotes


def around(price_units: int, tick_units: int) -> Quotes:
    """Both ladders around a last price."""
    below = (price_units - 1) // tick_units * tick_units
    above = -(-(price_units + 1) // tick_units) * tick_units
    return ladder(Side.BUY, below, tick_units) | ladder(Side.SELL, above, tick_units)


def parts_of(price: Decimal, share_units: int, tick_units: int) -> list[tuple[int, int]]:
    """Levels on the tick grid, cheapest first, whose shares sum to the trade and whose average is its price.

    Shares are cut to lots of their level (at most 0.01 share is lost per level).
    """
    exact = price * money.PRICE_UNITS
    low = int(exact // tick_units) * tick_units
    low = min(max(low, tick_units), money.PRICE_UNITS - tick_units)
    high = min(low + tick_units, money.PRICE_UNITS - tick_units)
    above = int(share_units * (exact - low) / tick_units) if high > low and exact > low else 0
    parts = [(low, share_units - above), (high, above)]
    cut = [(level, shares - shares % lot_units(level)) for level, shares in parts]
    return [(level, shares) for level, shares in cut if shares > 0]


def before_trade(side: Side, parts: list[tuple[int, int]], tick_units: int, recorded: Quotes) -> Quotes:
    """All quotes just before a taker on `side` trades `parts` (token 0 terms, cheapest first)."""
    hit = Side.SELL if side is Side.BUY else Side.BUY
    prices = [price for price, _ in parts]
    worst = max(prices) if side is Side.BUY else min(prices)
    behind = ladder(hit, worst, tick_units)
    other = ladder(side, (min(prices) - tick_units) if side is Side.BUY else (max(prices) + tick_units), tick_units)
    if recorded:
        behind = {(hit, worst): behind[hit, worst]} | _beyond(recorded, hit, worst)
        other = _beyond(recorded, side, min(prices) if side is Side.BUY else max(prices)) or other
    quotes = behind | other
    for price, shares in parts:
        quotes[hit, price] = shares + (quotes.get((hit, price), 0) if price == worst else 0)
    return quotes


def recorded_quotes(bids: Iterable[tuple[int, int]], asks: Iterable[tuple[int, int]], *, mirrored: bool) -> Quotes:
    """A recorded book of token 0, or of token 1 (`mirrored`), as quotes."""
    if mirrored:
        bids, asks = (
            [(money.PRICE_UNITS - price, shares) for price, shares in asks],
            [(money.PRICE_UNITS - price, shares) for price, shares in bids],
        )
    quotes: Quotes = {}
    for side, levels in ((Side.BUY, bids), (Side.SELL, asks)):
        for price, shares in levels:
            if 0 < price < money.PRICE_UNITS and shares > 0:
                quotes[side, price] = quotes.get((side, price), 0) + shares
    return quotes


def _beyond(recorded: Quotes, side: Side, price_units: int) -> Quotes:
    """Recorded levels of a side strictly behind a price."""
    if side is Side.SELL:
        return {key: shares for key, shares in recorded.items() if key[0] is side and key[1] > price_units}
    return {key: shares for key, shares in recorded.items() if key[0] is side and key[1] < price_units}
