"""One pool of kept-alive connections for a whole process, however many accounts it serves."""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import aiohttp

from markets.venue.polymarket import error_map
from markets.venue.polymarket.error_map import Asked
from polyhub.lib.clock import Clock
from polyhub.lib.failpoints import fp

CONNECT_S = 5.0
READ_S = 10.0
CHANGE_S = 15.0
MAX_CONNECTIONS = 256
KEEP_ALIVE_S = 60.0
MAX_BODY = 32 << 20
MAX_FRAME = 16 << 20
_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class VenueUrls:
    """Where the venue is, without trailing slashes. The sandbox serves all of them on one port."""

    clob: str
    gamma: str
    data: str
    ws_market: str
    ws_user: str
    ws_rtds: str

    @classmethod
    def of(cls, urls: Mapping[str, str]) -> "VenueUrls":
        """From a mapping that may hold more; raises KeyError naming what is missing."""
        return cls(**{name: urls[name].rstrip("/") for name in cls.__slots__})


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes


class Transport:
    """HTTP and sockets to the venue. Made inside a running loop, closed by whoever made it.

    `on_order_sent(order_hash)` is called once the bytes of an order were handed to the system.
    """

    def __init__(self, urls: VenueUrls, *, clock: Clock, on_order_sent: Callable[[str], None] | None = None) -> None:
        self.urls = urls
        self.clock = clock
        self._on_order_sent = on_order_sent
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=MAX_CONNECTIONS, limit_per_host=0, keepalive_timeout=KEEP_ALIVE_S, ttl_dns_cache=300
            ),
            # Credentials travel in headers; nothing the venue sets may travel between accounts.
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=True,
            trust_env=False,
            trace_configs=[self._tracing()],
        )

    async def read(self, url: str, *, headers: Mapping[str, str] | None = None, timeout_s: float = READ_S) -> Answer:
        """GET; any answer below 400. Raises Refused or Unavailable."""
        return await self._request("GET", url, asked=Asked.READ, headers=headers, body=None, timeout_s=timeout_s)

    async def change(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout_s: float = CHANGE_S,
        order_hash: str = "",
    ) -> Answer:
        """A request that may change something, sent once. Raises Refused, Unavailable or OutcomeUnknown."""
        return await self._request(
            method, url, asked=Asked.CHANGE, headers=headers, body=body, timeout_s=timeout_s, order_hash=order_hash
        )

    async def socket(self, url: str) -> aiohttp.ClientWebSocketResponse[bool]:
        """Open a WebSocket. Raises aiohttp.ClientError, TimeoutError or OSError."""
        return await self._session.ws_connect(
            url, timeout=aiohttp.ClientWSTimeout(ws_close=2.0), max_msg_size=MAX_FRAME, compress=0, autoping=True
        )

    async def close(self) -> None:
        await self._session.close()

    async def _request(
        self,
        method: str,
        url: str,
        *,
        asked: Asked,
        headers: Mapping[str, str] | None,
        body: bytes | None,
        timeout_s: float,
        order_hash: str = "",
    ) -> Answer:
        sent_headers = {"Accept": _JSON, **(headers or {})}
        if body is not None:
            sent_headers["Content-Type"] = _JSON
        try:
            async with self._session.request(
                method,
                url,
                data=body,
                headers=sent_headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout_s, connect=CONNECT_S),
                trace_request_ctx=order_hash,
            ) as response:
                answer = Answer(response.status, await _bounded(response))
                retry_after = response.headers.get("Retry-After", "")
        except (aiohttp.ClientError, ssl.SSLError, TimeoutError, OSError) as error:
            raise error_map.from_exception(error, asked) from error
        if order_hash:
            fp("F7")
        if answer.status >= 300:
            raise error_map.from_answer(answer.status, answer.body, retry_after, asked)
        return answer

    def _tracing(self) -> aiohttp.TraceConfig:
        config = aiohttp.TraceConfig()
        config.on_request_chunk_sent.append(self._chunk_sent)
        return config

    async def _chunk_sent(self, _: aiohttp.ClientSession, context: SimpleNamespace, params: Any) -> None:
        """Called just before the write, which follows without yielding: the next turn of the loop is after it."""
        order_hash = context.trace_request_ctx
        if order_hash:
            asyncio.get_running_loop().call_soon(self._order_sent, order_hash)

    def _order_sent(self, order_hash: str) -> None:
        fp("F6")
        if self._on_order_sent is not None:
            self._on_order_sent(order_hash)


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    """The body, never more than MAX_BODY of it."""
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > MAX_BODY:
            raise aiohttp.ClientPayloadError("body too large")
        parts.append(part)
    return b"".join(parts)
