"""The one WebSocket: a snapshot, then every change with its number. A client that was away resumes by number.

Client: {"type": "auth", "token": T} (programs, first), {"type": "hello", "after": N or null}.
Server: snapshot {seq, accounts, orders, ...}, event {seq, topic, payload}, resumed {seq}, services {services},
error {code, message}. After the error UNAVAILABLE nothing is told until `resumed`: the database was away.
"""

import asyncio
import json
import logging
from collections import Counter, deque
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, ParamSpec, TypeVar

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.contrib.auth import get_user
from django.core.serializers.json import DjangoJSONEncoder
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest
from django.utils.module_loading import import_string

from accounts.authentication import find_token
from accounts.models import User
from accounts.services.tokens import Scope
from polyhub import system
from polyhub.lib import events, hints
from polyhub.lib.clock import SystemClock

logger = logging.getLogger(__name__)

# A hint may be lost: the consumer looks by itself this often.
POLL_S = 5.0
RECHECK_S = 60.0
AUTH_WITHIN_S = 10.0
HINTS_WITHIN_S = 5.0
LONGEST_MESSAGE = 4096
SIGNED_OUT = 4401
BAD_MESSAGE = 4400
TOO_MANY = 4429
# A page says hello once for each connection and gap; each answer may be a whole snapshot.
MOST_MESSAGES = 30
PER_S = 10.0
# In each web process: windows of one user, and programs that have not said who they are (they get 10 s for it).
MOST_OF_USER = 20
MOST_UNKNOWN = 200
NOBODY = 0

P = ParamSpec("P")
T = TypeVar("T")
Part = Callable[[User, datetime], list[dict[str, Any]]]


class Places:
    """How many connections each user has in this process. One event loop uses it, so it needs no lock."""

    def __init__(self, *, of_user: int = MOST_OF_USER, unknown: int = MOST_UNKNOWN) -> None:
        self._of_user, self._unknown = of_user, unknown
        self._taken: Counter[int] = Counter()

    def take(self, user_id: int) -> bool:
        if self._taken[user_id] >= (self._unknown if user_id == NOBODY else self._of_user):
            return False
        self._taken[user_id] += 1
        return True

    def leave(self, user_id: int) -> None:
        self._taken[user_id] -= 1
        if not self._taken[user_id]:
            del self._taken[user_id]


PLACES = Places()


class HubConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    """One connection of one user. `parts` are what a snapshot holds."""

    def __init__(
        self,
        *args: Any,
        parts: Mapping[str, Part],
        poll_s: float = POLL_S,
        recheck_s: float = RECHECK_S,
        places: Places = PLACES,
    ) -> None:
        super().__init__(*args)
        self._parts, self._poll_s, self._recheck_s, self._places = parts, poll_s, recheck_s, places
        self._place: int | None = None
        self._is_cut_off = False
        self._user: User | None = None
        self._token = ""
        self._seq: int | None = None
        self._services: list[dict[str, Any]] = []
        self._wake = asyncio.Event()
        self._sending = asyncio.Lock()
        self._clock = SystemClock()
        self._heard: deque[float] = deque(maxlen=MOST_MESSAGES)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(self._watch())
            try:
                await super().__call__(scope, receive, send)
            finally:
                watching.cancel()
                self._leave_place()

    async def connect(self) -> None:
        user = self.scope.get("user")
        signed_in = user if user is not None and user.is_authenticated else None
        await self.accept()
        if await self._has_place(signed_in.pk if signed_in else NOBODY):
            self._user = signed_in
            await self._listen()

    async def _has_place(self, user_id: int) -> bool:
        """Trade this connection's place for one of that user; closes it when all of them are taken."""
        if not self._places.take(user_id):
            await self._refuse("TOO_MANY_CONNECTIONS", "Close some of your other windows or programs.", TOO_MANY)
            return False
        self._leave_place()
        self._place = user_id
        return True

    def _leave_place(self) -> None:
        if self._place is not None:
            self._places.leave(self._place)
            self._place = None

    async def disconnect(self, code: int) -> None:
        if self._user is not None and self.channel_layer is not None:
            async with asyncio.timeout(HINTS_WITHIN_S):
                await self.channel_layer.group_discard(hints.group_name(self._user.pk), self.channel_name)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if self._is_flooding():
            # Close only: what floods does not read.
            await self.close(code=TOO_MANY)
            return
        message = _parsed(text_data)
        if message is None:
            await self._refuse("BAD_MESSAGE", "Send one small JSON object with a type.", BAD_MESSAGE)
        elif message["type"] == "auth":
            await self._sign_in(message.get("token"))
        elif self._user is None:
            await self._refuse("NOT_SIGNED_IN", "Send your token first, or sign in.", SIGNED_OUT)
        elif message["type"] == "hello":
            await self._hello(message.get("after"))
        else:
            await self._say({"type": "error", "code": "UNKNOWN_TYPE", "message": "auth and hello are understood."})

    def _is_flooding(self) -> bool:
        now = self._clock.monotonic()
        is_full = len(self._heard) == MOST_MESSAGES and now - self._heard[0] < PER_S
        self._heard.append(now)
        return is_full

    async def events_available(self, message: Mapping[str, Any]) -> None:
        """The hint of the channel layer: a group is shared, so it names whom it is for."""
        if self._user is not None and self._user.pk in message["users"]:
            self._wake.set()

    async def _sign_in(self, token: object) -> None:
        found = await _read(find_token, str(token), now=self._clock.now()) if isinstance(token, str) else None
        if found is None or Scope.READ_PORTFOLIO not in found.scopes or self._user is not None:
            await self._refuse("NOT_SIGNED_IN", "This token is unknown, expired, or lacks read:portfolio.", SIGNED_OUT)
            return
        if await self._has_place(found.user_id):
            self._user, self._token = found.user, str(token)
            await self._listen()

    async def _listen(self) -> None:
        if self._user is None or self.channel_layer is None:
            return
        try:
            async with asyncio.timeout(HINTS_WITHIN_S):
                await self.channel_layer.group_add(hints.group_name(self._user.pk), self.channel_name)
        except (OSError, TimeoutError, DatabaseError, InterfaceError):
            logger.exception("No push hints, polling only", extra={"user_id": self._user.pk})

    async def _hello(self, after: object) -> None:
        async with self._sending:
            known = isinstance(after, int) and not isinstance(after, bool)
            self._seq = int(after) if known else None  # type: ignore[call-overload]
            await self._send_changes(resuming=known)

    async def _send_changes(self, *, resuming: bool = False) -> None:
        """Everything since the last number sent, or a snapshot where that is not possible."""
        assert self._user is not None
        missed = None if self._seq is None else await _read(events.after, user_id=self._user.pk, seq=self._seq)
        self._is_cut_off = False
        if missed is None:
            await self._send_snapshot()
            return
        for event in missed:
            await self._say({"type": "event", "seq": event.seq, "topic": event.topic, "payload": event.payload})
            self._seq = event.seq
        if resuming:
            await self._say({"type": "resumed", "seq": self._seq})

    async def _send_snapshot(self) -> None:
        assert self._user is not None
        self._seq, parts = await _read(_snapshot, self._user, self._parts, self._clock.now())
        self._services = parts["services"]
        await self._say({"type": "snapshot", "seq": self._seq, **parts})

    async def _watch(self) -> None:
        """Wake on a hint, look now and then without one, and ask from time to time whether this is still allowed."""
        opened = checked = self._clock.monotonic()
        while True:
            try:
                async with asyncio.timeout(self._poll_s):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            if self._user is None:
                if self._clock.monotonic() - opened > AUTH_WITHIN_S:
                    await self._refuse("NOT_SIGNED_IN", "Nobody signed in on this connection.", SIGNED_OUT)
                    return
                continue
            try:
                if self._clock.monotonic() - checked >= self._recheck_s:
                    checked = self._clock.monotonic()
                    if not await self._still_allowed():
                        await self._refuse("NOT_SIGNED_IN", "The session has ended.", SIGNED_OUT)
                        return
                await self._refresh()
            except (DatabaseError, InterfaceError) as error:
                await self._cut_off(error)

    async def _cut_off(self, error: Exception) -> None:
        """The database is away: said once, to the client and the log; the next look tries again."""
        if self._is_cut_off:
            return
        self._is_cut_off = True
        logger.warning("Pushes wait for the database: %s", type(error).__name__)
        await self._say(
            {"type": "error", "code": "UNAVAILABLE", "message": "The database does not answer; this goes on by itself."}
        )

    async def _refresh(self) -> None:
        async with self._sending:
            if self._seq is None:
                return
            await self._send_changes(resuming=self._is_cut_off)
            services = await _read(_service_rows, self._clock.now())
            if services != self._services:
                self._services = services
                await self._say({"type": "services", "services": services})

    async def _still_allowed(self) -> bool:
        if self._token:
            found = await _read(find_token, self._token, now=self._clock.now())
            return found is not None and Scope.READ_PORTFOLIO in found.scopes
        session = self.scope.get("session")
        assert self._user is not None
        return session is not None and await _read(_session_user, session.session_key) == self._user.pk

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
    return message if isinstance(message, dict) and isinstance(message.get("type"), str) else None


async def _read(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run database work on the thread that may."""
    result: T = await database_sync_to_async(function)(*args, **kwargs)
    return result


def _snapshot(user: User, parts: Mapping[str, Part], now: datetime) -> tuple[int, dict[str, Any]]:
    # The number first: a change in between is then told twice, never missed.
    seq = events.last_seq(user_id=user.pk)
    return seq, {**{name: part(user, now) for name, part in parts.items()}, "services": _service_rows(now)}


def _service_rows(now: datetime) -> list[dict[str, Any]]:
    state = system.state(now=now)
    return [{"name": service.name, "tone": service.tone, "word": service.word} for service in state.services]


def _session_user(session_key: str) -> int | None:
    """Whose session this is now, read afresh: None once it ended or the password changed."""
    request = HttpRequest()
    request.session = import_string(f"{settings.SESSION_ENGINE}.SessionStore")(session_key)
    user = get_user(request)
    return user.pk if user.is_authenticated and user.is_active else None
