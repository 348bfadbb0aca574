"""What an unfinished order holds back from its account."""

from decimal import Decimal

from markets.venue.amounts import IMMEDIATE
from markets.venue.ports import OrderType
from polyhub.lib import money


def fee_bound(
    *, order_type: OrderType, price: Decimal, cost_usdc: Decimal, shares: Decimal, rate: Decimal, exponent: int
) -> Decimal:
    """Upper bound of the fee of a BUY in pUSD, whatever better price it gets.

    A resting order has fixed shares: its fee is largest at min(price, 1/2). An immediate one spends fixed pUSD and
    gets more shares at a better price: cost/p * rate * (p(1-p))^e never exceeds cost * rate for e >= 1.
    """
    if order_type in IMMEDIATE:
        return money.ceil_to(cost_usdc * rate, money.MICRO)
    worst = min(price, Decimal("0.5"))
    return money.ceil_to(shares * rate * (worst * (1 - worst)) ** exponent, money.MICRO)


def remaining(*, reserved_at_first: Decimal, share_done: Decimal) -> Decimal:
    """What is still held back of the first reservation when `share_done` (0..1) of the order is filled."""
    return money.ceil_to(reserved_at_first * max(money.ZERO, 1 - share_done), money.MICRO)


def share_done(
    *, by_budget: bool, budget_usdc: Decimal, shares: Decimal, filled_usdc: Decimal, filled_shares: Decimal
) -> Decimal:
    """How much of a BUY is done, 0..1: of its budget when it is a market order, of its shares otherwise."""
    return min(Decimal(1), filled_usdc / budget_usdc if by_budget else filled_shares / shares)
