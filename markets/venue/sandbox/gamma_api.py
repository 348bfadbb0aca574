"""Gamma: what anybody may read about events and markets. Listings by keyset; the old ones still answer, deprecated."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from markets.venue.sandbox import market_rows, wire
from markets.venue.sandbox.core import Sandbox
from markets.venue.sandbox.events import MarketDef
from markets.venue.sandbox.http import cursor_of, error, offset_of, query_int, reply

_SORTED_BY = frozenset({"id", "slug", "volume24hr", "volume1wk", "startDate", "endDate", "createdAt", "closedTime"})
_MARKET_ORDERS = _SORTED_BY | {
    *("volumeNum", "liquidityNum", "bestBid", "bestAsk", "lastTradePrice", "spread", "competitive"),
    "oneDayPriceChange",
}
_EVENT_ORDERS = _SORTED_BY | {"title", "volume", "liquidity", "competitive", "commentCount"}
_MOST_MARKETS, _MOST_EVENTS = 100, 500
_OLD = {"Deprecation": "true", "Sunset": "Fri, 01 May 2026 00:00:00 GMT"}


class Gamma:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/gamma/markets/keyset", self.markets),
            web.get("/gamma/markets", self.old_markets),
            web.get("/gamma/markets/slug/{slug}", self.market_by_slug),
            web.get("/gamma/markets/{market_id}", self.market),
            web.get("/gamma/markets/{market_id}/tags", self.market_tags),
            web.get("/gamma/events/keyset", self.events),
            web.get("/gamma/events", self.old_events),
            web.get("/gamma/events/slug/{slug}", self.event_by_slug),
            web.get("/gamma/events/{event_id}", self.event),
            web.get("/gamma/events/{event_id}/tags", self.event_tags),
            web.get("/gamma/series", self.series),
            web.get("/gamma/series/{series_id}", self.one_series),
            web.get("/gamma/tags", self.tags),
            web.get("/gamma/tags/slug/{slug}", self.tag_by_slug),
            web.get("/gamma/tags/{tag_id}", self.tag),
            web.get("/gamma/tags/{tag_id}/related-tags", self.nothing),
            web.get("/gamma/tags/{tag_id}/related-tags/tags", self.nothing),
            web.get("/gamma/tags/slug/{slug}/related-tags", self.nothing),
            web.get("/gamma/tags/slug/{slug}/related-tags/tags", self.nothing),
            web.get("/gamma/sports", self.nothing),
            web.get("/gamma/sports/market-types", self.market_types),
            web.get("/gamma/teams", self.nothing),
            web.get("/gamma/comments", self.nothing),
            web.get("/gamma/comments/keyset", self.no_comments),
            web.get("/gamma/comments/{comment_id}", self.nothing),
            web.get("/gamma/comments/user_address/{address}", self.nothing),
            web.get("/gamma/public-profile", self.profile),
            web.get("/gamma/public-search", self.search),
        ]

    # -- markets -------------------------------------------------------------------------------------------------

    async def markets(self, request: web.Request) -> web.Response:
        if "offset" in request.query:
            return error("offset is not supported on keyset endpoints; use after_cursor", status=422)
        found = self._found_markets(request)
        return found if isinstance(found, web.Response) else self._keyset(request, "markets", found, _MOST_MARKETS)

    async def old_markets(self, request: web.Request) -> web.Response:
        found = self._found_markets(request)
        return found if isinstance(found, web.Response) else self._offset(request, found, _MOST_EVENTS)

    async def market(self, request: web.Request) -> web.Response:
        found = self._sandbox.catalogue.by_gamma_id(request.match_info["market_id"])
        return error("id not found", status=404) if found is None else reply(self._market_row(found))

    async def market_by_slug(self, request: web.Request) -> web.Response:
        found = self._sandbox.catalogue.by_slug.get(request.match_info["slug"])
        return error("slug not found", status=404) if found is None else reply(self._market_row(found))

    async def market_tags(self, request: web.Request) -> web.Response:
        found = self._sandbox.catalogue.by_gamma_id(request.match_info["market_id"])
        return error("id not found", status=404) if found is None else reply(market_rows.tags_of(found))

    # -- events --------------------------------------------------------------------------------------------------

    async def events(self, request: web.Request) -> web.Response:
        if "offset" in request.query:
            return error("offset is not supported on keyset endpoints; use after_cursor", status=422)
        found = self._found_events(request)
        return found if isinstance(found, web.Response) else self._keyset(request, "events", found, _MOST_EVENTS)

    async def old_events(self, request: web.Request) -> web.Response:
        found = self._found_events(request)
        return found if isinstance(found, web.Response) else self._offset(request, found, _MOST_EVENTS)

    async def event(self, request: web.Request) -> web.Response:
        found = self._by_event(self._sandbox.catalogue.by_condition.values()).get(request.match_info["event_id"])
        return error("id not found", status=404) if found is None else reply(self._event_row(found))

    async def event_by_slug(self, request: web.Request) -> web.Response:
        found = self._event_of_slug(request.match_info["slug"])
        return error("slug not found", status=404) if found is None else reply(self._event_row(found))

    async def event_tags(self, request: web.Request) -> web.Response:
        found = self._by_event(self._sandbox.catalogue.by_condition.values()).get(request.match_info["event_id"])
        return error("id not found", status=404) if found is None else reply(market_rows.tags_of(found[0]))

    # -- series, tags, people ------------------------------------------------------------------------------------

    async def series(self, request: web.Request) -> web.Response:
        known = {one.series for one in self._sandbox.catalogue.by_condition.values() if one.series}
        wanted = request.query.getall("slug", [])
        rows = [market_rows.series_row(slug) for slug in sorted(known) if not wanted or slug in wanted]
        return reply(_window(request, rows))

    async def one_series(self, request: web.Request) -> web.Response:
        for market in self._sandbox.catalogue.by_condition.values():
            row = market_rows.series_row(market.series) if market.series else {}
            if row.get("id") == request.match_info["series_id"]:
                return reply(row)
        return error("id not found", status=404)

    async def tags(self, request: web.Request) -> web.Response:
        return reply(_window(request, self._tags()))

    async def tag(self, request: web.Request) -> web.Response:
        found = next((row for row in self._tags() if row["id"] == request.match_info["tag_id"]), None)
        return error("id not found", status=404) if found is None else reply(found)

    async def tag_by_slug(self, request: web.Request) -> web.Response:
        found = next((row for row in self._tags() if row["slug"] == request.match_info["slug"]), None)
        return error("slug not found", status=404) if found is None else reply(found)

    async def market_types(self, request: web.Request) -> web.Response:
        return reply({"marketTypes": ["moneyline", "spreads", "totals"]})

    async def nothing(self, request: web.Request) -> web.Response:
        """Teams, leagues and comments: a local venue has none."""
        return reply([])

    async def no_comments(self, request: web.Request) -> web.Response:
        return reply({"comments": []})

    async def profile(self, request: web.Request) -> web.Response:
        found = self._sandbox.catalogue.profile(request.query.get("address", ""))
        return error("profile not found", status=404) if found is None else reply(found)

    async def search(self, request: web.Request) -> web.Response:
        """Open events whose title, question or slug has every word; people by name when asked for."""
        words = request.query.get("q", "").lower().split()
        if not words:
            return error("q is required", status=422)
        limit, page = max(query_int(request, "limit_per_type", 5), 1), max(query_int(request, "page", 1), 1)
        catalogue, start = self._sandbox.catalogue, (page - 1) * limit
        open_ones = [one for one in catalogue.by_condition.values() if one.condition_id not in catalogue.closed]
        found = [one for one in open_ones if all(word in _text_of(one) for word in words)]
        events = list(self._by_event(found).values())
        shown = [self._event_row(one) for one in events[start : start + limit]]
        answer: wire.Json = {
            "events": shown,
            "pagination": {"hasMore": start + limit < len(events), "totalResults": len(events)},
        }
        if request.query.get("search_tags") == "true":
            rows = [row for row in self._tags() if all(word in row["slug"] for word in words)]
            answer["tags"] = [{**row, "event_count": 1} for row in rows[:limit]]
        if request.query.get("search_profiles") == "true":
            named = [one for one in catalogue.wallets.values() if one.name and words[0] in one.name.lower()]
            answer["profiles"] = [{**(catalogue.profile(one.key) or {}), "id": one.key} for one in named[:limit]]
        return reply(answer)

    # -- choosing and showing ------------------------------------------------------------------------------------

    def _found_markets(self, request: web.Request) -> list[Callable[[], wire.Json]] | web.Response:
        order = request.query.get("order", "")
        if order and order not in _MARKET_ORDERS:
            return error(f"order fields are not valid: {order}", status=422)
        chosen = [market for market in self._wanted(request) if self._matches(request, market, slugs=True)]
        return _ordered(request, order, [lambda market=market: self._market_row(market) for market in chosen])  # type: ignore[misc]

    def _found_events(self, request: web.Request) -> list[Callable[[], wire.Json]] | web.Response:
        order = request.query.get("order", "")
        if order and order not in _EVENT_ORDERS:
            return error(f"order fields are not valid: {order}", status=422)
        slugs, ids = set(request.query.getall("slug", [])), set(request.query.getall("id", []))
        series, tags = set(request.query.getall("series_id", [])), set(request.query.getall("tag_id", []))
        tag_slug, closed = request.query.get("tag_slug", ""), _flag(request, "closed", "false")
        chosen: list[Callable[[], wire.Json]] = []
        for event_id, markets in self._by_event(self._sandbox.catalogue.by_condition.values()).items():
            first = markets[0]
            own = {row["id"] for row in market_rows.tags_of(first)}
            if (
                (not slugs or first.event_slug in slugs)
                and (not ids or event_id in ids)
                and (not tags or tags & own)
                and (not tag_slug or tag_slug in {row["slug"] for row in market_rows.tags_of(first)})
                and (not series or (first.series and market_rows.series_row(first.series)["id"] in series))
                and (closed is None or all(self._is_closed(one) for one in markets) is closed)
            ):
                chosen.append(lambda markets=markets: self._event_row(markets))  # type: ignore[misc]
        return _ordered(request, order, chosen)

    def _wanted(self, request: web.Request) -> Iterable[MarketDef]:
        """Markets that are named, or all."""
        conditions = request.query.getall("condition_ids", [])
        known = self._sandbox.catalogue.by_condition
        if not conditions:
            return list(known.values())
        padded = [one if len(one) == 66 else f"{one}00" for one in conditions]
        return [known[one] for one in dict.fromkeys([*conditions, *padded]) if one in known]

    def _matches(self, request: web.Request, market: MarketDef, *, slugs: bool) -> bool:
        query, closed = request.query, _flag(request, "closed", "false")
        tokens = set(query.getall("clob_token_ids", []) + query.getall("position_ids", []))
        wanted, ids = set(query.getall("slug", [])), set(query.getall("id", []))
        tags = set(query.getall("tag_id", []))
        if closed is not None and self._is_closed(market) is not closed:
            return False
        if (tokens and not tokens & set(market.token_ids)) or (slugs and wanted and market.slug not in wanted):
            return False
        if ids and self._sandbox.catalogue.gamma_id(market.condition_id) not in ids:
            return False
        if tags and not tags & {row["id"] for row in market_rows.tags_of(market)}:
            return False
        if query.get("version") not in (None, "", market_rows.version(market)):
            return False
        return self._within(request, market)

    def _within(self, request: web.Request, market: MarketDef) -> bool:
        query = request.query
        low, high = query.get("end_date_min"), query.get("end_date_max")
        if (low or high) and not market.end_date:
            return False
        if (low and _at(market.end_date) < _at(low)) or (high and _at(market.end_date) > _at(high)):
            return False
        volume, liquidity = query.get("volume_num_min"), query.get("liquidity_num_min")
        if not (volume or liquidity):
            return True
        row = self._market_row(market)
        return bool(row["volumeNum"] >= float(volume or 0) and row["liquidityNum"] >= float(liquidity or 0))

    def _keyset(
        self, request: web.Request, key: str, rows: Sequence[Callable[[], wire.Json]], most: int
    ) -> web.Response:
        limit = min(max(query_int(request, "limit", 20), 1), most)
        start = offset_of(request.query.get("after_cursor", ""))
        payload: wire.Json = {key: [row() for row in rows[start : start + limit]]}
        if start + limit < len(rows):
            payload["next_cursor"] = cursor_of(start + limit)
        return reply(payload)

    def _offset(self, request: web.Request, rows: Sequence[Callable[[], wire.Json]], most: int) -> web.Response:
        limit, start = min(max(query_int(request, "limit", 20), 1), most), query_int(request, "offset", 0)
        return reply([row() for row in rows[start : start + limit]], headers=_OLD)

    def _by_event(self, markets: Iterable[MarketDef]) -> dict[str, list[MarketDef]]:
        found: dict[str, list[MarketDef]] = {}
        for market in markets:
            found.setdefault(self._sandbox.catalogue.event_id(market), []).append(market)
        return found

    def _event_of_slug(self, slug: str) -> list[MarketDef] | None:
        markets = [one for one in self._sandbox.catalogue.by_condition.values() if one.event_slug == slug]
        return markets or None

    def _is_closed(self, market: MarketDef) -> bool:
        return market.condition_id in self._sandbox.catalogue.closed

    def _tags(self) -> list[wire.Json]:
        labels = {
            label for one in self._sandbox.catalogue.by_condition.values() for label in market_rows.tag_names(one)
        }
        return [market_rows.tag_row(label) for label in sorted(labels)]

    def _event_row(self, markets: Sequence[MarketDef]) -> wire.Json:
        pairs = [(one, self._sandbox.facts_of(one)) for one in markets]
        row = market_rows.gamma_event(self._sandbox.catalogue.event_id(markets[0]), pairs)
        return {**row, "markets": [market_rows.gamma_market(one, facts) for one, facts in pairs]}

    def _market_row(self, market: MarketDef) -> wire.Json:
        facts = self._sandbox.facts_of(market)
        event = market_rows.gamma_event(self._sandbox.catalogue.event_id(market), [(market, facts)])
        row = market_rows.gamma_market(market, facts)
        return {**row, "events": [event], "tags": market_rows.tags_of(market)}


def _ordered(request: web.Request, order: str, rows: list[Callable[[], wire.Json]]) -> list[Callable[[], wire.Json]]:
    """Rows are made only when they are shown or must be compared."""
    if not order:
        return rows
    made = [row() for row in rows]
    made.sort(key=lambda row: _comparable(row.get(order)), reverse=request.query.get("ascending") != "true")
    return [lambda row=row: row for row in made]  # type: ignore[misc]


def _comparable(value: Any) -> tuple[int, Any]:
    """Absent values last when descending, text and numbers never compared."""
    if value is None or value == "":
        return 0, 0
    return (2, value) if isinstance(value, str) else (1, value)


def _flag(request: web.Request, name: str, default: str) -> bool | None:
    text = request.query.get(name, default)
    return None if text == "" else text == "true"


def _window(request: web.Request, rows: Sequence[wire.Json]) -> Sequence[wire.Json]:
    start = query_int(request, "offset", 0)
    return rows[start : start + max(query_int(request, "limit", 100), 1)]


def _at(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _text_of(market: MarketDef) -> str:
    return f"{market.event_title} {market.question} {market.slug} {market.event_slug}".lower()
