"""What happens to a request that a fault strikes: before it is handled, and to the answer afterwards."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import msgspec
from aiohttp import web

from markets.venue.sandbox import windows
from markets.venue.sandbox.core import Sandbox
from markets.venue.sandbox.faults import AFTER, BEFORE, FaultRequest

Handle = Callable[[], Awaitable[web.StreamResponse]]

_HOLD_S = 120.0
_LAST_CURSOR = "LTE="
_ASKED_ABOUT = ("user", "address", "maker_address")


class Strikes:
    def __init__(self, sandbox: Sandbox, background: set[asyncio.Task[Any]]) -> None:
        self._sandbox = sandbox
        self._background = background

    async def around(self, request: web.Request, handle: Handle) -> web.StreamResponse:
        """Answer a request under the active faults; `handle` is what would answer without them."""
        body = await request.read() if request.can_read_body else b""
        for name in BEFORE:
            fault = self._hit(name, request)
            if fault is None or (name == "post_only_mode" and windows.all_post_only(body)):
                continue
            if name == "delay":
                await asyncio.sleep(fault.seconds)
            elif name == "late_accept":
                return await self._late(fault, request, handle)
            elif name == "late_cancel":
                return self._canceled_later(fault, body, handle)
            elif name == "half_open":
                return await self._hold(request)
            elif name == "drop_request":
                return _closed(request)
            else:
                return _refusal(fault)
        answer = await handle()
        for name in AFTER:
            fault = self._hit(name, request)
            if fault is not None:
                answer = await self._spoil(fault, request, answer)
        return answer

    def _hit(self, name: str, request: web.Request) -> FaultRequest | None:
        signer = request.headers.get("POLY_ADDRESS", "")
        known = self._sandbox.wallets_of(signer) if signer else []
        known += [request.query[name] for name in _ASKED_ABOUT if name in request.query]
        return self._sandbox.faults.hit(
            [name], now_ms=self._sandbox.now_ms(), path=request.path, method=request.method, wallets=known
        )

    def _canceled_later(self, fault: FaultRequest, body: bytes, handle: Handle) -> web.Response:
        """Say at once what will be true, if nobody fills the orders meanwhile."""
        self._spawn(_later(fault.seconds, handle))
        asked = msgspec.json.decode(body)
        ids = asked if isinstance(asked, list) else [asked["orderID"]]
        return _json({"canceled": ids, "not_canceled": {}})

    async def _late(self, fault: FaultRequest, request: web.Request, handle: Handle) -> web.Response:
        self._spawn(_later(fault.seconds, handle))
        return await self._hold(request) if fault.hold else _closed(request)

    async def _hold(self, request: web.Request) -> web.Response:
        """Say nothing, until the client has had enough or the venue stops."""
        with contextlib.suppress(asyncio.CancelledError):
            await self._spawn(asyncio.sleep(_HOLD_S))
        return _closed(request)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    async def _spoil(self, fault: FaultRequest, request: web.Request, answer: web.StreamResponse) -> web.StreamResponse:
        if fault.name == "drop_reply":
            return _closed(request)
        if fault.name == "http_5xx_after":
            return _refusal(fault)
        if fault.name == "late_reply":
            await asyncio.sleep(fault.seconds)
        elif isinstance(answer, web.Response) and isinstance(answer.body, bytes):
            if fault.name == "slow_body":
                return await _trickle(request, answer, answer.body, fault.seconds)
            if fault.name == "malformed_json":
                return _copy(answer, answer.body[: max(len(answer.body) // 2, 1)])
            return self._reworded(fault, answer, answer.body)
        return answer

    def _reworded(self, fault: FaultRequest, answer: web.Response, body: bytes) -> web.Response:
        """The answer with another content."""
        payload = msgspec.json.decode(body)
        if fault.name == "duplicated":
            return _duplicated(payload) if answer.status == 200 else answer
        if fault.name == "missing_entry" and isinstance(payload, list):
            payload = payload[:-1]
        elif fault.name == "truncated_page":
            payload = _truncated(payload)
        elif fault.name == "clock_skew" and isinstance(payload, int):
            payload += int(fault.seconds)
        elif fault.name == "index_lag":
            seen_ms = self._sandbox.now_ms() - int(fault.seconds * 1_000)
            if self._is_younger(payload, seen_ms):
                return _json({"error": "order not found"}, status=404)
            payload = self._indexed(payload, seen_ms)
        return _copy(answer, msgspec.json.encode(payload))

    def _indexed(self, payload: Any, seen_ms: int) -> Any:
        """Lists without the rows the index does not have yet."""
        if isinstance(payload, list):
            return [row for row in payload if not self._is_younger(row, seen_ms)]
        if isinstance(payload, dict) and isinstance(payload.get("data"), list):
            payload["data"] = self._indexed(payload["data"], seen_ms)
        return payload

    def _is_younger(self, row: Any, seen_ms: int) -> bool:
        """Rows of orders and trades go by the exchange's own time, others by their whole seconds."""
        if not isinstance(row, dict):
            return False
        exchange = self._sandbox.exchange
        if order := exchange.orders.get(str(row.get("id", ""))):
            return order.created_ms > seen_ms
        if trade := exchange.trades.get(str(row.get("id", ""))):
            return trade.matched_ms > seen_ms
        return str(row.get("timestamp", "")).isdecimal() and int(row["timestamp"]) * 1_000 > seen_ms


async def _later(seconds: float, handle: Handle) -> None:
    await asyncio.sleep(seconds)
    await handle()


def _refusal(fault: FaultRequest) -> web.Response:
    headers = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
    if fault.name == "post_only_mode":
        payload = {
            "error": windows.POST_ONLY_TEXT,
            "code": "post_only_mode",
            "retry_after_seconds": fault.retry_after or 1,
        }
        return _json(payload, status=503, headers=headers)
    status, text = _REFUSALS.get(fault.name, (fault.status, fault.body or "could not insert order"))
    return _json({"error": text}, status=status, headers=headers)


_REFUSALS = {
    "unauthorized": (401, "Unauthorized/Invalid api key"),
    "rate_limited": (429, "Too Many Requests"),
    "engine_restarting": (425, "service not ready"),
    "cancel_only": (503, windows.CANCEL_ONLY_TEXT),
    "trading_disabled": (503, windows.DISABLED_TEXT),
    "version_mismatch": (400, "order_version_mismatch"),
}


def _duplicated(payload: Any) -> web.Response:
    """What a second sending of the same order would have been told."""
    if isinstance(payload, list):
        told = [{**row, "success": False, "errorMsg": _twice(row), "status": ""} for row in payload]
        return _json(told)
    return _json({"error": _twice(payload)}, status=400)


def _twice(row: Any) -> str:
    return f"order {row['orderID']} is invalid. Duplicated."


def _truncated(payload: Any) -> Any:
    """The first half of a list, said to be all of it."""
    if isinstance(payload, list):
        return payload[: len(payload) // 2]
    if not isinstance(payload, dict):
        return payload
    for name in ("data", "markets", "events"):
        rows = payload.get(name)
        if isinstance(rows, list):
            payload[name] = rows[: len(rows) // 2]
            if "next_cursor" in payload:
                payload["next_cursor"] = _LAST_CURSOR if payload["next_cursor"] else ""
            if isinstance(payload.get("pagination"), dict):
                payload["pagination"] |= {"has_more": False, "next_cursor": None}
    return payload


async def _trickle(request: web.Request, answer: web.Response, body: bytes, seconds: float) -> web.StreamResponse:
    """The whole answer, a byte at a time."""
    slow = web.StreamResponse(status=answer.status, headers={"Content-Type": "application/json"})
    slow.content_length = len(body)
    await slow.prepare(request)
    with contextlib.suppress(ConnectionError):
        for position in range(len(body)):
            await slow.write(body[position : position + 1])
            await asyncio.sleep(seconds / len(body))
        await slow.write_eof()
    return slow


def _copy(answer: web.Response, body: bytes) -> web.Response:
    return web.Response(body=body, status=answer.status, content_type="application/json")


def _json(payload: object, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(payload), status=status, content_type="application/json", headers=headers
    )


def _closed(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=499)
