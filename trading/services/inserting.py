"""Inserting many orders and events as one JSON value each: a tenth of what building long statements costs.

Hot path. Budget: 200 orders with their events in 20 ms of our own time.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from polyhub.lib import prepared
from trading.models import Order

_ORDER: tuple[tuple[str, str], ...] = (
    ("account_id", "uuid"),
    ("client_order_id", "uuid"),
    ("token_id", "bigint"),
    ("side", "text"),
    ("order_type", "text"),
    ("price", "numeric"),
    ("shares", "numeric"),
    ("post_only", "boolean"),
    ("expires_at", "timestamptz"),
    ("maker_units", "bigint"),
    ("taker_units", "bigint"),
    ("salt", "bigint"),
    ("timestamp_ms", "bigint"),
    ("status", "text"),
    ("code", "text"),
    ("message", "text"),
    ("service", "text"),
    ("attempts", "int"),
    ("filled_shares", "numeric"),
    ("filled_usdc", "numeric"),
    ("fee_usdc", "numeric"),
    ("venue_trade_ids", "jsonb"),
    ("admitted_usdc", "numeric"),
    ("reserved_usdc", "numeric"),
    ("reserved_shares", "numeric"),
    ("source", "text"),
    ("source_ref", "text"),
    ("actor", "text"),
    ("risk_verdict", "text"),
    ("created_at", "timestamptz"),
    ("closed_at", "timestamptz"),
    ("updated_at", "timestamptz"),
)
_EVENT: tuple[tuple[str, str], ...] = (
    ("order_id", "bigint"),
    ("from_status", "text"),
    ("to_status", "text"),
    ("code", "text"),
    ("detail", "jsonb"),
    ("actor", "text"),
    ("at", "timestamptz"),
)


def _statement(table: str, columns: tuple[tuple[str, str], ...], returning: str = "") -> str:
    names = ", ".join(name for name, _ in columns)
    typed = ", ".join(f"{name} {kind}" for name, kind in columns)
    return (
        f"INSERT INTO {table} ({names}) SELECT {names} "
        f"FROM jsonb_to_recordset(%s::jsonb) AS rows(n int, {typed}) ORDER BY n {returning}"
    )


_INSERT_ORDERS = f"""
WITH made AS ({_statement("trading_order", _ORDER, "RETURNING client_order_id, id, status, code, actor, created_at")}),
told AS (INSERT INTO trading_orderevent (order_id, from_status, to_status, code, detail, actor, at)
         SELECT id, '', status, code, '{{}}', actor, created_at FROM made ORDER BY id)
SELECT client_order_id, id FROM made
"""
_INSERT_EVENTS = _statement("trading_orderevent", _EVENT)


def insert_orders(orders: Sequence[Order]) -> None:
    """Store new orders, each with its first event, and set their ids."""
    if not orders:
        return
    names = [name for name, _ in _ORDER]
    rows = [{"n": n, **{name: getattr(order, name) for name in names}} for n, order in enumerate(orders)]
    ids: dict[UUID, int] = dict(prepared.rows(_INSERT_ORDERS, [as_json(rows)]))
    for order in orders:
        order.pk = ids[order.client_order_id]


def insert_events(events: Sequence[Mapping[str, Any]]) -> None:
    """Store order events given by their columns."""
    if not events:
        return
    prepared.run(_INSERT_EVENTS, [as_json([{"n": n, **event} for n, event in enumerate(events)])])


def as_json(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as `jsonb_to_recordset` reads them, amounts and times exact."""
    return json.dumps(rows, default=_plain)


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal | UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in a row")
