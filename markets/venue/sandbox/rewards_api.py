"""CLOB routes about rewards, rebates and builders. A local venue pays none: lists are empty, amounts are 0.

Builders' codes have fees once a control gave them some, and their attributed trades follow from the signed orders.
"""

from aiohttp import web

from markets.venue.ports import TradeStatus
from markets.venue.sandbox import contracts, wire
from markets.venue.sandbox.auth import Credentials
from markets.venue.sandbox.core import Sandbox
from markets.venue.sandbox.http import LAST_CURSOR, credentials, error, page, query_int, reply
from markets.venue.simulator.orders import Leg, Trade


class Rewards:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/clob/order-scoring", self.order_scoring),
            web.post("/clob/orders-scoring", self.orders_scoring),
            web.get("/clob/rewards/markets/current", self.no_rewards),
            web.get("/clob/rewards/markets/multi", self.no_rewards),
            web.get("/clob/rewards/markets/{condition}", self.no_rewards),
            web.get("/clob/rewards/user", self.no_own_rewards),
            web.get("/clob/rewards/user/markets", self.no_own_rewards),
            web.get("/clob/data/pre-migration-orders", self.no_own_rewards),
            web.get("/clob/rewards/user/total", self.total),
            web.get("/clob/rewards/user/percentages", self.percentages),
            web.get("/clob/rebates/current", self.rebates),
            web.get("/clob/fees/builder-fees/{code}", self.builder_fees),
            web.get("/clob/builder/trades", self.builder_trades),
            web.get("/api/geoblock", self.geoblock),
        ]

    async def order_scoring(self, request: web.Request) -> web.Response:
        await self._owner(request)
        return reply({"scoring": False})

    async def orders_scoring(self, request: web.Request) -> web.Response:
        await self._owner(request)
        return reply(dict.fromkeys(await request.json(), False))

    async def no_rewards(self, request: web.Request) -> web.Response:
        return reply({"data": [], "next_cursor": LAST_CURSOR, "limit": 100, "count": 0})

    async def no_own_rewards(self, request: web.Request) -> web.Response:
        await self._owner(request)
        return reply({"data": [], "next_cursor": LAST_CURSOR, "limit": 100, "count": 0})

    async def total(self, request: web.Request) -> web.Response:
        owner, day = await self._owner(request), request.query.get("date", "")
        wallet = self._sandbox.wallet_of(owner.signer, query_int(request, "signature_type", 0))
        row = {
            "date": f"{day}T00:00:00Z",
            "asset_address": contracts.PUSD,
            "maker_address": wallet.address if wallet else owner.signer,
            "earnings": 0.0,
            "asset_rate": 1.0,
        }
        return reply([row])

    async def percentages(self, request: web.Request) -> web.Response:
        await self._owner(request)
        return reply({})

    async def rebates(self, request: web.Request) -> web.Response:
        return reply([])

    async def builder_fees(self, request: web.Request) -> web.Response:
        known = self._sandbox.builder_fees.get(request.match_info["code"].lower())
        if known is None:
            return error("builder not found", status=404)
        maker, taker = known
        return reply({"builder_maker_fee_rate_bps": maker, "builder_taker_fee_rate_bps": taker})

    async def builder_trades(self, request: web.Request) -> web.Response:
        """Newest first, each leg that was signed with this code."""
        query, extras = request.query, self._sandbox.chain.signed_extras
        code = bytes.fromhex(query.get("builder_code", "").removeprefix("0x"))
        after, before = query_int(request, "after", 0), query_int(request, "before", 2**62)
        rows = [
            self._attributed(trade, leg, index)
            for trade in reversed(self._sandbox.exchange.trades.values())
            for index, leg in enumerate((trade.taker, *trade.makers))
            if extras.get(leg.order_hash, (b"", b""))[0] == code
            and trade.status is not TradeStatus.FAILED
            and query.get("market", "") in ("", trade.condition_id)
            and query.get("asset_id", "") in ("", leg.token_id)
            and query.get("id", "") in ("", trade.trade_id)
            and after <= trade.matched_ms // 1000 <= before
        ]
        shown, following = page(rows, query.get("next_cursor", ""))
        return reply({"data": shown, "next_cursor": following, "limit": 100, "count": len(shown)})

    async def geoblock(self, request: web.Request) -> web.Response:
        """Of the website, not of the CLOB: judged by the caller's address."""
        standings = self._sandbox.standings
        return reply(
            {"blocked": standings.blocked, "ip": request.remote or "", "country": standings.country, "region": ""}
        )

    def _attributed(self, trade: Trade, leg: Leg, index: int) -> wire.Json:
        market = self._sandbox.catalogue.by_condition[trade.condition_id]
        owner = self._sandbox.publisher.owners.get(leg.order_hash)
        return {
            "id": trade.trade_id,
            "tradeType": "MAKER" if index else "TAKER",
            "takerOrderHash": trade.taker.order_hash,
            "builder": f"0x{self._sandbox.chain.signed_extras[leg.order_hash][0].hex()}",
            "market": trade.condition_id,
            "assetId": leg.token_id,
            "side": str(leg.side),
            "size": wire.amount(leg.share_units),
            "sizeUsdc": wire.amount(leg.cost_units),
            "price": wire.price(leg.price_units),
            "status": f"TRADE_STATUS_{trade.status}",
            "outcome": wire.outcome(market, leg.token_id),
            "outcomeIndex": market.token_ids.index(leg.token_id),
            "owner": owner.api_key if owner is not None else "",
            "maker": self._sandbox.catalogue.address(leg.wallet),
            "transactionHash": trade.transaction_hash,
            "matchTime": str(trade.matched_ms // 1000),
            "bucketIndex": 0,
            "fee": wire.amount(leg.fee_units),
            "feeUsdc": wire.amount(leg.fee_units),
        }

    async def _owner(self, request: web.Request) -> Credentials:
        return await credentials(request, self._sandbox)
