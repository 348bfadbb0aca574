"""Whatever the venue was recorded to say is read, and what it never says is refused with the payload's name."""

import json
import random
from typing import Any

import msgspec
import pytest

from markets.domain.catalogue import MarketFacts
from markets.tests import recorded
from markets.venue.polymarket import parse, wire
from markets.venue.polymarket.private import Credentials
from markets.venue.polymarket.streams import MarketStream
from markets.venue.polymarket.user_stream import UserStream
from markets.venue.polymarket.wire import BadAnswer
from markets.venue.ports import BookSnapshot, FeedStatus, StreamStatus, VenueOrder
from markets.venue.registry import GUEST_SHARE, open_transport
from polyhub.lib.clock import SystemClock

NOWHERE = dict.fromkeys(("clob", "gamma", "data", "ws_market", "ws_user", "ws_rtds"), "http://127.0.0.1:9")


def nobody() -> Credentials:
    raise AssertionError("nothing is sent here")


def rows_of(content: bytes, key: str = "") -> list[bytes]:
    """The rows of a list, of one field of an object, or the object itself."""
    found = msgspec.json.decode(content)
    if key and isinstance(found, dict):
        found = found[key]
    return [msgspec.json.encode(row) for row in (found if isinstance(found, list) else [found])]


def read_market(row: bytes) -> MarketFacts | None:
    return parse.market(msgspec.json.decode(row, type=wire.GammaMarket))


MARKET_FILES = [
    ("d_markets/gamma_markets_500_oldest_closed.json.gz", "", 490),
    ("d_markets/gamma_markets_600_open_and_resolved_2026-02.json.gz", "", 590),
    ("d_markets/gamma_markets_20_2024-07.json.gz", "", 20),
    ("c_quotes/negrisk_fed_june2026_gamma_event.json.gz", "markets", 3),
    ("d_markets/gamma_event_us_strike_venezuela_by.json.gz", "markets", 3),
    ("d_markets/gamma_event_nobel_2026_negrisk_71markets.json.gz", "markets", 60),
]


@recorded.needed
@pytest.mark.parametrize(("name", "key", "at_least"), MARKET_FILES, ids=[name for name, _, _ in MARKET_FILES])
def test_recorded_markets_are_read(name: str, key: str, at_least: int) -> None:
    found = [facts for row in rows_of(recorded.content(name), key) if (facts := read_market(row)) is not None]
    assert len(found) >= at_least
    assert all(len(facts.outcomes) >= 1 and facts.condition_id.startswith("0x") for facts in found)


@recorded.needed
def test_recorded_single_markets_and_events_are_read() -> None:
    names = 0
    for name, content in recorded.fixtures("gamma_market", "gamma_event", "market.json", "markets_list", "event"):
        for row in rows_of(content):
            plain = json.loads(row)
            for one in plain.get("markets") or [plain]:
                if "conditionId" in one:
                    read_market(msgspec.json.encode(one))
                    names += 1
        assert name
    assert names > 10


@recorded.needed
def test_recorded_books_are_read_best_first() -> None:
    rows = rows_of(recorded.content("c_quotes/negrisk_fed_june2026_clob_books.json.gz"))
    rows += rows_of(recorded.content("d_markets/clob_book_trump2024.json"))
    rows += [row for _, content in recorded.fixtures("clob_book_response") for row in rows_of(content)]
    for line in recorded.lines("c_quotes/negrisk_weather_gamma_clob_raw_2026-07-03.ndjson.gz"):
        rows += [msgspec.json.encode(book) for book in _books_in(line)]
    assert len(rows) > 11
    for row in rows:
        book = parse.book(msgspec.json.decode(row, type=wire.BookRow), received_ms=1)
        assert list(book.bids) == sorted(book.bids, key=lambda level: -level.price_units)
        assert list(book.asks) == sorted(book.asks, key=lambda level: level.price_units)
        assert not (book.bids and book.asks) or book.bids[0].price_units < book.asks[0].price_units


def _books_in(found: Any) -> list[dict[str, Any]]:
    if isinstance(found, dict):
        if {"bids", "asks", "asset_id"} <= found.keys():
            return [found]
        return [book for value in found.values() for book in _books_in(value)]
    return [book for value in found for book in _books_in(value)] if isinstance(found, list) else []


@recorded.needed
def test_recorded_trading_terms_are_read() -> None:
    rows = rows_of(recorded.content("c_quotes/negrisk_fed_june2026_clob_markets.json.gz"))
    terms = [msgspec.json.decode(row, type=wire.ClobMarket) for row in rows]
    assert all(each.mos > 0 and each.mts > 0 and each.nr for each in terms)


@recorded.needed
def test_recorded_answers_to_orders_are_read() -> None:
    answers = [
        line["response"].get("raw_response") for line in recorded.lines("f_orders/post_order_responses_23.jsonl")
    ]
    raws = [msgspec.json.encode(answer) for answer in answers if isinstance(answer, dict)]
    raws += [content for _, content in recorded.fixtures("http_order_response_ok", "http_order_response_failed")]
    read = [msgspec.json.decode(raw, type=wire.OrderAnswer) for raw in raws]
    assert len(read) > 20
    for answer in read:
        if answer.success and answer.status:
            parse.order_status(answer.status or "", answer.orderID or "")


@recorded.needed
def test_recorded_cancels_and_balances_are_read() -> None:
    for _, content in recorded.fixtures("http_cancel_response", "http_batch_cancel"):
        answer = msgspec.json.decode(content, type=wire.CancelAnswer)
        assert answer.canceled or answer.not_canceled
    for _, content in recorded.fixtures("http_balance_allowance"):
        assert msgspec.json.decode(content, type=wire.BalanceAnswer).balance


@recorded.needed
def test_recorded_orders_and_trades_of_accounts_are_read() -> None:
    orders = [
        row
        for _, content in recorded.fixtures("http_open_order.json", "http_open_order_sell")
        for row in rows_of(content)
    ]
    orders += [row for _, content in recorded.fixtures("http_open_orders_page") for row in rows_of(content, "data")]
    assert len(orders) > 2
    for row in orders:
        parse.order(msgspec.json.decode(row, type=wire.OrderRow))
    trades = [row for _, content in recorded.fixtures("http_trade_report") for row in rows_of(content)]
    trades += [row for _, content in recorded.fixtures("http_trades_page") for row in rows_of(content, "data")]
    for row in trades:
        assert parse.own_trades(msgspec.json.decode(row, type=wire.TradeRow), is_mine=lambda _: True)


@recorded.needed
async def test_recorded_frames_of_the_market_channel_are_read() -> None:
    transport = open_transport(urls=NOWHERE, clock=SystemClock(), share=GUEST_SHARE)
    stream = MarketStream(transport, chance=random.Random(1))
    told = 0
    try:
        for _, content in recorded.fixtures(
            *(
                "ws_market",
                "ws_book",
                "ws_quotes",
                "ws_last",
                "ws_tick",
                "book.json",
                "price_change",
                "last_trade",
                "tick_size",
            )
        ):
            text = content.decode()
            if '"event_type"' not in text:
                continue
            for event in stream.read(text):
                assert not isinstance(event, FeedStatus), text[:200]
                told += 1
                if isinstance(event, BookSnapshot):
                    assert event.venue_ms > 1_600_000_000_000
    finally:
        await transport.close()
    assert told > 10


@recorded.needed
async def test_recorded_frames_of_the_user_channel_are_read() -> None:
    transport = open_transport(urls=NOWHERE, clock=SystemClock())
    stream = UserStream(
        transport,
        credentials=nobody,
        is_mine=lambda _: True,
        chance=random.Random(1),
    )
    orders = trades = 0
    try:
        for name, content in recorded.fixtures("ws_user", "user_trade", "order_", "trades.json"):
            found = json.loads(content)
            if not isinstance(found, dict) or name == "trades.json":
                continue
            # Some were kept without their outer name.
            kind = "trade" if "taker_order_id" in found else "order"
            for event in stream._read(json.dumps({"event_type": kind, **found})):
                assert not isinstance(event, StreamStatus), name
                orders, trades = orders + isinstance(event, VenueOrder), trades + (not isinstance(event, VenueOrder))
    finally:
        await transport.close()
    assert orders >= 9
    assert trades >= 4


# -- what is not known ---------------------------------------------------------------------------------------------

ORDER = {
    "id": "0xabc",
    "asset_id": "1",
    "side": "BUY",
    "price": "0.5",
    "original_size": "10",
    "size_matched": "0",
    "status": "LIVE",
}
TRADE = {
    "id": "trade-7",
    "taker_order_id": "0x1",
    "market": "0xc",
    "asset_id": "1",
    "side": "BUY",
    "price": "0.5",
    "size": "10",
    "status": "MATCHED",
    "match_time": "1790000000",
}


@pytest.mark.parametrize(
    ("changed", "word"),
    [({"status": "FROZEN"}, "FROZEN"), ({"side": "HOLD"}, "HOLD"), ({"order_type": "IOC"}, "IOC")],
)
def test_an_order_with_an_unknown_word_is_refused_by_its_id(changed: dict[str, str], word: str) -> None:
    with pytest.raises(BadAnswer, match=f"0xabc.*{word}"):
        parse.order(msgspec.json.decode(json.dumps({**ORDER, **changed}), type=wire.OrderRow))


@pytest.mark.parametrize(
    ("changed", "word"),
    [({"status": "MELTED"}, "MELTED"), ({"side": "BOTH"}, "BOTH"), ({"trader_side": "WATCHER"}, "WATCHER")],
)
def test_a_trade_with_an_unknown_word_is_refused_by_its_id(changed: dict[str, str], word: str) -> None:
    with pytest.raises(BadAnswer, match=f"trade-7.*{word}"):
        parse.own_trades(
            msgspec.json.decode(json.dumps({**TRADE, **changed}), type=wire.TradeRow), is_mine=lambda _: True
        )


@pytest.mark.parametrize(
    "level",
    [
        {"price": "nan", "size": "1"},
        {"price": "-0.1", "size": "1"},
        {"price": "0.5", "size": "-1"},
        {"price": "0.5", "size": "1e30"},
        {"price": "1.5", "size": "1"},
        {"price": "0.5", "size": "Infinity"},
    ],
)
def test_w07_a_book_with_an_impossible_level_is_refused(level: dict[str, str]) -> None:
    row = {"asset_id": "1", "timestamp": "1790000000000", "bids": [level], "asks": []}
    with pytest.raises(BadAnswer):
        parse.book(msgspec.json.decode(json.dumps(row), type=wire.BookRow), received_ms=1)


async def test_an_unknown_event_of_a_stream_is_told_and_a_known_one_we_do_not_use_is_not() -> None:
    transport = open_transport(urls=NOWHERE, clock=SystemClock())
    market = MarketStream(transport, chance=random.Random(1))
    user = UserStream(transport, credentials=nobody, is_mine=lambda _: True, chance=random.Random(1))
    try:
        assert list(market.read('{"event_type":"best_bid_ask","asset_id":"1","best_bid":"0.4"}')) == []
        (told,) = market.read('{"event_type":"halving","asset_id":"1"}')
        assert isinstance(told, FeedStatus)
        assert market.bad_frames == 1
        (doubt,) = user._read('{"event_type":"liquidation","id":"0x77"}')
        assert isinstance(doubt, StreamStatus)
        assert user.bad_frames == 1
    finally:
        await transport.close()
