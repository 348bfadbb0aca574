"""The three sockets: market, user and RTDS, with the venue's frames and its text PING and PONG."""

import asyncio
import contextlib
from collections.abc import Mapping
from functools import partial

import msgspec
from aiohttp import WSMsgType, web

from markets.venue.sandbox import wire
from markets.venue.sandbox.core import Sandbox
from markets.venue.sandbox.hub import MARKET, REFUSED, RTDS, SLOW, USER, Connection

_INVALID = "INVALID OPERATION"
_NOTHING_NEW = "NO NEW ASSETS"  # as the venue's TypeScript client has it (unverified)
_CLOSE_S = 1.0
_CHECK_S = 1.0
_MAX_FRAME = 1 << 20
_FILTERS = {"event_slug": "eventSlug", "market_slug": "slug"}


class _Auth(msgspec.Struct, frozen=True, rename="camel"):
    api_key: str = ""
    secret: str = ""
    passphrase: str = ""


class _Topic(msgspec.Struct, frozen=True):
    topic: str
    type: str = "*"
    filters: str = ""


class _Frame(msgspec.Struct, frozen=True):
    """Every frame a client may send, on any channel."""

    type: str = ""
    operation: str = ""
    action: str = ""
    assets_ids: list[str] = []
    markets: list[str] = []
    custom_feature_enabled: bool = False
    initial_dump: bool = True
    auth: _Auth = _Auth()
    subscriptions: list[_Topic] = []


class Rules(msgspec.Struct, frozen=True):
    """Changes to the rules of sockets; what is absent stays."""

    ping_within_s: float | None = None
    rtds_deaf_after_s: float | None = None
    slow_bytes: int | None = None


_FRAME = msgspec.json.Decoder(_Frame)


class Sockets:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/ws/market", partial(self._serve, MARKET)),
            web.get("/ws/user", partial(self._serve, USER)),
            web.get("/ws/rtds", partial(self._serve, RTDS)),
            web.get("/_sandbox/sockets", self.list_sockets),
            web.post("/_sandbox/sockets", self.change_rules),
        ]

    # -- controls ------------------------------------------------------------------------------------------------

    async def list_sockets(self, request: web.Request) -> web.Response:
        rows = [
            {
                "channel": one.channel,
                "signer": one.signer,
                "tokens": sorted(one.tokens),
                "topics": sorted(one.topics),
                "backlog": one.backlog,
            }
            for one in self._sandbox.hub.of_channel("")
        ]
        return web.Response(body=msgspec.json.encode(rows), content_type="application/json")

    async def change_rules(self, request: web.Request) -> web.Response:
        asked = msgspec.json.decode(await request.read(), type=Rules)
        for name, value in msgspec.structs.asdict(asked).items():
            if value is not None:
                setattr(self._sandbox.hub.rules, name, value)
        return web.Response(body=b'"OK"', content_type="application/json")

    # -- one socket ----------------------------------------------------------------------------------------------

    async def _serve(self, channel: str, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=_MAX_FRAME, compress=False, timeout=_CLOSE_S)
        await socket.prepare(request)
        assert request.transport is not None  # a handler only runs while its connection is up
        connection = Connection(channel, request.transport, self._sandbox.hub.rules)
        self._sandbox.hub.add(connection)
        keeper = asyncio.create_task(_keep(socket, connection))
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._receive(connection, message.data)
        finally:
            self._sandbox.hub.remove(connection)
            keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeper
        return socket

    def _receive(self, connection: Connection, text: str) -> None:
        if text.strip() in ("PING", "ping"):
            connection.heard_ping()
            if self._sandbox.publisher.sockets.answers_ping(connection, now_ms=self._sandbox.now_ms()):
                connection.push("PONG" if text.strip() == "PING" else "pong")
            return
        try:
            frame = _FRAME.decode(text)
        except msgspec.MsgspecError:
            connection.push(_INVALID)
            return
        if connection.channel == MARKET:
            self._market(connection, frame)
        elif connection.channel == USER:
            self._user(connection, frame)
        else:
            _rtds(connection, frame)

    def _market(self, connection: Connection, frame: _Frame) -> None:
        hub = self._sandbox.hub
        if frame.operation == "unsubscribe":
            hub.unsubscribe(connection, frame.assets_ids)
            return
        first = frame.type.lower() == "market"
        if frame.operation not in ("", "subscribe") or first is bool(frame.operation) or (first and connection.tokens):
            connection.push(_INVALID)
            return
        connection.custom = connection.custom or frame.custom_feature_enabled
        fresh = hub.subscribe(connection, frame.assets_ids)
        if not fresh and frame.assets_ids:
            connection.push(_NOTHING_NEW)
        elif frame.initial_dump:
            self._dump(connection, fresh)

    def _dump(self, connection: Connection, tokens: list[str]) -> None:
        """The books of what was just subscribed, always as one array."""
        sandbox, now = self._sandbox, self._sandbox.now_ms()
        books = sandbox.publisher.opening_books(tokens, now)
        if books:
            sandbox.publisher.sockets.send([connection], wire.encode(books), event="book", tokens=tokens, now_ms=now)

    def _user(self, connection: Connection, frame: _Frame) -> None:
        if not connection.signer:
            auth = frame.auth
            owner = self._sandbox.keys.match(api_key=auth.api_key, secret=auth.secret, passphrase=auth.passphrase)
            if frame.operation or owner is None:
                connection.close(REFUSED)
                return
            self._sandbox.hub.identify(connection, owner.signer)
            connection.markets.update(frame.markets)
        elif frame.operation == "subscribe":
            connection.markets.update(frame.markets)
        elif frame.operation == "unsubscribe":
            connection.markets.difference_update(frame.markets)
        else:
            connection.push(_INVALID)


def _rtds(connection: Connection, frame: _Frame) -> None:
    """Without an action the venue stays silent, and so does this. A second filter of a topic replaces the first."""
    for one in frame.subscriptions:
        if frame.action == "subscribe":
            connection.topics[one.topic, one.type] = _filters(one.filters)
        elif frame.action == "unsubscribe":
            connection.topics.pop((one.topic, one.type), None)


def _filters(text: str) -> Mapping[str, str]:
    """The venue takes the filter as JSON inside a string; what it cannot read it leaves out."""
    try:
        asked = msgspec.json.decode(text or "{}", type=dict[str, str])
    except msgspec.MsgspecError:
        return {}
    return {_FILTERS[name]: value for name, value in asked.items() if name in _FILTERS}


async def _keep(socket: web.WebSocketResponse, connection: Connection) -> None:
    """End the socket when somebody asked for it, or when its client forgot to say PING."""
    while connection.ending is None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(connection.ended.wait(), min(max(connection.patience_s, 0.01), _CHECK_S))
        if connection.patience_s <= 0:
            connection.close(REFUSED, "no ping")
    code, reason = connection.ending
    # A reader that takes nothing would keep us waiting for the buffer to empty.
    await socket.close(code=code, message=reason.encode(), drain=code != SLOW)
    if code == SLOW:
        connection.abort()
