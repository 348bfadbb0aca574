"""The accounting of fills, pure: what a set of reports means, whatever order or number they came in.

Each fill counts once, by the most final status reported. Cash and shares are sums over fills; the average cost
follows the venue's time. So late, repeated and reordered reports all end in the same state.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from markets.venue.ports import Side
from polyhub.lib import money
from polyhub.lib.money import ZERO
from trading.domain.orders import FillStatus, OrderStatus

# Less than the venue's smallest lot is never filled.
DUST = Decimal("0.01")

_RANK = {status: rank for rank, status in enumerate(FillStatus)}
_ON_CHAIN = frozenset({FillStatus.MINED, FillStatus.CONFIRMED})


@dataclass(frozen=True, slots=True)
class FillFact:
    """One fill as booked. `key` orders fills of the same instant and names the fill."""

    key: str
    side: Side
    shares: Decimal
    notional_usdc: Decimal
    fee_usdc: Decimal
    status: FillStatus
    venue_at: datetime

    @property
    def counts(self) -> bool:
        return self.status is not FillStatus.FAILED


@dataclass(frozen=True, slots=True)
class Holding:
    """A position: `shares` matched, of them `sellable` mined, of them `settled` confirmed; average cost with fees."""

    shares: Decimal = ZERO
    sellable: Decimal = ZERO
    settled: Decimal = ZERO
    cost_usdc: Decimal = ZERO
    realized_usdc: Decimal = ZERO
    fees_usdc: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Realized:
    """What one sale realised, and the cost it took out of the position."""

    pnl_usdc: Decimal
    cost_released_usdc: Decimal


@dataclass(frozen=True, slots=True)
class Totals:
    """What counts of one order's fills."""

    shares: Decimal = ZERO
    usdc: Decimal = ZERO
    fee_usdc: Decimal = ZERO


def more_final(current: FillStatus, reported: FillStatus) -> FillStatus:
    """The higher ranked of two reports of one fill."""
    return max(current, reported, key=_RANK.__getitem__)


def cash_effect(fill: FillFact) -> Decimal:
    """What the fill adds to the account's cash."""
    if not fill.counts:
        return ZERO
    if fill.side is Side.BUY:
        return -(fill.notional_usdc + fill.fee_usdc)
    return fill.notional_usdc - fill.fee_usdc


def totals(fills: Iterable[FillFact]) -> Totals:
    counted = [fill for fill in fills if fill.counts]
    return Totals(
        shares=sum((fill.shares for fill in counted), ZERO),
        usdc=sum((fill.notional_usdc for fill in counted), ZERO),
        fee_usdc=sum((fill.fee_usdc for fill in counted), ZERO),
    )


def fold(fills: Iterable[FillFact]) -> tuple[Holding, dict[str, Realized]]:
    """The position that all fills of one token make, and what each sale realised.

    Fills are taken in the venue's order (buys before sells of the same instant). Shares below zero mean that a buy
    failed after its shares were sold; the sale will fail too, until then the holding shows none.
    """
    shares = cost = realized = fees = sellable = settled = ZERO
    sales: dict[str, Realized] = {}
    for fill in sorted(fills, key=lambda fill: (fill.venue_at, fill.side is Side.SELL, fill.key)):
        if not fill.counts:
            sales[fill.key] = Realized(ZERO, ZERO)
            continue
        fees += fill.fee_usdc
        if fill.side is Side.BUY:
            shares += fill.shares
            cost += fill.notional_usdc + fill.fee_usdc
            sellable += fill.shares if fill.status in _ON_CHAIN else ZERO
            settled += fill.shares if fill.status is FillStatus.CONFIRMED else ZERO
            sales[fill.key] = Realized(ZERO, ZERO)
            continue
        released = _released(cost=cost, sold=fill.shares, held=shares)
        gain = fill.notional_usdc - fill.fee_usdc - released
        shares, cost, realized = shares - fill.shares, cost - released, realized + gain
        sellable -= fill.shares
        settled -= fill.shares if fill.status is FillStatus.CONFIRMED else ZERO
        sales[fill.key] = Realized(gain, released)
    holding = Holding(
        shares=max(ZERO, shares),
        sellable=max(ZERO, sellable),
        settled=max(ZERO, settled),
        cost_usdc=cost,
        realized_usdc=realized,
        fees_usdc=fees,
    )
    return holding, sales


def is_complete(*, side: Side, by_budget: bool, ordered: Decimal, budget_usdc: Decimal, done: Totals) -> bool:
    """Filled to within one lot. A market BUY is bounded by its budget, every other order by its shares."""
    if by_budget and side is Side.BUY:
        return budget_usdc - done.usdc < DUST
    return ordered - done.shares < DUST


def status_after(
    current: OrderStatus,
    *,
    complete: bool,
    any_filled: bool,
    rests: bool,
    trades_named: Sequence[str],
    booked: set[str],
) -> OrderStatus:
    """The status an order has once its fills are booked.

    An order that cannot rest is over when every trade the venue named for it is booked; until then more may come.
    """
    if complete:
        return OrderStatus.FILLED
    if current in {OrderStatus.CANCELED, OrderStatus.EXPIRED}:
        return current
    if not rests and trades_named and booked.issuperset(trades_named):
        return OrderStatus.CANCELED
    return OrderStatus.PARTIALLY_FILLED if any_filled else OrderStatus.OPEN


def _released(*, cost: Decimal, sold: Decimal, held: Decimal) -> Decimal:
    if sold >= held or held <= 0:
        return cost
    return money.floor_to(cost * sold / held, money.MICRO)
