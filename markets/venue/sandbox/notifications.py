"""What the venue noted for an account: canceled, filled and failed orders, decided markets.

Nothing is stored: notes follow from the account's orders and trades, and each keeps its number.
"""

from zlib import crc32

from markets.venue.ports import TradeStatus, VenueOrderStatus
from markets.venue.sandbox import market_rows, wire
from markets.venue.sandbox.auth import Credentials
from markets.venue.sandbox.core import Sandbox
from markets.venue.simulator.orders import Order, Trade

CANCELED, FILLED, RESOLVED, FAILED = 1, 2, 4, 8


def of(sandbox: Sandbox, owner: Credentials) -> list[wire.Json]:
    """Notes not dropped yet, newest first."""
    notes: list[wire.Json] = []
    decided: set[str] = set()
    for order in sandbox.orders_of(owner.signer, live=False):
        condition = order.condition_id
        if condition in sandbox.catalogue.closed:
            decided.add(condition)
        if order.status is VenueOrderStatus.CANCELED:
            notes.append(_order_note(sandbox, order, CANCELED, None))
        for trade in (sandbox.exchange.trades[trade_id] for trade_id in order.trade_ids):
            kind = FAILED if trade.status is TradeStatus.FAILED else FILLED
            notes.append(_order_note(sandbox, order, kind, trade))
    notes += [_resolved_note(sandbox, condition) for condition in decided]
    dropped = sandbox.dropped_notifications.get(owner.signer, set())
    kept = [{**note, "owner": owner.api_key} for note in notes if str(note["id"]) not in dropped]
    return sorted(kept, key=lambda note: (-note["timestamp"], note["id"]))


def _order_note(sandbox: Sandbox, order: Order, kind: int, trade: Trade | None) -> wire.Json:
    new, market = order.new, sandbox.catalogue.by_condition[order.condition_id]
    at_ms = trade.updated_ms if trade is not None else order.created_ms
    payload = {
        "asset_id": new.token_id,
        "market": order.condition_id,
        "order_id": new.order_hash,
        "side": str(new.side),
        "type": str(new.order_type),
        "price": wire.price(order.price_units),
        "original_size": wire.original_size(order),
        "matched_size": wire.amount(order.matched_units),
        "remaining_size": wire.amount(order.remaining_units),
        "outcome": wire.outcome(market, new.token_id),
        "outcome_index": market.token_ids.index(new.token_id),
        "transaction_hash": trade.transaction_hash if trade is not None else "",
        "trade_id": trade.trade_id if trade is not None else "",
        "question": market.question,
        "market_slug": market.slug,
        "icon": "",
        "image": "",
        "eventSlug": market.event_slug,
        "seriesSlug": market.series,
    }
    name = f"{kind}/{new.order_hash}/{payload['trade_id']}"
    return {"id": crc32(name.encode()), "type": kind, "timestamp": at_ms // 1000, "payload": payload}


def _resolved_note(sandbox: Sandbox, condition_id: str) -> wire.Json:
    market = sandbox.catalogue.by_condition[condition_id]
    return {
        "id": crc32(f"{RESOLVED}/{condition_id}".encode()),
        "type": RESOLVED,
        "timestamp": sandbox.catalogue.closed_ms[condition_id] // 1000,
        "payload": {
            **market_rows.clob_market(market, sandbox.facts_of(market)),
            "eventSlug": market.event_slug,
        },
    }
