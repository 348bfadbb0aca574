"""Rewards for resting orders. The local venue pays none, so lists are empty and no order scores."""

import msgspec
from aiohttp import web

from markets.venue.sandbox.core import Sandbox
from markets.venue.sandbox.http import LAST_CURSOR, credentials, error, reply

_ORDERS = msgspec.json.Decoder(list[str])


class ClobRewards:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/clob/order-scoring", self.order_scoring),
            web.post("/clob/orders-scoring", self.orders_scoring),
            web.get("/clob/rewards/user", self.own_page),
            web.get("/clob/rewards/user/total", self.own_list),
            web.get("/clob/rewards/user/markets", self.own_page),
            web.get("/clob/rewards/user/percentages", self.percentages),
            web.get("/clob/data/pre-migration-orders", self.own_page),
            web.get("/clob/rewards/markets/current", self.page),
            web.get("/clob/rewards/markets/multi", self.page),
            web.get("/clob/rewards/markets/{condition}", self.page),
            web.get("/clob/rebates/current", self.rebates),
        ]

    async def order_scoring(self, request: web.Request) -> web.Response:
        await credentials(request, self._sandbox)
        if request.query.get("order_id", "") not in self._sandbox.exchange.orders:
            return error("order not found", status=404)
        return reply({"scoring": False})

    async def orders_scoring(self, request: web.Request) -> web.Response:
        await credentials(request, self._sandbox)
        return reply(dict.fromkeys(_ORDERS.decode(await request.read()), False))

    async def own_page(self, request: web.Request) -> web.Response:
        await credentials(request, self._sandbox)
        return await self.page(request)

    async def own_list(self, request: web.Request) -> web.Response:
        await credentials(request, self._sandbox)
        return reply([])

    async def percentages(self, request: web.Request) -> web.Response:
        await credentials(request, self._sandbox)
        return reply({})

    async def page(self, request: web.Request) -> web.Response:
        return reply({"data": [], "next_cursor": LAST_CURSOR, "limit": 100, "count": 0})

    async def rebates(self, request: web.Request) -> web.Response:
        return reply([])
