"""The market-data socket: books and prints of the tokens a client names.

Client: {"type": "auth", "token": T} (programs, first), {"type": "subscribe", "tokens": [...], "channels":
["orderbook", "trades"]}, {"type": "unsubscribe", "tokens": [...]}.
Server: subscribed {tokens, unknown}, orderbook {token, bids, asks, doubt, trusted, ...}, trades {token, trades,
missed}, error {code, message}. A book is always whole and the newest; `missed` says that older prints were skipped.
"""

import asyncio
import json
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.core.serializers.json import DjangoJSONEncoder
from django.db import DatabaseError, InterfaceError

from markets import live
from markets.services import interest
from polyhub.lib.clock import SystemClock

logger = logging.getLogger(__name__)

ORDERBOOK, TRADES = "orderbook", "trades"
LONGEST_MESSAGE = 16_384
MOST_TOKENS = 50
MOST_MESSAGES, PER_S = 30, 10.0
AUTH_WITHIN_S = 10.0
# What people follow is asked for again well before the feed would give it up.
LOOK_EVERY_S = 30.0
PAUSE_S = 0.1
SIGNED_OUT, BAD_MESSAGE, TOO_MANY = 4401, 4400, 4429


class MarketConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    """One client. `may_read(token)` says whether an API token may read market data."""

    def __init__(self, *args: Any, may_read: Callable[[str], Awaitable[bool]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._may_read = may_read
        self._is_in = False
        self._api_token = ""
        self._follower = live.Follower()
        self._leave: Callable[[], None] | None = None
        # By token id: its key; by key: the token id and the last number sent of its prints.
        self._keys: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._sent: dict[int, int] = {}
        self._clock = SystemClock()
        self._heard: deque[float] = deque(maxlen=MOST_MESSAGES)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async with asyncio.TaskGroup() as tasks:
            beside = [tasks.create_task(self._tell()), tasks.create_task(self._keep_looking())]
            try:
                await super().__call__(scope, receive, send)
            finally:
                for task in beside:
                    task.cancel()
                if self._leave is not None:
                    self._leave()

    async def connect(self) -> None:
        user = self.scope.get("user")
        self._is_in = user is not None and user.is_authenticated
        await self.accept()
        self._leave = live.here().join(self._follower)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if self._is_flooding():
            await self.close(code=TOO_MANY)
            return
        message = _parsed(text_data)
        kind = message.get("type") if message else None
        if message is None or kind not in ("auth", "subscribe", "unsubscribe"):
            await self._refuse("BAD_MESSAGE", "Send auth, subscribe or unsubscribe as a JSON object.", BAD_MESSAGE)
        elif kind == "auth":
            self._api_token = str(message.get("token", ""))
            self._is_in = self._is_in or await self._may_read(self._api_token)
            if not self._is_in:
                await self._refuse("NOT_SIGNED_IN", "This token is unknown, expired, or lacks read:market.", SIGNED_OUT)
        elif not self._is_in:
            await self._refuse("NOT_SIGNED_IN", "Send your token first, or sign in.", SIGNED_OUT)
        elif kind == "subscribe":
            await self._subscribe(_texts(message.get("tokens")), _texts(message.get("channels")) or [ORDERBOOK])
        else:
            self._unsubscribe(_texts(message.get("tokens")))

    async def _subscribe(self, token_ids: list[str], channels: list[str]) -> None:
        if len({*self._keys, *token_ids}) > MOST_TOKENS:
            await self._say({"type": "error", "code": "TOO_MANY", "message": f"At most {MOST_TOKENS} tokens."})
            return
        found = await database_sync_to_async(interest.keys_of)(token_ids=token_ids)
        await database_sync_to_async(interest.look)(token_ids=list(found.values()), now=self._clock.now())
        self._keys.update(found)
        self._names.update({key: token_id for token_id, key in found.items()})
        unknown = sorted(set(token_ids) - found.keys())
        keys = set(found.values())
        # What is known now was before; everything after the answer is told.
        await live.here().load(keys)
        if TRADES in channels:
            self._follower.trades |= keys
            self._sent.update({key: live.here().number(key) for key in keys})
        await self._say({"type": "subscribed", "tokens": sorted(found), "unknown": unknown, "channels": channels})
        if ORDERBOOK in channels:
            self._follower.books |= keys
            self._follower.tell(keys, ())

    def _unsubscribe(self, token_ids: list[str]) -> None:
        for token_id in token_ids:
            key = self._keys.pop(token_id, None)
            if key is not None:
                self._names.pop(key, None)
                self._follower.books.discard(key)
                self._follower.trades.discard(key)

    async def _tell(self) -> None:
        """Whatever changed since the last message, newest state only."""
        while True:
            await self._follower.wake.wait()
            self._follower.wake.clear()
            follower, market = self._follower, live.here()
            books, follower.changed_books = follower.changed_books & follower.books, set()
            trades, follower.changed_trades = follower.changed_trades & follower.trades, set()
            for key in sorted(books):
                if key in market.books:
                    await self._say({"type": ORDERBOOK, **market.books[key]})
            for key in sorted(trades):
                await self._say_prints(key, market)
            await asyncio.sleep(PAUSE_S)

    async def _say_prints(self, key: int, market: live.LiveMarkets) -> None:
        fresh = [(number, one) for number, one in market.prints.get(key, ()) if number > self._sent.get(key, 0)]
        if not fresh:
            return
        missed = fresh[0][0] - self._sent.get(key, 0) - 1
        self._sent[key] = fresh[-1][0]
        await self._say(
            {"type": TRADES, "token": self._names[key], "trades": [one for _, one in fresh], "missed": missed}
        )

    async def _keep_looking(self) -> None:
        """Without a sign-in soon, or with a token that ended, the connection is closed."""
        await asyncio.sleep(AUTH_WITHIN_S)
        while True:
            try:
                if not self._is_in or (self._api_token and not await self._may_read(self._api_token)):
                    await self._refuse("NOT_SIGNED_IN", "Nobody signed in on this connection.", SIGNED_OUT)
                    return
                if self._names:
                    await database_sync_to_async(interest.look)(token_ids=list(self._names), now=self._clock.now())
            except (DatabaseError, InterfaceError):
                logger.exception("Interest not renewed")
            await asyncio.sleep(LOOK_EVERY_S)

    def _is_flooding(self) -> bool:
        now = self._clock.monotonic()
        is_full = len(self._heard) == MOST_MESSAGES and now - self._heard[0] < PER_S
        self._heard.append(now)
        return is_full

    async def _refuse(self, code: str, message: str, close: int) -> None:
        await self._say({"type": "error", "code": code, "message": message})
        await self.close(code=close)

    async def _say(self, message: Mapping[str, Any]) -> None:
        await self.send(text_data=json.dumps(message, cls=DjangoJSONEncoder))


def _parsed(text: str | None) -> dict[str, Any] | None:
    if text is None or len(text) > LONGEST_MESSAGE:
        return None
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None


def _texts(said: object) -> list[str]:
    """Names of channels and numbers of tokens; nothing else is anybody's."""
    return (
        [one[:80] for one in said if isinstance(one, str) and one.isalnum() and one.isascii()]
        if isinstance(said, list)
        else []
    )
