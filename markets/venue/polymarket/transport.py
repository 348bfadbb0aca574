"""One pool of kept-alive connections for a whole process, however many accounts it serves."""

import asyncio
import random
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import aiohttp

from markets.venue.errors import Unavailable
from markets.venue.polymarket import endpoints, error_map
from markets.venue.polymarket.budget import GUEST_SHARE, Budget
from markets.venue.polymarket.endpoints import Endpoint
from markets.venue.polymarket.error_map import Asked
from markets.venue.polymarket.venue_clock import VenueClock
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
    # Not every installation has these; several addresses are separated by commas.
    geoblock: str = ""
    rpc: str = ""
    ws_rpc: str = ""

    @classmethod
    def of(cls, urls: Mapping[str, str]) -> "VenueUrls":
        """From a mapping that may hold more; raises KeyError naming what is missing."""
        optional = ("geoblock", "rpc", "ws_rpc")
        needed = {name: urls[name].rstrip("/") for name in cls.__slots__ if name not in optional}
        return cls(**needed, **{name: urls.get(name, "") for name in optional})


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes


class Transport:
    """HTTP and sockets to the venue. Made inside a running loop, closed by whoever made it.

    `on_order_sent(order_hash)` is called once the bytes of an order were handed to the system. Every request waits for
    its turn in `budget` first. `venue_clock` stamps what is signed.
    """

    def __init__(
        self,
        urls: VenueUrls,
        *,
        clock: Clock,
        on_order_sent: Callable[[str], None] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        share: float = GUEST_SHARE,
        scale: float = 1.0,
    ) -> None:
        self.urls = urls
        self.clock = clock
        chance = random.Random()  # noqa: S311  jitter only
        self.budget = Budget(monotonic=monotonic, chance=chance, share=share, scale=scale)
        self.venue_clock = VenueClock(wall=clock, monotonic=monotonic, ask=self._venue_time_s)
        # Why no order may leave this process any more; empty while all is well.
        self.standstill = ""
        self._hosts = ((urls.clob, endpoints.CLOB), (urls.gamma, endpoints.GAMMA), (urls.data, endpoints.DATA))
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
        # A socket keeps its connection: each account has one, and together they must leave room for requests.
        self._sockets = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        )

    async def read(
        self, url: str, *, headers: Mapping[str, str] | None = None, timeout_s: float = READ_S, party: str = ""
    ) -> Answer:
        """GET; any answer below 400. Raises Refused or Unavailable."""
        return await self._request(
            "GET", url, asked=Asked.READ, headers=headers, body=None, timeout_s=timeout_s, party=party
        )

    async def headers_of(self, url: str) -> Mapping[str, str]:
        """The headers of an answer, whatever it says. Raises Unavailable."""
        await self.budget.take(self._endpoint("GET", url))
        try:
            async with self._session.get(url, timeout=aiohttp.ClientTimeout(total=READ_S)) as response:
                return dict(response.headers)
        except (aiohttp.ClientError, ssl.SSLError, TimeoutError, OSError) as error:
            raise error_map.from_exception(error, Asked.READ) from error

    async def ask(self, url: str, *, body: bytes, timeout_s: float = READ_S) -> Answer:
        """POST of a question that changes nothing; any answer below 400. Raises Refused or Unavailable."""
        return await self._request("POST", url, asked=Asked.READ, headers=None, body=body, timeout_s=timeout_s)

    async def change(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout_s: float = CHANGE_S,
        order_hashes: Sequence[str] = (),
        party: str = "",
        cost: int = 1,
        expected: Sequence[int] = (),
    ) -> Answer:
        """A request that may change something, sent once. Raises Refused, Unavailable or OutcomeUnknown.

        The HTTP library repeats a DELETE whose kept-alive connection had died: cancelling twice is cancelling.

        `party` is who asks: the signer whose own budget it counts against, `cost` orders or cancels.
        `expected` are error statuses whose answer the caller reads itself.
        """
        return await self._request(
            method,
            url,
            asked=Asked.CHANGE,
            headers=headers,
            body=body,
            timeout_s=timeout_s,
            order_hashes=order_hashes,
            party=party,
            cost=cost,
            expected=expected,
        )

    async def socket(self, url: str) -> aiohttp.ClientWebSocketResponse[bool]:
        """Open a WebSocket. Raises aiohttp.ClientError, TimeoutError or OSError."""
        return await self._sockets.ws_connect(
            url, timeout=aiohttp.ClientWSTimeout(ws_close=2.0), max_msg_size=MAX_FRAME, compress=0, autoping=True
        )

    async def close(self) -> None:
        await self._session.close()
        await self._sockets.close()

    async def _request(
        self,
        method: str,
        url: str,
        *,
        asked: Asked,
        headers: Mapping[str, str] | None,
        body: bytes | None,
        timeout_s: float,
        order_hashes: Sequence[str] = (),
        party: str = "",
        cost: int = 1,
        expected: Sequence[int] = (),
    ) -> Answer:
        endpoint = self._endpoint(method, url)
        await self.budget.take(endpoint, party=party, cost=cost)
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
                trace_request_ctx=order_hashes,
            ) as response:
                pause = self.budget.answered(endpoint, party=party, status=response.status, headers=response.headers)
                answer = Answer(response.status, await _bounded(response))
                retry_after = response.headers.get("Retry-After", "")
        except (aiohttp.ClientError, ssl.SSLError, TimeoutError, OSError) as error:
            raise error_map.from_exception(error, asked) from error
        if order_hashes:
            fp("F7")
        if answer.status >= 300 and answer.status not in expected:
            failure = error_map.from_answer(answer.status, answer.body, retry_after, asked)
            if pause is not None and isinstance(failure, Unavailable) and failure.retry_after_s is None:
                failure.retry_after_s = pause
            raise failure
        return answer

    async def _venue_time_s(self) -> int:
        answer = await self.read(f"{self.urls.clob}/time")
        text = answer.body.decode("ascii", "replace").strip().strip('"').partition(".")[0]
        if not text.isdecimal() or len(text) > 12:
            raise Unavailable("The venue's time cannot be read.", code="BAD_ANSWER")
        return int(text)

    def _endpoint(self, method: str, url: str) -> Endpoint:
        """Which budgets the request counts against; ids at the end of a path are no part of it."""
        for base, host in self._hosts:
            if url.startswith(base):
                path = url[len(base) :].partition("?")[0]
                return endpoints.endpoint(method, host, "/".join(path.split("/", 3)[:3]))
        return endpoints.endpoint(method, endpoints.OTHER, "")

    def _tracing(self) -> aiohttp.TraceConfig:
        config = aiohttp.TraceConfig()
        config.on_request_chunk_sent.append(self._chunk_sent)
        return config

    async def _chunk_sent(self, _: aiohttp.ClientSession, context: SimpleNamespace, params: Any) -> None:
        """Called just before the write, which follows without yielding: the next turn of the loop is after it."""
        order_hashes = context.trace_request_ctx
        if order_hashes:
            asyncio.get_running_loop().call_soon(self._orders_sent, order_hashes)

    def _orders_sent(self, order_hashes: Sequence[str]) -> None:
        fp("F6")
        if self._on_order_sent is not None:
            for order_hash in order_hashes:
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
