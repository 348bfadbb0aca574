"""Booking fills: each report counts once, and orders, positions and cash follow in the same transaction."""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from markets.venue.ports import TradeStatus, VenueTrade
from polyhub.lib import money, push
from polyhub.lib.failpoints import fp
from polyhub.lib.money import ZERO
from riskmgmt import services as risk
from trading.domain import fills as accounting
from trading.domain.orders import FillStatus, OrderStatus
from trading.domain.reports import TradeReport
from trading.models import Balance, Fill, Order, Position
from trading.services import changes, settling

logger = logging.getLogger(__name__)

_LOCK_BALANCES = "SELECT account_id FROM trading_balance WHERE account_id = ANY(%s) ORDER BY account_id FOR UPDATE"
_ADD_CASH = """
UPDATE trading_balance b SET cash_usdc = b.cash_usdc + v.change, updated_at = %s
FROM unnest(%s::uuid[], %s::numeric[]) AS v(account_id, change) WHERE b.account_id = v.account_id
RETURNING b.account_id, b.cash_usdc
"""


@dataclass(slots=True)
class _Booking:
    """One fill that is new or whose status rose."""

    fill: Fill
    order: Order
    before: accounting.FillFact | None


@transaction.atomic
def record_trades(*, reports: Sequence[TradeReport], actor: str, now: datetime) -> list[TradeReport]:
    """Book a batch; repeated and outdated reports change nothing. Returns those of orders that are not ours."""
    if not reports:
        return []
    accounts = sorted({report.account_id for report in reports})
    with connection.cursor() as cursor:
        cursor.execute(_LOCK_BALANCES, [accounts])
    hashes = {report.trade.order_hash for report in reports}
    orders = {
        (order.account_id, order.order_hash or ""): order
        for order in changes.locked(Order.objects.filter(account_id__in=accounts, order_hash__in=hashes))
    }
    bookings = _book(reports, orders, now=now)
    if bookings:
        fp("F10")
        _follow(bookings, actor=actor, now=now)
    return [report for report in reports if (report.account_id, report.trade.order_hash) not in orders]


def _book(reports: Sequence[TradeReport], orders: Mapping[tuple[UUID, str], Order], *, now: datetime) -> list[_Booking]:
    """Insert new fills and raise the status of known ones."""
    known = {
        (fill.order_id, fill.venue_trade_id): fill
        for fill in Fill.objects.filter(order__in=[order.pk for order in orders.values()])
    }
    touched: dict[tuple[int, str], _Booking] = {}
    for report in reports:
        order = orders.get((report.account_id, report.trade.order_hash))
        if order is None:
            continue
        key = (order.pk, report.trade.trade_id)
        reported = FillStatus(report.trade.status)
        fill = known.get(key)
        if fill is None:
            fill = known[key] = _new_fill(order, report.trade, now=now)
            touched[key] = _Booking(fill, order, None)
            continue
        status = accounting.more_final(FillStatus(fill.status), reported)
        if status == fill.status:
            continue
        if key not in touched:
            touched[key] = _Booking(fill, order, settling.fact(fill))
        fill.status = status
        fill.settled_at = now if status is FillStatus.CONFIRMED else None
        fill.transaction_hash = report.trade.transaction_hash or fill.transaction_hash
    bookings = list(touched.values())
    Fill.objects.bulk_create([booking.fill for booking in bookings if booking.before is None])
    raised = [booking.fill for booking in bookings if booking.before is not None]
    Fill.objects.bulk_update(raised, ["status", "settled_at", "transaction_hash"])
    return bookings


def _new_fill(order: Order, trade: VenueTrade, *, now: datetime) -> Fill:
    notional = money.notional_units(price_units=trade.price_units, share_units=trade.share_units)
    return Fill(
        order=order,
        venue_trade_id=trade.trade_id,
        token_id=order.token_id,
        side=str(trade.side),
        price=money.price_from_units(trade.price_units),
        shares=money.from_units(trade.share_units),
        notional_usdc=money.from_units(notional),
        fee_usdc=money.from_units(trade.fee_units),
        is_maker=trade.is_maker,
        status=FillStatus(trade.status),
        transaction_hash=trade.transaction_hash,
        venue_at=trade.venue_at,
        received_at=now,
        settled_at=now if trade.status is TradeStatus.CONFIRMED else None,
    )


def _follow(bookings: Sequence[_Booking], *, actor: str, now: datetime) -> None:
    """Positions, cash, orders and pushes after the fills of `bookings` changed."""
    users = {booking.order.account_id: booking.order.account.user_id for booking in bookings}
    positions = _positions(bookings, now=now)
    cash = _cash(bookings, now=now)
    changed = _orders(bookings, actor=actor, now=now)
    changes.write(changed=changed, now=now)
    pushes = [push.Push(users[b.order.account_id], "fill.recorded", _fill_payload(b)) for b in bookings]
    pushes += [push.Push(users[row.account_id], "position.changed", position_payload(row)) for row in positions]
    pushes += [
        push.Push(users[account_id], "account.changed", {"account": str(account_id), "cash_usdc": str(amount)})
        for account_id, amount in cash
    ]
    pushes += changes.order_pushes([change.order for change in changed])
    push.push(pushes=pushes, now=now)


def _positions(bookings: Sequence[_Booking], *, now: datetime) -> list[Position]:
    """Fold every fill of each touched (account, token) anew: cheap, and right in whatever order reports came."""
    pairs = {(booking.order.account_id, booking.order.token_id): booking.order.token for booking in bookings}
    fills: dict[tuple[UUID, int], list[Fill]] = defaultdict(list)
    rows = Fill.objects.filter(
        order__account_id__in={pair[0] for pair in pairs}, token_id__in={pair[1] for pair in pairs}
    ).select_related("order")
    for fill in rows:
        fills[(fill.order.account_id, fill.token_id)].append(fill)
    positions: list[Position] = []
    realized: list[Fill] = []
    for pair, token in pairs.items():
        holding, sales = accounting.fold([settling.fact(fill) for fill in fills[pair]])
        positions.append(_position(pair[0], token, holding, now=now))
        for fill in fills[pair]:
            sale = sales[settling.fill_key(fill.order_id, fill.venue_trade_id)]
            if (fill.realized_pnl_usdc, fill.cost_released_usdc) != (sale.pnl_usdc, sale.cost_released_usdc):
                fill.realized_pnl_usdc, fill.cost_released_usdc = sale.pnl_usdc, sale.cost_released_usdc
                realized.append(fill)
    Fill.objects.bulk_update(realized, ["realized_pnl_usdc", "cost_released_usdc"])
    positions.sort(key=lambda row: (row.account_id, row.token_id))
    Position.objects.bulk_create(
        positions,
        update_conflicts=True,
        unique_fields=["account", "token"],
        update_fields=[
            "shares",
            "sellable_shares",
            "settled_shares",
            "cost_usdc",
            "realized_pnl_usdc",
            "fees_usdc",
            "updated_at",
        ],
    )
    return positions


def _position(account_id: UUID, token: Any, holding: accounting.Holding, *, now: datetime) -> Position:
    return Position(
        account_id=account_id,
        token=token,
        shares=holding.shares,
        sellable_shares=holding.sellable,
        settled_shares=holding.settled,
        cost_usdc=holding.cost_usdc,
        realized_pnl_usdc=holding.realized_usdc,
        fees_usdc=holding.fees_usdc,
        opened_at=now,
        updated_at=now,
    )


def _cash(bookings: Sequence[_Booking], *, now: datetime) -> list[tuple[UUID, Decimal]]:
    change: dict[UUID, Decimal] = defaultdict(lambda: ZERO)
    for booking in bookings:
        before = accounting.cash_effect(booking.before) if booking.before is not None else ZERO
        change[booking.order.account_id] += accounting.cash_effect(settling.fact(booking.fill)) - before
    moved = [(account_id, amount) for account_id, amount in sorted(change.items()) if amount]
    if not moved:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_ADD_CASH, [now, [pair[0] for pair in moved], [pair[1] for pair in moved]])
        return [(row[0], row[1]) for row in cursor.fetchall()]


def _orders(bookings: Sequence[_Booking], *, actor: str, now: datetime) -> list[changes.Changed]:
    orders = {booking.order.pk: booking.order for booking in bookings}
    booked = settling.facts_of(orders.values())
    changed: list[changes.Changed] = []
    for order in sorted(orders.values(), key=lambda order: order.pk):
        was = OrderStatus(order.status)
        order.answered_at = order.answered_at or now
        if not settling.settle(order, booked[order.pk], now=now):
            logger.error("A fill contradicts its order's status", extra={"order": order.pk, "status": order.status})
            risk.halt(account=order.account, reason=f"FILL_OF_{was}_ORDER: order={order.pk}", now=now)
        changed.append(changes.Changed(order, was, actor))
    return changed


def _fill_payload(booking: _Booking) -> dict[str, Any]:
    fill, order = booking.fill, booking.order
    return {
        "order": order.pk,
        "account": str(order.account_id),
        "token": order.token.token_id,
        "trade": fill.venue_trade_id,
        "side": fill.side,
        "price": str(fill.price),
        "shares": str(fill.shares),
        "fee_usdc": str(fill.fee_usdc),
        "status": str(fill.status),
    }


def position_payload(row: Position) -> dict[str, Any]:
    return {
        "account": str(row.account_id),
        "token": row.token.token_id,
        "shares": str(row.shares),
        "sellable_shares": str(row.sellable_shares),
        "settled_shares": str(row.settled_shares),
        "cost_usdc": str(row.cost_usdc),
        "realized_pnl_usdc": str(row.realized_pnl_usdc),
    }


def ensure_balance(*, account_id: UUID, now: datetime) -> None:
    """An account that has none gets an empty balance."""
    Balance.objects.bulk_create([Balance(account_id=account_id, updated_at=now)], ignore_conflicts=True)
