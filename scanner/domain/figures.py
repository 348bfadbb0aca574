"""What a wallet's recorded trades measure. Pure; every figure is a count, a sum or a median over the trades given.

A sample is seldom a life: what was bought before it or sold after it is unknown here. So profit is told only for
positions that opened and closed inside the sample, at average cost, before fees (recorded trades do not carry them).
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from statistics import median

from polyhub.lib import money

# A position is closed once less than this part of it is left: sales are rounded, dust stays.
_DUST = Decimal("0.01")
_HISTOGRAM_STEP = Decimal("0.1")


@dataclass(frozen=True, slots=True)
class Trade:
    """One fill: shares and price in dollars per share, `traded_at` aware UTC."""

    token_id: str
    condition_id: str
    side: str
    price: Decimal
    shares: Decimal
    traded_at: datetime

    @property
    def usdc(self) -> Decimal:
        return self.price * self.shares


@dataclass(frozen=True, slots=True)
class ClosedPosition:
    """From the first purchase out of nothing to the sale of (nearly) all of it."""

    token_id: str
    condition_id: str
    opened_at: datetime
    closed_at: datetime
    sold_shares: Decimal
    cost_usdc: Decimal
    proceeds_usdc: Decimal

    @property
    def pnl_usdc(self) -> Decimal:
        return self.proceeds_usdc - self.cost_usdc


@dataclass(frozen=True, slots=True)
class Figures:
    """`closed_pnl_usdc` is None when nothing opened and closed inside the sample: unknown is not zero."""

    trades: int
    buys: int
    sells: int
    markets: int
    volume_usdc: Decimal
    median_trade_usdc: Decimal
    closed_positions: int
    closed_wins: int
    closed_pnl_usdc: Decimal | None
    first_trade_at: datetime | None
    last_trade_at: datetime | None


@dataclass(slots=True)
class _Holding:
    shares: Decimal = money.ZERO
    peak_shares: Decimal = money.ZERO
    cost_usdc: Decimal = money.ZERO
    sold_shares: Decimal = money.ZERO
    sold_cost_usdc: Decimal = money.ZERO
    proceeds_usdc: Decimal = money.ZERO
    opened_at: datetime | None = None


def measure(trades: Sequence[Trade]) -> Figures:
    """The figures of one wallet; `trades` in the order they happened."""
    closed = closed_positions(trades)
    return Figures(
        trades=len(trades),
        buys=sum(trade.side == "BUY" for trade in trades),
        sells=sum(trade.side == "SELL" for trade in trades),
        markets=len({trade.condition_id for trade in trades}),
        volume_usdc=_micro(sum((trade.usdc for trade in trades), money.ZERO)),
        median_trade_usdc=_micro(median(trade.usdc for trade in trades)) if trades else money.ZERO,
        closed_positions=len(closed),
        closed_wins=sum(position.pnl_usdc > 0 for position in closed),
        closed_pnl_usdc=_micro(sum((position.pnl_usdc for position in closed), money.ZERO)) if closed else None,
        first_trade_at=trades[0].traded_at if trades else None,
        last_trade_at=trades[-1].traded_at if trades else None,
    )


def closed_positions(trades: Sequence[Trade]) -> list[ClosedPosition]:
    """Positions that opened and closed within `trades`, in the order they closed, at average cost.

    A sale of more than was seen bought counts only up to what was: the rest came from before the sample.
    """
    holdings: dict[str, _Holding] = defaultdict(_Holding)
    closed: list[ClosedPosition] = []
    for trade in trades:
        holding = holdings[trade.token_id]
        if trade.side == "BUY":
            _buy(holding, trade)
        elif holding.shares > 0:
            _sell(holding, trade)
            if holding.shares <= holding.peak_shares * _DUST:
                closed.append(_close(holding, trade))
                del holdings[trade.token_id]
    return closed


def _buy(holding: _Holding, trade: Trade) -> None:
    holding.opened_at = holding.opened_at or trade.traded_at
    holding.shares += trade.shares
    holding.cost_usdc += trade.usdc
    holding.peak_shares = max(holding.peak_shares, holding.shares)


def _sell(holding: _Holding, trade: Trade) -> None:
    shares = min(trade.shares, holding.shares)
    cost = holding.cost_usdc * shares / holding.shares
    holding.shares -= shares
    holding.cost_usdc -= cost
    holding.sold_shares += shares
    holding.sold_cost_usdc += cost
    holding.proceeds_usdc += trade.price * shares


def _close(holding: _Holding, trade: Trade) -> ClosedPosition:
    return ClosedPosition(
        token_id=trade.token_id,
        condition_id=trade.condition_id,
        opened_at=holding.opened_at or trade.traded_at,
        closed_at=trade.traded_at,
        sold_shares=holding.sold_shares,
        cost_usdc=_micro(holding.sold_cost_usdc),
        proceeds_usdc=_micro(holding.proceeds_usdc),
    )


def equity_points(closed: Sequence[ClosedPosition]) -> list[tuple[datetime, Decimal]]:
    """Profit of closed positions added up, one point at each closing."""
    total = money.ZERO
    points: list[tuple[datetime, Decimal]] = []
    for position in closed:
        total += position.pnl_usdc
        points.append((position.closed_at, total))
    return points


def hours_by_weekday(trades: Sequence[Trade]) -> list[list[int]]:
    """Trades counted as [weekday, Monday first][hour of the day, UTC]: 7 rows of 24."""
    counts = Counter((trade.traded_at.weekday(), trade.traded_at.hour) for trade in trades)
    return [[counts[day, hour] for hour in range(24)] for day in range(7)]


def entry_price_histogram(trades: Sequence[Trade]) -> list[int]:
    """Purchases counted by price in ten bins of ten cents."""
    bins = Counter(min(int(trade.price / _HISTOGRAM_STEP), 9) for trade in trades if trade.side == "BUY")
    return [bins[number] for number in range(10)]


def _micro(amount: Decimal) -> Decimal:
    return money.nearest_to(amount, money.MICRO)
