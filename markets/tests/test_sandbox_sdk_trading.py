"""polymarket-client through its whole trading surface, with every kind of wallet and with a session key."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import Any

import pytest
from eth_account import Account
from polymarket import AsyncPublicClient, AsyncSecureClient
from polymarket.errors import OrderHeartbeatMismatchError, RequestRejectedError
from polymarket.streams import MarketSpec, UserSpec

from markets.tests.official_clients import DEPOSIT_WALLET, EOA, KEY, PROXY, SAFE, Venue, open_venue
from markets.tests.sandbox_sdk import environment_of
from markets.venue.sandbox import server
from markets.venue.sandbox.testing import running_sandbox
from polyhub.tests.eventually import eventually_async

SESSION_KEY = "0x" + "22" * 32
SESSION = "session key"
TIMEOUT_S = 10.0
TODAY = "2026-11-20"

EVERYBODY = pytest.mark.parametrize(
    "client",
    [EOA, PROXY, SAFE, DEPOSIT_WALLET, SESSION],
    ids=["eoa", "proxy", "safe", "deposit wallet", SESSION],
    indirect=True,
)


@pytest.fixture
def venue(request: pytest.FixtureRequest) -> Iterator[Venue]:
    asked = request.getfixturevalue("wallet_kind")
    with running_sandbox() as sandbox:
        yield open_venue(sandbox, DEPOSIT_WALLET if asked == SESSION else asked)


@pytest.fixture
def wallet_kind(request: pytest.FixtureRequest) -> object:
    """What the `client` of the test was asked to be."""
    call = getattr(request.node, "callspec", None)
    return DEPOSIT_WALLET if call is None else call.params.get("client", DEPOSIT_WALLET)


@pytest.fixture
async def client(request: pytest.FixtureRequest, venue: Venue, wallet_kind: object) -> AsyncIterator[AsyncSecureClient]:
    key = KEY
    if wallet_kind == SESSION:
        key = SESSION_KEY
        grant = {"wallet": venue.wallet.address, "address": Account.from_key(key).address}
        venue.sandbox.call("POST", "session_keys", grant)
    opened = await AsyncSecureClient.create(
        private_key=key, wallet=venue.wallet.address, environment=environment_of(venue.sandbox)
    )
    yield opened
    await opened.close()


async def items(paginator: Any) -> Any:
    return (await paginator.first_page()).items


@EVERYBODY
async def test_limit_orders_rest_and_are_canceled_in_every_way(client: AsyncSecureClient, venue: Venue) -> None:
    yes, no, condition = venue.market.yes, venue.market.no, venue.market.condition_id

    async def rest(token: str, price: str, **terms: Any) -> str:
        placed = await client.place_limit_order(
            token_id=token, side="BUY", price=Decimal(price), size=Decimal(10), **terms
        )
        assert placed.ok
        assert placed.status == "live"
        return str(placed.order_id)

    first = await rest(yes, "0.40")
    listed = await items(client.list_open_orders(market=condition))
    assert [(one.id, one.price, one.original_size) for one in listed] == [(first, Decimal("0.4"), Decimal(10))]
    assert (await client.get_order(order_id=first)).status == "LIVE"
    assert (await client.cancel_order(order_id=first)).canceled == (first,)
    assert (await client.get_order(order_id=first)).status == "CANCELED"

    lasting = await rest(yes, "0.41", expiration=server.system_ms() // 1_000 + 600)
    assert (await client.get_order(order_id=lasting)).order_type == "GTD"
    passive = await rest(yes, "0.42", post_only=True)
    assert set((await client.cancel_orders(order_ids=[lasting, passive])).canceled) == {lasting, passive}

    mine, other = await rest(yes, "0.43"), await rest(venue.neg_risk.yes, "0.30")
    assert (await client.cancel_market_orders(market=condition)).canceled == (mine,)
    third = await rest(no, "0.44")
    assert (await client.cancel_market_orders(token_id=no)).canceled == (third,)
    assert (await client.cancel_all()).canceled == (other,)
    again = await client.cancel_order(order_id=other)
    assert (again.canceled, list(again.not_canceled)) == ((), [other])


@EVERYBODY
async def test_batches_hold_ordinary_neg_risk_and_second_protocol_orders(
    client: AsyncSecureClient, venue: Venue
) -> None:
    tokens = (venue.market.yes, venue.neg_risk.yes, venue.v2.yes)
    drafts = [
        await client.create_limit_order(token_id=token, side="BUY", price=Decimal("0.30"), size=Decimal(10))
        for token in tokens
    ]
    answers = await client.post_orders(drafts)
    assert [answer.ok for answer in answers] == [True, True, True]
    held = {order["id"]: order["token_id"] for order in venue.sandbox.state()["orders"]}
    assert [held[str(answer.order_id)] for answer in answers if answer.ok] == list(tokens)


@EVERYBODY
async def test_market_orders_settle_and_can_be_sold_again(client: AsyncSecureClient, venue: Venue) -> None:
    yes = venue.market.yes
    assert await client.estimate_market_price(token_id=yes, side="BUY", amount=Decimal(10)) == Decimal("0.5")
    bought = await client.place_market_order(token_id=yes, side="BUY", amount=Decimal(10), order_type="FOK")
    assert bought.ok
    assert (bought.status, bought.making_amount, bought.taking_amount) == ("matched", Decimal(10), Decimal(20))
    await client.wait_for_order_fill_settlement(bought)
    (trade,) = await items(client.list_account_trades(market=venue.market.condition_id))
    assert (trade.status, trade.price, trade.size, trade.trader_side) == ("CONFIRMED", Decimal("0.5"), 20, "TAKER")
    shares = await client.get_balance_allowance(asset_type="CONDITIONAL", token_id=yes)
    assert shares.balance == 20_000_000
    sold = await client.place_market_order(token_id=yes, side="SELL", shares=Decimal(5), min_price=Decimal("0.40"))
    assert sold.ok
    assert (sold.making_amount, sold.taking_amount) == (Decimal(5), Decimal("2.4"))
    last = await client.get_last_trade_price(token_id=yes)
    assert last is not None
    assert (last.price, last.side) == (Decimal("0.48"), "SELL")
    assert venue.sandbox.state()["conserved"] is True


@EVERYBODY
async def test_a_session_hears_its_own_orders_and_trades(client: AsyncSecureClient, venue: Venue) -> None:
    users = await client.subscribe([UserSpec(markets=[venue.market.condition_id])])
    markets = await client.subscribe([MarketSpec(token_ids=[venue.market.yes], custom_feature_enabled=True)])
    await next_event(markets, "book", asset_id=venue.market.yes)
    better = await client.place_limit_order(
        token_id=venue.market.yes, side="BUY", price=Decimal("0.49"), size=Decimal(10)
    )
    assert better.ok
    placement = await next_event(users, "order", order_event_type="PLACEMENT")
    assert (placement.id, placement.status, placement.created_at is not None) == (better.order_id, "LIVE", True)
    best = await next_event(markets, "best_bid_ask")
    assert (best.best_bid, best.best_ask, best.spread) == (Decimal("0.49"), Decimal("0.5"), Decimal("0.01"))
    await client.cancel_order(order_id=better.order_id)
    assert (await next_event(users, "order", order_event_type="CANCELLATION")).status == "CANCELED"
    bought = await client.place_market_order(token_id=venue.market.yes, side="BUY", amount=Decimal(10))
    assert bought.ok
    for status in ("MATCHED", "MINED", "CONFIRMED"):
        assert (await next_event(users, "trade", status=status)).id == bought.trade_ids[0]
    venue.sandbox.create_market("listed-meanwhile", tick_size="0.001", fee_rate="0.05")
    assert (await next_event(markets, "new_market")).slug == "listed-meanwhile"
    venue.sandbox.change_tick(venue.market.condition_id, "0.001")
    assert (await next_event(markets, "tick_size_change")).new_tick_size == Decimal("0.001")
    venue.sandbox.resolve(venue.market.condition_id, venue.market.yes)
    resolved = await next_event(markets, "market_resolved")
    assert (resolved.winning_asset_id, resolved.winning_outcome) == (venue.market.yes, "Yes")
    await users.close()
    await markets.close()


async def next_event(handle: Any, kind: str, **fields: object) -> Any:
    async with asyncio.timeout(TIMEOUT_S):
        async for event in handle:
            if event.type == kind and all(getattr(event.payload, name) == value for name, value in fields.items()):
                return event.payload
    raise AssertionError("the stream ended")


async def test_refusals_name_what_is_wrong(client: AsyncSecureClient, venue: Venue) -> None:
    yes = venue.market.yes
    cases = [
        ({"price": Decimal("0.50"), "size": Decimal(10), "post_only": True}, "order crosses book"),
        ({"price": Decimal("0.40"), "size": Decimal(10_000)}, "not enough balance / allowance"),
        ({"price": Decimal("0.40"), "size": Decimal(1)}, "lower than the minimum"),
    ]
    for terms, words in cases:
        draft = await client.create_limit_order(token_id=yes, side="BUY", **terms)  # type: ignore[arg-type]
        with pytest.raises(RequestRejectedError, match=words):
            await client.post_order(draft)
    draft = await client.create_limit_order(token_id=yes, side="BUY", price=Decimal("0.40"), size=Decimal(10))
    assert (await client.post_order(draft)).ok
    with pytest.raises(RequestRejectedError, match="Duplicated"):
        await client.post_order(draft)
    whole = await client.create_market_order(
        token_id=yes, side="BUY", amount=Decimal(900), max_price=Decimal("0.50"), order_type="FOK"
    )
    with pytest.raises(RequestRejectedError, match="fully filled or killed"):
        await client.post_order(whole)


async def test_heartbeats_keep_orders_and_their_absence_ends_them(client: AsyncSecureClient, venue: Venue) -> None:
    first = await client.send_order_heartbeat()
    second = await client.send_order_heartbeat(heartbeat_id=first.heartbeat_id)
    assert second.heartbeat_id != first.heartbeat_id
    with pytest.raises(OrderHeartbeatMismatchError) as wrong:
        await client.send_order_heartbeat(heartbeat_id=first.heartbeat_id)
    assert wrong.value.heartbeat_id == second.heartbeat_id


async def test_restrictions_are_told_apart(client: AsyncSecureClient, venue: Venue) -> None:
    draft = await client.create_limit_order(
        token_id=venue.market.yes, side="BUY", price=Decimal("0.40"), size=Decimal(10)
    )
    for fault, restriction in (
        ("engine_restarting", "restarting"),
        ("post_only_mode", "post_only"),
        ("cancel_only", "cancel_only"),
    ):
        venue.sandbox.fault(fault, count=1, retry_after=2)
        with pytest.raises(RequestRejectedError) as refused:
            await client.post_order(draft)
        assert (refused.value.restriction, refused.value.retry_after) == (restriction, 2)
    assert (await client.post_order(draft)).ok


async def test_notifications_keys_scoring_and_rewards(client: AsyncSecureClient, venue: Venue) -> None:
    placed = await client.place_limit_order(
        token_id=venue.market.yes, side="BUY", price=Decimal("0.40"), size=Decimal(10)
    )
    assert placed.ok
    assert await client.get_order_scoring(order_id=placed.order_id) is False
    assert await client.get_orders_scoring(order_ids=[placed.order_id]) == {placed.order_id: False}
    bought = await client.place_market_order(token_id=venue.market.yes, side="BUY", amount=Decimal(10))
    assert bought.ok
    told = await eventually_async(client.get_notifications)
    await client.drop_notifications(ids=[one.id for one in told])
    assert await client.get_closed_only_mode() is False
    assert client.credentials.key in await client.fetch_api_keys()
    await client.create_builder_api_key()
    assert len(await client.fetch_builder_api_keys()) == 1
    assert await items(client.list_current_rewards()) == ()
    assert await items(client.list_market_rewards(condition_id=venue.market.condition_id)) == ()
    assert await items(client.list_user_earnings_for_day(date=TODAY)) == ()
    assert [one.earnings for one in await client.get_total_earnings_for_user_for_day(date=TODAY)] == [0]
    assert await client.get_reward_percentages() == {}
    assert await client.get_current_rebates(date=TODAY, maker_address=str(client.wallet)) == ()


async def test_what_it_did_is_in_the_public_record(client: AsyncSecureClient, venue: Venue) -> None:
    bought = await client.place_market_order(token_id=venue.market.yes, side="BUY", amount=Decimal(10))
    assert bought.ok
    await client.wait_for_order_fill_settlement(bought)
    wallet = str(client.wallet)
    async with AsyncPublicClient(environment=environment_of(venue.sandbox)) as public:
        (trade,) = await items(public.list_trades(user=wallet, taker_only=False))
        assert (trade.side, trade.size) == ("BUY", Decimal(20))
        (activity,) = await items(public.list_activity(user=wallet))
        assert activity.type == "TRADE"
        (position,) = await items(public.list_positions(user=wallet))
        assert position.asset_id == venue.market.yes
        assert (await public.get_portfolio_value(user=wallet)).value > 0
        assert await public.get_user_stats(user=wallet)
        assert await items(public.list_market_holders(condition_ids=[venue.market.condition_id]))
        assert await public.get_open_interests(condition_ids=[venue.market.condition_id])
        assert await items(public.list_trader_leaderboard())


async def test_the_end_of_authentication_ends_the_key(client: AsyncSecureClient, venue: Venue) -> None:
    async with await AsyncSecureClient.create(
        private_key=KEY,
        wallet=venue.wallet.address,
        credentials=client.credentials,
        environment=environment_of(venue.sandbox),
    ) as other:
        assert await items(other.list_open_orders()) == ()
        await (await client.end_authentication()).close()
        with pytest.raises(RequestRejectedError, match="Invalid api key"):
            await items(other.list_open_orders())
