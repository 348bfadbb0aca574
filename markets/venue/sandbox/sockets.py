"""The three sockets: market, user and RTDS, with the venue's frames and its text PING and PONG."""

import asyncio
import contextlib
import logging
from functools import partial

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from markets.venue.sandbox import wire
from markets.venue.sandbox.core import Sandbox
from markets.venue.sandbox.hub import MARKET, RTDS, USER, Connection

log = logging.getLogger(__name__)


class _Auth(msgspec.Struct, frozen=True, rename="camel"):
    api_key: str = ""
    secret: str = ""
    passphrase: str = ""


class _Topic(msgspec.Struct, frozen=True):
    topic: str
    type: str = "*"


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


_FRAME = msgspec.json.Decoder(_Frame)


class Sockets:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/ws/market", partial(self._serve, MARKET)),
            web.get("/ws/user", partial(self._serve, USER)),
            web.get("/ws/rtds", partial(self._serve, RTDS)),
        ]

    async def _serve(self, channel: str, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=1 << 20, compress=False)
        await socket.prepare(request)
        connection = Connection(channel)
        self._sandbox.hub.add(connection)
        writer = asyncio.create_task(_write(socket, connection))
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._receive(connection, message.data)
                if connection.overrun:
                    await socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=b"slow consumer")
        finally:
            self._sandbox.hub.remove(connection)
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writer
        return socket

    def _receive(self, connection: Connection, text: str) -> None:
        sandbox = self._sandbox
        if text.strip() in ("PING", "ping"):
            silent = sandbox.faults.silences(connection.channel, now_ms=sandbox.now_ms(), wallets=(connection.signer,))
            if silent is None or silent.pong:
                connection.push("PONG" if text.strip() == "PING" else "pong")
            return
        try:
            frame = _FRAME.decode(text)
        except msgspec.MsgspecError:
            connection.push("INVALID OPERATION")
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
            connection.push("INVALID OPERATION")
            return
        connection.custom = connection.custom or frame.custom_feature_enabled
        fresh = hub.subscribe(connection, frame.assets_ids)
        if frame.initial_dump:
            self._dump(connection, fresh)

    def _dump(self, connection: Connection, tokens: list[str]) -> None:
        sandbox, now = self._sandbox, self._sandbox.now_ms()
        known = [token for token in tokens if token in sandbox.catalogue.by_token]
        books = [{"event_type": "book", **sandbox.publisher.book(token, now)} for token in known]
        if not sandbox.faults.silences(MARKET, now_ms=now, wallets=()):
            connection.push(wire.encode(books))

    def _user(self, connection: Connection, frame: _Frame) -> None:
        if frame.operation == "subscribe":
            connection.markets.update(frame.markets)
        elif frame.operation == "unsubscribe":
            connection.markets.difference_update(frame.markets)
        elif not connection.signer:
            auth = frame.auth
            owner = self._sandbox.keys.match(api_key=auth.api_key, secret=auth.secret, passphrase=auth.passphrase)
            if owner is None:
                connection.close()
                return
            self._sandbox.hub.identify(connection, owner.signer)
            connection.markets.update(frame.markets)
        else:
            connection.push("INVALID OPERATION")


def _rtds(connection: Connection, frame: _Frame) -> None:
    """Without an action the venue stays silent, and so does this."""
    topics = {(one.topic, one.type) for one in frame.subscriptions}
    if frame.action == "subscribe":
        connection.topics |= topics
    elif frame.action == "unsubscribe":
        connection.topics -= topics


async def _write(socket: web.WebSocketResponse, connection: Connection) -> None:
    """Empty the queue into the socket; None ends it."""
    while True:
        text = await connection.queue.get()
        if text is None:
            await socket.close(code=WSCloseCode.POLICY_VIOLATION)
            return
        try:
            await socket.send_str(text)
        except (ConnectionError, RuntimeError):
            return
