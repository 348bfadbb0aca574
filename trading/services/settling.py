"""What an order's booked fills make of it: totals, status and what it still holds back."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime

from markets.venue import amounts
from markets.venue.ports import OrderType, Side
from polyhub.lib import money
from polyhub.lib.money import ZERO
from trading.domain import fills as accounting
from trading.domain import reserves
from trading.domain.orders import TERMINAL, TRANSITIONS, FillStatus, OrderStatus
from trading.models import Fill, Order
from trading.services import changes


def facts_of(orders: Iterable[Order]) -> dict[int, list[accounting.FillFact]]:
    """The booked fills of these orders, in one query."""
    found: dict[int, list[accounting.FillFact]] = defaultdict(list)
    for fill in Fill.objects.filter(order__in=[order.pk for order in orders]).order_by("id"):
        found[fill.order_id].append(fact(fill))
    return found


def fact(fill: Fill) -> accounting.FillFact:
    return accounting.FillFact(
        key=fill_key(fill.order_id, fill.venue_trade_id),
        side=Side(fill.side),
        shares=fill.shares,
        notional_usdc=fill.notional_usdc,
        fee_usdc=fill.fee_usdc,
        status=FillStatus(fill.status),
        venue_at=fill.venue_at,
    )


def fill_key(order_id: int, venue_trade_id: str) -> str:
    return f"{venue_trade_id}:{order_id}"


def trade_of(key: str) -> str:
    """The venue's trade id in a fill's key."""
    return key.rpartition(":")[0]


def settle(order: Order, booked: Sequence[accounting.FillFact], *, now: datetime, over: bool = False) -> bool:
    """Set totals, status and reservations of a placed order from its fills; `over`: the venue says it is finished.

    False when the fills contradict a status that cannot move (a fill of a refused order): the status then stays.
    """
    done = accounting.totals(booked)
    order.filled_shares, order.filled_usdc, order.fee_usdc = done.shares, done.usdc, done.fee_usdc
    order.updated_at = now
    current = OrderStatus(order.status)
    to = accounting.status_after(
        current,
        complete=_complete(order, done),
        any_filled=done.shares > 0,
        rests=OrderType(order.order_type) not in amounts.IMMEDIATE,
        trades_named=order.venue_trade_ids,
        booked={trade_of(fill.key) for fill in booked},
    )
    if over and to not in TERMINAL:
        to = OrderStatus.CANCELED
    legal = to == current or to in TRANSITIONS[current]
    if legal and to != current:
        changes.move(order, to, now=now, code=_reason(booked) if to is OrderStatus.CANCELED else "")
    hold(order, now=now)
    return legal


def _reason(booked: Sequence[accounting.FillFact]) -> str:
    return "REST_NOT_FILLED" if all(fill.counts for fill in booked) else "SETTLEMENT_FAILED"


def hold(order: Order, *, now: datetime) -> None:
    """Set what the order holds back in its present status; a finished one holds nothing."""
    if order.status in TERMINAL:
        order.reserved_usdc = order.reserved_shares = ZERO
        order.closed_at = order.closed_at or now
        return
    order.closed_at = None
    if order.side == Side.SELL:
        order.reserved_shares = max(ZERO, order.shares - order.filled_shares)
        return
    share_done = reserves.share_done(
        by_budget=OrderType(order.order_type) in amounts.IMMEDIATE,
        budget_usdc=money.from_units(order.maker_units),
        shares=order.shares,
        filled_usdc=order.filled_usdc,
        filled_shares=order.filled_shares,
    )
    order.reserved_usdc = reserves.remaining(reserved_at_first=order.admitted_usdc, share_done=share_done)


def _complete(order: Order, done: accounting.Totals) -> bool:
    return accounting.is_complete(
        side=Side(order.side),
        by_budget=OrderType(order.order_type) in amounts.IMMEDIATE,
        ordered=order.shares,
        budget_usdc=money.from_units(order.maker_units),
        done=done,
    )
