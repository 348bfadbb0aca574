"""What goes wrong with frames on request. Names carry the card of the safety catalogue they are for."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from markets.tests.sandbox_client import Trader
from markets.tests.socket_listener import TIMEOUT_S, connect, market_socket, rtds_socket, user_socket
from markets.venue.sandbox.testing import RunningSandbox, SandboxMarket, running_sandbox

ALICE, BOB = "0x" + "a1" * 32, "0x" + "b0" * 32
LEADER, OTHER = "0x" + "1e" * 20, "0x" + "2e" * 20


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture
def market(sandbox: RunningSandbox) -> SandboxMarket:
    return sandbox.create_market(bids=[("0.48", "1000")], asks=[("0.50", "1000")])


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


async def trader(sandbox: RunningSandbox, session: aiohttp.ClientSession, key: str) -> Trader:
    sandbox.register_wallet(private_key=key, usdc=1_000, signature_type=0)
    return await Trader(sandbox, session, key).log_in()


def trades(sandbox: RunningSandbox, market: SandboxMarket, *sizes: str, wallet: str = LEADER) -> None:
    """The leader buys so many shares, one trade each."""
    for size in sizes:
        sandbox.leader_trade(wallet=wallet, token_id=market.yes, side="BUY", price="0.50", size=size)


def sizes(frames: list[dict[str, dict[str, float]]]) -> list[float]:
    return [frame["payload"]["size"] for frame in frames]


async def test_w01_one_token_can_be_silent_while_the_other_speaks(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    listener = await market_socket(session, sandbox, market.yes, market.no)
    await listener.hear_until("book")
    await listener.hear_until("book")
    sandbox.fault("silent_socket", channel="market", token_id=market.no)
    sandbox.change_tick(market.condition_id, "0.001")
    assert [event["asset_id"] for event in await listener.hear_all()] == [market.yes]


async def test_w01_a_silent_socket_may_leave_pings_unanswered(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    listener = await rtds_socket(session, sandbox, "trades")
    sandbox.fault("silent_socket", channel="rtds", pong=False)
    await listener.say("PING")
    with pytest.raises(TimeoutError):
        await listener.socket.receive(0.1)
    sandbox.clear_faults()
    assert await listener.hear_all() == []


async def test_w01_one_type_of_rtds_can_be_switched_off(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    listener = await rtds_socket(session, sandbox, "trades", "orders_matched")
    sandbox.fault("silent_socket", channel="rtds", event="trades")
    trades(sandbox, market, "10")
    assert [frame["type"] for frame in await listener.hear_all()] == ["orders_matched"]


async def test_w02_frames_are_lost(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    listener = await rtds_socket(session, sandbox, "orders_matched")
    sandbox.fault("drop_frames", channel="rtds", after=1, count=2)
    trades(sandbox, market, "1", "2", "3", "4")
    assert sizes(await listener.hear_all()) == [1, 4]


async def test_w03_frames_come_twice(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    listener = await rtds_socket(session, sandbox, "orders_matched")
    sandbox.fault("duplicate_frames", channel="rtds", count=1)
    trades(sandbox, market, "1", "2")
    assert sizes(await listener.hear_all()) == [1, 1, 2]


async def test_w03_frames_come_in_another_order(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    listener = await rtds_socket(session, sandbox, "orders_matched")
    sandbox.fault("shuffle_frames", channel="rtds", frames=6)
    told = ["1", "2", "3", "4", "5", "6"]
    trades(sandbox, market, *told)
    heard = sizes(await listener.hear_all())
    assert heard != [float(size) for size in told]
    assert sorted(heard) == [float(size) for size in told]


async def test_w03_frames_held_for_shuffling_come_once_the_fault_is_gone(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    listener = await rtds_socket(session, sandbox, "orders_matched")
    sandbox.fault("shuffle_frames", channel="rtds", frames=6)
    trades(sandbox, market, "1")
    assert await listener.hear_all() == []
    sandbox.clear_faults()
    trades(sandbox, market, "2")
    assert sizes(await listener.hear_all()) == [1, 2]


async def test_w03_what_was_heard_lately_comes_again(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    listener = await rtds_socket(session, sandbox, "orders_matched")
    trades(sandbox, market, "1", "2")
    before = sizes(await listener.hear_all())
    sandbox.fault("replay_frames", channel="rtds")
    frames = [frame for frame in [await listener.hear() for _ in range(4)] if frame != "PONG"]
    assert sizes(frames) == before == [1, 2]


async def test_w04_own_fills_can_be_told_before_the_answer(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    alice = await trader(sandbox, session, ALICE)
    listener = await user_socket(session, sandbox, alice)
    sandbox.fault("late_reply", route="/clob/order", seconds=0.3, count=1)
    posting = asyncio.create_task(alice.order("BUY", market.yes, "0.50", "10", "FAK"))
    assert (await listener.hear_until("trade"))["status"] == "MATCHED"
    assert not posting.done()
    assert (await posting)[0] == 200


async def test_w04_a_fill_can_come_after_its_order_was_said_to_be_canceled(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    alice = await trader(sandbox, session, ALICE)
    listener = await user_socket(session, sandbox, alice)
    _, placed = await alice.order("BUY", market.yes, "0.49", "10")
    sandbox.fault("late_cancel", seconds=0.2, count=1)
    _, answer = await alice.call("DELETE", "/order", {"orderID": placed["orderID"]})
    assert answer == {"canceled": [placed["orderID"]], "not_canceled": {}}
    sandbox.leader_trade(wallet=LEADER, token_id=market.yes, side="SELL", price="0.49", size="4")
    assert (await listener.hear_until("trade"))["maker_orders"][0]["matched_amount"] == "4"
    ended = await listener.hear_until("order", type="CANCELLATION")
    assert (ended["status"], ended["size_matched"]) == ("CANCELED", "4")


async def test_w05_fills_while_the_socket_is_away_are_not_told_again(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    alice = await trader(sandbox, session, ALICE)
    listener = await user_socket(session, sandbox, alice)
    sandbox.fault("close_socket", channel="user", wallet=alice.address)
    assert (await listener.closed())[0] == 1001
    _, placed = await alice.order("BUY", market.yes, "0.50", "10", "FAK")
    again = await user_socket(session, sandbox, alice)
    heard = await again.hear_all()
    assert {event["status"] for event in heard} <= {"MINED", "CONFIRMED"}
    _, found = await alice.call("GET", "/data/trades")
    assert [row["id"] for row in found["data"]] == placed["tradeIDs"]


async def test_w05_sockets_can_be_refused(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    sandbox.fault("http_5xx", route="/ws/market", status=503, count=1)
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await connect(session, sandbox, "market")
    assert refused.value.status == 503
    assert await (await connect(session, sandbox, "user")).hear_all() == []
    assert await (await connect(session, sandbox, "market")).hear_all() == []


@pytest.mark.parametrize("channel", ["rtds", "market"])
async def test_w06_old_frames_say_how_old_they_are(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession, channel: str
) -> None:
    is_rtds = channel == "rtds"
    listener = await (rtds_socket if is_rtds else market_socket)(
        session, sandbox, "orders_matched" if is_rtds else market.yes
    )
    sandbox.fault("old_data", channel=channel, seconds=3_600)
    trades(sandbox, market, "10")
    event = await listener.hear_until("orders_matched" if is_rtds else "last_trade_price")
    now_ms = sandbox.state()["now_ms"]
    assert 3_590_000 < now_ms - int(event["timestamp"]) < 3_610_000
    if is_rtds:
        assert 3_590 < now_ms // 1_000 - event["payload"]["timestamp"] < 3_610
    else:
        assert isinstance(event["timestamp"], str)


@pytest.mark.parametrize(
    ("kind", "price", "size"),
    [("crossed", "0.99", "100"), ("negative", "-0.5", "-100"), ("nan", "NaN", "NaN"), ("huge", "1e40", "1e40")],
)
async def test_w07_books_can_be_impossible(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession, kind: str, price: str, size: str
) -> None:
    sandbox.fault("broken_frame", channel="market", event="book", kind=kind, count=1)
    listener = await market_socket(session, sandbox, market.yes)
    book = await listener.hear_until("book")
    assert book["bids"][-1] == {"price": price, "size": size}
    again = await market_socket(session, sandbox, market.yes)
    assert (await again.hear_until("book"))["bids"] == [{"price": "0.48", "size": "1000"}]


@pytest.mark.parametrize(("kind", "least"), [("bytes", 10_000_000), ("levels", 2_000_000), ("deep", 2_000)])
async def test_w08_frames_can_be_huge(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession, kind: str, least: int
) -> None:
    sandbox.call("POST", "sockets", {"slow_bytes": 100 << 20})
    socket = await session.ws_connect(f"{sandbox.ws_url}/ws/market", max_msg_size=64 << 20)
    sandbox.fault("huge_frame", channel="market", kind=kind)
    message = await socket.receive(TIMEOUT_S)
    assert len(message.data) >= least
    if kind != "deep":
        json.loads(message.data)


async def test_frames_of_one_wallet_are_late_and_the_others_are_not(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    listener = await rtds_socket(session, sandbox, "orders_matched")
    sandbox.fault("delay_frames", channel="rtds", wallet=LEADER, seconds=0.1)
    trades(sandbox, market, "1")
    trades(sandbox, market, "2", wallet=OTHER)
    assert sizes([await listener.hear(), await listener.hear()]) == [2, 1]


async def test_faults_of_one_users_socket_leave_the_other_users_alone(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    alice, bob = await trader(sandbox, session, ALICE), await trader(sandbox, session, BOB)
    hers, his = await user_socket(session, sandbox, alice), await user_socket(session, sandbox, bob)
    sandbox.fault("drop_frames", channel="user", wallet=bob.address)
    for one in (alice, bob):
        await one.order("BUY", market.yes, "0.40", "10")
    assert [event["type"] for event in await hers.hear_all()] == ["PLACEMENT"]
    assert await his.hear_all() == []


async def test_faults_combine(sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession) -> None:
    listener = await rtds_socket(session, sandbox, "orders_matched")
    sandbox.fault("duplicate_frames", channel="rtds")
    sandbox.fault("old_data", channel="rtds", seconds=60)
    sandbox.fault("drop_frames", channel="rtds", count=1)
    trades(sandbox, market, "1", "2")
    frames = await listener.hear_all()
    assert sizes(frames) == [2, 2]
    assert all(sandbox.state()["now_ms"] - frame["timestamp"] > 59_000 for frame in frames)
