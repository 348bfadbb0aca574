"""A shard of live and paper accounts on a local Polymarket: orders go out once, and what happened is known."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal

import psycopg
import pytest
import pytest_asyncio
from django.db import connection
from psycopg import sql

from accounts.models import TradingAccount
from markets.models import Token
from markets.venue.ports import OrderType, Side
from markets.venue.sandbox.testing import RunningSandbox, running_sandbox
from polyhub.tests.eventually import eventually, eventually_async
from trading.domain.orders import EngineState, OrderStatus
from trading.models import Balance, Engine, EquityPoint, Order, Position
from trading.services import orders
from trading.tests import factories
from trading.tests.engine_rig import CLOCK, Rig, db, listed

pytestmark = pytest.mark.django_db(transaction=True)

BIDS = [("0.48", "500"), ("0.47", "500")]
ASKS = [("0.50", "500"), ("0.51", "500")]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(mined_after_ms=100, confirmed_after_ms=200) as running:
        yield running


@pytest_asyncio.fixture
async def rig(sandbox: RunningSandbox) -> AsyncGenerator[Rig, None]:
    sandbox.clear_faults()
    yield Rig(sandbox, await db(factories.lease))
    sandbox.clear_faults()


async def setting(rig: Rig, request: pytest.FixtureRequest) -> tuple[TradingAccount, Token]:
    _, token = await listed(rig.sandbox, request.node.name.replace("_", "-")[:80], bids=BIDS, asks=ASKS)
    return await rig.live_account(), token


async def ready(rig: Rig, account: TradingAccount) -> None:
    async def there() -> bool:
        row = await db(lambda: Engine.objects.get(account=account))
        assert row.state == EngineState.RUNNING, f"{row.state} {row.detail}"
        return True

    await eventually_async(there, timeout_s=10)


async def test_a_live_order_is_signed_sent_filled_and_settled(rig: Rig, request: pytest.FixtureRequest) -> None:
    account, token = await setting(rig, request)
    async with rig.running():
        await ready(rig, account)
        await rig.cash_is(account, 1000)
        order = await rig.reaches(await rig.submit(account, token), OrderStatus.FILLED)
        await rig.cash_is(account, 990)

        async def settled() -> bool:
            row = await db(lambda: Position.objects.get(account=account, token=token))
            return bool(row.shares == row.sellable_shares == row.settled_shares == 20)

        await eventually_async(settled)
        sale = await rig.submit(account, token, side=Side.SELL, price="0.48", shares="20")
        await rig.reaches(sale, OrderStatus.FILLED)
        await rig.cash_is(account, "999.6")
    assert [row["id"] for row in rig.venue_orders(account)] == [order.order_hash, (await rig.order(sale.pk)).order_hash]
    eventually(lambda: rig.venue_cash(account) == Decimal("999.6"))


async def test_a_paper_order_takes_the_public_book(rig: Rig, request: pytest.FixtureRequest) -> None:
    _, token = await listed(rig.sandbox, "paper-takes-the-book", bids=BIDS, asks=ASKS)
    account = await db(lambda: factories.account(cash="100"))
    async with rig.running():
        order = await rig.reaches(await rig.submit(account, token, price="0.51"), OrderStatus.FILLED)
    assert order.filled_usdc == Decimal("10.2")
    row = await db(lambda: Balance.objects.get(account=account))
    assert row.cash_usdc == Decimal("89.8")


async def test_a_resting_order_opens_and_is_canceled_on_request(rig: Rig, request: pytest.FixtureRequest) -> None:
    account, token = await setting(rig, request)
    async with rig.running():
        await ready(rig, account)
        order = await rig.submit(account, token, order_type=OrderType.GTC, price="0.40")
        order = await rig.reaches(order, OrderStatus.OPEN)
        await db(lambda: orders.request_cancel(order=order, actor="alice", now=CLOCK.now()))
        order = await rig.reaches(order, OrderStatus.CANCELED)
    assert (order.reserved_usdc, rig.venue_orders(account)[0]["status"]) == (0, "CANCELED")


async def test_a_refused_order_is_rejected_with_its_reason(rig: Rig, request: pytest.FixtureRequest) -> None:
    account, token = await setting(rig, request)
    async with rig.running():
        await ready(rig, account)
        order = await rig.submit(account, token, price="0.30")
        order = await rig.reaches(order, OrderStatus.REJECTED)
    assert order.code
    assert rig.venue_orders(account) == []


@pytest.mark.parametrize("order_type", [OrderType.FAK, OrderType.GTC])
@pytest.mark.parametrize("fault", ["drop_reply", "http_5xx_after"])
async def test_an_order_whose_answer_was_lost_is_found_by_its_hash(
    rig: Rig, request: pytest.FixtureRequest, fault: str, order_type: OrderType
) -> None:
    account, token = await setting(rig, request)
    async with rig.running():
        await ready(rig, account)
        rig.sandbox.fault(fault, route="/clob/order", method="POST", count=1)
        order = await rig.submit(account, token, order_type=order_type)
        await rig.reaches(order, OrderStatus.FILLED)
    assert len(rig.venue_orders(account)) == 1


async def test_an_order_accepted_late_is_not_given_up(rig: Rig, request: pytest.FixtureRequest) -> None:
    account, token = await setting(rig, request)
    async with rig.running():
        await ready(rig, account)
        rig.sandbox.fault("late_accept", seconds=0.8, count=1)
        order = await rig.submit(account, token)
        await rig.reaches(order, OrderStatus.FILLED)
    assert len(rig.venue_orders(account)) == 1


async def test_an_order_that_never_arrived_is_presumed_so_after_the_horizon(
    rig: Rig, request: pytest.FixtureRequest
) -> None:
    account, token = await setting(rig, request)
    async with rig.running():
        await ready(rig, account)
        rig.sandbox.fault("drop_request", route="/clob/order", method="POST", count=1)
        order = await rig.submit(account, token)
        order = await rig.reaches(order, OrderStatus.PRESUMED_NOT_PLACED)
    assert (order.reserved_usdc, order.attempts, rig.venue_orders(account)) == (0, 1, [])


async def test_a_resting_order_that_never_arrived_goes_again_as_the_same_bytes(
    rig: Rig, request: pytest.FixtureRequest
) -> None:
    account, token = await setting(rig, request)
    async with rig.running():
        await ready(rig, account)
        rig.sandbox.fault("drop_request", route="/clob/order", method="POST", count=1)
        order = await rig.submit(account, token, order_type=OrderType.GTC, price="0.40")
        order = await rig.reaches(order, OrderStatus.OPEN)
    assert order.attempts == 2
    assert [row["id"] for row in rig.venue_orders(account)] == [order.order_hash]
    assert rig.signer.orders_signed == 1


async def test_v05_a_fill_later_than_the_horizon_is_booked_to_the_presumed_order(
    rig: Rig, request: pytest.FixtureRequest
) -> None:
    account, token = await setting(rig, request)
    async with rig.running():
        await ready(rig, account)
        rig.sandbox.fault("late_accept", seconds=3, count=1)
        order = await rig.submit(account, token)
        await rig.reaches(order, OrderStatus.PRESUMED_NOT_PLACED)
        await rig.reaches(order, OrderStatus.FILLED)
        await rig.cash_is(account, 990)


async def test_a_failed_settlement_is_reversed(rig: Rig, request: pytest.FixtureRequest) -> None:
    account, token = await setting(rig, request)
    async with rig.running():
        await ready(rig, account)
        rig.sandbox.fault("failed_settlement", count=1)
        order = await rig.submit(account, token)
        order = await rig.reaches(order, OrderStatus.CANCELED)
        await rig.cash_is(account, 1000)
    assert order.filled_shares == 0


async def test_a_resting_order_whose_settlement_failed_frees_its_reservation(
    rig: Rig, request: pytest.FixtureRequest
) -> None:
    account, token = await setting(rig, request)
    async with rig.running():
        await ready(rig, account)
        rig.sandbox.fault("failed_settlement", count=1)
        order = await rig.submit(account, token, order_type=OrderType.GTC)
        order = await rig.reaches(order, OrderStatus.CANCELED)
    assert (order.code, order.reserved_usdc) == ("SETTLEMENT_FAILED", Decimal(0))


async def test_fills_are_found_without_the_user_stream(rig: Rig, request: pytest.FixtureRequest) -> None:
    account, token = await setting(rig, request)
    rig.sandbox.fault("silent_socket", channel="user")
    async with rig.running():
        await ready(rig, account)
        order = await rig.submit(account, token)
        await rig.reaches(order, OrderStatus.FILLED)


async def test_the_venue_away_at_start_is_waited_for(rig: Rig, request: pytest.FixtureRequest) -> None:
    account, token = await setting(rig, request)
    rig.sandbox.fault("http_5xx", status=503)
    async with rig.running():

        async def recovering() -> bool:
            row = await db(lambda: Engine.objects.get(account=account))
            return row.state == EngineState.RECOVERY and bool(row.detail)

        await eventually_async(recovering)
        rig.sandbox.clear_faults()
        await ready(rig, account)
        await rig.reaches(await rig.submit(account, token), OrderStatus.FILLED)


@pytest.fixture
def own_connection_is_cut_too(transactional_db: None) -> Iterator[None]:
    """The test's clean-up needs a new one."""
    yield
    connection.close()


@pytest.mark.usefixtures("own_connection_is_cut_too")
async def test_the_database_away_is_waited_for_and_nothing_leaves_meanwhile(
    rig: Rig, request: pytest.FixtureRequest
) -> None:
    account, token = await setting(rig, request)
    async with rig.running() as shard:
        await ready(rig, account)
        order = await rig.submit(account, token)
        await rig.reaches(order, OrderStatus.FILLED)
        resting = await rig.submit(account, token, order_type=OrderType.GTC, price="0.40")
        await rig.reaches(resting, OrderStatus.OPEN)
        with database_away():
            await eventually_async(lambda: _is(shard.detail().get("database") == "away"))
        await ready(rig, account)
        await rig.reaches(await rig.submit(account, token), OrderStatus.FILLED)
    assert len(rig.venue_orders(account)) == 3


async def _is(truth: bool) -> bool:
    return truth


@contextmanager
def database_away() -> Iterator[None]:
    """Nobody can reach the database; open connections are cut."""
    name = connection.settings_dict["NAME"]
    parameters = connection.get_connection_params() | {"dbname": "postgres"}
    wanted = {key: value for key, value in parameters.items() if key not in {"cursor_factory", "context"}}
    with psycopg.connect(**wanted, autocommit=True) as server:
        server.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name)))
        server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        try:
            yield
        finally:
            server.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(sql.Identifier(name)))


async def test_one_broken_account_does_not_hurt_another(rig: Rig, request: pytest.FixtureRequest) -> None:
    account, token = await setting(rig, request)
    broken = await rig.live_account()
    rig.sandbox.fault("http_5xx", wallet=broken.trading_address)
    rig.sandbox.fault("http_5xx", wallet=broken.signer_address)
    rig.signer._accounts.pop(broken.id)
    async with rig.running():
        await ready(rig, account)
        await rig.reaches(await rig.submit(account, token), OrderStatus.FILLED)


async def test_nothing_leaves_under_a_lost_lease(rig: Rig, request: pytest.FixtureRequest) -> None:
    account, token = await setting(rig, request)
    async with rig.running() as shard:
        await ready(rig, account)

        def take_over() -> None:
            with connection.cursor() as cursor:
                cursor.execute("UPDATE lib_service SET token = token + 1")

        await db(take_over)
        order = await rig.submit(account, token)

        async def ended() -> bool:
            return bool(shard.detail()["accounts"] == 0)

        await eventually_async(ended)
        assert (await rig.order(order.pk)).status == OrderStatus.PENDING
    assert rig.venue_orders(account) == []


async def test_a_shard_whose_lease_ran_out_by_our_own_clock_writes_nothing(
    rig: Rig, request: pytest.FixtureRequest
) -> None:
    account, token = await setting(rig, request)
    async with rig.running() as shard:
        await ready(rig, account)
        assert rig.lease is not None
        rig.lease.lose()
        order = await rig.submit(account, token)
        await eventually_async(lambda: _is(shard.detail()["accounts"] == 0))
        assert (await rig.order(order.pk)).status == OrderStatus.PENDING
        # Not even that it stopped: that is its successor's row now.
        assert (await db(lambda: Engine.objects.get(account=account))).state == EngineState.RUNNING
    assert rig.venue_orders(account) == []
    async with rig.running():
        await rig.reaches(order, OrderStatus.FILLED)
    assert len(rig.venue_orders(account)) == 1


async def test_what_piles_up_while_the_venue_is_away_is_denied_and_not_sent_later(
    rig: Rig, request: pytest.FixtureRequest
) -> None:
    account, token = await setting(rig, request)
    async with rig.running():
        await ready(rig, account)
    rig.sandbox.fault("http_5xx", status=503)
    async with rig.running():
        late = await rig.submit(account, token)
        await db(lambda: Order.objects.filter(pk=late.pk).update(created_at=late.created_at - timedelta(minutes=1)))
        late = await rig.reaches(late, OrderStatus.DENIED)
        assert late.code == "STALE_INTENT"
        rig.sandbox.clear_faults()
        await ready(rig, account)
        await rig.reaches(await rig.submit(account, token), OrderStatus.FILLED)
    assert len(rig.venue_orders(account)) == 1


async def test_the_next_shard_takes_up_what_the_last_one_left(rig: Rig, request: pytest.FixtureRequest) -> None:
    account, token = await setting(rig, request)
    async with rig.running():
        await ready(rig, account)
        resting = await rig.submit(account, token, order_type=OrderType.GTC, price="0.40")
        await rig.reaches(resting, OrderStatus.OPEN)
    pending = await rig.submit(account, token)
    async with rig.running():
        await rig.reaches(pending, OrderStatus.FILLED)
    assert (await rig.order(resting.pk)).status == OrderStatus.OPEN
    assert len(rig.venue_orders(account)) == 2


async def test_an_order_placed_elsewhere_is_noticed_and_left_alone(rig: Rig, request: pytest.FixtureRequest) -> None:
    account, token = await setting(rig, request)
    async with rig.running():
        await ready(rig, account)
        order = await rig.submit(account, token, order_type=OrderType.GTC, price="0.40")
        await rig.reaches(order, OrderStatus.OPEN)

        def forget() -> None:
            Order.objects.filter(pk=order.pk).update(order_hash="0x" + "ab" * 32)

        await db(forget)
        await asyncio.sleep(0)

        async def gone() -> bool:
            return (await rig.order(order.pk)).status == OrderStatus.CANCELED

        await eventually_async(gone, timeout_s=15)
    assert rig.venue_orders(account)[0]["status"] == "LIVE"


async def test_equity_points_are_written_when_something_changed(rig: Rig) -> None:
    from trading.services import balances
    from trading.services.work import Shard

    account = await db(lambda: factories.account(cash="50"))
    shard = Shard(index=0, count=1)
    now = CLOCK.now()
    assert await db(lambda: balances.record_equity(shard=shard, now=now)) == 1
    assert await db(lambda: balances.record_equity(shard=shard, now=CLOCK.now())) == 0
    await db(lambda: Balance.objects.filter(account=account).update(cash_usdc=40))
    assert await db(lambda: balances.record_equity(shard=shard, now=CLOCK.now())) == 1
    assert await db(lambda: EquityPoint.objects.filter(account=account).count()) == 2
