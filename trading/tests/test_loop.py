"""The loop of one account, without a database or a network: what it does with each answer."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import count
from uuid import UUID, uuid4

import pytest

from markets.venue.errors import OutcomeUnknown, Refused, Unavailable
from markets.venue.ports import OrderTerms, OrderType, Side
from polyhub.lib.clock import SystemClock
from polyhub.lib.held_lease import HeldLease, boot_clock
from polyhub.tests.eventually import eventually_async
from trading.domain.orders import EngineState, OrderStatus
from trading.domain.reports import CancelWanted, LeaseLost, PendingOrder
from trading.engine.loop import AccountLoop, ReconcileNow
from trading.engine.memory import MemoryJournal, MemoryOrder
from trading.engine.ports import Policy
from trading.tests.scripted_venue import Say, ScriptedVenue

CLOCK = SystemClock()
POLICY = Policy(
    horizon=timedelta(seconds=0.4),
    lookups_s=(0.05,),
    send_backoff_s=(0.05,),
    immediate_patience=timedelta(seconds=0.4),
    resting_patience=timedelta(seconds=0.4),
    reconcile_every_s=0.3,
    watch_every_s=0.05,
    open_backoff_s=(0.05,),
    venue_timeout_s=2,
)
_numbers = count(1)


class Desk:
    """One account's loop between a scripted venue and a memory journal."""

    def __init__(self, *, resting: bool = False, policy: Policy = POLICY) -> None:
        self.account_id: UUID = uuid4()
        self.lease = HeldLease(name="engine-0", token=1, ttl_s=60, asked_at=boot_clock())
        self.venue = ScriptedVenue(CLOCK, resting=resting)
        self.journal = MemoryJournal(clock=CLOCK, lease=self.lease)
        self.loop = AccountLoop(
            account_id=self.account_id,
            venue=self.venue,
            journal=self.journal,
            clock=CLOCK,
            lease=self.lease,
            policy=policy,
        )

    def order(self, order_type: OrderType = OrderType.FAK) -> MemoryOrder:
        number = next(_numbers)
        terms = OrderTerms(
            client_order_id=uuid4(),
            token_id="7",
            side=Side.BUY,
            order_type=order_type,
            price_units=5000,
            share_units=20_000_000,
            maker_units=10_000_000,
            taker_units=20_000_000,
            salt=number,
            timestamp_ms=1,
        )
        pending = PendingOrder(number, self.account_id, terms, "APPROVED", CLOCK.now())
        self.journal.admit(pending)
        self.loop.offer(pending)
        return self.journal.orders[number]

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None, None]:
        running = asyncio.ensure_future(self.loop.run())
        try:
            yield
        finally:
            self.loop.stop()
            await asyncio.wait_for(running, 10)


async def reaches(order: MemoryOrder, status: OrderStatus) -> None:
    async def there() -> bool:
        assert order.status is status, f"{order.history} {order.code}"
        return True

    await eventually_async(there)


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_an_order_goes_out_once_and_fills(desk: Desk) -> None:
    async with desk.running():
        order = desk.order()
        desk.loop.offer(order.pending)
        await reaches(order, OrderStatus.FILLED)
    assert len(desk.venue.sent) == 1
    assert desk.venue.closed == 1


async def test_nothing_is_sent_before_the_first_reconciliation(desk: Desk) -> None:
    desk.venue.open_errors.extend([Unavailable("away"), Unavailable("away")])
    order = desk.order()
    async with desk.running():
        await reaches(order, OrderStatus.FILLED)
    states = [state for state, _ in desk.journal.states]
    assert states.index(EngineState.RECOVERY) < states.index(EngineState.RUNNING)
    assert desk.venue.opened == 3


async def test_orders_go_on_while_looking_back_has_to_wait_its_turn(desk: Desk) -> None:
    async with desk.running():
        await reaches(desk.order(), OrderStatus.FILLED)
        desk.venue.look_back_errors.append(Unavailable("our part is used up", code="RATE_LIMITED"))
        desk.loop.offer(ReconcileNow())

        async def was_told() -> bool:
            return not desk.venue.look_back_errors

        await eventually_async(was_told)
        await reaches(desk.order(), OrderStatus.FILLED)
    assert EngineState.RECOVERY not in [state for state, _ in desk.journal.states]
    assert desk.venue.opened == 1


async def test_a_new_trouble_after_a_steady_session_is_not_waited_out_like_an_old_one() -> None:
    desk = Desk(policy=replace(POLICY, open_backoff_s=(0.05, 60), steady_s=0))
    async with desk.running():
        for opened in (1, 2, 3):

            async def has_opened(times: int = opened) -> bool:
                return desk.venue.opened == times and desk.loop.state is EngineState.RUNNING

            await eventually_async(has_opened)
            desk.venue.events.put_nowait(Unavailable("the stream broke"))

        async def is_back() -> bool:
            return desk.venue.opened == 4

        await eventually_async(is_back)


async def test_bytes_that_never_arrived_are_sent_again_unchanged(desk: Desk) -> None:
    desk.venue.script.extend([Say(Unavailable("no route"), placed=False)] * 2)
    async with desk.running():
        await reaches(desk.order(), OrderStatus.FILLED)
    assert len(desk.venue.sent) == 3
    assert len(set(desk.venue.sent)) == 1


async def test_an_order_that_cannot_be_delivered_in_time_is_given_up(desk: Desk) -> None:
    desk.venue.script.extend([Say(Unavailable("no route"), placed=False)] * 100)
    async with desk.running():
        order = desk.order()
        await reaches(order, OrderStatus.PRESUMED_NOT_PLACED)


async def test_an_unknown_outcome_is_never_sent_again_but_looked_up(desk: Desk) -> None:
    desk.venue.script.append(Say(OutcomeUnknown("no answer")))
    async with desk.running():
        await reaches(desk.order(), OrderStatus.FILLED)
    assert len(desk.venue.sent) == 1


async def test_an_immediate_order_without_a_trace_is_presumed_not_placed(desk: Desk) -> None:
    desk.venue.script.append(Say(OutcomeUnknown("no answer"), placed=False))
    async with desk.running():
        await reaches(desk.order(), OrderStatus.PRESUMED_NOT_PLACED)
    assert len(desk.venue.sent) == 1


async def test_a_resting_order_without_a_trace_goes_again_and_a_refusal_then_proves_nothing() -> None:
    desk = Desk(resting=True)
    desk.venue.script.extend(
        [Say(OutcomeUnknown("no answer"), placed=False), Say(Refused("not enough balance"), placed=False)]
    )
    async with desk.running():
        order = desk.order(OrderType.GTC)
        await reaches(order, OrderStatus.OPEN)
    assert OrderStatus.REJECTED not in order.history
    assert len(desk.venue.sent) == 3
    assert len(set(desk.venue.sent)) == 1


async def test_a_presumed_order_that_turns_up_is_revived(desk: Desk) -> None:
    desk.venue.script.append(Say(OutcomeUnknown("no answer"), placed=False))
    async with desk.running():
        order = desk.order()
        await reaches(order, OrderStatus.PRESUMED_NOT_PLACED)
        assert order.sent is not None
        from markets.venue.ports import PreparedOrder

        desk.venue.place(PreparedOrder(order.pending.terms, order.sent.order_hash, order.sent.wire))
        await reaches(order, OrderStatus.FILLED)


async def test_a_refusal_is_final(desk: Desk) -> None:
    desk.venue.script.append(Say(Refused("no", code="FAK_NO_MATCH"), placed=False))
    async with desk.running():
        order = desk.order()
        await reaches(order, OrderStatus.REJECTED)
    assert order.code == "FAK_NO_MATCH"


async def test_what_the_signer_will_not_sign_is_denied(desk: Desk) -> None:
    desk.venue.prepare_errors.append(Refused("collar", code="PRICE_COLLAR"))
    async with desk.running():
        order = desk.order()
        await reaches(order, OrderStatus.DENIED)
    assert (order.code, desk.venue.sent) == ("PRICE_COLLAR", [])


async def test_a_signer_that_is_away_is_asked_again(desk: Desk) -> None:
    desk.venue.prepare_errors.extend([Unavailable("no signer")] * 2)
    async with desk.running():
        await reaches(desk.order(), OrderStatus.FILLED)


async def test_nothing_is_sent_that_the_journal_did_not_take(desk: Desk) -> None:
    async with desk.running():
        await eventually_async(lambda: _is(desk.loop.state is EngineState.RUNNING))
        desk.journal.away = True
        order = desk.order()
        await eventually_async(lambda: _is(desk.loop.state is EngineState.RECOVERY))
        assert desk.venue.sent == []
        desk.journal.away = False
        desk.loop.offer(order.pending)
        await reaches(order, OrderStatus.FILLED)
    assert len(desk.venue.sent) == 1


async def test_a_lost_lease_ends_the_loop_before_the_bytes_leave(desk: Desk) -> None:
    running = asyncio.ensure_future(desk.loop.run())
    await eventually_async(lambda: _is(desk.loop.state is EngineState.RUNNING))
    desk.lease.lose()
    desk.order()
    with pytest.raises(LeaseLost):
        await asyncio.wait_for(running, 5)
    assert desk.venue.sent == []


async def test_a_broken_stream_is_recovered_from_and_its_gap_closed(desk: Desk) -> None:
    async with desk.running():
        await eventually_async(lambda: _is(desk.loop.state is EngineState.RUNNING))
        desk.venue.events.put_nowait(ValueError("nonsense on the wire"))
        await eventually_async(lambda: _is((EngineState.RECOVERY, "INTERNAL_ERROR") in desk.journal.states))
        await reaches(desk.order(), OrderStatus.FILLED)


async def test_a_cancel_reaches_the_venue(desk: Desk) -> None:
    desk.venue.resting = True
    async with desk.running():
        order = desk.order(OrderType.GTC)
        await reaches(order, OrderStatus.OPEN)
        assert order.sent is not None
        desk.loop.offer(CancelWanted(order.pending.order_id, order.sent.order_hash))
        await reaches(order, OrderStatus.CANCELED)
    assert order.code == "BY_USER"


async def test_a_forgotten_live_order_is_closed_only_after_repeated_looks(desk: Desk) -> None:
    desk.venue.resting = True
    async with desk.running():
        order = desk.order(OrderType.GTC)
        await reaches(order, OrderStatus.OPEN)
        before = desk.journal.reconciliations
        desk.venue.orders.clear()
        await reaches(order, OrderStatus.CANCELED)
    assert desk.journal.reconciliations - before >= POLICY.missing_limit - 1
    assert order.code == "NOT_FOUND_AT_VENUE"


async def _is(truth: bool) -> bool:
    return truth
