"""The three sockets of the local venue."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from markets.tests.sandbox_client import Trader
from markets.tests.socket_listener import (
    TIMEOUT_S,
    connect,
    market_socket,
    rtds_socket,
    user_socket,
)
from markets.venue.sandbox.testing import RunningSandbox, SandboxMarket, running_sandbox

ALICE = "0x" + "a1" * 32
LEADER = "0x" + "1e" * 20


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture
def market(sandbox: RunningSandbox) -> SandboxMarket:
    return sandbox.create_market(bids=[("0.48", "100")], asks=[("0.50", "100")])


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
async def alice(sandbox: RunningSandbox, session: aiohttp.ClientSession) -> Trader:
    sandbox.register_wallet(private_key=ALICE, usdc=1_000, signature_type=0)
    return await Trader(sandbox, session, ALICE).log_in()


async def test_the_book_comes_on_subscribing(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    listener = await market_socket(session, sandbox, market.yes)
    book = await listener.hear()
    assert (book["event_type"], book["asset_id"]) == ("book", market.yes)
    assert book["bids"] == [{"price": "0.48", "size": "100"}]
    assert book["asks"] == [{"price": "0.5", "size": "100"}]


async def test_a_resting_order_changes_both_tokens_to_absolute_sizes(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession, alice: Trader
) -> None:
    listener = await market_socket(session, sandbox, market.yes)
    await listener.hear_until("book")
    await alice.order("BUY", market.yes, "0.48", "20")
    frame = await listener.hear_until("price_change")
    rows = {row["asset_id"]: (row["side"], row["price"], row["size"]) for row in frame["price_changes"]}
    assert rows == {market.yes: ("BUY", "0.48", "120"), market.no: ("SELL", "0.52", "120")}
    assert frame["price_changes"][0]["best_bid"] == "0.48"


async def test_a_trade_sends_its_price_and_a_fresh_book(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession, alice: Trader
) -> None:
    listener = await market_socket(session, sandbox, market.yes)
    await listener.hear_until("book")
    await alice.order("BUY", market.yes, "0.50", "100", "FAK")
    trade = await listener.hear_until("last_trade_price")
    assert (trade["price"], trade["size"], trade["side"]) == ("0.5", "100", "BUY")
    assert (await listener.hear_until("book"))["asks"] == []


async def test_a_tick_change_is_told(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    listener = await market_socket(session, sandbox, market.no)
    await listener.hear_until("book")
    sandbox.change_tick(market.condition_id, "0.001")
    frame = await listener.hear_until("tick_size_change")
    assert (frame["asset_id"], frame["old_tick_size"], frame["new_tick_size"]) == (market.no, "0.01", "0.001")


async def test_the_first_frame_twice_is_invalid_and_later_ones_name_an_operation(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    listener = await market_socket(session, sandbox, market.yes)
    await listener.hear_until("book")
    await listener.say({"type": "market", "assets_ids": [market.no]})
    assert await listener.hear() == "INVALID OPERATION"
    await listener.say({"operation": "subscribe", "assets_ids": [market.no]})
    assert (await listener.hear_until("book"))["asset_id"] == market.no
    await listener.say("PING")
    assert await listener.hear() == "PONG"


@pytest.mark.parametrize(("price", "ticks"), [("0.04", []), ("0.03", ["0.001", "0.001"])])
async def test_a_trade_near_an_end_makes_the_tick_finer(
    sandbox: RunningSandbox, session: aiohttp.ClientSession, price: str, ticks: list[str]
) -> None:
    low = sandbox.create_market("low", bids=[("0.02", "1000")], asks=[(price, "1000")])
    listener = await market_socket(session, sandbox, *low.token_ids)
    sandbox.leader_trade(wallet=LEADER, token_id=low.yes, side="BUY", price=price, size="10")
    heard = [event for event in await listener.hear_all() if event["event_type"] == "tick_size_change"]
    assert [event["new_tick_size"] for event in heard] == ticks


async def test_own_trades_pass_matched_mined_confirmed(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession, alice: Trader
) -> None:
    listener = await user_socket(session, sandbox, alice)
    _, placed = await alice.order("BUY", market.yes, "0.50", "10", "FAK")
    for status in ("MATCHED", "MINED", "CONFIRMED"):
        event = await listener.hear_until("trade")
        assert (event["status"], event["id"], event["trader_side"]) == (status, placed["tradeIDs"][0], "TAKER")
        assert (event["price"], event["size"], event["taker_order_id"]) == ("0.5", "10", placed["orderID"])


async def test_a_makers_fill_is_its_own_entry(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession, alice: Trader
) -> None:
    listener = await user_socket(session, sandbox, alice)
    _, placed = await alice.order("BUY", market.no, "0.51", "10")
    assert (await listener.hear_until("order", type="PLACEMENT"))["status"] == "LIVE"
    sandbox.leader_trade(wallet=LEADER, token_id=market.yes, side="BUY", price="0.49", size="4")
    update = await listener.hear_until("order", type="UPDATE")
    assert (update["size_matched"], update["status"]) == ("4", "LIVE")
    event = await listener.hear_until("trade", status="MATCHED")
    assert (event["trader_side"], event["asset_id"], event["side"]) == ("MAKER", market.yes, "BUY")
    (mine,) = [row for row in event["maker_orders"] if row["order_id"] == placed["orderID"]]
    assert (mine["asset_id"], mine["side"], mine["price"], mine["matched_amount"]) == (market.no, "BUY", "0.51", "4")


async def test_wrong_credentials_are_closed(sandbox: RunningSandbox, session: aiohttp.ClientSession) -> None:
    listener = await connect(session, sandbox, "user")
    await listener.say({"type": "user", "auth": {"apiKey": "a", "secret": "b", "passphrase": "c"}})
    assert (await listener.socket.receive(TIMEOUT_S)).type is aiohttp.WSMsgType.CLOSE


async def test_rtds_tells_every_trade_with_its_wallet(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    listener = await rtds_socket(session, sandbox, "orders_matched")
    made = sandbox.leader_trade(wallet=LEADER, token_id=market.no, side="SELL", price="0.455", size="30", name="Ann")
    frame = await listener.hear()
    assert (frame["topic"], frame["type"]) == ("activity", "orders_matched")
    payload = frame["payload"]
    assert (payload["proxyWallet"], payload["asset"], payload["side"]) == (LEADER, market.no, "SELL")
    assert (payload["price"], payload["size"], payload["outcomeIndex"]) == (0.455, 30.0, 1)
    assert (payload["transactionHash"], payload["conditionId"]) == (made["transaction_hash"], market.condition_id)
    assert payload["timestamp"] == frame["timestamp"] // 1000


async def test_rtds_trades_name_the_makers_too(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession, alice: Trader
) -> None:
    await alice.order("BUY", market.no, "0.51", "10")
    listener = await rtds_socket(session, sandbox, "trades")
    sandbox.leader_trade(wallet=LEADER, token_id=market.yes, side="BUY", price="0.49", size="4")
    wallets = {(await listener.hear())["payload"]["proxyWallet"] for _ in range(2)}
    assert wallets == {LEADER, alice.address.lower()}


async def test_rtds_without_an_action_stays_silent(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    silent = await rtds_socket(session, sandbox, "trades", action=None)
    spoken = await rtds_socket(session, sandbox, "trades")
    sandbox.leader_trade(wallet=LEADER, token_id=market.yes, side="BUY", price="0.50", size="10")
    await spoken.hear()
    await silent.say("PING")
    assert await silent.hear() == "PONG"


async def test_a_silent_socket_stays_open_and_says_nothing_until_cleared(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    listener = await rtds_socket(session, sandbox, "orders_matched")
    sandbox.fault("silent_socket", channel="rtds")
    sandbox.leader_trade(wallet=LEADER, token_id=market.yes, side="BUY", price="0.50", size="10")
    sandbox.clear_faults()
    sandbox.leader_trade(wallet=LEADER, token_id=market.yes, side="SELL", price="0.48", size="10")
    assert (await listener.hear())["payload"]["side"] == "SELL"


async def test_sockets_can_be_closed_on_request(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    listener = await rtds_socket(session, sandbox, "trades")
    sandbox.fault("close_socket", channel="rtds")
    assert (await listener.socket.receive(TIMEOUT_S)).type is aiohttp.WSMsgType.CLOSE
    assert sandbox.faults() == []


async def test_a_reader_that_never_reads_does_not_hold_up_the_others(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    await market_socket(session, sandbox, market.yes)
    listener = await market_socket(session, sandbox, market.yes)
    await listener.hear_until("book")
    for _ in range(20):
        await asyncio.to_thread(
            sandbox.leader_trade, wallet=LEADER, token_id=market.yes, side="BUY", price="0.50", size="10"
        )
    for _ in range(20):
        await listener.hear_until("last_trade_price")


def venue_hash(book: dict[str, object]) -> str:
    """As the venue's own clients compute it: SHA-1 of the compact JSON in this order of keys, without the hash."""
    keys = ("market", "asset_id", "timestamp", "hash", "bids", "asks")
    rest = ("min_order_size", "tick_size", "neg_risk", "last_trade_price")
    plain = {name: "" if name == "hash" else book[name] for name in (*keys, *rest)}
    return hashlib.sha1(json.dumps(plain, separators=(",", ":")).encode(), usedforsecurity=False).hexdigest()


async def test_books_carry_the_venues_hash_and_changes_repeat_it(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession, alice: Trader
) -> None:
    listener = await market_socket(session, sandbox, market.yes)
    book = await listener.hear_until("book")
    assert book["hash"] == venue_hash(book)
    await alice.order("BUY", market.yes, "0.47", "20")
    frame = await listener.hear_until("price_change")
    changed = {**book, "timestamp": frame["timestamp"]}
    changed["bids"] = [{"price": "0.47", "size": "20"}, *book["bids"]]
    assert frame["price_changes"][0]["hash"] == venue_hash(changed)


async def test_a_better_price_is_told_to_those_who_asked(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession, alice: Trader
) -> None:
    asked = await market_socket(session, sandbox, market.yes)
    plain = await market_socket(session, sandbox, market.yes, custom=False)
    await asked.hear_until("book")
    await alice.order("BUY", market.yes, "0.47", "20")
    await alice.order("BUY", market.yes, "0.49", "20")
    heard = [event for event in await asked.hear_all() if event["event_type"] == "best_bid_ask"]
    assert [(event["asset_id"], event["best_bid"], event["best_ask"], event["spread"]) for event in heard] == [
        (market.yes, "0.49", "0.5", "0.01")
    ]
    assert {event["event_type"] for event in await plain.hear_all()} == {"book", "price_change"}


async def test_a_new_market_is_told_to_everybody_who_asked(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    listener = await market_socket(session, sandbox, market.yes)
    await listener.hear_until("book")
    made = sandbox.create_market("another", question="Another?", tick_size="0.001")
    event = await listener.hear_until("new_market")
    assert (event["market"], event["slug"], event["question"]) == (made.condition_id, "another", "Another?")
    assert (event["assets_ids"], event["order_price_min_tick_size"]) == (list(made.token_ids), "0.001")


async def test_a_resolution_names_the_winner_and_is_sometimes_not_sent(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    other = sandbox.create_market("other")
    listener = await market_socket(session, sandbox, market.yes, other.yes)
    await listener.hear_until("book")
    sandbox.fault("drop_frames", channel="market", event="market_resolved", count=1)
    sandbox.resolve(other.condition_id, other.yes)
    sandbox.resolve(market.condition_id, market.no)
    (event,) = [one for one in await listener.hear_all() if one["event_type"] == "market_resolved"]
    assert (event["market"], event["winning_asset_id"], event["winning_outcome"]) == (
        market.condition_id,
        market.no,
        "No",
    )


async def test_own_orders_pass_placement_update_cancellation(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession, alice: Trader
) -> None:
    listener = await user_socket(session, sandbox, alice)
    _, placed = await alice.order("BUY", market.yes, "0.49", "10")
    sandbox.leader_trade(wallet=LEADER, token_id=market.yes, side="SELL", price="0.49", size="4")
    await alice.call("DELETE", "/order", {"orderID": placed["orderID"]})
    seen = [event for event in await listener.hear_all() if event["event_type"] == "order"]
    assert [(event["type"], event["status"], event["size_matched"]) for event in seen] == [
        ("PLACEMENT", "LIVE", "0"),
        ("UPDATE", "LIVE", "4"),
        ("CANCELLATION", "CANCELED", "4"),
    ]
    assert {event["id"] for event in seen} == {placed["orderID"]}


async def test_a_delayed_order_is_told_and_then_matched(
    sandbox: RunningSandbox, session: aiohttp.ClientSession, alice: Trader
) -> None:
    sports = sandbox.create_market("sports", bids=[("0.48", "100")], asks=[("0.50", "100")], seconds_delay=1)
    listener = await user_socket(session, sandbox, alice)
    _, placed = await alice.order("BUY", sports.yes, "0.50", "10")
    first = await listener.hear_until("order", id=placed["orderID"])
    assert (first["type"], first["status"]) == ("PLACEMENT", "DELAYED")
    then = await listener.hear_until("order", id=placed["orderID"])
    assert (then["type"], then["status"], then["size_matched"]) == ("UPDATE", "MATCHED", "10")


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        (["failed_settlement"], ["MATCHED", "FAILED"]),
        (["retried_settlement"], ["MATCHED", "RETRYING", "MINED", "CONFIRMED"]),
        (["retried_settlement", "failed_settlement"], ["MATCHED", "RETRYING", "FAILED"]),
    ],
)
async def test_v13_own_trades_may_be_retried_and_fail(
    sandbox: RunningSandbox,
    market: SandboxMarket,
    session: aiohttp.ClientSession,
    alice: Trader,
    faults: list[str],
    expected: list[str],
) -> None:
    listener = await user_socket(session, sandbox, alice)
    for name in faults:
        sandbox.fault(name, count=1)
    await alice.order("BUY", market.yes, "0.50", "10", "FAK")
    assert [(await listener.hear_until("trade"))["status"] for _ in expected] == expected
    _, found = await alice.call("GET", "/data/trades")
    assert [row["status"] for row in found["data"]] == [f"TRADE_STATUS_{expected[-1]}"]
    assert sandbox.state()["conserved"] is True


async def test_rtds_filters_by_market_and_by_event(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    other = sandbox.create_market("other", event_slug="the-other-event")
    by_event = await rtds_socket(session, sandbox, "trades", filters='{"event_slug":"the-other-event"}')
    by_market = await rtds_socket(session, sandbox, "trades", filters=json.dumps({"market_slug": market.slug}))
    for token in (market.yes, other.yes):
        sandbox.leader_trade(wallet=LEADER, token_id=token, side="BUY", price="0.50", size="10")
    assert {frame["payload"]["asset"] for frame in await by_event.hear_all()} <= {other.yes, other.no}
    assert {frame["payload"]["slug"] for frame in await by_market.hear_all()} == {market.slug}
