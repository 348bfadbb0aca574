"""A plain WebSocket client of the local venue's three channels, for tests."""

import json
from typing import Any

import aiohttp

from markets.tests.sandbox_client import Trader
from markets.venue.sandbox.testing import RunningSandbox

TIMEOUT_S = 10.0
TEXTS = ("PONG", "INVALID OPERATION", "NO NEW ASSETS")


class Listener:
    """Frames of a socket, one event at a time, arrays taken apart."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self._waiting: list[Any] = []

    async def say(self, frame: object) -> None:
        await self.socket.send_str(frame if isinstance(frame, str) else json.dumps(frame))

    async def hear(self) -> Any:
        while not self._waiting:
            message = await self.socket.receive(TIMEOUT_S)
            assert message.type is aiohttp.WSMsgType.TEXT, message
            if message.data in TEXTS:
                return message.data
            frame = json.loads(message.data)
            self._waiting = frame if isinstance(frame, list) else [frame]
        return self._waiting.pop(0)

    async def hear_until(self, kind: str, **fields: object) -> Any:
        """The first event of this kind with these fields."""
        while True:
            event = await self.hear()
            named = isinstance(event, dict) and event.get("event_type", event.get("type")) == kind
            if named and all(event.get(name) == value for name, value in fields.items()):
                return event

    async def hear_all(self) -> list[Any]:
        """Everything that was sent up to now."""
        await self.say("PING")
        heard: list[Any] = []
        while (event := await self.hear()) != "PONG":
            heard.append(event)
        return heard

    async def closed(self) -> tuple[int | None, str]:
        """(code, reason) of the end of the socket, whatever comes before it."""
        while True:
            message = await self.socket.receive(TIMEOUT_S)
            if message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING):
                return self.socket.close_code, str(message.extra or "")


async def connect(session: aiohttp.ClientSession, sandbox: RunningSandbox, channel: str) -> Listener:
    return Listener(await session.ws_connect(f"{sandbox.ws_url}/ws/{channel}"))


async def market_socket(
    session: aiohttp.ClientSession, sandbox: RunningSandbox, *tokens: str, custom: bool = True
) -> Listener:
    listener = await connect(session, sandbox, "market")
    await listener.say({"type": "market", "assets_ids": list(tokens), "custom_feature_enabled": custom})
    return listener


async def user_socket(session: aiohttp.ClientSession, sandbox: RunningSandbox, trader: Trader) -> Listener:
    listener = await connect(session, sandbox, "user")
    await listener.say({"type": "user", "auth": trader.credentials})
    await listener.say("PING")
    assert await listener.hear() == "PONG"
    return listener


async def rtds_socket(
    session: aiohttp.ClientSession,
    sandbox: RunningSandbox,
    *types: str,
    action: str | None = "subscribe",
    filters: str = "",
) -> Listener:
    listener = await connect(session, sandbox, "rtds")
    frame: dict[str, object] = {
        "subscriptions": [{"topic": "activity", "type": kind, "filters": filters} for kind in types]
    }
    await listener.say(frame if action is None else {**frame, "action": action})
    await listener.say("PING")
    assert await listener.hear() == "PONG"
    return listener
