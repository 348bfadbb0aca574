"""What goes wrong on request, and that it goes wrong exactly so."""

import asyncio
import json
import random
import time
import urllib.error
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest

from markets.tests.sandbox_client import Trader
from markets.venue.sandbox.faults import NAMES, FaultRequest, Faults
from markets.venue.sandbox.testing import RunningSandbox, SandboxMarket, running_sandbox
from polyhub.tests.eventually import eventually, eventually_async

ALICE, BOB = "0x" + "a1" * 32, "0x" + "b0" * 32
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


async def test_what_only_cancels_may_do(sandbox: RunningSandbox, alice: Trader, market: SandboxMarket) -> None:
    _, resting = await alice.order("BUY", market.yes, "0.40", "10")
    sandbox.fault("cancel_only", retry_after=3)
    status, answer = await alice.order("BUY", market.yes, "0.40", "10")
    assert (status, "cancel-only" in answer["error"]) == (503, True)
    _, answer = await alice.call("DELETE", "/order", {"orderID": resting["orderID"]})
    assert answer["canceled"] == [resting["orderID"]]


async def test_disabled_trading_refuses_cancels_too_and_answers_look_ups(
    sandbox: RunningSandbox, alice: Trader, market: SandboxMarket
) -> None:
    _, resting = await alice.order("BUY", market.yes, "0.40", "10")
    sandbox.fault("trading_disabled")
    assert (await alice.order("BUY", market.yes, "0.40", "10"))[0] == 503
    assert (await alice.call("DELETE", "/order", {"orderID": resting["orderID"]}))[0] == 503
    assert (await alice.call("DELETE", "/cancel-all"))[0] == 503
    assert (await alice.call("GET", f"/data/order/{resting['orderID']}"))[0] == 200


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [("unauthorized", 401, "Unauthorized/Invalid api key"), ("version_mismatch", 400, "order_version_mismatch")],
)
async def test_other_refusals_are_in_the_venues_words(
    sandbox: RunningSandbox, alice: Trader, market: SandboxMarket, name: str, status: int, words: str
) -> None:
    sandbox.fault(name, wallet=alice.address)
    got, answer = await alice.order("BUY", market.yes, "0.40", "10")
    assert (got, answer["error"], orders(sandbox)) == (status, words, [])


async def test_a_half_open_connection_answers_nothing_and_handles_nothing(
    sandbox: RunningSandbox, alice: Trader, market: SandboxMarket
) -> None:
    sandbox.fault("half_open", route="/clob/order", count=1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(alice.order("BUY", market.yes, "0.40", "10"), 0.2)
    assert orders(sandbox) == []
    assert (await alice.order("BUY", market.yes, "0.40", "10"))[0] == 200


async def test_an_accepted_order_can_be_called_a_duplicate(
    sandbox: RunningSandbox, alice: Trader, market: SandboxMarket
) -> None:
    sandbox.fault("duplicated", count=1)
    status, answer = await alice.order("BUY", market.yes, "0.40", "10")
    (placed,) = orders(sandbox)
    assert (status, answer["error"]) == (400, f"order {placed['id']} is invalid. Duplicated.")


async def test_an_entry_of_a_batch_can_be_missing(
    sandbox: RunningSandbox, alice: Trader, market: SandboxMarket
) -> None:
    sandbox.fault("missing_entry", count=1)
    batch = [alice.payload("BUY", market.yes, price, "10") for price in ("0.40", "0.41", "0.42")]
    status, answer = await alice.call("POST", "/orders", batch)
    assert (status, len(answer), len(orders(sandbox))) == (200, 2, 3)


async def test_a_page_can_end_too_early(sandbox: RunningSandbox, alice: Trader, market: SandboxMarket) -> None:
    for price in ("0.40", "0.41", "0.42", "0.43"):
        await alice.order("BUY", market.yes, price, "10")
    sandbox.fault("truncated_page", route="/clob/data/orders", count=1)
    _, cut = await alice.call("GET", "/data/orders")
    _, whole = await alice.call("GET", "/data/orders")
    assert (len(cut["data"]), cut["next_cursor"], len(whole["data"])) == (2, "LTE=", 4)


async def test_look_ups_can_lag_behind(sandbox: RunningSandbox, alice: Trader, market: SandboxMarket) -> None:
    sandbox.fault("index_lag", route="/clob/data/", seconds=0.4)
    _, placed = await alice.order("BUY", market.yes, "0.40", "10")
    path = f"/data/order/{placed['orderID']}"
    assert (await alice.call("GET", path))[0] == 404
    assert (await alice.call("GET", "/data/orders"))[1]["data"] == []

    async def is_found() -> bool:
        return (await alice.call("GET", path))[0] == 200

    await eventually_async(is_found)
    assert len((await alice.call("GET", "/data/orders"))[1]["data"]) == 1


async def test_the_clock_can_be_wrong(sandbox: RunningSandbox, alice: Trader) -> None:
    sandbox.fault("clock_skew", seconds=-30)
    _, skewed = await alice.call("GET", "/time")
    sandbox.clear_faults()
    _, right = await alice.call("GET", "/time")
    assert 29 <= right - skewed <= 31


async def test_a_body_can_break_off(sandbox: RunningSandbox, alice: Trader, market: SandboxMarket) -> None:
    sandbox.fault("malformed_json", route="/clob/order", count=1)
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        await alice.order("BUY", market.yes, "0.40", "10")
    assert len(orders(sandbox)) == 1


async def test_a_body_can_come_slowly(sandbox: RunningSandbox, alice: Trader, market: SandboxMarket) -> None:
    sandbox.fault("slow_body", seconds=0.3, count=1)
    started = time.monotonic()
    status, placed = await alice.order("BUY", market.yes, "0.40", "10")
    assert (status, placed["success"], time.monotonic() - started >= 0.25) == (200, True, True)


async def test_faults_combine_on_one_request(sandbox: RunningSandbox, alice: Trader, market: SandboxMarket) -> None:
    sandbox.fault("delay", route="/clob/order", seconds=0.2, count=1)
    sandbox.fault("late_reply", route="/clob/order", seconds=0.2, count=1)
    sandbox.fault("http_5xx_after", route="/clob/order", status=504, count=1)
    started = time.monotonic()
    status, _ = await alice.order("BUY", market.yes, "0.40", "10")
    assert (status, len(orders(sandbox)), time.monotonic() - started >= 0.4) == (504, 1, True)


async def test_faults_of_requests_spare_the_sockets(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    sandbox.fault("drop_request")
    socket = await session.ws_connect(f"{sandbox.ws_url}/ws/market")
    await socket.send_str("PING")
    assert (await socket.receive(5)).data == "PONG"


async def test_the_relayer_and_the_data_api_fail_alike(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    sandbox.fault("http_5xx", route="/relayer", status=502)
    sandbox.fault("malformed_json", route="/data/v2/trades")
    query = f"?address={LEADER}&type=WALLET"
    async with session.get(f"{sandbox.url}/relayer/deployed{query}") as answer:
        assert answer.status == 502
    async with session.get(f"{sandbox.url}/data/v2/trades") as answer:
        with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
            json.loads(await answer.read())


async def test_public_routes_fail_for_the_wallet_they_are_asked_about(
    sandbox: RunningSandbox, session: aiohttp.ClientSession
) -> None:
    sandbox.fault("http_5xx", route="/data/v2/", wallet=LEADER, status=503)
    for wallet, status in ((LEADER.upper().replace("0X", "0x"), 503), ("0x" + "2e" * 20, 200)):
        async with session.get(f"{sandbox.url}/data/v2/trades?user={wallet}") as answer:
            assert answer.status == status


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_fault_can_be_asked_for_and_ends(sandbox: RunningSandbox, name: str) -> None:
    sandbox.fault(name, for_seconds=60)
    sandbox.clear_faults()
    assert sandbox.faults() == []


def test_a_name_that_is_no_fault_is_refused(sandbox: RunningSandbox) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        sandbox.fault("gremlins")
    assert refused.value.code == 400
    refused.value.close()


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
