"""The venue's own shapes: numbers as the strings or numbers it sends, keys in its spelling."""

import hashlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from markets.venue.ports import Side, VenueOrderStatus
from markets.venue.sandbox.events import MarketDef
from markets.venue.simulator.orders import Leg, Order, Trade
from polyhub.lib import money

Json = dict[str, Any]
Level = tuple[int, int]


def encode(payload: object) -> str:
    return msgspec.json.encode(payload).decode()


@lru_cache(maxsize=1 << 16)
def amount(units: int) -> str:
    """Dollars or shares: 18181800 -> "18.1818"."""
    whole, rest = divmod(units, money.UNITS)
    return f"{whole}.{rest:06d}".rstrip("0") if rest else str(whole)


@lru_cache(maxsize=1 << 14)
def price(units: int) -> str:
    whole, rest = divmod(units, money.PRICE_UNITS)
    return f"{whole}.{rest:04d}".rstrip("0") if rest else str(whole)


def number(units: int, scale: int = money.UNITS) -> float:
    """For the few fields the venue sends as JSON numbers."""
    return units / scale


def tick_units(market: MarketDef) -> int:
    return money.price_to_units(market.tick_size)


def book(
    market: MarketDef, token_id: str, bids: Iterable[Level], asks: Iterable[Level], *, now_ms: int, last: str, tick: int
) -> Json:
    """Both sides end with their best level, as the venue sends them; the hash is over this order of keys."""
    payload: Json = {
        "market": market.condition_id,
        "asset_id": token_id,
        "timestamp": str(now_ms),
        "hash": "",
        "bids": [{"price": price(p), "size": amount(s)} for p, s in reversed(list(bids))],
        "asks": [{"price": price(p), "size": amount(s)} for p, s in reversed(list(asks))],
        "min_order_size": str(market.min_order_size),
        "tick_size": price(tick),
        "neg_risk": market.neg_risk,
        "last_trade_price": last,
    }
    payload["hash"] = hashlib.sha1(msgspec.json.encode(payload), usedforsecurity=False).hexdigest()
    return payload


def outcome(market: MarketDef, token_id: str) -> str:
    return market.outcomes[market.token_ids.index(token_id)]


def order_status(order: Order) -> str:
    return order.reason or str(order.status)


def order_row(order: Order, market: MarketDef, *, owner: str, address: str) -> Json:
    new = order.new
    return {
        "id": new.order_hash,
        "status": order_status(order),
        "owner": owner,
        "maker_address": address,
        "market": order.condition_id,
        "asset_id": new.token_id,
        "side": str(new.side),
        "original_size": original_size(order),
        "size_matched": amount(order.matched_units),
        "price": price(order.price_units),
        "outcome": outcome(market, new.token_id),
        "expiration": str(new.expiration_s),
        "order_type": str(new.order_type),
        "associate_trades": list(order.trade_ids),
        "created_at": order.created_ms // 1000,
    }


def original_size(order: Order) -> str:
    """Shares, but the budget in dollars for a market BUY."""
    return amount(order.new.maker_units if order.new.by_budget else order.new.share_units)


def order_event(order: Order, market: MarketDef, *, kind: str, owner: str, address: str, now_ms: int) -> Json:
    row = order_row(order, market, owner=owner, address=address)
    return {
        **row,
        "event_type": "order",
        "type": kind,
        "order_owner": owner,
        "associate_trades": row["associate_trades"] or None,
        "created_at": str(row["created_at"]),
        "timestamp": str(now_ms),
    }


def maker_row(leg: Leg, market: MarketDef, *, owner: str, address: str) -> Json:
    return {
        "order_id": leg.order_hash,
        "owner": owner,
        "maker_address": address,
        "matched_amount": amount(leg.share_units),
        "price": price(leg.price_units),
        "fee_rate_bps": "0",
        "asset_id": leg.token_id,
        "outcome": outcome(market, leg.token_id),
        "outcome_index": market.token_ids.index(leg.token_id),
        "side": str(leg.side),
    }


def trade_row(
    trade: Trade, market: MarketDef, *, owners: Mapping[str, str], addresses: Mapping[str, str], viewer: str
) -> Json:
    """A trade as one of its parties sees it. `owners` by order hash, `addresses` and `viewer` by wallet key."""
    taker = trade.taker
    taking = taker.wallet == viewer
    mine = taker if taking else next(leg for leg in trade.makers if leg.wallet == viewer)
    return {
        "id": trade.trade_id,
        "taker_order_id": taker.order_hash,
        "market": trade.condition_id,
        "asset_id": taker.token_id,
        "side": str(taker.side),
        "size": amount(taker.share_units),
        "fee_rate_bps": str(int(market.fee_rate * 10_000)),
        "price": price(taker.price_units),
        "status": str(trade.status),
        "match_time": str(trade.matched_ms // 1000),
        "match_time_nano": str(trade.matched_ms * 1_000_000),
        "last_update": str(trade.updated_ms // 1000),
        "outcome": outcome(market, taker.token_id),
        "bucket_index": 0,
        "owner": owners.get(mine.order_hash, ""),
        "maker_address": addresses.get(taker.wallet, taker.wallet),
        "transaction_hash": trade.transaction_hash,
        "trader_side": "TAKER" if taking else "MAKER",
        "maker_orders": [
            maker_row(leg, market, owner=owners.get(leg.order_hash, ""), address=addresses.get(leg.wallet, leg.wallet))
            for leg in trade.makers
        ],
    }


def trade_event(row: Json, *, status: str, now_ms: int) -> Json:
    return {
        **row,
        "event_type": "trade",
        "type": "TRADE",
        "status": status,
        "trade_owner": row["owner"],
        "matchtime": row["match_time"],
        "timestamp": str(now_ms),
    }


def placed(order: Order) -> Json:
    """The answer to an accepted order."""
    matched = order.matched_units > 0
    paid, got = order.matched_cost_units, order.matched_units
    making, taking = (paid, got) if order.new.side is Side.BUY else (got, paid)
    return {
        "errorMsg": "",
        "orderID": order.new.order_hash,
        "takingAmount": amount(taking) if matched else "",
        "makingAmount": amount(making) if matched else "",
        "status": "delayed" if order.status is VenueOrderStatus.DELAYED else "matched" if matched else "live",
        "tradeIDs": list(order.trade_ids),
        "success": True,
    }


def refused(message: str) -> Json:
    """An order of a batch that was not accepted."""
    return {"errorMsg": message, "orderID": "", "takingAmount": "", "makingAmount": "", "status": "", "success": False}
