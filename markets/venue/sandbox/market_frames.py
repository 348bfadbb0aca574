"""Frames of the market channel, as the venue sends them: numbers are strings, what is absent is empty."""

from collections.abc import Iterable

from markets.venue.ports import Side
from markets.venue.sandbox import wire
from markets.venue.sandbox.catalogue import Catalogue
from markets.venue.sandbox.events import MarketDef
from markets.venue.simulator.orders import LevelChanged, Trade
from polyhub.lib import money

Best = tuple[int | None, int | None]


def mirrored(change: LevelChanged) -> tuple[Side, int]:
    """A level of the first outcome's book as it stands in the second's: (side, price)."""
    side = Side.SELL if change.side is Side.BUY else Side.BUY
    return side, money.PRICE_UNITS - change.price_units


def price_change(
    market: MarketDef, levels: Iterable[LevelChanged], *, bests: tuple[Best, Best], hashes: tuple[str, str], now_ms: int
) -> wire.Json:
    """One frame with both tokens of the market; `bests` and `hashes` are of their books after the change.

    In recordings the hash of a change equals that of the book it leads to.
    """
    rows: list[wire.Json] = []
    for change in levels:
        places = ((change.side, change.price_units), mirrored(change))
        for token, (side, price), (bid, ask), book_hash in zip(market.token_ids, places, bests, hashes, strict=True):
            row = {
                "asset_id": token,
                "price": wire.price(price),
                "size": wire.amount(change.share_units),
                "side": str(side),
                "hash": book_hash,
                "best_bid": _price(bid),
                "best_ask": _price(ask),
            }
            rows.append(row)
    return {
        "event_type": "price_change",
        "market": market.condition_id,
        "timestamp": str(now_ms),
        "price_changes": rows,
    }


def best_bid_ask(market: MarketDef, token_id: str, best: Best, *, now_ms: int) -> wire.Json:
    bid, ask = best
    return {
        "event_type": "best_bid_ask",
        "market": market.condition_id,
        "asset_id": token_id,
        "best_bid": _price(bid),
        "best_ask": _price(ask),
        "spread": "" if bid is None or ask is None else wire.price(ask - bid),
        "timestamp": str(now_ms),
    }


def last_trade_price(trade: Trade, market: MarketDef, *, now_ms: int) -> wire.Json:
    return {
        "event_type": "last_trade_price",
        "market": trade.condition_id,
        "asset_id": trade.taker.token_id,
        "price": wire.price(trade.taker.price_units),
        "size": wire.amount(trade.taker.share_units),
        "side": str(trade.taker.side),
        "fee_rate_bps": str(int(market.fee_rate * 10_000)),
        "timestamp": str(now_ms),
        "transaction_hash": trade.transaction_hash,
    }


def tick_size_change(market: MarketDef, token_id: str, *, old: int, new: int, now_ms: int) -> wire.Json:
    return {
        "event_type": "tick_size_change",
        "asset_id": token_id,
        "market": market.condition_id,
        "old_tick_size": wire.price(old),
        "new_tick_size": wire.price(new),
        "timestamp": str(now_ms),
    }


def new_market(market: MarketDef, catalogue: Catalogue, *, now_ms: int) -> wire.Json:
    return {
        "event_type": "new_market",
        "id": catalogue.gamma_id(market.condition_id),
        "question": market.question,
        "market": market.condition_id,
        "slug": market.slug,
        "description": market.description,
        "assets_ids": list(market.token_ids),
        "outcomes": list(market.outcomes),
        "event_message": _event(market, catalogue),
        "timestamp": str(now_ms),
        "tags": list(market.tags),
        "condition_id": market.condition_id,
        "active": True,
        "clob_token_ids": list(market.token_ids),
        "sports_market_type": "",
        "line": "",
        "game_start_time": None,
        "order_price_min_tick_size": str(market.tick_size),
        "group_item_title": "",
        "taker_base_fee": "0",
        "fees_enabled": market.fee_rate > 0,
        "fee_schedule": {"rate": str(market.fee_rate), "exponent": str(market.fee_exponent), "taker_only": True},
    }


def market_resolved(market: MarketDef, catalogue: Catalogue, *, winning_token: str, now_ms: int) -> wire.Json:
    return {
        "event_type": "market_resolved",
        "id": catalogue.gamma_id(market.condition_id),
        "market": market.condition_id,
        "assets_ids": list(market.token_ids),
        "winning_asset_id": winning_token,
        "winning_outcome": wire.outcome(market, winning_token),
        "event_message": _event(market, catalogue),
        "timestamp": str(now_ms),
        "tags": list(market.tags),
    }


def _event(market: MarketDef, catalogue: Catalogue) -> wire.Json:
    slug = market.event_slug or market.slug
    return {
        "id": catalogue.event_id(market),
        "ticker": slug,
        "slug": slug,
        "title": market.event_title or market.question,
        "description": market.description,
    }


def _price(units: int | None) -> str:
    return "" if units is None else wire.price(units)
