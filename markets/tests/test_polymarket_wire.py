"""Bytes out equal the official client's; rows in become ours exactly, or fail loudly."""

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polymarket._internal.actions.orders.orders import create_signed_order
from polymarket._internal.actions.orders.post import build_post_order_request
from polymarket.types import HexString

from markets.tests import venue_strategies as some
from markets.tests.test_signing import sdk_order
from markets.venue import signing
from markets.venue.polymarket import numbers, orders, parse, wire
from markets.venue.polymarket.wire import BadAnswer
from markets.venue.ports import OrderTerms, OrderType, Side, TradeStatus, VenueOrderStatus

MINE = "my-api-key"


@given(terms=some.terms, wallet=some.addresses, kind=st.sampled_from([0, 1, 2, 3]), post_only=st.booleans())
@settings(max_examples=150, deadline=None)
def test_the_body_of_an_order_equals_the_official_client_byte_for_byte(
    terms: OrderTerms, wallet: str, kind: int, post_only: bool
) -> None:
    post_only = post_only and terms.order_type in (OrderType.GTC, OrderType.GTD)
    wallet = signing.checksum_address(wallet)
    signed = create_signed_order(
        sdk_order(terms, maker=wallet, signer=wallet, signature_type=kind), HexString("0xabcd"), post_only=post_only
    )
    _, payload = build_post_order_request(signed, owner_api_key=MINE)
    theirs = json.dumps(payload, separators=(",", ":")).encode()
    ours = orders.wire_body(
        replace(terms, post_only=post_only),
        maker=wallet.lower(),
        signer=wallet,
        signature_type=kind,
        signature="0xabcd",
        owner=MINE,
    )
    assert ours == theirs


@pytest.mark.parametrize(
    ("text", "units"), [("0.48", 4800), (".48", 4800), ("1", 10_000), ("0", 0), ("0.0001", 1), ("0.48005", 4800)]
)
def test_prices_are_whole_units_whatever_their_spelling(text: str, units: int) -> None:
    assert numbers.price_units(text) == units


@pytest.mark.parametrize("text", ["", ".", "-0.1", "1.1", "nan", "inf", "0,5", "²", "1" * 41, "0x1", "1e9"])
def test_a_price_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadAnswer):
        numbers.price_units(text)


@pytest.mark.parametrize("text", ["", "-5", "nan", "1e30", "9" * 30, "five"])
def test_a_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadAnswer):
        numbers.share_units(text)


@given(st.integers(0, 10**17))
def test_sizes_survive_the_round_trip_exactly(units: int) -> None:
    text = f"{Decimal(units).scaleb(-6):f}"
    assert numbers.share_units(text) == units


def trade_row(**fields: Any) -> wire.TradeRow:
    row: dict[str, Any] = {
        "id": "t1",
        "taker_order_id": "0xtaker",
        "market": "0xcond",
        "asset_id": "yes",
        "side": "BUY",
        "price": "0.40",
        "size": "10",
        "status": "MATCHED",
        "match_time": "1790000000",
        "owner": "somebody",
        "maker_orders": [],
    }
    return msgspec.convert({**row, **fields}, wire.TradeRow)


def is_mine(maker: wire.MakerRow) -> bool:
    return maker.owner == MINE


def test_a_takers_fill_is_the_row_itself() -> None:
    (own,) = parse.own_trades(trade_row(trader_side="TAKER"), is_mine=is_mine)
    assert (own.trade.order_hash, own.trade.price_units, own.trade.share_units) == ("0xtaker", 4000, 10_000_000)
    assert not own.trade.is_maker


def test_a_makers_fill_is_his_own_entry_on_his_own_token_side_and_price() -> None:
    makers = [
        {"order_id": "0xother", "asset_id": "yes", "matched_amount": "4", "price": "0.40", "side": "SELL"},
        {
            "order_id": "0xours",
            "asset_id": "no",
            "matched_amount": "6",
            "price": "0.60",
            "side": "BUY",
            "owner": MINE,
        },
    ]
    (own,) = parse.own_trades(trade_row(trader_side="MAKER", maker_orders=makers), is_mine=is_mine)
    trade = own.trade
    assert (trade.order_hash, trade.token_id, trade.side) == ("0xours", "no", Side.BUY)
    assert (trade.price_units, trade.share_units, trade.is_maker) == (6000, 6_000_000, True)


def test_a_maker_entry_without_a_side_stands_opposite_on_the_same_token_and_beside_on_the_other() -> None:
    entry = {"order_id": "0x1", "matched_amount": "1", "price": "0.5", "owner": MINE}
    same = trade_row(trader_side="MAKER", maker_orders=[{**entry, "asset_id": "yes"}])
    other = trade_row(trader_side="MAKER", maker_orders=[{**entry, "asset_id": "no"}])
    assert parse.own_trades(same, is_mine=is_mine)[0].trade.side is Side.SELL
    assert parse.own_trades(other, is_mine=is_mine)[0].trade.side is Side.BUY


def test_rows_of_one_trade_that_differ_by_bucket_are_two_fills() -> None:
    first = parse.own_trades(trade_row(), is_mine=is_mine)[0].trade.trade_id
    second = parse.own_trades(trade_row(bucket_index=1), is_mine=is_mine)[0].trade.trade_id
    assert (first, second) == ("t1", "t1#1")


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("TRADE_STATUS_CONFIRMED", TradeStatus.CONFIRMED),
        ("MATCHED_NOT_BROADCASTED", TradeStatus.MATCHED),
        ("RETRYING", TradeStatus.RETRYING),
        ("FAILED", TradeStatus.FAILED),
    ],
)
def test_trade_statuses_are_read_in_every_spelling(text: str, status: TradeStatus) -> None:
    assert parse.trade_status(text, "t1") is status


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("ORDER_STATUS_LIVE", VenueOrderStatus.LIVE),
        ("live", VenueOrderStatus.LIVE),
        ("CANCELED_MARKET_RESOLVED", VenueOrderStatus.CANCELED),
        ("MATCHED", VenueOrderStatus.MATCHED),
    ],
)
def test_order_statuses_are_read_in_every_spelling(text: str, status: VenueOrderStatus) -> None:
    assert parse.order_status(text, "0x1") is status


def test_an_unknown_word_fails_loudly_and_names_the_row() -> None:
    with pytest.raises(BadAnswer, match="t1"):
        parse.own_trades(trade_row(status="EXPLODED"), is_mine=is_mine)


def test_a_market_buys_size_is_turned_from_dollars_into_shares() -> None:
    row = wire.OrderRow(
        id="0x1",
        asset_id="yes",
        side="BUY",
        price="0.50",
        original_size="10",
        size_matched="20",
        status="MATCHED",
        order_type="FAK",
    )
    assert parse.order(row).share_units == 20_000_000


def test_a_book_is_best_first_whatever_the_order_on_the_wire() -> None:
    row = msgspec.convert(
        {
            "asset_id": "yes",
            "timestamp": "1790000000123",
            "bids": [{"price": ".47", "size": "5"}, {"price": ".48", "size": "100.5"}, {"price": "0.40", "size": "0"}],
            "asks": [{"price": "0.99", "size": "1"}, {"price": "0.52", "size": "2"}],
            "tick_size": 0.001,
            "min_order_size": "5",
        },
        wire.BookRow,
    )
    book = parse.book(row, received_ms=7)
    assert [(level.price_units, level.share_units) for level in book.bids] == [(4800, 100_500_000), (4700, 5_000_000)]
    assert book.asks[0].price_units == 5200
    assert (book.tick_units, book.min_share_units, book.venue_ms) == (10, 5_000_000, 1_790_000_000_123)


GAMMA = {
    "conditionId": "0xc",
    "version": "v1",
    "question": "Will it?",
    "outcomes": '["Yes","No"]',
    "clobTokenIds": '["1","2"]',
    "positionIds": ["9", "8"],
    "orderPriceMinTickSize": 0.001,
    "feesEnabled": True,
    "feeSchedule": {"rate": 0.05, "exponent": 1, "takerOnly": True},
    "endDate": "2026-12-31T12:00:00Z",
}


def gamma(**fields: Any) -> wire.GammaMarket:
    return msgspec.json.decode(json.dumps({**GAMMA, **fields}), type=wire.GammaMarket)


def test_a_markets_numbers_are_exact() -> None:
    facts = parse.market(gamma())
    assert facts is not None
    assert (facts.fee_rate, facts.tick_size) == (Decimal("0.05"), Decimal("0.001"))
    assert [outcome.token_id for outcome in facts.outcomes] == ["1", "2"]


def test_the_protocol_version_says_where_the_token_ids_are() -> None:
    facts = parse.market(gamma(version="v2"))
    assert facts is not None
    assert [outcome.token_id for outcome in facts.outcomes] == ["9", "8"]


def test_a_missing_fee_schedule_is_unknown_and_only_fees_switched_off_are_free() -> None:
    unknown, free = parse.market(gamma(feeSchedule=None)), parse.market(gamma(feeSchedule=None, feesEnabled=False))
    assert unknown is not None
    assert free is not None
    assert (unknown.fee_rate, free.fee_rate) == (None, Decimal(0))


def test_a_row_without_tokens_is_no_market() -> None:
    assert parse.market(gamma(clobTokenIds=None)) is None
    assert parse.market(gamma(conditionId=None)) is None


def test_an_api_key_never_shows_its_secret() -> None:
    key = wire.ApiKey(api_key="k", secret="canary", passphrase="canary")
    assert "canary" not in f"{key!r} {key}"
