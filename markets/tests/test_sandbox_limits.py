"""When the venue takes no orders or fewer: restart windows, and rate limits with their headers."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest
from polymarket import AsyncSecureClient
from polymarket.rate_limit import RateLimitUpdate

from markets.tests.sandbox_client import Trader
from markets.tests.sandbox_sdk import environment_of
from markets.venue.sandbox.limits import TIERS
from markets.venue.sandbox.testing import RunningSandbox, SandboxMarket, running_sandbox
from polyhub.tests.eventually import eventually_async

ALICE = "0x" + "a1" * 32


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


async def answered(trader: Trader, method: str, path: str, body: Any = None) -> tuple[int, dict[str, str], Any]:
    """With the headers of the answer."""
    async with trader.request(method, path, body) as answer:
        return answer.status, dict(answer.headers), await answer.json()


# -- windows -------------------------------------------------------------------------------------------------------


async def test_v07_a_restart_is_425_and_then_post_only(
    sandbox: RunningSandbox, alice: Trader, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    _, resting = await alice.order("BUY", market.yes, "0.40", "10")
    sandbox.call("POST", "restart", {"down_seconds": 0.4, "post_only_seconds": 60})
    status, headers, answer = await answered(alice, "POST", "/order", alice.payload("BUY", market.yes, "0.40", "10"))
    assert (status, answer, headers["Retry-After"]) == (425, {"error": "service not ready"}, "1")
    assert (await alice.call("DELETE", "/order", {"orderID": resting["orderID"]}))[0] == 425
    async with session.get(f"{sandbox.url}/clob/book?token_id={market.yes}") as book:
        assert book.status == 200

    async def back() -> bool:
        return (await alice.call("GET", "/data/orders"))[0] == 200

    await eventually_async(back)
    status, headers, answer = await answered(alice, "POST", "/order", alice.payload("BUY", market.yes, "0.40", "10"))
    assert (status, answer["code"]) == (503, "post_only_mode")
    assert 0 < answer["retry_after_seconds"] <= 60
    assert (await alice.order("BUY", market.yes, "0.40", "10", post={"postOnly": True}))[0] == 200
    mixed = [alice.payload("BUY", market.yes, "0.40", "10", post={"postOnly": flag}) for flag in (True, False)]
    assert (await alice.call("POST", "/orders", mixed))[0] == 503
    assert (await alice.call("DELETE", "/order", {"orderID": resting["orderID"]}))[1]["canceled"] == [
        resting["orderID"]
    ]


@pytest.mark.parametrize(("mode", "cancels"), [("cancel_only", 200), ("disabled", 503)])
async def test_v07_while_trading_is_off_cancels_pass_only_where_the_venue_lets_them(
    sandbox: RunningSandbox, alice: Trader, market: SandboxMarket, mode: str, cancels: int
) -> None:
    _, resting = await alice.order("BUY", market.yes, "0.40", "10")
    sandbox.call("POST", "windows", {"mode": mode, "seconds": 60})
    status, answer = await alice.order("BUY", market.yes, "0.40", "10")
    assert (status, mode.split("_", maxsplit=1)[0] in answer["error"]) == (503, True)
    assert (await alice.call("DELETE", "/order", {"orderID": resting["orderID"]}))[0] == cancels
    sandbox.call("DELETE", "windows")
    assert (await alice.order("BUY", market.yes, "0.40", "10"))[0] == 200


# -- limits --------------------------------------------------------------------------------------------------------


async def test_nothing_is_limited_until_switched_on(alice: Trader, market: SandboxMarket) -> None:
    _, headers, _ = await answered(alice, "POST", "/order", alice.payload("BUY", market.yes, "0.40", "10"))
    assert not [name for name in headers if name.startswith("Poly-RateLimit")]


async def test_v06_a_signers_bucket_is_told_runs_dry_and_fills_again(
    sandbox: RunningSandbox, alice: Trader, market: SandboxMarket
) -> None:
    sandbox.call("POST", "venue", {"rate_limits": True, "limits_scale": 10})
    _, burst, _, _ = TIERS["standard"]
    allowed = burst // 10

    async def place(count: int) -> tuple[int, dict[str, str], Any]:
        batch = [alice.payload("BUY", market.yes, "0.40", "10") for _ in range(count)]
        return await answered(alice, "POST", "/orders", batch)

    status, headers, _ = await place(allowed - 1)
    assert (status, headers["Poly-RateLimit-Tier"]) == (200, "standard")
    assert float(headers["Poly-RateLimit-Remaining"]) < 2
    status, headers, answer = await place(3)
    assert (status, answer["error"]) == (429, "Too Many Requests")
    wait = int(headers["Retry-After"])
    assert int(headers["Poly-RateLimit-Reset"]) >= wait > 0
    assert (await alice.call("DELETE", "/cancel-all"))[0] == 200

    async def filled_again() -> bool:
        return (await place(3))[0] == 200

    await eventually_async(filled_again)


async def test_v06_a_richer_tier_may_more_and_warnings_let_everything_pass(
    sandbox: RunningSandbox, alice: Trader, market: SandboxMarket
) -> None:
    sandbox.call("POST", "venue", {"rate_limits": True, "limits_scale": 60})
    batch = [alice.payload("BUY", market.yes, "0.40", "10") for _ in range(5)]
    assert (await alice.call("POST", "/orders", batch))[0] == 429
    sandbox.call("POST", "venue", {"limits_warn_only": True})
    status, headers, _ = await answered(alice, "POST", "/orders", batch)
    assert (status, headers["Poly-RateLimit-Warning"]) == (200, "true")
    sandbox.call("POST", "accounts", {"address": alice.address, "tier": "silver"})
    sandbox.call("POST", "venue", {"limits_warn_only": False, "rate_limits": True})
    more = [alice.payload("BUY", market.yes, "0.40", "10") for _ in range(5)]
    status, headers, _ = await answered(alice, "POST", "/orders", more)
    assert (status, headers["Poly-RateLimit-Tier"]) == (200, "silver")


async def test_v06_the_official_client_reads_its_headroom(sandbox: RunningSandbox, market: SandboxMarket) -> None:
    sandbox.set_venue(rate_limits=True)
    sandbox.register_wallet(private_key=ALICE, usdc=100)
    told: list[RateLimitUpdate] = []
    async with await AsyncSecureClient.create(
        private_key=ALICE, environment=environment_of(sandbox), on_rate_limit_update=told.append
    ) as client:
        placed = await client.place_limit_order(token_id=market.yes, side="BUY", price="0.4", size=10)
        assert placed.ok
        await client.cancel_all()
    assert [(one.tier, one.warning) for one in told] == [("standard", False)] * 2
    orders, cancels = told
    assert (orders.remaining, cancels.remaining) == (59, 118)


async def test_v06_the_data_api_says_that_it_may_be_asked_again(
    sandbox: RunningSandbox, session: aiohttp.ClientSession
) -> None:
    sandbox.set_venue(rate_limits=True, limits_scale=100)
    for expected in (200, 429):
        async with session.get(f"{sandbox.url}/data/v2/status") as answer:
            assert answer.status == expected
            body = await answer.json()
    assert (body["code"], body["retryable"], int(answer.headers["Retry-After"]) > 0) == ("rate_limited", True, True)


async def test_v06_one_address_shares_its_windows(
    sandbox: RunningSandbox, alice: Trader, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    sandbox.call("POST", "venue", {"rate_limits": True, "limits_scale": 50})
    url = f"{sandbox.url}/clob/tick-size?token_id={market.yes}"
    statuses = []
    for _ in range(5):
        async with session.get(url) as answer:
            statuses.append(answer.status)
            retry = answer.headers.get("Retry-After", "")
    assert (statuses, 0 < int(retry) <= 10) == ([200] * 4 + [429], True)
    async with session.get(f"{sandbox.url}/clob/neg-risk?token_id={market.yes}") as answer:
        assert answer.status == 200
