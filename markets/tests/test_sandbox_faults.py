"""What goes wrong on request, and that it goes wrong exactly so."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest

from markets.tests.sandbox_client import Trader
from markets.venue.sandbox.faults import FaultRequest, Faults
from markets.venue.sandbox.testing import RunningSandbox, SandboxMarket, running_sandbox
from polyhub.tests.eventually import eventually

ALICE, BOB = "0x" + "a1" * 32, "0x" + "b0" * 32


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture
def market(sandbox: RunningSandbox) -> SandboxMarket:
    return sandbox.create_market(bids=[("0.48", "100")], asks=[("0.50", "100")])


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(5)) as opened:
        yield opened


@pytest.fixture
async def alice(sandbox: RunningSandbox, session: aiohttp.ClientSession) -> Trader:
    sandbox.register_wallet(private_key=ALICE, usdc=1_000, signature_type=0)
    return await Trader(sandbox, session, ALICE).log_in()


def orders(sandbox: RunningSandbox) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = sandbox.state()["orders"]
    return found


async def test_a_delay_holds_the_request_back(sandbox: RunningSandbox, alice: Trader, market: SandboxMarket) -> None:
    sandbox.fault("delay", seconds=0.3, count=1)
    started = time.monotonic()
    status, _ = await alice.order("BUY", market.yes, "0.40", "10")
    assert (status, time.monotonic() - started >= 0.3) == (200, True)


@pytest.mark.parametrize(("name", "accepted"), [("http_5xx", 0), ("http_5xx_after", 1)])
async def test_a_5xx_comes_before_or_after_accepting(
    sandbox: RunningSandbox, alice: Trader, market: SandboxMarket, name: str, accepted: int
) -> None:
    sandbox.fault(name, count=1, status=502)
    status, _ = await alice.order("BUY", market.yes, "0.40", "10")
    assert (status, len(orders(sandbox))) == (502, accepted)


@pytest.mark.parametrize(("name", "accepted"), [("drop_request", 0), ("drop_reply", 1)])
async def test_a_dropped_connection_may_or_may_not_have_accepted(
    sandbox: RunningSandbox, alice: Trader, market: SandboxMarket, name: str, accepted: int
) -> None:
    sandbox.fault(name, route="/clob/order", count=1)
    with pytest.raises(aiohttp.ClientConnectionError):
        await alice.order("BUY", market.yes, "0.40", "10")
    eventually(lambda: len(orders(sandbox)) == accepted or accepted == 0)
    assert len(orders(sandbox)) == accepted


async def test_a_late_accept_answers_nothing_and_accepts_later(
    sandbox: RunningSandbox, alice: Trader, market: SandboxMarket
) -> None:
    sandbox.fault("late_accept", seconds=0.3, count=1)
    with pytest.raises(aiohttp.ClientConnectionError):
        await alice.order("BUY", market.yes, "0.40", "10")
    assert orders(sandbox) == []
    eventually(lambda: len(orders(sandbox)) == 1)


async def test_a_held_late_accept_times_the_client_out(
    sandbox: RunningSandbox, alice: Trader, market: SandboxMarket
) -> None:
    sandbox.fault("late_accept", seconds=0.1, hold=True, count=1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(alice.order("BUY", market.yes, "0.40", "10"), 0.3)
    eventually(lambda: len(orders(sandbox)) == 1)


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("engine_restarting", 425, "service not ready"),
        ("rate_limited", 429, "Too Many Requests"),
        ("post_only_mode", 503, "post-only mode"),
    ],
)
async def test_pauses_answer_in_the_venues_words(
    sandbox: RunningSandbox, alice: Trader, market: SandboxMarket, name: str, status: int, words: str
) -> None:
    sandbox.fault(name, count=1, retry_after=2)
    got, answer = await alice.order("BUY", market.yes, "0.40", "10")
    assert got == status
    assert words in answer["error"]
    assert orders(sandbox) == []
    assert (await alice.order("BUY", market.yes, "0.40", "10"))[0] == 200


async def test_post_only_mode_lets_post_only_orders_and_cancels_pass(
    sandbox: RunningSandbox, alice: Trader, market: SandboxMarket
) -> None:
    sandbox.fault("post_only_mode")
    status, placed = await alice.order("BUY", market.yes, "0.40", "10", post={"postOnly": True})
    assert status == 200
    _, answer = await alice.call("DELETE", "/order", {"orderID": placed["orderID"]})
    assert answer["canceled"] == [placed["orderID"]]


async def test_a_failed_settlement_takes_the_fill_back(
    sandbox: RunningSandbox, alice: Trader, market: SandboxMarket
) -> None:
    sandbox.fault("failed_settlement", wallet=alice.address, count=1)
    _, placed = await alice.order("BUY", market.yes, "0.50", "10", "FAK")
    assert placed["status"] == "matched"
    eventually(lambda: [trade["status"] for trade in sandbox.state()["trades"]] == ["FAILED"])
    (wallet,) = sandbox.state()["wallets"]
    assert (wallet["cash_units"], wallet["shares"]) == ("1000000000", {})
    assert sandbox.state()["conserved"] is True


async def test_a_fault_of_one_wallet_leaves_the_others_alone(
    sandbox: RunningSandbox, alice: Trader, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    wallet = sandbox.register_wallet(private_key=BOB, usdc=1_000, signature_type=0)
    bob = await Trader(sandbox, session, BOB).log_in()
    sandbox.fault("http_5xx", wallet=wallet.address)
    assert (await bob.order("BUY", market.yes, "0.40", "10"))[0] == 500
    assert (await alice.order("BUY", market.yes, "0.40", "10"))[0] == 200


async def test_clearing_one_fault_keeps_the_others(sandbox: RunningSandbox) -> None:
    first, second = sandbox.fault("http_5xx"), sandbox.fault("delay", seconds=1)
    sandbox.clear_faults(first)
    assert [fault["id"] for fault in sandbox.faults()] == [second]


def struck(seed: int) -> list[bool]:
    faults = Faults(random.Random(seed))
    faults.add(FaultRequest(name="drop_reply", probability=0.5), now_ms=0)
    return [faults.hit(["drop_reply"], now_ms=0) is not None for _ in range(50)]


def test_chance_is_repeatable() -> None:
    assert struck(1) == struck(1) != struck(2)
    assert 10 < sum(struck(1)) < 40


def test_a_fault_ends_by_count_and_by_time() -> None:
    faults = Faults(random.Random(0))
    faults.add(FaultRequest(name="delay", count=2), now_ms=0)
    faults.add(FaultRequest(name="drop_reply", for_seconds=1), now_ms=0)
    assert [faults.hit(["delay"], now_ms=0) is not None for _ in range(3)] == [True, True, False]
    assert faults.hit(["drop_reply"], now_ms=999) is not None
    assert faults.hit(["drop_reply"], now_ms=1_000) is None
