"""Gamma and Data API v2: what anybody may read about markets and wallets."""

from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import web

from markets.venue.ports import Side
from markets.venue.sandbox import wire
from markets.venue.sandbox.core import Sandbox
from markets.venue.sandbox.events import MarketDef
from markets.venue.sandbox.http import cursor_of, error, offset_of, query_int, reply
from markets.venue.sandbox.record import PublicTrade

_ORDERS = {"volumeNum", "volume24hr", "liquidityNum", "startDate", "endDate", "id", "bestBid", "lastTradePrice"}


class Gamma:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/gamma/markets/keyset", self.markets),
            web.get("/gamma/events/keyset", self.events),
            web.get("/gamma/markets/slug/{slug}", self.market_by_slug),
            web.get("/gamma/markets/{market_id}", self.market),
            web.get("/gamma/public-profile", self.profile),
        ]

    async def markets(self, request: web.Request) -> web.Response:
        rows = self._rows(request)
        order = request.query.get("order", "")
        if order and order not in _ORDERS:
            return error(f"order fields are not valid: {order}", status=422)
        if order:
            rows.sort(key=lambda row: row[order] or "", reverse=request.query.get("ascending") != "true")
        return _keyset(request, "markets", rows, most=100)

    async def events(self, request: web.Request) -> web.Response:
        events: dict[str, wire.Json] = {}
        for row in self._rows(request, slugs=False):
            event = row["events"][0]
            found = events.setdefault(event["id"], {**event, "active": True, "closed": row["closed"], "markets": []})
            found["markets"].append({key: value for key, value in row.items() if key != "events"})
        wanted = request.query.getall("slug", [])
        chosen = [event for event in events.values() if not wanted or event["slug"] in wanted]
        return _keyset(request, "events", chosen, most=500)

    async def market(self, request: web.Request) -> web.Response:
        found = self._sandbox.catalogue.by_gamma_id(request.match_info["market_id"])
        return error("id not found", status=404) if found is None else reply(self._row(found))

    async def market_by_slug(self, request: web.Request) -> web.Response:
        found = self._sandbox.catalogue.by_slug.get(request.match_info["slug"])
        return error("slug not found", status=404) if found is None else reply(self._row(found))

    async def profile(self, request: web.Request) -> web.Response:
        found = self._sandbox.catalogue.profile(request.query.get("address", ""))
        return error("profile not found", status=404) if found is None else reply(found)

    def _rows(self, request: web.Request, *, slugs: bool = True) -> list[wire.Json]:
        query, catalogue = request.query, self._sandbox.catalogue
        conditions = query.getall("condition_ids", [])
        tokens = set(query.getall("clob_token_ids", []))
        wanted = set(query.getall("slug", [])) if slugs else set()
        closed = query.get("closed", "false") == "true"
        chosen = [catalogue.by_condition[c] for c in conditions if c in catalogue.by_condition] if conditions else None
        return [
            self._row(market)
            for market in (chosen if chosen is not None else catalogue.by_condition.values())
            if (not tokens or tokens & set(market.token_ids))
            and (not wanted or market.slug in wanted)
            and (market.condition_id in catalogue.closed) is closed
        ]

    def _row(self, market: MarketDef) -> wire.Json:
        exchange = self._sandbox.exchange
        spec = exchange.market(market.token_ids[0])
        tick = spec.tick_units if spec else wire.tick_units(market)
        return self._sandbox.catalogue.market_row(market, tick=tick, best=exchange.best(market.token_ids[0]))


class DataApi:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/data/v2/trades", self.trades),
            web.get("/data/v2/activity", self.activity),
            web.get("/data/v2/positions", self.positions),
            web.get("/data/v2/value", self.value),
            web.get("/data/v2/leaderboard", self.leaderboard),
            web.get("/data/v2/status", self.status),
        ]

    async def trades(self, request: web.Request) -> web.Response:
        taker_only = request.query.get("taker_only", "true") != "false"
        rows = [
            trade
            for trade in self._trades(request)
            if trade.kind == "TRADE" and (trade.taker or not taker_only) and _between(request, trade)
        ]
        return _data_page(request, rows, self._sandbox.catalogue.trade_row)

    async def activity(self, request: web.Request) -> web.Response:
        if not request.query.get("user"):
            return _bad("user")
        kinds = set(filter(None, request.query.get("type", "").split(",")))
        rows = [t for t in self._trades(request) if (not kinds or t.kind in kinds) and _between(request, t)]
        if request.query.get("sort_direction") == "ASC":
            rows.reverse()
        return _data_page(request, rows, self._sandbox.catalogue.activity_row)

    async def positions(self, request: web.Request) -> web.Response:
        user, status = request.query.get("user", "").lower(), request.query.get("status", "")
        if not user:
            return _bad("user")
        dust = float(request.query.get("filter_amount") or 0.1)
        conditions = _conditions(request)
        rows = [self._sandbox.catalogue.position_row(one) for one in self._sandbox.record.positions(user)]
        chosen = [
            row
            for row in rows
            if (row["status"] == status if status else row["status"] != "CLOSED")
            and (row["status"] == "CLOSED" or row["current_size"] >= dust)
            and (not conditions or row["condition_id"] in conditions)
        ]
        chosen.sort(key=lambda row: (-row["current_value"], row["token_id"]))
        return _data_page(request, chosen, lambda row: row)

    async def value(self, request: web.Request) -> web.Response:
        user = request.query.get("user", "").lower()
        if not user:
            return _bad("user")
        record = self._sandbox.record
        total = sum(record.value_units(position) for position in record.positions(user))
        return reply({"data": {"proxy_wallet": user, "value": wire.number(total)}})

    async def leaderboard(self, request: web.Request) -> web.Response:
        standings = self._sandbox.record.standings()
        if request.query.get("sort_by") == "VOLUME":
            standings.sort(key=lambda one: (-one.volume_units, one.wallet))
        rows = [
            {
                "rank": rank,
                "user_id": one.wallet,
                "user_name": (self._sandbox.catalogue.profile(one.wallet) or {}).get("name", ""),
                "pnl": wire.number(one.pnl_units),
                "volume": wire.number(one.volume_units),
                "profile_image": "",
                "x_username": "",
                "verified": False,
            }
            for rank, one in enumerate(standings, start=1)
        ]
        user = request.query.get("user", "").lower()
        if user:
            return reply({"data": next((row for row in rows if row["user_id"] == user), None)})
        return _data_page(request, rows, lambda row: row)

    async def status(self, request: web.Request) -> web.Response:
        return reply({"data": {"status": "ok", "timestamp": self._sandbox.now_ms() // 1000}})

    def _trades(self, request: web.Request) -> list[PublicTrade]:
        """Newest first, of a user, some conditions, a side."""
        record = self._sandbox.record
        user, conditions = request.query.get("user", "").lower(), _conditions(request)
        rows: Sequence[PublicTrade] = record.by_wallet.get(user, [])
        if not user:
            rows = record.by_condition[next(iter(conditions))] if len(conditions) == 1 else record.trades
        side = request.query.get("side", "")
        return [
            trade
            for trade in reversed(rows)
            if (not conditions or trade.condition_id in conditions) and (not side or trade.side is Side(side))
        ]


def _conditions(request: web.Request) -> set[str]:
    text = request.query.get("condition", "") or request.query.get("condition_id", "")
    return set(filter(None, text.split(",")))


def _between(request: web.Request, trade: PublicTrade) -> bool:
    return query_int(request, "start", 0) <= trade.traded_s <= query_int(request, "end", 2**62)


def _bad(parameter: str) -> web.Response:
    payload = {"error": f"{parameter} is required", "code": "invalid_parameter", "retryable": False, "trace_id": ""}
    return reply({**payload, "parameter": parameter}, status=400)


def _data_page(request: web.Request, rows: Sequence[Any], as_row: Callable[[Any], wire.Json]) -> web.Response:
    """A page in the Data API's envelope."""
    if query_int(request, "offset", 0):
        return _bad("offset")
    limit = min(max(query_int(request, "limit", 100), 1), 1_000)
    start = offset_of(request.query.get("cursor", ""))
    more = start + limit < len(rows)
    return reply(
        {
            "data": [as_row(row) for row in rows[start : start + limit]],
            "pagination": {
                "limit": limit,
                "offset": start,
                "has_more": more,
                "next_cursor": cursor_of(start + limit) if more else None,
            },
        }
    )


def _keyset(request: web.Request, key: str, rows: Sequence[wire.Json], *, most: int) -> web.Response:
    limit = min(max(query_int(request, "limit", 20), 1), most)
    start = offset_of(request.query.get("after_cursor", ""))
    payload: wire.Json = {key: list(rows[start : start + limit])}
    if start + limit < len(rows):
        payload["next_cursor"] = cursor_of(start + limit)
    return reply(payload)
