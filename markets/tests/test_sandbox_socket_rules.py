"""How the local venue treats its sockets: PING, wrong frames, slow readers, silence."""

import asyncio
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
)
from markets.venue.sandbox.testing import RunningSandbox, SandboxMarket, running_sandbox
from polyhub.tests.eventually import eventually_async

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


async def test_a_socket_that_forgets_ping_is_closed(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    sandbox.call("POST", "sockets", {"ping_within_s": 0.2})
    silent = await market_socket(session, sandbox, market.yes)
    assert await silent.closed() == (1008, "no ping")


async def test_a_socket_that_says_ping_stays(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    sandbox.call("POST", "sockets", {"ping_within_s": 0.8})
    listener = await market_socket(session, sandbox, market.yes)
    for _ in range(20):
        await listener.hear_all()
        await asyncio.sleep(0.05)
    assert len(sandbox.call("GET", "sockets")) == 1


async def test_rtds_goes_deaf_without_ping_and_stays_open(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    listener = await rtds_socket(session, sandbox, "trades")
    sandbox.call("POST", "sockets", {"rtds_deaf_after_s": 0.0})
    sandbox.leader_trade(wallet=LEADER, token_id=market.yes, side="BUY", price="0.50", size="10")
    sandbox.call("POST", "sockets", {"rtds_deaf_after_s": 60.0})
    assert await listener.hear_all() == []
    sandbox.leader_trade(wallet=LEADER, token_id=market.yes, side="BUY", price="0.50", size="10")
    assert (await listener.hear())["payload"]["proxyWallet"] == LEADER


def masked(payload: bytes) -> bytes:
    """A client's text frame of 126 bytes or more; a mask of zeros changes nothing."""
    return b"\x81\xfe" + len(payload).to_bytes(2, "big") + bytes(4) + payload


async def test_a_reader_too_slow_is_closed_and_the_others_stay(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    sandbox.call("POST", "sockets", {"slow_bytes": 100_000})
    _, slow = await asyncio.open_connection("127.0.0.1", sandbox.port, limit=1_000)
    key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    slow.write(f"GET /ws/market HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{key}".encode())
    slow.write(masked(json.dumps({"type": "market", "assets_ids": [market.no, market.yes]}).encode()))
    listener = await market_socket(session, sandbox, market.yes)
    await listener.hear_until("book")

    async def open_sockets(expected: int) -> bool:
        found = await asyncio.to_thread(sandbox.call, "GET", "sockets")
        return sum(bool(one["tokens"]) for one in found) == expected

    await eventually_async(lambda: open_sockets(2))
    sandbox.fault("huge_frame", channel="market", kind="bytes", token_id=market.no)
    await eventually_async(lambda: open_sockets(1))
    assert await listener.hear_all() == []
    slow.transport.abort()


async def test_nothing_new_to_subscribe_to_is_said_so(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    listener = await market_socket(session, sandbox, market.yes)
    await listener.hear_until("book")
    await listener.say({"operation": "subscribe", "assets_ids": [market.yes]})
    assert await listener.hear() == "NO NEW ASSETS"


async def test_what_nobody_can_read_is_invalid(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    listener = await connect(session, sandbox, "market")
    for frame in ("{", "[]", {"operation": "resubscribe", "assets_ids": [market.yes]}):
        await listener.say(frame)
        assert await listener.hear() == "INVALID OPERATION"


async def test_the_opening_dump_is_one_array_and_can_be_declined(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    listener = await market_socket(session, sandbox, market.yes, market.no)
    dump = json.loads((await listener.socket.receive(TIMEOUT_S)).data)
    assert [book["asset_id"] for book in dump] == [market.yes, market.no]
    quiet = await connect(session, sandbox, "market")
    await quiet.say({"type": "market", "assets_ids": [market.yes], "initial_dump": False})
    assert await quiet.hear_all() == []


async def test_nothing_is_replayed_and_nothing_is_numbered(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    sandbox.leader_trade(wallet=LEADER, token_id=market.yes, side="BUY", price="0.50", size="10")
    listener = await rtds_socket(session, sandbox, "*")
    assert await listener.hear_all() == []
    prices = await market_socket(session, sandbox, market.yes)
    (book,) = await prices.hear_all()
    assert not {"seq", "sequence", "offset"} & set(book)
