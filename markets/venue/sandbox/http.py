"""What every route shares: JSON both ways, errors in the venue's shape, paging, faults."""

import asyncio
import base64
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from markets.venue.sandbox.auth import Credentials, KeyExists, Unauthorized
from markets.venue.sandbox.core import Sandbox, UnknownMarket
from markets.venue.sandbox.data_errors import BadParameter
from markets.venue.sandbox.standing import REGION_TEXT, RegionBarred
from markets.venue.sandbox.strikes import Strikes
from markets.venue.simulator.orders import OrderRejected

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
T = TypeVar("T")

FIRST_CURSOR, LAST_CURSOR = "MA==", "LTE="
_REFUSALS = (OrderRejected, Unauthorized, UnknownMarket, KeyExists, RegionBarred)
_PAGE = 100


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


def page(rows: Sequence[T], cursor: str, *, size: int = _PAGE) -> tuple[Sequence[T], str]:
    """One page and the cursor of the next, in the CLOB's way: base64 of an offset, LTE= at the end."""
    start = offset_of(cursor)
    more = start + size < len(rows)
    return rows[start : start + size], cursor_of(start + size) if more else LAST_CURSOR


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
    strikes = Strikes(sandbox, background)

    @web.middleware
    async def around(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not sandbox.faults.active() or request.path.startswith("/_sandbox/"):
            return await _translated(request, handler)
        return await strikes.around(request, partial(_translated, request, handler))

    return around


async def _translated(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except (*_REFUSALS, msgspec.MsgspecError, ValueError, KeyError) as bad:
        status, text = _expected(bad, request)
        return error(text, status=status)
    except BadParameter as bad:
        return reply(bad.payload(), status=400)
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
    if isinstance(bad, RegionBarred):
        return 403, REGION_TEXT
    if isinstance(bad, KeyExists):
        return 400, "Could not create api key"
    return 400, "Invalid order payload" if request.path.startswith("/clob/order") else f"Invalid payload: {bad}"
