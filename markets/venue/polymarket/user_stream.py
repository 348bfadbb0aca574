"""Own orders and trades of one account as they happen. There is no replay: after each StreamStatus, reconcile."""

import logging
import random
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing

import msgspec

from markets.venue.polymarket import parse, wire
from markets.venue.polymarket.parse import OwnTrade
from markets.venue.polymarket.private import Credentials
from markets.venue.polymarket.socket import Lost, Opened, ReconnectingSocket, Watch
from markets.venue.polymarket.transport import Transport
from markets.venue.polymarket.wire import BadAnswer
from markets.venue.ports import StreamStatus, VenueOrder

logger = logging.getLogger(__name__)

# An account may be quiet for days: only the answer to a ping tells that the socket lives.
WATCH = Watch(ping_s=10.0, silence_s=25.0, pong_counts=True)

_RAW = msgspec.json.Decoder(msgspec.Raw)
_MANY = msgspec.json.Decoder(list[msgspec.Raw])
_KIND = msgspec.json.Decoder(wire.UserFrame)
_ORDER = msgspec.json.Decoder(wire.OrderRow)
_TRADE = msgspec.json.Decoder(wire.TradeRow)

Event = OwnTrade | VenueOrder | StreamStatus


class UserStream:
    """`bad_frames` counts what could not be read; each asks for a reconciliation instead of ending the stream."""

    def __init__(
        self,
        transport: Transport,
        *,
        credentials: Callable[[], Credentials],
        is_mine: Callable[[wire.MakerRow], bool],
        chance: random.Random,
        watch: Watch = WATCH,
    ) -> None:
        self._credentials = credentials
        self._is_mine = is_mine
        self._socket = ReconnectingSocket(
            transport, transport.urls.ws_user, watch=watch, greeting=self._greeting, chance=chance
        )
        self.bad_frames = 0

    async def events(self) -> AsyncGenerator[Event, None]:
        async with aclosing(self._socket.events()) as frames:
            async for frame in frames:
                match frame:
                    case Opened():
                        yield StreamStatus(connected=True)
                    case Lost(reason=reason):
                        yield StreamStatus(connected=False, reason=reason)
                    case str(text):
                        for event in self._read(text):
                            yield event

    def _greeting(self) -> list[str]:
        credentials = self._credentials()
        auth = {
            "apiKey": credentials.api_key,
            "secret": credentials.secret_text,
            "passphrase": credentials.passphrase,
        }
        return [msgspec.json.encode({"type": "user", "auth": auth}).decode()]

    def _read(self, text: str) -> Iterator[Event]:
        try:
            raws = _MANY.decode(text) if text.startswith("[") else [_RAW.decode(text)]
            for raw in raws:
                yield from self._event(raw)
        except (BadAnswer, msgspec.MsgspecError) as error:
            self.bad_frames += 1
            logger.warning("A frame of the user stream cannot be read: %s", error)
            yield StreamStatus(connected=True, reason="unreadable frame")

    def _event(self, raw: msgspec.Raw) -> Iterator[Event]:
        kind = _KIND.decode(raw).event_type
        if kind == "order":
            yield parse.order(_ORDER.decode(raw))
        elif kind == "trade":
            yield from parse.own_trades(_TRADE.decode(raw), is_mine=self._is_mine)
        else:
            raise BadAnswer(f"unknown event {kind[:40]!r}: {bytes(raw)[:120].decode('utf-8', 'replace')}")
