"""CLOB routes that need a key: orders, cancels, own orders and trades."""

import asyncio

import msgspec
from aiohttp import web

from markets.venue.ports import TradeStatus
from markets.venue.sandbox import wire
from markets.venue.sandbox.auth import Credentials
from markets.venue.sandbox.core import Sandbox
from markets.venue.sandbox.http import credentials, error, page, query_int, reply
from markets.venue.sandbox.messages import CancelMarket, CancelOrder, PostOrder
from markets.venue.simulator.orders import Order, OrderRejected, Trade

_MAX_BATCH = 15
_MAX_CANCELS = 1_000

_ORDER = msgspec.json.Decoder(PostOrder)
_ORDERS = msgspec.json.Decoder(list[PostOrder])
_CANCEL = msgspec.json.Decoder(CancelOrder)
_CANCELS = msgspec.json.Decoder(list[str])
_CANCEL_MARKET = msgspec.json.Decoder(CancelMarket)


class ClobTrading:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/clob/order", self.post_order),
            web.post("/clob/orders", self.post_orders),
            web.delete("/clob/order", self.cancel_order),
            web.delete("/clob/orders", self.cancel_orders),
            web.delete("/clob/cancel-all", self.cancel_all),
            web.delete("/clob/cancel-market-orders", self.cancel_market_orders),
            web.get("/clob/data/orders", self.open_orders),
            web.get("/clob/data/order/{order_id}", self.order),
            web.get("/clob/data/trades", self.trades),
        ]

    # -- orders --------------------------------------------------------------------------------------------------

    async def post_order(self, request: web.Request) -> web.Response:
        owner = await self._owner(request)
        body = await request.read()
        try:
            post = _ORDER.decode(body)
        except msgspec.ValidationError as unreadable:
            raise OrderRejected(_unreadable(body)) from unreadable
        await self._delay([post])
        return reply(wire.placed(self._sandbox.accept(post, owner)))

    async def post_orders(self, request: web.Request) -> web.Response:
        owner = await self._owner(request)
        body = await request.read()
        try:
            posts = _ORDERS.decode(body)
        except msgspec.ValidationError as unreadable:
            raise OrderRejected(_unreadable(body)) from unreadable
        if len(posts) > _MAX_BATCH:
            return error(f"Too many orders in payload: {len(posts)}, max allowed: {_MAX_BATCH}")
        await self._delay(posts)
        return reply([self._try_accept(post, owner) for post in posts])

    async def _delay(self, posts: list[PostOrder]) -> None:
        """Where the market delays takers by a moment, their POST is simply answered later."""
        delay_ms = max((self._sandbox.taker_delay_ms(post) for post in posts), default=0)
        if delay_ms:
            await asyncio.sleep(delay_ms / 1000)

    def _try_accept(self, post: PostOrder, owner: Credentials) -> wire.Json:
        try:
            return wire.placed(self._sandbox.accept(post, owner))
        except OrderRejected as refused:
            return wire.refused(refused.message)

    async def cancel_order(self, request: web.Request) -> web.Response:
        owner = await self._owner(request)
        return self._cancel([_CANCEL.decode(await request.read()).orderID], owner)

    async def cancel_orders(self, request: web.Request) -> web.Response:
        owner = await self._owner(request)
        order_ids = _CANCELS.decode(await request.read())
        if len(order_ids) > _MAX_CANCELS:
            return error(f"Too many orders in payload: {len(order_ids)}, max allowed: {_MAX_CANCELS}")
        return self._cancel(order_ids, owner)

    async def cancel_all(self, request: web.Request) -> web.Response:
        owner = await self._owner(request)
        return self._cancel([order.new.order_hash for order in self._sandbox.orders_of(owner.signer)], owner)

    async def cancel_market_orders(self, request: web.Request) -> web.Response:
        owner = await self._owner(request)
        wanted = _CANCEL_MARKET.decode(await request.read() or b"{}")
        chosen = [
            order.new.order_hash
            for order in self._sandbox.orders_of(owner.signer)
            if wanted.market in ("", order.condition_id) and wanted.asset_id in ("", order.new.token_id)
        ]
        return self._cancel(chosen, owner)

    def _cancel(self, order_ids: list[str], owner: Credentials) -> web.Response:
        canceled: list[str] = []
        not_canceled: dict[str, str] = {}
        for order_id in order_ids:
            reason = self._sandbox.cancel(order_id, owner)
            if reason:
                not_canceled[order_id] = reason
            else:
                canceled.append(order_id)
        return reply({"canceled": canceled, "not_canceled": not_canceled})

    # -- looking up ----------------------------------------------------------------------------------------------

    async def open_orders(self, request: web.Request) -> web.Response:
        owner, query = await self._owner(request), request.query
        order_id = query.get("id", "")
        rows = [
            self._sandbox.order_row(order)
            for order in self._sandbox.orders_of(owner.signer, live=not order_id)
            if _wants_order(order, order_id, query.get("market", ""), query.get("asset_id", ""))
        ]
        return _paged(rows, query.get("next_cursor", ""))

    async def order(self, request: web.Request) -> web.Response:
        owner = await self._owner(request)
        order_id = request.match_info["order_id"]
        known = self._sandbox.publisher.owners.get(order_id)
        if known is None or known.signer != owner.signer:
            return error("order not found", status=404)
        return reply(self._sandbox.order_row(self._sandbox.exchange.orders[order_id]))

    async def trades(self, request: web.Request) -> web.Response:
        owner, query = await self._owner(request), request.query
        after, before = query_int(request, "after", 0), query_int(request, "before", 2**62)
        rows = [
            self._trade_row(trade, wallet)
            for trade, wallet in reversed(self._sandbox.trades_of(owner.signer))
            if after <= trade.matched_ms // 1000 <= before
            and query.get("id", "") in ("", trade.trade_id)
            and query.get("market", "") in ("", trade.condition_id)
            and query.get("asset_id", "") in ("", *(leg.token_id for leg in (trade.taker, *trade.makers)))
            and query.get("maker_address", "").lower() in ("", wallet)
        ]
        return _paged(rows, query.get("next_cursor", ""))

    def _trade_row(self, trade: Trade, wallet: str) -> wire.Json:
        row = self._sandbox.publisher.trade_row(trade, wallet)
        waiting = self._sandbox.odd_statuses and trade.status is TradeStatus.MATCHED
        return {**row, "status": f"TRADE_STATUS_{'MATCHED_NOT_BROADCASTED' if waiting else row['status']}"}

    async def _owner(self, request: web.Request) -> Credentials:
        return await credentials(request, self._sandbox)


def _unreadable(body: bytes) -> str:
    """What is wrong with an order that has not the fields of this version."""
    return "order_version_mismatch" if b'"feeRateBps"' in body else "Invalid order payload"


def _wants_order(order: Order, order_id: str, market: str, asset_id: str) -> bool:
    return (
        order_id in ("", order.new.order_hash)
        and market in ("", order.condition_id)
        and asset_id in ("", order.new.token_id)
    )


def _paged(rows: list[wire.Json], cursor: str) -> web.Response:
    chosen, following = page(rows, cursor)
    return reply({"data": chosen, "next_cursor": following, "limit": 100, "count": len(chosen)})
