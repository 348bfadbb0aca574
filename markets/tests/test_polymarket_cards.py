"""The adapter's orders on a local Polymarket that goes wrong: one test for each known way, named by its card."""

import asyncio
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from markets.tests.venue_cards import ORDERS, a_market, adapter, posts, prepared
from markets.tests.venue_cards import market as market  # noqa: PLC0414
from markets.tests.venue_fixtures import LiveSession, approved, fault, live_session
from markets.tests.venue_fixtures import sandbox as sandbox  # noqa: PLC0414
from markets.venue import signing
from markets.venue.errors import OutcomeUnknown, Refused, Unavailable, VenueError
from markets.venue.polymarket import error_map
from markets.venue.ports import (
    ApprovedOrder,
    OrderType,
    PreparedOrder,
    Side,
    StreamStatus,
    SubmitReport,
    TradeStatus,
    VenueOrderStatus,
    VenueTrade,
)
from markets.venue.sandbox.testing import RunningSandbox, SandboxMarket
from polyhub.lib.clock import SystemClock
from polyhub.tests.eventually import eventually_async

# -- orders ------------------------------------------------------------------------------------------------------

WIRE_MODES = [
    ("drop_request", {}, OutcomeUnknown, "NO_ANSWER"),
    ("http_5xx", {}, OutcomeUnknown, "SERVER_ERROR"),
    ("rate_limited", {"retry_after": 0.1}, Unavailable, "RATE_LIMITED"),
    ("engine_restarting", {}, Unavailable, "ENGINE_RESTARTING"),
    ("post_only_mode", {}, Unavailable, "POST_ONLY_MODE"),
    ("cancel_only", {}, Unavailable, "CANCEL_ONLY_MODE"),
    ("trading_disabled", {}, Unavailable, "TRADING_DISABLED"),
    ("late_accept", {"seconds": 0.1}, OutcomeUnknown, "NO_ANSWER"),
    ("malformed_json", {"route": "/clob/order"}, OutcomeUnknown, "BAD_ANSWER"),
    ("http_5xx_after", {"route": "/clob/order"}, OutcomeUnknown, "SERVER_ERROR"),
    ("drop_reply", {"route": "/clob/order"}, OutcomeUnknown, "NO_ANSWER"),
]


@pytest.mark.parametrize(("name", "fields", "outcome", "code"), WIRE_MODES, ids=[mode[0] for mode in WIRE_MODES])
async def test_v01_each_wire_mode_costs_one_post_and_leaves_its_reason(
    sandbox: RunningSandbox,
    market: SandboxMarket,
    name: str,
    fields: dict[str, Any],
    outcome: type[VenueError],
    code: str,
) -> None:
    async with live_session(sandbox) as session:
        order = await prepared(session, market)
        before = posts(session)
        wallet = session.account.trading_address
        with fault(sandbox, name, method="POST", wallet=wallet, count=1, **fields), pytest.raises(VenueError) as told:
            await session.venue.send(order)
        assert (type(told.value), told.value.code) == (outcome, code)
        assert posts(session) - before == 1
        # Whatever was lost, the order's own name tells; and there is never more than this one.
        if outcome is OutcomeUnknown and name not in ("drop_request", "http_5xx"):

            async def placed() -> bool:
                return await session.venue.order_by_hash(order.order_hash) is not None

            await eventually_async(placed)
        assert len(await session.venue.open_orders()) <= 1


async def test_v01_an_order_called_duplicated_is_looked_up_and_counts_as_placed(
    sandbox: RunningSandbox,
    market: SandboxMarket,
) -> None:
    async with live_session(sandbox) as session:
        order = await prepared(session, market)
        with fault(sandbox, "duplicated", wallet=session.account.trading_address, count=1):
            report = await session.venue.send(order)
        assert (report.status, report.note) == (VenueOrderStatus.LIVE, "duplicate")
        assert posts(session) == 1


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (aiohttp.ClientConnectorError.__new__(aiohttp.ClientConnectorError), Unavailable),
        (aiohttp.ConnectionTimeoutError(), Unavailable),
        (aiohttp.SocketTimeoutError(), OutcomeUnknown),
        (aiohttp.ServerDisconnectedError(), OutcomeUnknown),
        (aiohttp.ClientPayloadError(), OutcomeUnknown),
        (aiohttp.ClientOSError(), OutcomeUnknown),
        (TimeoutError(), OutcomeUnknown),
        (KeyError("nobody listed this"), OutcomeUnknown),
    ],
)
def test_v02_only_what_failed_before_the_first_byte_is_known_not_to_have_arrived(
    error: BaseException, outcome: type[VenueError]
) -> None:
    assert type(error_map.from_exception(error, error_map.Asked.CHANGE)) is outcome


async def test_v03_what_an_order_without_an_answer_became_is_told_by_its_hash(
    sandbox: RunningSandbox, market: SandboxMarket
) -> None:
    async with live_session(sandbox) as session:
        open_one = await prepared(session, market, price=40, shares=20)
        partly = await prepared(session, market, price=52, shares=60)
        filled = await prepared(session, market, price=53, shares=20)
        nowhere = await prepared(session, market, price=41)
        wallet = session.account.trading_address
        for order, name in ((open_one, "drop_reply"), (partly, "drop_reply"), (filled, "http_5xx_after")):
            with (
                fault(sandbox, name, route="/clob/order", method="POST", wallet=wallet, count=1),
                pytest.raises(OutcomeUnknown),
            ):
                await session.venue.send(order)
        found = [await session.venue.order_by_hash(each.order_hash) for each in (open_one, partly, filled)]
        assert [(each.status, each.matched_share_units) for each in found if each is not None] == [
            (VenueOrderStatus.LIVE, 0),
            (VenueOrderStatus.LIVE, 50_000_000),
            (VenueOrderStatus.MATCHED, 20_000_000),
        ]
        assert await session.venue.order_by_hash(nowhere.order_hash) is None


async def test_v04_an_order_accepted_late_appears_under_its_hash(
    sandbox: RunningSandbox, market: SandboxMarket
) -> None:
    async with live_session(sandbox) as session:
        order = await prepared(session, market)
        with fault(sandbox, "late_accept", wallet=session.account.trading_address, seconds=0.3, count=1):
            assert isinstance(await _outcome(session, order), OutcomeUnknown)
            assert await session.venue.order_by_hash(order.order_hash) is None

            async def found() -> bool:
                return await session.venue.order_by_hash(order.order_hash) is not None

            await eventually_async(found)


@pytest.mark.parametrize("name", ["engine_restarting", "cancel_only", "post_only_mode"])
async def test_v07_while_the_venue_takes_no_new_orders_cancels_pass(
    sandbox: RunningSandbox, market: SandboxMarket, name: str
) -> None:
    async with live_session(sandbox) as session:
        resting, wanted = await prepared(session, market), await prepared(session, market, price=44)
        await session.venue.send(resting)
        with fault(sandbox, name, route="/clob/order", method="POST", wallet=session.account.trading_address):
            assert isinstance(await _outcome(session, wanted), Unavailable)
            assert (await session.venue.cancel(resting.order_hash)).canceled
        # It was proven not to have arrived: the same bytes go as soon as the venue is back.
        assert (await session.venue.send(wanted)).status is VenueOrderStatus.LIVE


async def test_v08_a_connection_that_says_nothing_is_given_up_and_others_go_on(
    sandbox: RunningSandbox, market: SandboxMarket, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with live_session(sandbox) as stuck, live_session(sandbox) as free:
        hanging, order = await prepared(stuck, market), await prepared(free, market)
        change = stuck.transport.change

        async def sooner(method: str, url: str, **fields: Any) -> Any:
            return await change(method, url, **{**fields, "timeout_s": 0.5})

        # The same request with a shorter wait: 15 s of a test would prove no more.
        monkeypatch.setattr(stuck.transport, "change", sooner)
        with fault(sandbox, "half_open", route="/clob/order", wallet=stuck.account.trading_address):
            async with asyncio.TaskGroup() as group:
                waiting = group.create_task(_outcome(stuck, hanging))
                report = await free.venue.send(order)
                assert report.status is VenueOrderStatus.LIVE
                assert not waiting.done()
        assert isinstance(waiting.result(), OutcomeUnknown)


async def _outcome(session: LiveSession, order: PreparedOrder) -> VenueError | SubmitReport:
    try:
        return await session.venue.send(order)
    except VenueError as error:
        return error


async def test_v09_a_cancel_without_an_answer_is_unknown_and_a_fill_beside_it_is_told(
    sandbox: RunningSandbox, market: SandboxMarket
) -> None:
    async with live_session(sandbox) as session:
        order = await prepared(session, market, price=50, shares=10)
        await session.venue.send(order)
        with fault(sandbox, "drop_request", route="/clob/order", method="DELETE"), pytest.raises(OutcomeUnknown):
            await session.venue.cancel(order.order_hash)
        sandbox.leader_trade(wallet="0x" + "ab" * 20, token_id=market.yes, side="SELL", price="0.50", size="10")
        found = await session.venue.order_by_hash(order.order_hash)
        assert found is not None
        assert found.matched_share_units == 10_000_000
        refused = await session.venue.cancel(order.order_hash)
        assert (refused.canceled, bool(refused.reason)) == (False, True)


# -- batches -----------------------------------------------------------------------------------------------------


async def a_batch(session: LiveSession, market: SandboxMarket, size: int) -> list[PreparedOrder]:
    return [await prepared(session, market, price=10 + at % 30, shares=10) for at in range(size)]


async def test_a_batch_is_answered_order_by_order(sandbox: RunningSandbox, market: SandboxMarket) -> None:
    async with live_session(sandbox) as session:
        batch = await a_batch(session, market, 17)
        poor = await prepared(session, market, price=47, shares=100_000)
        killed = await prepared(session, market, order_type=OrderType.FOK, price=52, shares=60)
        answers = await adapter(session).send_many([*batch, poor, killed])
        assert [type(answer) for answer in answers] == [SubmitReport] * 17 + [Refused] * 2
        assert [getattr(answer, "code", "") for answer in answers[17:]] == ["NOT_ENOUGH_BALANCE", "FOK_NOT_FILLED"]
        assert [report.order_hash for report in answers[:17] if isinstance(report, SubmitReport)] == [
            order.order_hash for order in batch
        ]
        assert session.transport.budget.taken["POST /orders"] == 2


@pytest.mark.parametrize("name", ["drop_reply", "http_5xx_after", "malformed_json"])
async def test_v10_a_batch_without_an_answer_is_looked_up_order_by_order_and_never_sent_again(
    sandbox: RunningSandbox, market: SandboxMarket, name: str
) -> None:
    async with live_session(sandbox) as session:
        batch = await a_batch(session, market, 15)
        with fault(sandbox, name, route="/clob/orders", wallet=session.account.trading_address, count=1):
            answers = await adapter(session).send_many(batch)
        assert all(isinstance(answer, OutcomeUnknown) for answer in answers)
        assert session.transport.budget.taken["POST /orders"] == 1
        found = [await session.venue.order_by_hash(order.order_hash) for order in batch]
        assert all(each is not None for each in found)


async def test_v10_an_order_left_out_of_a_batchs_answer_is_unknown_and_the_others_keep_theirs(
    sandbox: RunningSandbox, market: SandboxMarket
) -> None:
    async with live_session(sandbox) as session:
        batch = await a_batch(session, market, 5)
        with fault(sandbox, "missing_entry", wallet=session.account.trading_address, count=1):
            answers = await adapter(session).send_many(batch)
        assert [type(answer) for answer in answers] == [SubmitReport] * 4 + [OutcomeUnknown]


async def test_v10_refused_credentials_renew_but_do_not_send_the_batch_again(
    sandbox: RunningSandbox, market: SandboxMarket
) -> None:
    async with live_session(sandbox) as session:
        batch = await a_batch(session, market, 3)
        with fault(sandbox, "unauthorized", route="/clob/orders", wallet=session.account.trading_address, count=1):
            answers = await adapter(session).send_many(batch)
        assert {getattr(answer, "code", "") for answer in answers} <= {"CREDENTIALS_RENEWED", "CREDENTIALS_REFUSED"}
        assert session.transport.budget.taken["POST /orders"] == 1
        assert await session.venue.open_orders() == []


async def test_every_kind_of_cancel_ends_what_it_names_and_nothing_else(sandbox: RunningSandbox) -> None:
    here, there = a_market(sandbox), a_market(sandbox)
    async with live_session(sandbox) as session:
        venue = adapter(session)

        async def rest() -> list[str]:
            orders = [
                await prepared(session, here, token=here.yes, price=10),
                await prepared(session, here, token=here.no, price=10),
                await prepared(session, there, token=there.yes, price=10),
            ]
            for order in orders:
                await venue.send(order)
            return [order.order_hash for order in orders]

        async def left() -> set[str]:
            return {order.order_hash for order in await venue.open_orders()}

        yes, no, other = await rest()
        assert {report.order_hash for report in await venue.cancel_market(token_id=here.yes)} == {yes}
        assert await left() == {no, other}
        assert [report.canceled for report in await venue.cancel_market(condition_id=here.condition_id)] == [True]
        assert await left() == {other}
        reports = await venue.cancel_many([other, yes])
        assert [(report.order_hash, report.canceled) for report in reports] == [(other, True), (yes, False)]
        again = await rest()
        assert {report.order_hash for report in await venue.cancel_all()} == set(again)
        assert await left() == set()
        with pytest.raises(Refused):
            await venue.cancel_market()


# -- accounts and the venue as such ------------------------------------------------------------------------------


async def test_v11_a_401_for_one_user_is_no_loop_and_nobody_elses_matter(
    sandbox: RunningSandbox, market: SandboxMarket
) -> None:
    async with live_session(sandbox) as barred, live_session(sandbox) as other:
        order, fine = await prepared(barred, market), await prepared(other, market)
        with fault(sandbox, "unauthorized", route="/clob/order", wallet=barred.account.trading_address):
            for _ in range(3):
                with pytest.raises(Refused) as told:
                    await barred.venue.send(order)
                assert told.value.code == "CREDENTIALS_REFUSED"
            assert (await other.venue.send(fine)).status is VenueOrderStatus.LIVE
        assert posts(barred) <= 4
        assert barred.signer.auths_signed <= 2


async def test_v12_after_an_upgrade_of_the_venue_nothing_is_signed_or_sent_and_cancels_pass(
    sandbox: RunningSandbox, market: SandboxMarket
) -> None:
    async with live_session(sandbox) as session:
        resting, refused = await prepared(session, market), await prepared(session, market, price=44)
        signed_already = await prepared(session, market, price=43)
        await session.venue.send(resting)
        with (
            fault(sandbox, "version_mismatch", wallet=session.account.trading_address, count=1),
            pytest.raises(Refused) as told,
        ):
            await session.venue.send(refused)
        assert told.value.code == "ORDER_VERSION_MISMATCH"
        before = posts(session), session.signer.orders_signed
        for attempt in (session.venue.send(signed_already), prepared(session, market)):
            with pytest.raises(Refused) as told:
                await attempt
            assert told.value.code == "VENUE_UPGRADED"
        assert await adapter(session).send_many([signed_already]) != []
        assert (posts(session), session.signer.orders_signed) == before
        assert session.transport.budget.taken["POST /orders"] == 0
        assert (await session.venue.cancel(resting.order_hash)).canceled


async def test_v13_a_settlement_that_fails_is_told_as_a_status_of_the_same_fill(
    sandbox: RunningSandbox, market: SandboxMarket
) -> None:
    async with live_session(sandbox) as session:
        order = await prepared(session, market, order_type=OrderType.FAK, price=52, shares=10)
        async with aclosing(adapter(session).user_events()) as events:
            assert isinstance(await anext(events), StreamStatus)
            with fault(sandbox, "failed_settlement", wallet=session.account.trading_address, count=1):
                await session.venue.send(order)
            told: list[VenueTrade] = []
            async with asyncio.timeout(10):
                async for event in events:
                    if isinstance(event, VenueTrade):
                        told.append(event)
                        if event.status is TradeStatus.FAILED:
                            break
        assert told[0].status is TradeStatus.MATCHED
        assert len({(trade.trade_id, trade.order_hash, trade.share_units) for trade in told}) == 1


@pytest.mark.parametrize("name", ["http_5xx", "drop_reply", "malformed_json"])
async def test_v14_a_balance_that_cannot_be_read_is_an_error_and_never_nothing(
    sandbox: RunningSandbox, market: SandboxMarket, name: str
) -> None:
    async with live_session(sandbox) as session:
        with (
            fault(sandbox, name, route="/clob/balance-allowance", wallet=session.account.trading_address),
            pytest.raises(Unavailable),
        ):
            await session.venue.balances([market.yes])
        assert (await session.venue.balances([])).cash_units == 1_000_000_000


async def test_v15_a_missing_allowance_is_named_and_never_approved_by_us(
    sandbox: RunningSandbox, market: SandboxMarket
) -> None:
    async with live_session(sandbox, usdc=1) as session:
        order = await prepared(session, market, price=45, shares=100)
        with pytest.raises(Refused) as told:
            await session.venue.send(order)
        assert told.value.code == "NOT_ENOUGH_BALANCE"
        # Once more after the venue looked at the chain again; and nothing went to a relayer or to the chain.
        assert posts(session) == 2
        assert session.transport.budget.taken["relayer"] == 0
        asked = {name for name, requests in session.transport.budget.taken.items() if requests}
        assert asked <= {
            *("all", "clob", ORDERS, "/auth", "/balance-allowance", "/balance-allowance/update"),
            *("/data/orders", "/data/trades", "ledger"),
        }


async def test_v16_a_tick_that_changed_meanwhile_and_a_resolved_market_are_explained(
    sandbox: RunningSandbox,
) -> None:
    market = a_market(sandbox, tick_size="0.001")
    async with live_session(sandbox) as session:
        now = SystemClock().now()
        fine = approved(market.yes, Side.BUY, OrderType.GTC, price=45, shares=10, now=now, tick=10)
        odd = await session.venue.prepare(_at(fine, price_units=4_515))
        sandbox.change_tick(market.condition_id, "0.01")
        with pytest.raises(Refused) as told:
            await session.venue.send(odd)
        assert told.value.code == "TICK_SIZE"
        late = await prepared(session, market)
        sandbox.resolve(market.condition_id, market.yes)
        with pytest.raises(Refused) as told:
            await session.venue.send(late)
        assert told.value.code in {"MARKET_NOT_FOUND", "MARKET_NOT_READY", "MARKET_CLOSED"}
        assert posts(session) == 2


def _at(order: ApprovedOrder, *, price_units: int) -> ApprovedOrder:
    terms = replace(order.terms, price_units=price_units, maker_units=order.terms.share_units * price_units // 10_000)
    return replace(order, terms=terms)


@pytest.mark.parametrize("signature_type", [0, 1, 2, 3])
@pytest.mark.parametrize("neg_risk", [False, True])
async def test_v17_the_hash_we_computed_is_the_name_the_venue_gives_the_order(
    sandbox: RunningSandbox, signature_type: int, neg_risk: bool
) -> None:
    market = a_market(sandbox, neg_risk=neg_risk)
    async with live_session(sandbox, signature_type=signature_type) as session:
        order = await prepared(session, market, neg_risk=neg_risk)
        assert (await session.venue.send(order)).order_hash == order.order_hash
        assert sandbox.state(wallet=session.account.trading_address)["orders"]


@pytest.mark.parametrize("signature_type", [0, 3])
async def test_v17_a_position_of_the_second_protocol_trades_under_its_own_exchange(
    sandbox: RunningSandbox, signature_type: int
) -> None:
    market = a_market(sandbox, version="v2")
    assert signing.is_v3_position(market.yes)
    async with live_session(sandbox, signature_type=signature_type) as session:
        order = await prepared(session, market)
        assert (await session.venue.send(order)).order_hash == order.order_hash
