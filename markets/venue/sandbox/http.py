"""What every route shares: JSON both ways, errors in the venue's shape, paging, faults."""

import asyncio
import base64
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from markets.venue.sandbox.auth import Credentials, KeyExists, Unauthorized
from markets.venue.sandbox.core import Sandbox, UnknownMarket
from markets.venue.sandbox.faults import FaultRequest
from markets.venue.simulator.orders import OrderRejected

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
T = TypeVar("T")

FIRST_CURSOR, LAST_CURSOR = "MA==", "LTE="
_PAGE = 100
_HOLD_S = 120.0
_REQUEST_FAULTS = (
    *("delay", "http_5xx", "http_5xx_after", "drop_request", "drop_reply"),
    *("late_accept", "engine_restarting", "rate_limited", "post_only_mode"),
)


def reply(payload: object, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    body = msgspec.json.encode(payload)
    return web.Response(body=body, status=status, content_type="application/json", headers=headers)


def error(message: str, *, status: int = 400) -> web.Response:
    return reply({"error": message}, status=status)


def protocol_path(request: web.Request) -> str:
    """The path as the venue's clients sign it: without our prefix, without the query."""
    raw = request.rel_url.raw_path
    return raw[raw.index("/", 1) :] if raw.count("/") > 1 else raw


async def credentials(request: web.Request, sandbox: Sandbox) -> Credentials:
    """Whose request this is, by L2 headers over the exact bytes. Raises Unauthorized."""
    body = await request.read()
    return sandbox.keys.check(
        request.headers,
        method=request.method,
        path=protocol_path(request),
        body=body,
        now_s=sandbox.now_ms() // 1000,
    )


def page(rows: Sequence[T], cursor: str) -> tuple[Sequence[T], str]:
    """One page and the cursor of the next, in the CLOB's way: base64 of an offset, LTE= at the end."""
    start = offset_of(cursor)
    more = start + _PAGE < len(rows)
    return rows[start : start + _PAGE], cursor_of(start + _PAGE) if more else LAST_CURSOR


def cursor_of(offset: int) -> str:
    return base64.b64encode(str(offset).encode()).decode()


def offset_of(cursor: str) -> int:
    """Raises ValueError for what this server never gave out."""
    offset = int(base64.b64decode(cursor or FIRST_CURSOR, validate=True))
    if offset < 0:
        raise ValueError("the last page has no next one")
    return offset


def query_int(request: web.Request, name: str, default: int) -> int:
    return int(request.query.get(name) or default)


def middleware(sandbox: Sandbox, background: set[asyncio.Task[Any]]) -> Any:
    """Faults around, and errors of, every protocol route."""

    @web.middleware
    async def around(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not sandbox.faults.active() or request.path.startswith(("/_sandbox/", "/ws/")):
            return await _translated(request, handler)
        await request.read()
        signer = request.headers.get("POLY_ADDRESS", "")
        known = sandbox.wallets_of(signer) if signer else []
        fault = sandbox.faults.hit(
            _REQUEST_FAULTS, now_ms=sandbox.now_ms(), path=request.path, method=request.method, wallets=known
        )
        if fault is None:
            return await _translated(request, handler)
        return await _strike(fault, request, handler, background)

    return around


async def _strike(
    fault: FaultRequest, request: web.Request, handler: Handler, background: set[asyncio.Task[Any]]
) -> web.StreamResponse:
    name = fault.name
    if name == "delay":
        await asyncio.sleep(fault.seconds)
        return await _translated(request, handler)
    if name == "late_accept":
        task = asyncio.create_task(_later(fault.seconds, request, handler))
        background.add(task)
        task.add_done_callback(background.discard)
        if fault.hold:
            await asyncio.sleep(_HOLD_S)
        return _closed(request)
    if name == "drop_request":
        return _closed(request)
    if name in ("drop_reply", "http_5xx_after"):
        await _translated(request, handler)
        return _closed(request) if name == "drop_reply" else _failure(fault)
    if name == "post_only_mode" and b'"postOnly":true' in (await request.read()).replace(b" ", b""):
        return await _translated(request, handler)
    return _failure(fault)


def _failure(fault: FaultRequest) -> web.Response:
    headers = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
    if fault.name == "engine_restarting":
        return reply({"error": "service not ready"}, status=425, headers=headers)
    if fault.name == "rate_limited":
        return reply({"error": "Too Many Requests"}, status=429, headers=headers)
    if fault.name == "post_only_mode":
        payload = {
            "error": "post-only mode: only post-only orders and cancels are allowed",
            "code": "post_only_mode",
            "retry_after_seconds": fault.retry_after or 1,
        }
        return reply(payload, status=503, headers=headers)
    return reply({"error": fault.body or "could not insert order"}, status=fault.status, headers=headers)


def _closed(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=499)


async def _later(seconds: float, request: web.Request, handler: Handler) -> None:
    await asyncio.sleep(seconds)
    await _translated(request, handler)


async def _translated(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except (OrderRejected, Unauthorized, UnknownMarket, KeyExists, msgspec.MsgspecError, ValueError, KeyError) as bad:
        status, text = _expected(bad, request)
        return error(text, status=status)
    except web.HTTPException as refused:
        return error(refused.reason.lower(), status=refused.status)
    except Exception:
        log.exception("A sandbox route failed", extra={"path": request.path})
        return error("internal server error", status=500)


def _expected(bad: Exception, request: web.Request) -> tuple[int, str]:
    """Status and text of a refusal; what is left over is a payload nobody could read."""
    if isinstance(bad, Unauthorized):
        return 401, str(bad)
    if isinstance(bad, UnknownMarket):
        return 404, str(bad)
    if isinstance(bad, OrderRejected):
        return 400, bad.message
    if isinstance(bad, KeyExists):
        return 400, "Could not create api key"
    return 400, "Invalid order payload" if request.path.startswith("/clob/order") else f"Invalid payload: {bad}"
