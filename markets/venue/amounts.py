"""The two integers an order signs, built in whole base units by the venue's rounding rules. Pure.

Source: docs.polymarket.com (order creation, tick sizes); the four-decimals rule of market buys is enforced by the
venue's server whatever the tick (github.com/Polymarket/py-clob-client-v2/issues/99).
"""

from dataclasses import dataclass
from typing import Final

from markets.venue.ports import OrderType, Side
from polyhub.lib.errors import AppError
from polyhub.lib.money import PRICE_UNITS, UNITS

# Ticks in 1/10,000 and the decimals the second amount may have. Sizes have two decimals everywhere.
AMOUNT_DECIMALS: Final = {1000: 3, 100: 4, 50: 5, 25: 6, 10: 5, 1: 6}
CENT_UNITS: Final = 10_000
FOUR_DECIMALS_UNITS: Final = 100
IMMEDIATE: Final = frozenset({OrderType.FOK, OrderType.FAK})


class BadAmounts(AppError):
    """The order cannot be expressed at the venue; the code says why."""

    code = "BAD_AMOUNTS"


@dataclass(frozen=True, slots=True)
class Amounts:
    """BUY: `maker_units` is pUSD spent at most, `taker_units` the shares received. SELL: the reverse."""

    maker_units: int
    taker_units: int


def on_grid(price_units: int, tick_units: int) -> bool:
    """Within [tick, 1 - tick] and a whole number of ticks."""
    return tick_units <= price_units <= PRICE_UNITS - tick_units and price_units % tick_units == 0


def limit_amounts(*, side: Side, price_units: int, share_units: int, tick_units: int) -> Amounts:
    """GTC and GTD: shares cut to whole cents; the pUSD side is then exact. Raises BadAmounts."""
    _check_price(price_units, tick_units)
    shares = share_units - share_units % CENT_UNITS
    usdc = shares * price_units // PRICE_UNITS
    return _amounts(usdc, shares) if side is Side.BUY else _amounts(shares, usdc)


def market_buy_amounts(*, price_units: int, cash_units: int, tick_units: int) -> Amounts:
    """FOK and FAK BUY: spend at most `cash_units` (cut to cents) at `price_units` or better. Raises BadAmounts.

    Shares round down to four decimals, which lifts the implied price by less than the finest tick.
    """
    _check_price(price_units, tick_units)
    cash = cash_units - cash_units % CENT_UNITS
    shares = cash * PRICE_UNITS // price_units
    amounts = _amounts(cash, shares - shares % _step(tick_units))
    # A finer tick may appear while the order travels: the implied price must stay under the next finest one.
    if amounts.maker_units * PRICE_UNITS >= amounts.taker_units * (price_units + 1):
        raise BadAmounts("The amount is too small to hold its price.", code="AMOUNT_TOO_SMALL")
    return amounts


def market_sell_amounts(*, price_units: int, share_units: int, tick_units: int) -> Amounts:
    """FOK and FAK SELL: shares cut to cents, exact proceeds at `price_units` or better. Raises BadAmounts."""
    _check_price(price_units, tick_units)
    shares = share_units - share_units % CENT_UNITS
    return _amounts(shares, shares * price_units // PRICE_UNITS)


def order_amounts(*, side: Side, order_type: OrderType, price_units: int, share_units: int, tick_units: int) -> Amounts:
    """Amounts of an order asked for in shares. A market BUY becomes the budget those shares cost. Raises BadAmounts."""
    if order_type not in IMMEDIATE:
        return limit_amounts(side=side, price_units=price_units, share_units=share_units, tick_units=tick_units)
    if side is Side.SELL:
        return market_sell_amounts(price_units=price_units, share_units=share_units, tick_units=tick_units)
    budget = share_units * price_units // PRICE_UNITS
    return market_buy_amounts(price_units=price_units, cash_units=budget, tick_units=tick_units)


def _check_price(price_units: int, tick_units: int) -> None:
    if tick_units not in AMOUNT_DECIMALS:
        raise BadAmounts("The market's tick is not one the venue is known to use.", code="TICK_UNKNOWN")
    if not on_grid(price_units, tick_units):
        raise BadAmounts("The price is not on the market's grid.", code="PRICE_OFF_TICK")


def _step(tick_units: int) -> int:
    decimals: int = min(AMOUNT_DECIMALS[tick_units], 4)
    return UNITS // int(10**decimals)


def _amounts(maker_units: int, taker_units: int) -> Amounts:
    if maker_units <= 0 or taker_units <= 0:
        raise BadAmounts("The order rounds to nothing.", code="AMOUNT_TOO_SMALL")
    return Amounts(maker_units, taker_units)
