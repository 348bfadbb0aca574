"""The two public streams: order books of chosen tokens, and every trade of everybody."""

import logging
import random
from collections import OrderedDict
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing

import msgspec

from markets.venue.polymarket import numbers, parse, wire
from markets.venue.polymarket.socket import Lost, Opened, ReconnectingSocket, Watch
from markets.venue.polymarket.transport import Transport
from markets.venue.polymarket.wire import BadAnswer
from markets.venue.ports import (
    ActivityEvent,
    FeedStatus,
    LastTrade,
    LeaderTradeSeen,
    LevelChange,
    MarketEvent,
    Side,
    TickChange,
)
from polyhub.lib import clock

logger = logging.getLogger(__name__)

# A market may be quiet for hours: an answered ping is life. The activity stream carries everybody's trades and has
# been seen to go quiet with the socket open, so there only trades count.
MARKET_WATCH = Watch(ping_s=10.0, silence_s=25.0, pong_counts=True)
ACTIVITY_PING_S = 5.0
ACTIVITY_SILENCE_S = 10.0
_CHUNK = 200
UNREADABLE = "unreadable frame"
_REMEMBERED = 8192

FRAME = msgspec.json.Decoder(wire.MarketFrame)
FRAMES = msgspec.json.Decoder(list[wire.MarketFrame])
_ACTIVITY = msgspec.json.Decoder(wire.ActivityFrame)
_PAYLOAD = msgspec.json.Decoder(wire.ActivityPayload)
# Known kinds we have no use for here; what is none of these is told as unreadable.
_UNUSED = frozenset({"best_bid_ask", "new_market", "market_resolved"})
_SIDES = {"BUY": Side.BUY, "SELL": Side.SELL}

ACTIVITY_GREETING = (
    '{"action":"subscribe","subscriptions":'
    '[{"topic":"activity","type":"orders_matched"},{"topic":"activity","type":"trades"}]}'
)


class MarketStream:
    """Books of the subscribed tokens. After each FeedStatus(connected) every book comes anew: there is no replay."""

    def __init__(self, transport: Transport, *, chance: random.Random, watch: Watch = MARKET_WATCH) -> None:
        self._clock = transport.clock
        self._tokens: dict[str, None] = {}
        self._greeted: set[str] = set()
        self._socket = ReconnectingSocket(
            transport, transport.urls.ws_market, watch=watch, greeting=self._greeting, chance=chance
        )
        self.bad_frames = 0

    async def subscribe(self, token_ids: Iterable[str]) -> None:
        """Ask for more tokens; known ones are left alone."""
        fresh = [token for token in dict.fromkeys(token_ids) if token not in self._tokens]
        self._tokens.update(dict.fromkeys(fresh))
        await self._tell("subscribe", fresh)

    async def unsubscribe(self, token_ids: Iterable[str]) -> None:
        gone = [token for token in dict.fromkeys(token_ids) if token in self._tokens]
        for token in gone:
            del self._tokens[token]
        await self._tell("unsubscribe", gone)

    async def events(self) -> AsyncGenerator[MarketEvent, None]:
        async with aclosing(self._socket.events()) as frames:
            async for frame in frames:
                match frame:
                    case Opened():
                        # Tokens asked for while the greeting was on its way.
                        await self._tell("subscribe", [t for t in self._tokens if t not in self._greeted])
                        yield FeedStatus(connected=True)
                    case Lost(reason=reason):
                        yield FeedStatus(connected=False, reason=reason)
                    case str(text):
                        for event in self.read(text):
                            yield event

    def read(self, text: str) -> list[MarketEvent]:
        """Events of one frame. What cannot be read is counted, logged and told, as some book has missed something.

        Hot path: 3 us for a change of one level.
        """
        try:
            frames = FRAMES.decode(text) if text.startswith("[") else (FRAME.decode(text),)
        except msgspec.MsgspecError as error:
            return [self._bad(text[:80], error)]
        received = clock.to_ms(self._clock.now())
        events: list[MarketEvent] = []
        for frame in frames:
            read_so_far = len(events)
            try:
                if frame.event_type == "price_change":
                    _read_changes(frame, received, events)
                else:
                    _read_other(frame, received, events)
            except BadAnswer as error:
                # All of a frame or nothing: what is left out is told as missed.
                del events[read_so_far:]
                events.append(self._bad(frame.asset_id or frame.market, error, tokens=_tokens_of(frame)))
        return events

    def _greeting(self) -> list[str]:
        """The form the venue wants first and only once; without tokens the first subscription will be it."""
        tokens = list(self._tokens)
        self._greeted = set(tokens)
        return [_first(tokens[:_CHUNK]), *_operations("subscribe", tokens[_CHUNK:])] if tokens else []

    async def _tell(self, operation: str, token_ids: Sequence[str]) -> None:
        if not token_ids:
            return
        texts = _operations(operation, token_ids)
        if not self._greeted and operation == "subscribe":
            texts = [_first(token_ids[:_CHUNK]), *_operations(operation, token_ids[_CHUNK:])]
        for text in texts:
            if not await self._socket.send(text):
                return
        self._greeted.update(token_ids)

    def _bad(self, name: str, error: Exception, *, tokens: tuple[str, ...] | None = None) -> FeedStatus:
        self.bad_frames += 1
        logger.warning("A frame of the market stream cannot be read (%s): %s", name, error)
        return FeedStatus(connected=True, reason=UNREADABLE, tokens=tokens)


class ActivityStream:
    """Every public fill with its wallet. A fill told by both message types is given once."""

    def __init__(self, transport: Transport, *, chance: random.Random, silence_s: float = ACTIVITY_SILENCE_S) -> None:
        self._clock = transport.clock
        self._seen: OrderedDict[tuple[object, ...], None] = OrderedDict()
        self._socket = ReconnectingSocket(
            transport,
            transport.urls.ws_rtds,
            watch=Watch(ping_s=min(ACTIVITY_PING_S, silence_s / 2), silence_s=silence_s, pong_counts=False),
            greeting=lambda: [ACTIVITY_GREETING],
            chance=chance,
        )
        self.bad_frames = 0
        self.frames = 0

    async def events(self) -> AsyncGenerator[ActivityEvent, None]:
        async with aclosing(self._socket.events()) as frames:
            async for frame in frames:
                match frame:
                    case Opened():
                        yield FeedStatus(connected=True)
                    case Lost(reason=reason):
                        yield FeedStatus(connected=False, reason=reason)
                    case str(text):
                        seen = self.read(text)
                        if seen is not None:
                            yield seen

    def read(self, text: str) -> LeaderTradeSeen | None:
        """The fill of one frame, unless it was told before or says nothing about trades. Hot path, 5 us."""
        self.frames += 1
        if not text:
            return None
        try:
            frame = _ACTIVITY.decode(text)
            if frame.topic != "activity" or frame.type not in ("trades", "orders_matched"):
                return None
            row = _PAYLOAD.decode(frame.payload)
            key = (row.transaction_hash, row.proxy_wallet, row.asset, row.side, bytes(row.price), bytes(row.size))
            if key in self._seen:
                return None
            seen = parse.leader_trade(row, received_ms=clock.to_ms(self._clock.now()))
        except (BadAnswer, msgspec.MsgspecError) as error:
            self.bad_frames += 1
            logger.warning("A frame of the activity stream cannot be read: %s", error)
            return None
        self._seen[key] = None
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return seen


def _first(token_ids: Sequence[str]) -> str:
    frame = {"type": "market", "assets_ids": list(token_ids), "custom_feature_enabled": True}
    return msgspec.json.encode(frame).decode()


def _operations(operation: str, token_ids: Sequence[str]) -> list[str]:
    """Later subscriptions name an operation: the first frame's form sent twice is an error to the venue."""
    return [
        msgspec.json.encode(
            {
                "operation": operation,
                "assets_ids": list(token_ids[start : start + _CHUNK]),
                "custom_feature_enabled": True,
            }
        ).decode()
        for start in range(0, len(token_ids), _CHUNK)
    ]


def _read_changes(frame: wire.MarketFrame, received_ms: int, events: list[MarketEvent]) -> None:
    """Each level, then each token's best prices: told with every change, true once all of the frame are in."""
    changes = frame.price_changes or ()
    at = numbers.milliseconds(frame.timestamp)
    for change in changes:
        token_id = change.asset_id
        side = _SIDES.get(change.side) or _side(change.side, token_id)
        price, shares = numbers.price_units(change.price), numbers.share_units(change.size)
        events.append(LevelChange(token_id, side, price, shares, at, received_ms))
    last = changes if len(changes) == 1 else {change.asset_id: change for change in changes}.values()
    for change in last:
        told = parse.best_told(change, venue_ms=at)
        if told is not None:
            events.append(told)


def _read_other(frame: wire.MarketFrame, received_ms: int, events: list[MarketEvent]) -> None:
    """Kinds we have no use for give nothing."""
    match frame.event_type:
        case "book":
            events.append(parse.book(frame, received_ms=received_ms))
        case "last_trade_price":
            events.append(
                LastTrade(
                    frame.asset_id,
                    _side(frame.side, frame.asset_id),
                    numbers.price_units(frame.price),
                    numbers.share_units(frame.size or "0"),
                    numbers.milliseconds(frame.timestamp),
                )
            )
        case "tick_size_change":
            tick = numbers.tick_units(frame.new_tick_size or "")
            events.append(TickChange(frame.asset_id, tick, numbers.milliseconds(frame.timestamp)))
        case kind if kind not in _UNUSED:
            raise BadAnswer(f"{frame.asset_id or frame.market}: unknown event {kind[:40]!r}")


def _tokens_of(frame: wire.MarketFrame) -> tuple[str, ...] | None:
    """Whose books a frame speaks of; None where it does not say."""
    named = {frame.asset_id, *(change.asset_id for change in frame.price_changes or ())} - {""}
    return tuple(sorted(named)) or None


def _side(text: str, payload_id: str) -> Side:
    side = _SIDES.get(text)
    if side is None:
        raise BadAnswer(f"{payload_id}: unknown side {text!r}")
    return side
