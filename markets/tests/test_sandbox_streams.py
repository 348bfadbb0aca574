"""The three sockets of the local venue."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest

from markets.tests.sandbox_client import Trader
from markets.venue.sandbox.testing import RunningSandbox, SandboxMarket, running_sandbox

ALICE = "0x" + "a1" * 32
LEADER = "0x" + "1e" * 20
TIMEOUT_S = 5.0


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
            if message.data in ("PONG", "INVALID OPERATION"):
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


async def connect(session: aiohttp.ClientSession, sandbox: RunningSandbox, channel: str) -> Listener:
    return Listener(await session.ws_connect(f"{sandbox.ws_url}/ws/{channel}"))


async def market_socket(session: aiohttp.ClientSession, sandbox: RunningSandbox, *tokens: str) -> Listener:
    listener = await connect(session, sandbox, "market")
    await listener.say({"type": "market", "assets_ids": list(tokens), "custom_feature_enabled": True})
    return listener


async def user_socket(session: aiohttp.ClientSession, sandbox: RunningSandbox, trader: Trader) -> Listener:
    listener = await connect(session, sandbox, "user")
    await listener.say({"type": "user", "auth": trader.credentials})
    await listener.say("PING")
    assert await listener.hear() == "PONG"
    return listener


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


async def rtds_socket(
    session: aiohttp.ClientSession, sandbox: RunningSandbox, *types: str, action: str | None = "subscribe"
) -> Listener:
    listener = await connect(session, sandbox, "rtds")
    frame: dict[str, object] = {"subscriptions": [{"topic": "activity", "type": kind} for kind in types]}
    await listener.say(frame if action is None else {**frame, "action": action})
    await listener.say("PING")
    assert await listener.hear() == "PONG"
    return listener


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
