"""One live account against a local Polymarket: the checks at opening, and what each failure of a request means."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest

from markets.tests.venue_fixtures import LiveSession, approved, fault, live_session, new_key, urls_of
from markets.tests.venue_fixtures import sandbox as sandbox  # noqa: PLC0414
from markets.venue import registry
from markets.venue.errors import OutcomeUnknown, Refused, Unavailable, VenueError
from markets.venue.polymarket.endpoints import endpoint
from markets.venue.polymarket.public import PublicClient
from markets.venue.polymarket.session import PolymarketVenue
from markets.venue.ports import OrderType, PreparedOrder, Side, StreamStatus, TradeStatus, VenueOrder, VenueTrade
from markets.venue.sandbox.testing import RunningSandbox, SandboxMarket
from markets.venue.signers import SignedAuth, SignedOrder, SignRequest
from polyhub.lib.clock import SystemClock
from polyhub.tests.eventually import eventually_async

_slugs = count()


@pytest.fixture
def market(sandbox: RunningSandbox) -> SandboxMarket:
    return sandbox.create_market(
        f"session-{next(_slugs)}", bids=[("0.48", "100")], asks=[("0.52", "50"), ("0.53", "100")], fee_rate="0.05"
    )


async def prepared(session: LiveSession, market: SandboxMarket, **wanted: Any) -> PreparedOrder:
    terms = {"side": Side.BUY, "order_type": OrderType.GTC, "price": 45, "shares": 10, **wanted}
    side, order_type = terms.pop("side"), terms.pop("order_type")
    order = approved(market.yes, side, order_type, now=SystemClock().now(), **terms)
    return await session.venue.prepare(order)


class AheadClock:
    """A machine whose clock is wrong by so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._by = timedelta(seconds=seconds)

    def now(self) -> datetime:
        return SystemClock().now() + self._by


# -- opening -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("signature_type", [0, 1, 2, 3])
@pytest.mark.parametrize("neg_risk", [False, True])
async def test_every_kind_of_wallet_places_an_order_the_venue_verifies(
    sandbox: RunningSandbox, signature_type: int, neg_risk: bool
) -> None:
    market = sandbox.create_market(
        f"kinds-{next(_slugs)}", bids=[("0.48", "100")], asks=[("0.52", "50")], neg_risk=neg_risk
    )
    async with live_session(sandbox, signature_type=signature_type) as session:
        order = await prepared(session, market, neg_risk=neg_risk)
        report = await session.venue.send(order)
        assert report.order_hash == order.order_hash


async def test_an_empty_wallet_is_named_at_opening(sandbox: RunningSandbox) -> None:
    async with live_session(sandbox, usdc=0, opened=False) as session:
        with pytest.raises(Refused) as refused:
            await session.venue.open()
        assert refused.value.code == "BALANCE_ZERO"


async def test_an_account_with_all_its_cash_in_positions_still_opens(
    sandbox: RunningSandbox, market: SandboxMarket
) -> None:
    spare = sandbox.create_market(f"spare-{next(_slugs)}", bids=[("0.40", "100")], asks=[("0.50", "100")])
    async with live_session(sandbox, usdc=10) as session:
        await session.venue.send(
            await session.venue.prepare(
                approved(spare.yes, Side.BUY, OrderType.FAK, price=50, shares=20, now=SystemClock().now())
            )
        )
        assert (await session.venue.balances([])).cash_units == 0
        await session.venue.open()


async def test_a_wrong_clock_is_named_and_a_slightly_wrong_one_is_corrected(
    sandbox: RunningSandbox, market: SandboxMarket
) -> None:
    async with live_session(sandbox) as session:
        for seconds, opens in ((3.0, True), (-3.0, True), (30.0, False), (-3600.0, False)):
            async with other_clock(session, sandbox, AheadClock(seconds)) as venue:
                if opens:
                    await venue.open()
                    continue
                with pytest.raises(Refused) as refused:
                    await venue.open()
                assert refused.value.code == "CLOCK_OFFSET"


@asynccontextmanager
async def other_clock(
    session: LiveSession, sandbox: RunningSandbox, clock: AheadClock
) -> AsyncIterator[PolymarketVenue]:
    transport = registry.open_transport(urls=urls_of(sandbox), clock=clock)
    try:
        yield PolymarketVenue(
            account=session.account,
            transport=transport,
            public=PublicClient(transport),
            signer=session.signer,
            chance=random.Random(1),
        )
    finally:
        await transport.close()


async def test_what_the_signer_refuses_is_the_first_fault(sandbox: RunningSandbox) -> None:
    class NoKey:
        async def sign_order(self, request: SignRequest) -> SignedOrder:
            raise Refused("No key was imported for this account.", code="KEY_MISSING")

        async def sign_auth(self, **_: object) -> SignedAuth:
            raise Refused("No key was imported for this account.", code="KEY_MISSING")

    async with live_session(sandbox, opened=False) as session:
        venue = PolymarketVenue(
            account=session.account,
            transport=session.transport,
            public=session.public,
            signer=NoKey(),
            chance=random.Random(1),
        )
        with pytest.raises(Refused) as refused:
            await venue.open()
        assert refused.value.code == "KEY_MISSING"


async def test_a_key_of_somebody_else_is_refused_at_opening(sandbox: RunningSandbox) -> None:
    async with live_session(sandbox, opened=False) as session:
        session.signer.add(session.account, new_key())
        with pytest.raises(Refused) as refused:
            await session.venue.open()
        assert refused.value.code == "CREDENTIALS_REFUSED"


async def test_an_order_the_signer_changed_never_becomes_bytes(sandbox: RunningSandbox, market: SandboxMarket) -> None:
    async with live_session(sandbox) as session:
        honest = session.signer.sign_order

        async def other_order(request: SignRequest) -> SignedOrder:
            signed = await honest(request)
            return SignedOrder("0x" + "00" * 32, signed.signature)

        session.signer.sign_order = other_order  # type: ignore[method-assign]
        with pytest.raises(Refused) as refused:
            await prepared(session, market)
        assert refused.value.code == "HASH_MISMATCH"


# -- requests that fail ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "fields", "outcome", "code", "is_placed"),
    [
        ("drop_reply", {}, OutcomeUnknown, "NO_ANSWER", True),
        ("drop_request", {}, OutcomeUnknown, "NO_ANSWER", False),
        ("http_5xx", {}, OutcomeUnknown, "SERVER_ERROR", False),
        ("http_5xx_after", {"status": 502}, OutcomeUnknown, "SERVER_ERROR", True),
        ("engine_restarting", {"retry_after": 2}, Unavailable, "ENGINE_RESTARTING", False),
        ("rate_limited", {"retry_after": 0.2}, Unavailable, "RATE_LIMITED", False),
        ("post_only_mode", {"retry_after": 2}, Unavailable, "POST_ONLY_MODE", False),
    ],
)
async def test_each_failure_of_a_submission_means_what_it_proves(
    sandbox: RunningSandbox,
    market: SandboxMarket,
    name: str,
    fields: dict[str, Any],
    outcome: type[VenueError],
    code: str,
    is_placed: bool,
) -> None:
    async with live_session(sandbox) as session:
        order = await prepared(session, market)
        with fault(sandbox, name, route="/clob/order", method="POST", count=1, **fields), pytest.raises(outcome) as got:
            await session.venue.send(order)
        assert got.value.code == code
        assert (await session.venue.order_by_hash(order.order_hash) is not None) is is_placed
        again = await session.venue.send(order)
        assert again.note == ("duplicate" if is_placed else "")
        assert len(await session.venue.open_orders()) == 1


async def test_a_venue_that_is_not_there_is_unavailable_for_orders_too(
    sandbox: RunningSandbox, market: SandboxMarket
) -> None:
    async with live_session(sandbox) as session:
        order = await prepared(session, market)
        gone = registry.open_transport(urls=dict.fromkeys(urls_of(sandbox), "http://127.0.0.1:9"), clock=SystemClock())
        session.venue._client._transport = gone  # type: ignore[attr-defined]
        session.venue._client._clob = "http://127.0.0.1:9"  # type: ignore[attr-defined]
        with pytest.raises(Unavailable) as failed:
            await session.venue.send(order)
        assert failed.value.code == "NOT_CONNECTED"
        await gone.close()


async def test_a_lost_answer_to_a_cancel_is_unknown_and_the_order_can_be_looked_up(
    sandbox: RunningSandbox, market: SandboxMarket
) -> None:
    async with live_session(sandbox) as session:
        order = await prepared(session, market)
        await session.venue.send(order)
        with (
            fault(sandbox, "http_5xx_after", route="/clob/order", method="DELETE", count=1),
            pytest.raises(OutcomeUnknown),
        ):
            await session.venue.cancel(order.order_hash)
        assert await session.venue.open_orders() == []


async def test_reads_that_fail_are_never_an_empty_answer(sandbox: RunningSandbox, market: SandboxMarket) -> None:
    async with live_session(sandbox) as session:
        for route, read in (
            ("/clob/data/order", lambda: session.venue.order_by_hash("0x1")),
            ("/clob/data/orders", session.venue.open_orders),
            ("/clob/data/trades", lambda: session.venue.trades(after=SystemClock().now())),
            ("/clob/balance-allowance", lambda: session.venue.balances([market.yes])),
        ):
            with fault(sandbox, "http_5xx", route=route), pytest.raises(Unavailable):
                await read()


async def test_every_page_of_orders_is_read(sandbox: RunningSandbox, market: SandboxMarket) -> None:
    async with live_session(sandbox) as session:
        orders = [await prepared(session, market, price=10, shares=5) for _ in range(120)]
        await session.venue.send(orders[0])
        # A wallet of the highest tier may send so many at once.
        session.transport.budget.answered(
            endpoint("POST", "clob", "/order"),
            party=session.account.signer_address.lower(),
            status=200,
            headers={"Poly-RateLimit-Tier": "Elite", "Poly-RateLimit-Remaining": "900"},
        )
        await asyncio.gather(*(session.venue.send(order) for order in orders[1:]))
        found = await session.venue.open_orders()
        assert {order.order_hash for order in found} == {order.order_hash for order in orders}


async def test_the_venue_hears_the_hash_only_once_the_bytes_have_left(
    sandbox: RunningSandbox, market: SandboxMarket
) -> None:
    async with live_session(sandbox) as session:
        sent: list[str] = []
        session.transport._on_order_sent = sent.append
        order = await prepared(session, market)
        assert sent == []
        await session.venue.send(order)
        assert sent == [order.order_hash]


# -- own events --------------------------------------------------------------------------------------------------


async def test_own_fills_arrive_with_their_fee_and_every_step_of_settlement(
    sandbox: RunningSandbox, market: SandboxMarket
) -> None:
    async with live_session(sandbox) as session:
        events: list[object] = []
        listening = asyncio.ensure_future(collect(session, events))
        assert await eventually_async(lambda: is_in(StreamStatus(connected=True), events))
        order = await prepared(session, market, order_type=OrderType.FAK, price=52)
        await session.venue.send(order)
        assert await eventually_async(lambda: has_status(TradeStatus.CONFIRMED, events))
        trades = [event for event in events if isinstance(event, VenueTrade)]
        assert [trade.status for trade in trades] == [TradeStatus.MATCHED, TradeStatus.MINED, TradeStatus.CONFIRMED]
        # 10 shares at 0.52: 10 * 0.05 * 0.52 * 0.48
        assert {(trade.order_hash, trade.fee_units) for trade in trades} == {(order.order_hash, 124_800)}
        assert any(isinstance(event, VenueOrder) for event in events)
        listening.cancel()


async def test_a_makers_fill_is_told_for_his_own_order(sandbox: RunningSandbox, market: SandboxMarket) -> None:
    async with live_session(sandbox) as maker, live_session(sandbox) as taker:
        resting = await prepared(maker, market, price=50)
        await maker.venue.send(resting)
        # Buying the other outcome at 0.50 meets a buyer of this one at 0.50: the exchange mints both.
        order = approved(market.no, Side.BUY, OrderType.FAK, price=50, shares=10, now=SystemClock().now())
        await taker.venue.send(await taker.venue.prepare(order))
        (fill,) = await maker.venue.trades(after=SystemClock().now() - timedelta(minutes=1))
        assert (fill.order_hash, fill.token_id, fill.side) == (resting.order_hash, market.yes, Side.BUY)
        assert (fill.price_units, fill.share_units, fill.fee_units, fill.is_maker) == (5000, 10_000_000, 0, True)


async def test_a_closed_user_socket_comes_back_and_says_so(sandbox: RunningSandbox, market: SandboxMarket) -> None:
    async with live_session(sandbox) as session:
        events: list[object] = []
        listening = asyncio.ensure_future(collect(session, events))
        assert await eventually_async(lambda: is_in(StreamStatus(connected=True), events))
        sandbox.fault("close_socket", channel="user", count=1)
        assert await eventually_async(lambda: count_of(StreamStatus(connected=True), events, at_least=2))
        assert any(isinstance(event, StreamStatus) and not event.connected for event in events)
        listening.cancel()


async def collect(session: LiveSession, into: list[object]) -> None:
    async for event in session.venue.user_events():
        into.append(event)


async def is_in(wanted: object, events: list[object]) -> bool:
    return wanted in events


async def count_of(wanted: object, events: list[object], *, at_least: int) -> bool:
    return events.count(wanted) >= at_least


async def has_status(status: TradeStatus, events: list[object]) -> bool:
    return any(isinstance(event, VenueTrade) and event.status is status for event in events)
