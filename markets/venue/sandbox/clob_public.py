"""CLOB routes that need no key: books, prices, trading parameters of markets."""

from collections.abc import Callable

import msgspec
from aiohttp import web

from markets.venue.ports import Side
from markets.venue.sandbox import market_rows, wire
from markets.venue.sandbox.core import Sandbox, UnknownMarket
from markets.venue.sandbox.events import MarketDef
from markets.venue.sandbox.http import page, reply
from markets.venue.sandbox.market_rows import Facts
from markets.venue.sandbox.messages import TokenRequest
from polyhub.lib import money

_TOKENS = msgspec.json.Decoder(list[TokenRequest])
_SPANS_S = {"1h": 3_600, "6h": 21_600, "1d": 86_400, "1w": 604_800, "1m": 2_592_000}


_MARKETS_PAGE = 1_000
_MOST_HISTORIES = 20


class _Histories(msgspec.Struct, frozen=True):
    markets: list[str]
    interval: str = "max"
    start_ts: int | None = None
    end_ts: int | None = None
    fidelity: int = 0


_HISTORIES = msgspec.json.Decoder(_Histories)


class ClobPublic:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/clob/ok", self.ok),
            web.get("/clob/", self.ok),
            web.get("/clob/time", self.time),
            web.get("/clob/version", self.version),
            web.get("/clob/book", self.book),
            web.post("/clob/books", self.books),
            web.get("/clob/price", self.price),
            web.post("/clob/prices", self.prices),
            web.get("/clob/midpoint", self.midpoint),
            web.post("/clob/midpoints", self.midpoints),
            web.get("/clob/spread", self.spread),
            web.post("/clob/spreads", self.spreads),
            web.get("/clob/last-trade-price", self.last_trade_price),
            web.post("/clob/last-trades-prices", self.last_trades_prices),
            web.get("/clob/tick-size", self.tick_size),
            web.get("/clob/neg-risk", self.neg_risk),
            web.get("/clob/fee-rate", self.fee_rate),
            web.get("/clob/markets-by-token/{token}", self.market_by_token),
            web.get("/clob/clob-markets/{condition}", self.clob_market),
            web.get("/clob/markets", self.markets),
            web.get("/clob/simplified-markets", self.simplified_markets),
            web.get("/clob/sampling-markets", self.sampling_markets),
            web.get("/clob/sampling-simplified-markets", self.sampling_simplified_markets),
            web.get("/clob/markets/live-activity/{condition}", self.live_activity),
            web.get("/clob/markets/{condition}", self.market),
            web.post("/clob/batch-prices-history", self.batch_prices_history),
            web.get("/clob/prices-history", self.prices_history),
        ]

    async def ok(self, request: web.Request) -> web.Response:
        return reply("OK")

    async def time(self, request: web.Request) -> web.Response:
        return reply(self._sandbox.now_ms() // 1000)

    async def version(self, request: web.Request) -> web.Response:
        return reply({"version": 2})

    async def book(self, request: web.Request) -> web.Response:
        return reply(self._book(request.query.get("token_id", "")))

    async def books(self, request: web.Request) -> web.Response:
        asked = [one.token_id for one in await self._tokens(request)]
        return reply([self._book(token) for token in asked if token in self._sandbox.catalogue.by_token])

    async def price(self, request: web.Request) -> web.Response:
        return reply(
            {"price": wire.price(self._price(request.query.get("token_id", ""), request.query.get("side", "")))}
        )

    async def prices(self, request: web.Request) -> web.Response:
        answer: dict[str, dict[str, str]] = {}
        for one in await self._tokens(request):
            answer.setdefault(one.token_id, {})[one.side] = wire.price(self._price(one.token_id, one.side))
        return reply(answer)

    async def midpoint(self, request: web.Request) -> web.Response:
        return reply({"mid": self._midpoint(request.query.get("token_id", ""))})

    async def midpoints(self, request: web.Request) -> web.Response:
        return reply({one.token_id: self._midpoint(one.token_id) for one in await self._tokens(request)})

    async def spread(self, request: web.Request) -> web.Response:
        return reply({"spread": self._spread(request.query.get("token_id", ""))})

    async def spreads(self, request: web.Request) -> web.Response:
        return reply({one.token_id: self._spread(one.token_id) for one in await self._tokens(request)})

    async def last_trade_price(self, request: web.Request) -> web.Response:
        return reply(self._last_trade(request.query.get("token_id", "")))

    async def last_trades_prices(self, request: web.Request) -> web.Response:
        rows = [{"token_id": one.token_id, **self._last_trade(one.token_id)} for one in await self._tokens(request)]
        return reply([row for row in rows if row["side"]])

    async def tick_size(self, request: web.Request) -> web.Response:
        return reply(
            {"minimum_tick_size": wire.number(self._tick(request.query.get("token_id", "")), money.PRICE_UNITS)}
        )

    async def neg_risk(self, request: web.Request) -> web.Response:
        market, _ = self._sandbox.market_of(request.query.get("token_id", ""))
        return reply({"neg_risk": market.neg_risk})

    async def fee_rate(self, request: web.Request) -> web.Response:
        market, _ = self._sandbox.market_of(request.query.get("token_id", ""))
        return reply({"base_fee": market_rows.base_fee(market)})

    async def market_by_token(self, request: web.Request) -> web.Response:
        market = self._sandbox.catalogue.by_token.get(request.match_info["token"])
        if market is None:
            raise UnknownMarket("market not found")
        first, second = market.token_ids
        return reply({"condition_id": market.condition_id, "primary_token_id": first, "secondary_token_id": second})

    async def clob_market(self, request: web.Request) -> web.Response:
        market = self._market(request)
        return reply(market_rows.clob_short(market, self._sandbox.facts_of(market)))

    async def market(self, request: web.Request) -> web.Response:
        market = self._market(request)
        return reply(market_rows.clob_market(market, self._sandbox.facts_of(market)))

    async def markets(self, request: web.Request) -> web.Response:
        return self._listed(request, market_rows.clob_market)

    async def simplified_markets(self, request: web.Request) -> web.Response:
        return self._listed(request, market_rows.simplified_market)

    async def sampling_markets(self, request: web.Request) -> web.Response:
        """Markets with liquidity rewards at the venue; here every open one."""
        return self._listed(request, market_rows.clob_market, only_open=True)

    async def sampling_simplified_markets(self, request: web.Request) -> web.Response:
        return self._listed(request, market_rows.simplified_market, only_open=True)

    async def live_activity(self, request: web.Request) -> web.Response:
        """The last trades of a market."""
        market = self._market(request)
        trades = self._sandbox.record.by_condition.get(market.condition_id, [])
        return reply([self._sandbox.catalogue.trade_row(trade) for trade in trades[-20:][::-1]])

    async def batch_prices_history(self, request: web.Request) -> web.Response:
        asked = _HISTORIES.decode(await request.read())
        if len(asked.markets) > _MOST_HISTORIES:
            raise ValueError(f"at most {_MOST_HISTORIES} markets")
        now_s = self._sandbox.now_ms() // 1000
        since = asked.start_ts or now_s - _SPANS_S.get(asked.interval, now_s)
        until = asked.end_ts or now_s
        histories = {token: self._history(token, since, until, asked.fidelity) for token in asked.markets}
        return reply({"history": histories})

    def _listed(
        self, request: web.Request, row_of: Callable[[MarketDef, Facts], wire.Json], *, only_open: bool = False
    ) -> web.Response:
        known = self._sandbox.catalogue.by_condition.values()
        chosen = [one for one in known if not (only_open and one.condition_id in self._sandbox.catalogue.closed)]
        shown, following = page(chosen, request.query.get("next_cursor", ""), size=_MARKETS_PAGE)
        data = [row_of(one, self._sandbox.facts_of(one)) for one in shown]
        return reply({"data": data, "next_cursor": following, "limit": _MARKETS_PAGE, "count": len(data)})

    async def prices_history(self, request: web.Request) -> web.Response:
        token, query = request.query.get("market", ""), request.query
        now_s = self._sandbox.now_ms() // 1000
        since = int(query.get("startTs") or now_s - _SPANS_S.get(query.get("interval", "max"), now_s))
        until = int(query.get("endTs") or now_s)
        return reply({"history": self._history(token, since, until, int(query.get("fidelity") or 0))})

    def _history(self, token: str, since: int, until: int, fidelity: int) -> list[wire.Json]:
        """The last price of each `fidelity` minutes; every price when it is 0."""
        points = self._sandbox.record.prices(token, since_s=since, until_s=until)
        if fidelity:
            points = list({at // (60 * fidelity): (at, price) for at, price in points}.values())
        return [{"t": at, "p": wire.number(price, money.PRICE_UNITS)} for at, price in points]

    async def _tokens(self, request: web.Request) -> list[TokenRequest]:
        asked = _TOKENS.decode(await request.read())
        if len(asked) > 500:
            raise ValueError("at most 500 tokens")
        return asked

    def _book(self, token: str) -> wire.Json:
        self._sandbox.market_of(token)
        return self._sandbox.publisher.book(token, self._sandbox.now_ms())

    def _best(self, token: str) -> tuple[int, int]:
        """Best bid and ask; a side without orders counts as 0 or 1 dollar (recorded so). Raises UnknownMarket."""
        self._sandbox.market_of(token)
        bid, ask = self._sandbox.exchange.best(token)
        if bid is None and ask is None:
            raise UnknownMarket("No orderbook exists for the requested token id")
        return bid or 0, ask or money.PRICE_UNITS

    def _price(self, token: str, side: str) -> int:
        bid, ask = self._best(token)
        return bid if Side(side) is Side.BUY else ask

    def _midpoint(self, token: str) -> str:
        bid, ask = self._best(token)
        return f"{(bid + ask) / (2 * money.PRICE_UNITS):.5f}".rstrip("0")

    def _spread(self, token: str) -> str:
        bid, ask = self._best(token)
        return wire.price(ask - bid)

    def _last_trade(self, token: str) -> dict[str, str]:
        record = self._sandbox.record
        last = record.last_price.get(token)
        if last is None:
            return {"price": "0.5", "side": ""}
        return {"price": wire.price(last), "side": str(record.last_side[token])}

    def _tick(self, token: str) -> int:
        _, spec = self._sandbox.market_of(token)
        return spec.tick_units

    def _market(self, request: web.Request) -> MarketDef:
        market = self._sandbox.catalogue.by_condition.get(request.match_info["condition"])
        if market is None:
            raise UnknownMarket("market not found")
        return market
