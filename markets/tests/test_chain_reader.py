"""Fills from the chain's own logs: over a socket, by polling, across gaps and nodes that fail."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from decimal import Decimal
from itertools import count
from typing import Any

import msgspec
import pytest
from eth_abi.abi import encode as abi_encode

from markets.tests.venue_fixtures import approved, connected, live_session
from markets.tests.venue_fixtures import sandbox as sandbox  # noqa: PLC0414
from markets.venue.polymarket import chain
from markets.venue.polymarket.chain import ChainReader, LogRow
from markets.venue.ports import FeedStatus, LeaderTradeSeen, OrderType, Side
from markets.venue.sandbox.market_maker import WALLET
from markets.venue.sandbox.testing import RunningSandbox, SandboxMarket
from polyhub.lib.clock import SystemClock

LEADER, OTHER = "0x" + "1a" * 20, "0x" + "2b" * 20
_slugs = count()
_wallets = count(0xA11CE)


@pytest.fixture
def leader() -> str:
    """A wallet of this test alone: a block holds what an earlier test did a second ago."""
    return f"0x{next(_wallets):040x}"


@pytest.fixture
def market(sandbox: RunningSandbox) -> SandboxMarket:
    return sandbox.create_market(f"chain-{next(_slugs)}", bids=[("0.48", "5000")], asks=[("0.52", "5000")])


@asynccontextmanager
async def reader(
    sandbox: RunningSandbox,
    leader: str,
    *,
    urls: tuple[str, ...] = (),
    ws: bool = True,
    ws_urls: tuple[str, ...] = (),
) -> AsyncIterator[ChainReader]:
    async with connected(sandbox) as (transport, public):
        made = ChainReader(
            transport,
            urls=[*urls, f"{sandbox.url}/rpc"],
            ws_urls=[*ws_urls, f"{sandbox.ws_url}/rpc"] if ws else [],
            place_of=public.place_of,
            chance=random.Random(1),
            poll_s=0.05,
        )
        made.watch([leader.upper().replace("0X", "0x")])
        yield made


async def until_open(events: AsyncIterator[Any]) -> None:
    async with asyncio.timeout(10):
        async for event in events:
            if isinstance(event, FeedStatus) and event.connected:
                return


async def next_fills(events: AsyncIterator[Any], wanted: int = 1) -> list[LeaderTradeSeen]:
    found: list[LeaderTradeSeen] = []
    async with asyncio.timeout(10):
        async for event in events:
            if isinstance(event, LeaderTradeSeen):
                found.append(event)
                if len(found) == wanted:
                    break
    return found


def lead(sandbox: RunningSandbox, token: str, *, side: str = "BUY", size: str = "10", wallet: str) -> str:
    price = "0.52" if side == "BUY" else "0.48"
    made = sandbox.leader_trade(wallet=wallet, token_id=token, side=side, price=price, size=size)
    return str(made["transaction_hash"]).lower()


@pytest.mark.parametrize("ws", [True, False], ids=["socket", "polling"])
async def test_a_watched_wallets_fill_is_told_as_the_venue_would(
    sandbox: RunningSandbox, market: SandboxMarket, leader: str, ws: bool
) -> None:
    async with reader(sandbox, leader, ws=ws) as watching, aclosing(watching.events()) as events:
        await until_open(events)
        lead(sandbox, market.yes, wallet=OTHER)
        transaction = lead(sandbox, market.no, side="SELL", size="20", wallet=leader)
        (fill,) = await next_fills(events)
        assert (fill.wallet, fill.token_id, fill.condition_id) == (leader, market.no, market.condition_id)
        assert (fill.side, fill.outcome_index, fill.source) == (Side.SELL, 1, "chain")
        assert (float(fill.price), float(fill.shares)) == (pytest.approx(0.48), 20)
        assert fill.transaction_hash == transaction
        assert abs(fill.traded_s - fill.received_ms // 1000) < 10


async def test_a_makers_fill_is_told_too(sandbox: RunningSandbox, market: SandboxMarket, leader: str) -> None:
    """The market maker of the local venue quotes: every taker's trade is a fill of its wallet."""
    async with reader(sandbox, leader) as watching:
        watching.watch([WALLET, leader])
        async with aclosing(watching.events()) as events:
            await until_open(events)
            transaction = lead(sandbox, market.yes, wallet=leader)
            fills = await next_fills(events, 2)
        assert {fill.transaction_hash for fill in fills} == {transaction}
        assert leader in {fill.wallet for fill in fills}
        assert len({fill.wallet for fill in fills}) == 2


@pytest.mark.parametrize("ws", [True, False], ids=["socket", "polling"])
async def test_an_order_filled_at_several_prices_is_one_fill_at_their_average(
    sandbox: RunningSandbox, leader: str, ws: bool
) -> None:
    market = sandbox.create_market(
        f"chain-{next(_slugs)}", bids=[("0.48", "500")], asks=[("0.50", "10"), ("0.51", "10"), ("0.52", "100")]
    )
    async with live_session(sandbox) as session, reader(sandbox, leader, ws=ws) as watching:
        watching.watch([session.account.trading_address])
        async with aclosing(watching.events()) as events:
            await until_open(events)
            order = approved(market.yes, Side.BUY, OrderType.FAK, price=52, shares=30, now=SystemClock().now())
            prepared = await session.venue.prepare(order)
            await session.venue.send(prepared)
            (fill,) = await next_fills(events)
        found = await session.venue.order_by_hash(prepared.order_hash)
        assert found is not None
        assert Decimal(fill.shares) == Decimal(found.matched_share_units).scaleb(-6)
        assert 0.50 < float(fill.price) < 0.52


async def test_w05_what_happened_while_disconnected_is_told_after_the_gap_and_once(
    sandbox: RunningSandbox, market: SandboxMarket, leader: str
) -> None:
    async with reader(sandbox, leader) as watching:
        async with aclosing(watching.events()) as events:
            await until_open(events)
            first = lead(sandbox, market.yes, wallet=leader)
            assert [fill.transaction_hash for fill in await next_fills(events)] == [first]
        # The socket is gone; two more fills.
        missed = [lead(sandbox, market.yes, size=size, wallet=leader) for size in ("11", "12")]
        await asyncio.sleep(0.3)
        async with aclosing(watching.events()) as events:
            told = [fill.transaction_hash for fill in await next_fills(events, 2)]
            assert told == missed
            last = lead(sandbox, market.yes, size="13", wallet=leader)
            assert [fill.transaction_hash for fill in await next_fills(events)] == [last]
        assert watching.gaps_filled >= 2


@pytest.mark.parametrize("ws", [True, False], ids=["socket", "polling"])
async def test_a_node_that_fails_is_replaced_by_the_next(
    sandbox: RunningSandbox, market: SandboxMarket, leader: str, ws: bool
) -> None:
    dead = ("http://127.0.0.1:9/rpc",)
    async with reader(sandbox, leader, urls=dead, ws=ws, ws_urls=("ws://127.0.0.1:9/rpc",) if ws else ()) as watching:
        async with aclosing(watching.events()) as events:
            async with asyncio.timeout(10):
                lost = await anext(events)
            assert isinstance(lost, FeedStatus)
            assert not lost.connected
            await until_open(events)
            transaction = lead(sandbox, market.yes, wallet=leader)
            assert [fill.transaction_hash for fill in await next_fills(events)] == [transaction]
        assert watching.switched >= 1


async def test_wallets_watched_later_are_told_from_then_on(
    sandbox: RunningSandbox, market: SandboxMarket, leader: str
) -> None:
    async with reader(sandbox, leader) as watching, aclosing(watching.events()) as events:
        await until_open(events)
        watching.watch([leader, OTHER])
        lead(sandbox, market.yes, wallet=leader)
        assert [fill.wallet for fill in await next_fills(events)] == [leader]
        lead(sandbox, market.yes, wallet=OTHER)
        assert [fill.wallet for fill in await next_fills(events)] == [OTHER]


async def test_a_token_the_venue_cannot_place_is_told_once_it_can(
    sandbox: RunningSandbox, market: SandboxMarket, leader: str
) -> None:
    async with reader(sandbox, leader) as watching, aclosing(watching.events()) as events:
        await until_open(events)
        fault = sandbox.fault("http_5xx", route="/clob/markets-by-token")
        transaction = lead(sandbox, market.yes, wallet=leader)
        async with asyncio.timeout(10):
            lost = await anext(events)
        assert isinstance(lost, FeedStatus)
        sandbox.clear_faults(fault)
        assert [fill.transaction_hash for fill in await next_fills(events)] == [transaction]


# -- logs --------------------------------------------------------------------------------------------------------


@pytest.fixture
def row() -> dict[str, Any]:
    data = abi_encode(chain.FIELDS, [0, 77, 5_200_000, 10_000_000, 0, bytes(32), bytes(32)])
    return {
        "topics": [chain.ORDER_FILLED, "0x" + "ab" * 32, "0x" + "00" * 12 + LEADER[2:], "0x" + "00" * 32],
        "data": "0x" + data.hex(),
        "blockNumber": "0x10",
        "transactionHash": "0x" + "cd" * 32,
        "logIndex": "0x2",
    }


def read(row: dict[str, Any]) -> chain.Fill:
    return chain.fill_of(msgspec.convert(row, LogRow))


def test_the_event_is_the_exchanges_own() -> None:
    assert chain.ORDER_FILLED == "0xd543adfd945773f1a62f74f0ee55a5e3b9b1a28262980ba90b1a89f2ea84d8ee"


def test_a_log_is_read_exactly(row: dict[str, Any]) -> None:
    fill = read(row)
    assert (fill.wallet, fill.token_id, fill.side) == (LEADER, "77", Side.BUY)
    assert (fill.usdc_units, fill.share_units, fill.block, fill.log_index) == (5_200_000, 10_000_000, 16, 2)
    assert fill.order_hash == "0x" + "ab" * 32


@pytest.mark.parametrize(
    "changed",
    [
        {"data": "0x"},
        {"data": "0x" + "ff" * 224},
        {"topics": [chain.ORDER_FILLED]},
        {"topics": ["0x" + "00" * 32] * 4},
        {"data": "0x" + abi_encode(chain.FIELDS, [0, 77, 0, 10, 0, bytes(32), bytes(32)]).hex()},
    ],
)
def test_what_is_no_fill_is_refused_with_its_transaction(row: dict[str, Any], changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="0xcdcd"):
        read({**row, **changed})


def test_one_filter_asks_for_all_wallets_on_all_exchanges() -> None:
    asked = chain.log_filter([OTHER, LEADER, LEADER])
    assert len(asked["address"]) == 3
    assert asked["topics"][0] == chain.ORDER_FILLED
    assert asked["topics"][2] == ["0x" + "0" * 24 + LEADER[2:], "0x" + "0" * 24 + OTHER[2:]]
