"""The official client, unchanged but for its URLs, works against the local venue."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from polymarket import AsyncPublicClient, AsyncSecureClient
from polymarket._internal.environment import PRODUCTION_CONFIG, create_environment
from polymarket.environments import Environment
from polymarket.streams import MarketSpec, UserSpec

from markets.venue.sandbox.testing import RunningSandbox, SandboxMarket, running_sandbox
from polyhub.tests.eventually import eventually_async

KEY = "0x" + "11" * 32
EOA, DEPOSIT_WALLET = 0, 3
TIMEOUT_S = 5.0


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture
def market(sandbox: RunningSandbox) -> SandboxMarket:
    return sandbox.create_market(
        bids=[("0.48", "100")],
        asks=[("0.50", "100"), ("0.55", "100")],
        fee_rate="0.05",
        end_date="2027-01-01T00:00:00Z",
    )


@pytest.fixture
def environment(sandbox: RunningSandbox) -> Environment:
    rest, stream = sandbox.url, sandbox.ws_url
    config = dataclasses.replace(
        PRODUCTION_CONFIG,
        clob_url=f"{rest}/clob",
        gamma_url=f"{rest}/gamma",
        data_url=f"{rest}/data",
        relayer_url=f"{rest}/relayer",
        rpc_url=f"{rest}/rpc",
        clob_market_ws_url=f"{stream}/ws/market",
        clob_user_ws_url=f"{stream}/ws/user",
        rtds_ws_url=f"{stream}/ws/rtds",
    )
    return create_environment(name="sandbox", config=config)


Connect = Callable[[int], Awaitable[AsyncSecureClient]]


@pytest.fixture
async def connect(sandbox: RunningSandbox, environment: Environment) -> AsyncIterator[Connect]:
    opened: list[AsyncSecureClient] = []

    async def client_of(signature_type: int) -> AsyncSecureClient:
        wallet = sandbox.register_wallet(private_key=KEY, usdc=1_000, signature_type=signature_type)
        named = None if signature_type == DEPOSIT_WALLET else wallet.address
        client = await AsyncSecureClient.create(private_key=KEY, wallet=named, environment=environment)
        assert client.wallet == wallet.address
        opened.append(client)
        return client

    yield client_of
    for client in opened:
        await client.close()


@pytest.fixture(params=[EOA, DEPOSIT_WALLET], ids=["eoa", "deposit wallet"])
async def client(request: pytest.FixtureRequest, connect: Connect, market: SandboxMarket) -> AsyncSecureClient:
    return await connect(request.param)


async def test_markets_books_and_prices(environment: Environment, market: SandboxMarket) -> None:
    async with AsyncPublicClient(environment=environment) as public:
        page = await public.list_markets(page_size=5).first_page()
        (listed,) = page.items
        assert (listed.slug, str(listed.outcomes.yes.token_id)) == (market.slug, market.yes)
        assert (await public.get_market(slug=market.slug)).condition_id == market.condition_id
        events = await public.list_events(page_size=5).first_page()
        assert len(events.items) == 1
        book = await public.get_order_book(token_id=market.yes)
        assert (book.bids[-1].price, book.asks[-1].price) == (Decimal("0.48"), Decimal("0.5"))
        assert [b.asset_id for b in await public.get_order_books(token_ids=[market.yes, market.no])] == [
            market.yes,
            market.no,
        ]
        assert await public.get_midpoint(token_id=market.yes) == Decimal("0.49")
        assert await public.get_spread(token_id=market.yes) == Decimal("0.02")
        assert await public.get_price(token_id=market.yes, side="BUY") == Decimal("0.48")


async def test_limit_buy_open_orders_and_cancel(client: AsyncSecureClient, market: SandboxMarket) -> None:
    placed = await client.place_limit_order(token_id=market.yes, side="BUY", price=Decimal("0.40"), size=Decimal(10))
    assert placed.ok
    assert placed.status == "live"
    (listed,) = (await client.list_open_orders().first_page()).items
    assert (listed.id, listed.price, listed.original_size) == (placed.order_id, Decimal("0.4"), Decimal(10))
    assert (await client.get_order(order_id=placed.order_id)).status == "LIVE"
    canceled = await client.cancel_order(order_id=placed.order_id)
    assert canceled.canceled == (placed.order_id,)
    assert (await client.list_open_orders().first_page()).items == ()


async def test_market_buy_trades_positions_and_balances(
    client: AsyncSecureClient, market: SandboxMarket, sandbox: RunningSandbox
) -> None:
    bought = await client.place_market_order(token_id=market.yes, side="BUY", amount=Decimal(10))
    assert bought.ok
    assert (bought.status, bought.making_amount, bought.taking_amount) == ("matched", Decimal(10), Decimal(20))

    async def confirmed() -> Any:
        page = await client.list_account_trades().first_page()
        return page.items if page.items and page.items[0].status == "CONFIRMED" else ()

    (trade,) = await eventually_async(confirmed)
    assert (trade.id, trade.price, trade.size) == (bought.trade_ids[0], Decimal("0.5"), Decimal(20))
    (position,) = (await client.list_positions(user=client.wallet, status="OPEN").first_page()).items
    assert position.asset_id == market.yes
    balance = await client.get_balance_allowance(asset_type="COLLATERAL")
    assert balance.balance == 1_000_000_000 - 10_000_000 - 250_000
    assert min(balance.allowances.values()) > 10**18
    sold = await client.place_market_order(token_id=market.yes, side="SELL", shares=Decimal(20))
    assert sold.ok
    assert sold.making_amount == Decimal(20)
    assert sandbox.state()["conserved"] is True


async def test_neg_risk_markets_and_batches(client: AsyncSecureClient, sandbox: RunningSandbox) -> None:
    grouped = sandbox.create_market("grouped", neg_risk=True, tick_size="0.001")
    drafts = [
        await client.create_limit_order(token_id=grouped.no, side="BUY", price=Decimal(price), size=Decimal(10))
        for price in ("0.401", "0.402")
    ]
    answers = await client.post_orders(drafts)
    assert [answer.ok for answer in answers] == [True, True]
    assert len((await client.cancel_all()).canceled) == 2


async def test_refusals_are_understood(client: AsyncSecureClient, market: SandboxMarket) -> None:
    crossing = await client.create_limit_order(
        token_id=market.yes, side="BUY", price=Decimal("0.50"), size=Decimal(10), post_only=True
    )
    with pytest.raises(Exception, match="order crosses book"):
        await client.post_order(crossing)


async def next_event(handle: Any, kind: str, **fields: object) -> Any:
    async with asyncio.timeout(TIMEOUT_S):
        async for event in handle:
            if event.type == kind and all(getattr(event.payload, name) == value for name, value in fields.items()):
                return event.payload
    raise AssertionError("the stream ended")


async def test_market_and_user_streams(client: AsyncSecureClient, market: SandboxMarket) -> None:
    markets = await client.subscribe([MarketSpec(token_ids=[market.yes])])
    users = await client.subscribe([UserSpec()])
    book = await next_event(markets, "book")
    assert book.asset_id == market.yes

    placed = await client.place_limit_order(token_id=market.yes, side="BUY", price=Decimal("0.50"), size=Decimal(10))
    assert placed.ok
    for status in ("MATCHED", "MINED", "CONFIRMED"):
        trade = await next_event(users, "trade", status=status)
        assert (trade.id, trade.size) == (placed.trade_ids[0], Decimal(10))
    last = await next_event(markets, "last_trade_price")
    assert (last.price, last.size) == (Decimal("0.5"), Decimal(10))
    await users.close()
    await markets.close()
