"""Exact money. Integer base units in hot loops, Decimal at every border.

One unit of pUSD or of an outcome share is 10^-6 (six decimals on chain).
One unit of price is 1/10,000, the finest tick of the venue.
"""

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal

UNITS = 1_000_000
PRICE_UNITS = 10_000
ZERO = Decimal(0)
CENT = Decimal("0.01")
MICRO = Decimal("0.000001")


class NotExact(ValueError):
    """The amount has more decimals than its unit can hold."""


def to_units(amount: Decimal) -> int:
    """Decimal dollars or shares to base units; raises NotExact rather than rounding."""
    return _exact(amount, UNITS)


def from_units(units: int) -> Decimal:
    """Base units to Decimal dollars or shares, exact."""
    return Decimal(units).scaleb(-6)


def price_to_units(price: Decimal) -> int:
    """A price in dollars to 1/10,000; raises NotExact for a finer price."""
    return _exact(price, PRICE_UNITS)


def price_from_units(units: int) -> Decimal:
    return Decimal(units).scaleb(-4)


def floor_to(amount: Decimal, step: Decimal) -> Decimal:
    """Largest multiple of `step` that is not above `amount`."""
    return (amount / step).to_integral_value(ROUND_FLOOR) * step


def ceil_to(amount: Decimal, step: Decimal) -> Decimal:
    """Smallest multiple of `step` that is not below `amount`."""
    return (amount / step).to_integral_value(ROUND_CEILING) * step


def nearest_to(amount: Decimal, step: Decimal) -> Decimal:
    """Multiple of `step` nearest to `amount`, ties to even. For display and averages only."""
    return (amount / step).to_integral_value(ROUND_HALF_EVEN) * step


def floor_units(amount: Decimal) -> int:
    """Base units, rounded down."""
    return int((amount * UNITS).to_integral_value(ROUND_FLOOR))


def notional_units(*, price_units: int, share_units: int) -> int:
    """Cost of shares at a price in base units, rounded down."""
    return price_units * share_units // PRICE_UNITS


def _exact(amount: Decimal, scale: int) -> int:
    scaled = amount * scale
    whole = int(scaled)
    if scaled != whole:
        raise NotExact(f"{amount} has more decimals than 1/{scale}")
    return whole
