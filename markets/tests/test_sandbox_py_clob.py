"""py-clob-client-v2, unchanged but for its host, through its whole surface at the local venue."""

from collections.abc import Iterator
from typing import Any

import pytest
from py_clob_client_v2 import (
    AssetType,
    BalanceAllowanceParams,
    BookParams,
    ClobClient,
    DropNotificationParams,
    MarketOrderArgs,
    OpenOrderParams,
    OrderArgs,
    OrderMarketCancelParams,
    OrderPayload,
    OrderScoringParams,
    OrdersScoringParams,
    OrderType,
    PostOrdersV2Args,
    PricesHistoryParams,
    TradeParams,
)
from py_clob_client_v2.exceptions import PolyApiException
from py_clob_client_v2.utilities import parse_raw_orderbook_summary

from markets.tests.official_clients import DEPOSIT_WALLET, EOA, KEY, PROXY, SAFE, Venue, open_venue
from markets.venue.sandbox import server
from markets.venue.sandbox.testing import running_sandbox
from polyhub.tests.eventually import eventually

POLYGON = 137
TODAY = "2026-11-20"


EVERY_WALLET = pytest.mark.parametrize(
    "venue", [EOA, PROXY, SAFE, DEPOSIT_WALLET], ids=["eoa", "proxy", "safe", "deposit wallet"], indirect=True
)


@pytest.fixture
def venue(request: pytest.FixtureRequest) -> Iterator[Venue]:
    with running_sandbox() as sandbox:
        yield open_venue(sandbox, getattr(request, "param", DEPOSIT_WALLET))


@pytest.fixture
def client(venue: Venue) -> Any:
    host, wallet = f"{venue.sandbox.url}/clob", venue.wallet
    credentials = ClobClient(host, POLYGON, key=KEY).create_or_derive_api_key()
    return ClobClient(
        host, POLYGON, key=KEY, creds=credentials, signature_type=wallet.signature_type, funder=wallet.address
    )


def test_it_reads_books_and_prices(client: Any, venue: Venue) -> None:
    yes, no, condition = venue.market.yes, venue.market.no, venue.market.condition_id
    assert client.get_ok() == "OK"
    assert client.get_version() == 2
    assert abs(int(client.get_server_time()) - server.system_ms() / 1000) < 5
    listed = [
        client.get_markets,
        client.get_simplified_markets,
        client.get_sampling_markets,
        client.get_sampling_simplified_markets,
    ]
    for pages in listed:
        assert condition in {row["condition_id"] for row in pages()["data"]}
    assert client.get_market(condition)["condition_id"] == condition
    assert [token["t"] for token in client.get_clob_market_info(condition)["t"]] == [yes, no]
    book = client.get_order_book(yes)
    assert (book["bids"][-1]["price"], book["asks"][-1]["price"]) == ("0.48", "0.5")
    assert len(client.get_order_books([BookParams(yes), BookParams(no)])) == 2
    assert (client.get_tick_size(yes), client.get_neg_risk(yes)) == ("0.01", False)
    assert client.get_neg_risk(venue.neg_risk.yes) is True
    assert client.get_fee_exponent(yes) == 1
    assert client.get_midpoint(yes) == {"mid": "0.49"}
    assert client.get_midpoints([BookParams(yes)]) == {yes: "0.49"}
    assert client.get_price(yes, "BUY") == {"price": "0.48"}
    assert client.get_prices([BookParams(yes, "SELL")]) == {yes: {"SELL": "0.5"}}
    assert client.get_spread(yes) == {"spread": "0.02"}
    assert client.get_spreads([BookParams(yes)]) == {yes: "0.02"}
    assert client.calculate_market_price(yes, "BUY", 10) == 0.5
    assert "history" in client.get_prices_history(PricesHistoryParams(market=yes, interval="1d", fidelity=60))


def test_its_book_hash_is_the_venues(client: Any, venue: Venue) -> None:
    raw = client.get_order_book(venue.market.yes)
    assert client.get_order_book_hash(parse_raw_orderbook_summary(dict(raw))) == raw["hash"]


@EVERY_WALLET
def test_orders_rest_are_found_and_canceled(client: Any, venue: Venue) -> None:
    market = venue.market
    buy = OrderArgs(token_id=market.yes, price=0.40, size=10, side="BUY")
    placed = client.create_and_post_order(buy)
    assert (placed["success"], placed["status"]) == (True, "live")
    assert client.get_order(placed["orderID"])["status"] == "LIVE"
    assert [row["id"] for row in client.get_open_orders(OpenOrderParams(market=market.condition_id))] == [
        placed["orderID"]
    ]
    assert client.cancel_order(OrderPayload(orderID=placed["orderID"]))["canceled"] == [placed["orderID"]]
    lasting = OrderArgs(
        token_id=market.yes, price=0.41, size=10, side="BUY", expiration=server.system_ms() // 1000 + 600
    )
    assert client.create_and_post_order(lasting, order_type=OrderType.GTD)["status"] == "live"
    assert client.create_and_post_order(buy, post_only=True)["status"] == "live"
    ended = client.cancel_market_orders(OrderMarketCancelParams(market=market.condition_id, asset_id=market.yes))
    assert len(ended["canceled"]) == 2
    drafts = [
        client.create_order(OrderArgs(token_id=token, price=0.31, size=10, side="BUY"))
        for token in (market.no, venue.neg_risk.yes)
    ]
    answers = client.post_orders([PostOrdersV2Args(order=draft) for draft in drafts])
    assert [answer["success"] for answer in answers] == [True, True]
    assert client.cancel_orders([answers[0]["orderID"]])["canceled"] == [answers[0]["orderID"]]
    assert client.cancel_all()["canceled"] == [answers[1]["orderID"]]


@EVERY_WALLET
def test_positions_of_the_second_protocol_are_signed_for_its_exchange(client: Any, venue: Venue) -> None:
    order = OrderArgs(token_id=None, position_id=venue.v2.yes, price=0.40, size=10, side="BUY")
    placed = client.create_and_post_order(order)
    assert (placed["success"], placed["status"]) == (True, "live")
    assert client.get_order(placed["orderID"])["asset_id"] == venue.v2.yes


def settled(client: Any, mine: TradeParams) -> int:
    return sum(row["status"] == "TRADE_STATUS_CONFIRMED" for row in client.get_trades(mine))


@EVERY_WALLET
def test_market_orders_trade_and_settle(client: Any, venue: Venue) -> None:
    market = venue.market
    bought = client.create_and_post_market_order(MarketOrderArgs(token_id=market.yes, amount=10, side="BUY"))
    assert (bought["status"], bought["makingAmount"], bought["takingAmount"]) == ("matched", "10", "20")
    mine = TradeParams(market=market.condition_id)
    eventually(lambda: settled(client, mine) == 1)
    shares = BalanceAllowanceParams(asset_type=AssetType.CONDITIONAL, token_id=market.yes)
    client.update_balance_allowance(shares)
    assert client.get_balance_allowance(shares)["balance"] == "20000000"
    sell = MarketOrderArgs(token_id=market.yes, amount=5, side="SELL", order_type=OrderType.FAK)
    assert client.create_and_post_market_order(sell, order_type=OrderType.FAK)["makingAmount"] == "5"
    assert client.get_last_trade_price(market.yes) == {"price": "0.48", "side": "SELL"}
    assert [row["price"] for row in client.get_last_trades_prices([BookParams(market.yes)])] == ["0.48"]
    eventually(lambda: settled(client, mine) == 2)
    assert len(client.get_trades_paginated(mine)["trades"]) == 2
    cash = client.get_balance_allowance(BalanceAllowanceParams(asset_type=AssetType.COLLATERAL))
    assert 992_000_000 < int(cash["balance"]) < 992_400_000
    assert venue.sandbox.state()["conserved"] is True


def test_refusals_reach_it_in_the_venues_words(client: Any, venue: Venue) -> None:
    yes = venue.market.yes
    crossing = OrderArgs(token_id=yes, price=0.50, size=10, side="BUY")
    with pytest.raises(PolyApiException, match="order crosses book"):
        client.create_and_post_order(crossing, post_only=True)
    with pytest.raises(PolyApiException, match="not enough balance / allowance"):
        client.create_and_post_order(OrderArgs(token_id=yes, price=0.40, size=10_000, side="BUY"))
    with pytest.raises(PolyApiException, match="lower than the minimum"):
        client.create_and_post_order(OrderArgs(token_id=yes, price=0.40, size=1, side="BUY"))


def test_heartbeats_notifications_and_keys(client: Any, venue: Venue) -> None:
    first = client.post_heartbeat()["heartbeat_id"]
    assert client.post_heartbeat(first)["heartbeat_id"] != first
    client.create_and_post_market_order(MarketOrderArgs(token_id=venue.market.yes, amount=10, side="BUY"))
    told = client.get_notifications()
    assert told
    client.drop_notifications(DropNotificationParams(ids=[str(one["id"]) for one in told]))
    assert client.get_notifications() == []
    assert len(client.get_api_keys()["apiKeys"]) == 1
    assert client.get_closed_only_mode() == {"closed_only": False}
    assert client.create_readonly_api_key()
    assert client.get_readonly_api_keys()
    assert client.create_builder_api_key()
    assert len(client.get_builder_api_keys()) == 1
    client.delete_api_key()
    with pytest.raises(PolyApiException, match="Invalid api key"):
        client.get_open_orders()


def test_scoring_and_rewards(client: Any, venue: Venue) -> None:
    placed = client.create_and_post_order(OrderArgs(token_id=venue.market.yes, price=0.40, size=10, side="BUY"))
    scoring = client.is_order_scoring(OrderScoringParams(orderId=placed["orderID"]))
    assert isinstance(scoring["scoring"], bool)
    assert list(client.are_orders_scoring(OrdersScoringParams(orderIds=[placed["orderID"]]))) == [placed["orderID"]]
    assert isinstance(client.get_current_rewards(), list)
    assert isinstance(client.get_raw_rewards_for_market(venue.market.condition_id), list)
    assert isinstance(client.get_earnings_for_user_for_day(TODAY), list)
    assert isinstance(client.get_total_earnings_for_user_for_day(TODAY), list)
    assert isinstance(client.get_user_earnings_and_markets_config(TODAY), list)
    assert isinstance(client.get_reward_percentages(), dict)
    assert isinstance(client.get_market_trades_events(venue.market.condition_id), list)
