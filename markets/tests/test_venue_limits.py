"""Our budgets against a local venue that keeps its rate limits: none is ever exceeded, and its word is kept."""

import asyncio
import random
import time
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from markets.tests.venue_fixtures import LiveSession, approved, live_session
from markets.venue.errors import Unavailable
from markets.venue.polymarket.budget import Budget
from markets.venue.ports import OrderType, PreparedOrder, Side
from markets.venue.sandbox.testing import RunningSandbox, SandboxMarket, running_sandbox
from polyhub.lib.clock import SystemClock

# Ten times smaller than published: 4 orders a second and 6 at once for each signer.
SCALE = 10
_slugs = count()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture
def market(sandbox: RunningSandbox) -> SandboxMarket:
    return sandbox.create_market(f"limits-{next(_slugs)}", bids=[("0.48", "100")], asks=[("0.52", "50")])


@pytest.fixture
def limits(sandbox: RunningSandbox, market: SandboxMarket) -> Iterator[None]:
    yield
    sandbox.call("POST", "venue", {"rate_limits": False, "limits_scale": 1})


def switch_on(sandbox: RunningSandbox) -> None:
    sandbox.call("POST", "venue", {"rate_limits": True, "limits_scale": SCALE})


def budget_of(session: LiveSession, *, scale: float) -> Budget:
    """The session's budget anew, as wide as told."""
    fresh = Budget(monotonic=time.monotonic, chance=random.Random(1), share=1.0, scale=scale)
    session.transport.budget = fresh
    return fresh


async def prepared(session: LiveSession, market: SandboxMarket, number: int) -> list[PreparedOrder]:
    wanted = [
        approved(market.yes, Side.BUY, OrderType.GTC, price=10 + at, shares=10, now=SystemClock().now())
        for at in range(number)
    ]
    return [await session.venue.prepare(order) for order in wanted]


async def sent(session: LiveSession, order: PreparedOrder) -> int:
    """Send as an engine does: again when the venue or we say so, and not before. The number of tries."""
    tries = 0
    while True:
        tries += 1
        try:
            await session.venue.send(order)
        except Unavailable as away:
            if away.code != "RATE_LIMITED" or away.retry_after_s is None:
                raise
            await asyncio.sleep(away.retry_after_s)
        else:
            return tries


async def test_v06_who_keeps_to_the_limits_is_never_told_to_wait(
    sandbox: RunningSandbox, market: SandboxMarket, limits: Any
) -> None:
    async with live_session(sandbox) as busy, live_session(sandbox) as calm:
        flood, few = await prepared(busy, market, 9), await prepared(calm, market, 2)
        budget = budget_of(busy, scale=1 / SCALE)
        calm.transport.budget = budget
        switch_on(sandbox)
        async with asyncio.TaskGroup() as group:
            for order in flood:
                group.create_task(sent(busy, order))
            calm_ones = [group.create_task(sent(calm, order)) for order in few]
        assert budget.limited == 0
        # The flood of one account cost the other nothing.
        assert [task.result() for task in calm_ones] == [1, 1]
        assert len(await busy.venue.open_orders()) == 9


async def test_v06_a_429_is_believed_and_nothing_is_asked_before_its_time(
    sandbox: RunningSandbox, market: SandboxMarket, limits: Any
) -> None:
    async with live_session(sandbox) as session:
        orders = await prepared(session, market, 9)
        budget = budget_of(session, scale=1)
        switch_on(sandbox)
        async with asyncio.TaskGroup() as group:
            tries = [group.create_task(sent(session, order)) for order in orders]
        assert budget.limited >= 1
        # All at once were too many; after the first refusals the rest waited for their time.
        assert budget.limited <= 4
        assert sum(task.result() for task in tries) <= 9 + 12
        assert len(await session.venue.open_orders()) == 9
