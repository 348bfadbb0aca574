"""What stands in front of every protocol route: rate limits, restart windows, the Data API's cache."""

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from markets.venue.sandbox import data_errors
from markets.venue.sandbox.cdn import Cdn
from markets.venue.sandbox.core import Sandbox
from markets.venue.sandbox.http import reply

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def middleware(sandbox: Sandbox) -> Any:
    @web.middleware
    async def before(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(("/_sandbox/", "/ws/")):
            return await handler(request)
        if sandbox.limits.enabled:
            return await _limited(sandbox, request, handler)
        return await _open(sandbox, request, handler)

    return before


async def _limited(sandbox: Sandbox, request: web.Request, handler: Handler) -> web.StreamResponse:
    """Within the limits of this address and this signer, or 429; orders and cancels are told what is left."""
    body = await request.read() if request.can_read_body else b""
    verdict = sandbox.limits.spend(
        method=request.method,
        path=request.path,
        address=request.remote or "",
        signer=request.headers.get("POLY_ADDRESS", "").lower(),
        body=body,
    )
    if verdict.refused:
        data = request.path.startswith("/data/")
        payload = data_errors.too_many() if data else {"error": "Too Many Requests"}
        return reply(payload, status=429, headers=verdict.headers)
    answer = await _open(sandbox, request, handler)
    answer.headers.update(verdict.headers)
    return answer


async def _open(sandbox: Sandbox, request: web.Request, handler: Handler) -> web.StreamResponse:
    path = request.path
    if path.startswith("/clob/") and sandbox.windows.active:
        body = await request.read() if request.can_read_body else b""
        refused = sandbox.windows.refusal(method=request.method, path=path, body=body)
        if refused is not None:
            return reply(refused.payload, status=refused.status, headers=refused.headers)
    if request.method == "GET" and sandbox.cdn.covers(path):
        return await _cached(sandbox.cdn, request, handler)
    return await handler(request)


async def _cached(cdn: Cdn, request: web.Request, handler: Handler) -> web.StreamResponse:
    """The answer for this exact URL, as long as it is kept."""
    url = str(request.rel_url)
    kept = cdn.find(url)
    if kept is not None:
        body, age = kept
        headers = {"X-Cache": "Hit from cloudfront", "Age": str(age)}
        return web.Response(body=body, content_type="application/json", headers=headers)
    answer = await handler(request)
    if answer.status == 200 and isinstance(answer, web.Response) and isinstance(answer.body, bytes):
        cdn.keep(url, request.path, answer.body)
        answer.headers["X-Cache"] = "Miss from cloudfront"
    return answer
