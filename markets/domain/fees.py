"""The venue's trading fee: takers only, by the market's own schedule.

fee(pUSD) = shares * rate * (p * (1 - p)) ^ exponent, rounded to 5 decimals; below 0.00001 there is none.
Source: docs.polymarket.com, trading fees (schedule `feeSchedule` of Gamma, `fd` of clob-markets).
"""

from decimal import Decimal

from polyhub.lib import money

_RATE_UNITS = 1_000_000
_FEE_STEP = 10  # 0.00001 pUSD in base units


def fee_units(*, share_units: int, price_units: int, rate: Decimal, exponent: int = 1) -> int:
    """Fee of one fill in base units. BUY pays it on top of the cost, SELL out of the proceeds.

    `rate` is a fraction such as 0.05. Raises NotExact for a rate finer than 10^-6.
    """
    rate_units = money.to_units(rate)
    if rate_units == 0:
        return 0
    spread = price_units * (money.PRICE_UNITS - price_units)
    numerator: int = share_units * rate_units * spread**exponent
    denominator: int = _RATE_UNITS * money.PRICE_UNITS ** (2 * exponent)
    if numerator < _FEE_STEP * denominator:
        return 0
    steps, rest = divmod(numerator, _FEE_STEP * denominator)
    return _FEE_STEP * (steps + (1 if 2 * rest >= _FEE_STEP * denominator else 0))
