"""Writing order changes: rows, events and pushes of one batch, in the transaction of the change.

Callers hold the row locks of the orders they changed. Pushes take the users' stream locks, so this comes last.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import QuerySet

from polyhub.lib import push
from trading.domain.orders import OrderStatus, advance
from trading.models import Order
from trading.services import inserting

# Columns an order's life may change, with their SQL types. Terms never change; the signed bytes are written once,
# with the claim.
_COLUMNS: tuple[tuple[str, str], ...] = (
    ("status", "text"),
    ("code", "text"),
    ("message", "text"),
    ("order_hash", "text"),
    ("service", "text"),
    ("fencing_token", "bigint"),
    ("attempts", "int"),
    ("cancel_requested_at", "timestamptz"),
    ("filled_shares", "numeric"),
    ("filled_usdc", "numeric"),
    ("fee_usdc", "numeric"),
    ("reserved_usdc", "numeric"),
    ("reserved_shares", "numeric"),
    ("sent_at", "timestamptz"),
    ("answered_at", "timestamptz"),
    ("closed_at", "timestamptz"),
    ("watch_until", "timestamptz"),
    ("updated_at", "timestamptz"),
    ("venue_trade_ids", "jsonb"),
)
_SETS = ", ".join(f"{name} = v.{name}" for name, _ in _COLUMNS)
_TYPED = ", ".join(f"{name} {kind}" for name, kind in _COLUMNS)
_UPDATE = f"""
UPDATE trading_order o SET {_SETS}
FROM jsonb_to_recordset(%s::jsonb) AS v(id bigint, {_TYPED}) WHERE o.id = v.id
"""


@dataclass(slots=True)
class Changed:
    """One locked order with the status it had, and what its event will say."""

    order: Order
    was: OrderStatus
    actor: str
    detail: dict[str, Any] = field(default_factory=dict)


def locked(orders: QuerySet[Order]) -> QuerySet[Order]:
    """Lock orders in id order (every writer does, so that none waits in a circle), with their account and token."""
    rows = orders.select_related("account", "token").defer("wire")
    return rows.select_for_update(of=("self",)).order_by("id")


def move(order: Order, to: OrderStatus, *, now: datetime, code: str = "", message: str = "") -> None:
    """Set a new status in memory; raises IllegalTransition. Finished orders free what they held back."""
    order.status = advance(OrderStatus(order.status), to)
    order.code = code
    order.message = message[:500]
    order.updated_at = now


def write(*, changed: Sequence[Changed], now: datetime) -> None:
    """Save every changed order in one statement, and an event for each whose status changed."""
    if not changed:
        return
    _save(changed)
    events = [
        {
            "order_id": change.order.pk,
            "from_status": change.was,
            "to_status": change.order.status,
            "code": change.order.code,
            "detail": change.detail,
            "actor": change.actor,
            "at": now,
        }
        for change in changed
        if change.was != change.order.status or change.detail
    ]
    inserting.insert_events(events)


def order_push(order: Order, user_id: int) -> push.Push:
    return push.Push(user_id, "order.changed", payload_of(order, token=order.token.token_id))


def order_pushes(orders: Iterable[Order]) -> list[push.Push]:
    """One `order.changed` per order, for the account's user."""
    return [order_push(order, order.account.user_id) for order in orders]


def payload_of(order: Order, *, token: str) -> dict[str, Any]:
    """The row as browsers see it; numbers as strings."""
    return {
        "id": order.pk,
        "account": str(order.account_id),
        "client_order_id": str(order.client_order_id),
        "token": token,
        "side": order.side,
        "type": order.order_type,
        "price": str(order.price),
        "shares": str(order.shares),
        "filled_shares": str(order.filled_shares),
        "status": str(order.status),
        "code": order.code,
        "source": order.source,
        "source_ref": order.source_ref,
    }


def _save(changed: Sequence[Changed]) -> None:
    names = [name for name, _ in _COLUMNS]
    rows = [
        {
            "id": change.order.pk,
            **{name: getattr(change.order, name) for name in names},
        }
        for change in changed
    ]
    with connection.cursor() as cursor:
        cursor.execute(_UPDATE, [inserting.as_json(rows)])
