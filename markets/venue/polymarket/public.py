"""What anybody may read: books, trading terms, the catalogue, public trades and positions."""

import itertools
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TypeVar
from urllib.parse import quote, urlencode

import msgspec

from markets.domain import fees
from markets.domain.catalogue import MarketFacts, MarketPage
from markets.venue.errors import Refused, Unavailable
from markets.venue.polymarket import numbers, parse, wire
from markets.venue.polymarket.transport import Transport
from markets.venue.polymarket.wire import BadAnswer
from markets.venue.ports import BookSnapshot, LeaderTradeSeen
from polyhub.lib import clock, money

T = TypeVar("T")

logger = logging.getLogger(__name__)

TERMS_TTL_S = 600.0
GAMMA_BATCH = 50
DATA_PAGE = 500
_MAX_PAGES = 40

_BOOK = msgspec.json.Decoder(wire.BookRow)
_TIME = msgspec.json.Decoder(int | float | str)
_CLOB_MARKET = msgspec.json.Decoder(wire.ClobMarket)
_BY_TOKEN = msgspec.json.Decoder(wire.MarketByToken)
_GAMMA = msgspec.json.Decoder(wire.GammaPage)
_LISTING = msgspec.json.Decoder(wire.GammaListing)
_GAMMA_ROW = msgspec.json.Decoder(wire.GammaMarket)
_HISTORY = msgspec.json.Decoder(wire.PriceHistory)
_TRADES = msgspec.json.Decoder(wire.DataPage[wire.PublicTradeRow])
_ACTIVITY = msgspec.json.Decoder(wire.DataPage[wire.ActivityRow])
_POSITIONS = msgspec.json.Decoder(wire.DataPage[wire.PositionRow])


@dataclass(frozen=True, slots=True)
class TradingTerms:
    """What a market charges and accepts. A `fee_rate` of zero means that the venue lists no fee."""

    condition_id: str
    tick_units: int
    min_share_units: int
    fee_rate: Decimal
    fee_exponent: int
    neg_risk: bool
    fee_taker_only: bool = True

    def fee_units(self, *, price_units: int, share_units: int, is_maker: bool = False) -> int:
        """Fee of a fill in base units."""
        if is_maker and self.fee_taker_only:
            return 0
        return fees.fee_units(
            share_units=share_units, price_units=price_units, rate=self.fee_rate, exponent=self.fee_exponent
        )


@dataclass(frozen=True, slots=True)
class PublicPosition:
    """What a wallet holds of a token; `as_of` is the time of the last event it contains, if told."""

    wallet: str
    token_id: str
    condition_id: str
    shares: Decimal
    avg_price: Decimal | None
    total_pnl_usdc: Decimal | None
    status: str
    as_of: datetime | None


class PublicClient:
    """Reads without a key. Every call has a timeout and raises Refused or Unavailable."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._urls = transport.urls
        self._terms: dict[str, tuple[datetime, TradingTerms]] = {}
        self._conditions: dict[str, str] = {}
        self._places: dict[str, tuple[str, int]] = {}
        # A changing parameter gets past the Data API's cache, which ignores no-cache requests.
        self._fresh = itertools.count(clock.to_ms(transport.clock.now()))

    async def venue_time_s(self) -> int:
        """The venue's clock, in whole seconds."""
        answer = await self._transport.read(f"{self._urls.clob}/time")
        value = _decoded(_TIME, answer.body)
        return int(value)

    async def book(self, token_id: str) -> BookSnapshot | None:
        """The book now; None when the venue knows no book of this token (new or closed market)."""
        try:
            answer = await self._transport.read(f"{self._urls.clob}/book?token_id={quote(token_id)}")
        except Refused as refused:
            if refused.code == "NOT_FOUND":
                return None
            raise
        received = clock.to_ms(self._transport.clock.now())
        return _parsed(lambda: parse.book(_decoded(_BOOK, answer.body), received_ms=received))

    async def terms(self, *, token_id: str, condition_id: str = "") -> TradingTerms:
        """Tick, minimum and fee of a token's market, at most ten minutes old."""
        condition = condition_id or self._conditions.get(token_id) or await self._condition_of(token_id)
        self._conditions[token_id] = condition
        known = self._terms.get(condition)
        now = self._transport.clock.now()
        if known is not None and (now - known[0]).total_seconds() < TERMS_TTL_S:
            return known[1]
        answer = await self._transport.read(f"{self._urls.clob}/clob-markets/{quote(_padded(condition))}")
        row = _decoded(_CLOB_MARKET, answer.body)
        terms = _parsed(lambda: _terms(condition, row))
        self._terms[condition] = (now, terms)
        return terms

    async def markets(
        self, *, token_ids: Sequence[str] = (), condition_ids: Sequence[str] = (), closed: bool = False
    ) -> list[MarketFacts]:
        """Catalogue entries by token or condition ids; rows nothing can be traded by are left out."""
        found: list[MarketFacts] = []
        for name, ids in (("clob_token_ids", token_ids), ("condition_ids", condition_ids)):
            for start in range(0, len(ids), GAMMA_BATCH):
                query = [(name, one) for one in ids[start : start + GAMMA_BATCH]]
                query += [("limit", "100"), ("closed", "true" if closed else "false")]
                found += [facts async for facts in self._gamma(query)]
        return found

    async def list_markets(self, *, limit: int, order: str = "volume24hr") -> list[MarketFacts]:
        """Open markets, largest first."""
        found: list[MarketFacts] = []
        query = [("limit", "100"), ("closed", "false"), ("order", order), ("ascending", "false")]
        async for facts in self._gamma(query):
            found.append(facts)
            if len(found) >= limit:
                break
        return found

    async def market_page(
        self, *, cursor: str = "", order: str = "", closed: bool = False, limit: int = 100
    ) -> MarketPage:
        """One page of the listing, largest first by `order`. A row that cannot be read is logged and left out."""
        query = {"limit": str(limit), "closed": "true" if closed else "false"}
        query |= {"order": order, "ascending": "false"} if order else {}
        query |= {"after_cursor": cursor} if cursor else {}
        answer = await self._transport.read(f"{self._urls.gamma}/markets/keyset?{urlencode(query)}")
        page = _decoded(_LISTING, answer.body)
        found: list[MarketFacts] = []
        unreadable = 0
        for raw in page.markets:
            try:
                facts = parse.market(_GAMMA_ROW.decode(raw))
            except (BadAnswer, msgspec.MsgspecError, ArithmeticError) as error:
                logger.warning("A market of the listing cannot be read: %s (%.120s)", error, bytes(raw).decode())
                unreadable += 1
                continue
            if facts is not None:
                found.append(facts)
        return MarketPage(tuple(found), page.next_cursor or "" if page.markets else "", unreadable)

    async def price_history(
        self, *, token_id: str, since: datetime, until: datetime, minutes: int = 1
    ) -> list[tuple[datetime, Decimal]]:
        """Past prices of a token as the venue kept them, oldest first."""
        query = {
            "market": token_id,
            "startTs": str(int(since.timestamp())),
            "endTs": str(int(until.timestamp())),
            "fidelity": str(minutes),
        }
        answer = await self._transport.read(f"{self._urls.clob}/prices-history?{urlencode(query)}")
        points = _decoded(_HISTORY, answer.body).history
        return [(clock.from_ms(numbers.milliseconds(str(point.t))), point.p) for point in points]

    async def wallet_trades(self, *, wallet: str, after: datetime | None = None) -> list[LeaderTradeSeen]:
        """Fills of a wallet, as taker and as maker, newest first, back to `after`."""
        query = {"user": wallet, "taker_only": "false", "filter_amount": "0", "limit": str(DATA_PAGE)}
        if after is not None:
            query["start"] = str(int(after.timestamp()))
        rows = [row async for row in self._data("trades", _TRADES, query)]
        # Nothing older than asked for, whatever the venue calls recent: quiet markets have answered with months.
        oldest = int(after.timestamp()) if after is not None else 0
        received = clock.to_ms(self._transport.clock.now())
        return _parsed(
            lambda: [parse.public_trade(row, received_ms=received) for row in rows if row.timestamp >= oldest]
        )

    async def market_trades(self, *, condition_id: str, after: datetime) -> list[LeaderTradeSeen]:
        """Public trades of a market back to `after`, one row per taker, newest first; one page holds the newest."""
        query = {"condition": condition_id, "filter_amount": "0", "limit": str(DATA_PAGE), "_": str(next(self._fresh))}
        answer = await self._transport.read(f"{self._urls.data}/v2/trades?{urlencode(query)}")
        received = clock.to_ms(self._transport.clock.now())
        rows = _decoded(_TRADES, answer.body).data
        found = _parsed(lambda: [parse.public_trade(row, received_ms=received) for row in rows])
        return [one for one in found if one.traded_s >= int(after.timestamp())]

    async def wallet_positions(self, *, wallet: str) -> list[PublicPosition]:
        """Everything a wallet holds, dust included."""
        query = {"user": wallet, "filter_amount": "0", "limit": str(DATA_PAGE)}
        rows = [row async for row in self._data("positions", _POSITIONS, query)]
        return _parsed(lambda: [_position(row) for row in rows])

    async def wallet_activity(self, *, wallet: str, kind: str, after: datetime) -> list[wire.ActivityRow]:
        """Rows of one kind (SPLIT, MERGE, REDEEM...): the venue has been seen to ignore lists of kinds."""
        query = {"user": wallet, "type": kind, "start": str(int(after.timestamp())), "limit": str(DATA_PAGE)}
        return [row async for row in self._data("activity", _ACTIVITY, query) if row.type == kind]

    async def place_of(self, token_id: str) -> tuple[str, int]:
        """The market (condition id) of a token, and which of its outcomes the token is. Asked once per token."""
        known = self._places.get(token_id)
        if known is None:
            answer = await self._transport.read(f"{self._urls.clob}/markets-by-token/{quote(token_id)}")
            row = _decoded(_BY_TOKEN, answer.body)
            known = self._places[token_id] = (row.condition_id, int(row.secondary_token_id == token_id))
        return known

    async def _condition_of(self, token_id: str) -> str:
        return (await self.place_of(token_id))[0]

    async def _gamma(self, query: Sequence[tuple[str, str]]) -> AsyncIterator[MarketFacts]:
        cursor = ""
        for _ in range(_MAX_PAGES):
            paged = [*query, ("after_cursor", cursor)] if cursor else list(query)
            answer = await self._transport.read(f"{self._urls.gamma}/markets/keyset?{urlencode(paged)}")
            page = _decoded(_GAMMA, answer.body)
            for row in page.markets:
                facts = _parsed(lambda row=row: parse.market(row))  # type: ignore[misc]
                if facts is not None:
                    yield facts
            if not page.next_cursor or not page.markets:
                return
            cursor = page.next_cursor

    async def _data(
        self, path: str, decoder: "msgspec.json.Decoder[wire.DataPage[T]]", query: dict[str, str]
    ) -> AsyncIterator[T]:
        cursor = ""
        for _ in range(_MAX_PAGES):
            paged = {**query, "_": str(next(self._fresh))} | ({"cursor": cursor} if cursor else {})
            answer = await self._transport.read(f"{self._urls.data}/v2/{path}?{urlencode(paged)}")
            page = _decoded(decoder, answer.body)
            for row in page.data:
                yield row
            if not page.pagination.has_more or not page.pagination.next_cursor:
                return
            cursor = page.pagination.next_cursor


def _terms(condition_id: str, row: wire.ClobMarket) -> TradingTerms:
    fee = row.fd or wire.FeeRow()
    return TradingTerms(
        condition_id=condition_id,
        tick_units=numbers.tick_units(row.mts),
        min_share_units=money.to_units(row.mos),
        fee_rate=fee.r,
        fee_exponent=int(fee.e),
        neg_risk=bool(row.nr),
        fee_taker_only=fee.to,
    )


def _position(row: wire.PositionRow) -> PublicPosition:
    return PublicPosition(
        wallet=row.proxy_wallet.lower(),
        token_id=row.token_id,
        condition_id=row.condition_id,
        shares=row.current_size,
        avg_price=row.avg_price,
        total_pnl_usdc=row.total_pnl,
        status=row.status,
        as_of=_as_of(row.last_event_at),
    )


def _as_of(raw: msgspec.Raw) -> datetime | None:
    """Seconds, milliseconds or an ISO time: the documentation does not say which."""
    text = bytes(raw).decode().strip('"')
    if text in ("null", ""):
        return None
    if text.isdecimal():
        return clock.from_ms(numbers.milliseconds(text))
    try:
        at = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return at if at.tzinfo else None


def _padded(condition_id: str) -> str:
    """Conditions of the second protocol have 62 hex digits; the CLOB wants 64."""
    return condition_id if len(condition_id) != 64 else condition_id + "00"


def _decoded(decoder: "msgspec.json.Decoder[T]", body: bytes) -> T:
    try:
        return decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise Unavailable(f"The venue's answer cannot be read: {error}", code="BAD_ANSWER") from error


def _parsed(work: Callable[[], T]) -> T:
    try:
        return work()
    except (BadAnswer, msgspec.MsgspecError, money.NotExact) as error:
        raise Unavailable(f"The venue's answer cannot be read: {error}", code="BAD_ANSWER") from error
