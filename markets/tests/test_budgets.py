"""All processes together stay within the venue's limits, and hear of its pauses from each other."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.db import DatabaseError
from django.db.models.functions import Now
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from markets import metrics
from markets.services import budgets
from markets.services.budgets import BudgetKeeper
from markets.tests.venue_fixtures import connected
from markets.tests.venue_fixtures import sandbox as sandbox  # noqa: PLC0414
from markets.venue.polymarket.endpoints import endpoint
from markets.venue.registry import GUEST_SHARE, READING, Transport
from markets.venue.sandbox.testing import RunningSandbox
from polyhub.lib import shares
from polyhub.lib.clock import SystemClock
from polyhub.lib.models import PoolHold, PoolShare, Service

TTL, LINGER = timedelta(seconds=10), timedelta(seconds=10)
ORDER = endpoint("POST", "clob", "/order")


def settle(holder: str, demand: float = 0.0) -> float:
    return shares.settle(pool="p", holder=holder, demand=demand, whole=0.8, ttl=TTL, linger=LINGER)


def pass_time(seconds: float) -> None:
    """As if so much time had gone by for everything that was agreed on."""
    by = timedelta(seconds=seconds)
    for row in PoolShare.objects.all():
        row.expires_at -= by
        row.kept_until = row.kept_until - by if row.kept_until else None
        row.save()


@pytest.mark.django_db
def test_a_single_process_has_the_whole() -> None:
    assert settle("engine-0") == pytest.approx(0.8)


@pytest.mark.django_db
def test_a_newcomer_gets_its_part_only_once_the_others_have_let_go_of_it_for_a_window() -> None:
    settle("engine-0")
    assert settle("engine-1") == 0
    assert settle("engine-0") == pytest.approx(0.4)
    assert settle("engine-1") == 0
    pass_time(9)
    settle("engine-0")
    assert settle("engine-1") == 0
    pass_time(2)
    settle("engine-0")
    assert settle("engine-1") == pytest.approx(0.4)


@pytest.mark.django_db
def test_who_needs_more_gets_more_and_nobody_gets_nothing() -> None:
    for _ in range(4):
        settle("engine-0", 90)
        settle("engine-1", 10)
        pass_time(5)
    busy = settle("engine-0", 90)
    quiet = settle("engine-1", 10)
    assert (busy, quiet) == (pytest.approx(0.56), pytest.approx(0.24))


@pytest.mark.django_db
def test_the_part_of_a_dead_process_is_handed_on_after_the_window() -> None:
    for _ in range(4):
        settle("engine-0")
        settle("engine-1")
        pass_time(5)
    pass_time(6)
    assert settle("engine-1") == pytest.approx(0.4)
    pass_time(11)
    assert settle("engine-1") == pytest.approx(0.8)


@pytest.mark.django_db
@example(steps=[("a", 0, 0), ("b", 0, 0), ("a", 0, 0), ("b", 0, 11)])
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["a", "b", "c"]), st.sampled_from([0, 1, 50]), st.sampled_from([0, 1, 4, 11])),
        min_size=3,
        max_size=25,
    )
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_no_window_sees_more_than_the_whole(steps: list[tuple[str, int, int]]) -> None:
    PoolShare.objects.all().delete()
    had: list[tuple[float, str, float]] = []
    now = 0.0
    for holder, demand, gap in steps:
        now += gap
        pass_time(gap)
        had.append((now, holder, settle(holder, demand)))
        # What each could have used in the window that ends here: the most it had in it and at its beginning.
        most: dict[str, float] = {}
        for number, (at, whose, part) in enumerate(had):
            later = next((then for then, who, _ in had[number + 1 :] if who == whose), now)
            used_until = min(later, at + TTL.total_seconds())
            if used_until > now - LINGER.total_seconds():
                most[whose] = max(most.get(whose, 0.0), part)
        assert sum(most.values()) <= 0.8 + 1e-9


@contextmanager
def keeper(transport: Transport, name: str) -> Iterator[BudgetKeeper]:
    yield BudgetKeeper(transport=transport, holder=name, monotonic=lambda: 0.0)


@pytest.mark.django_db(transaction=True)
async def test_a_keeper_takes_its_part_measures_the_clock_and_gives_back(sandbox: RunningSandbox) -> None:
    async with connected(sandbox) as (transport, _):
        with keeper(transport, "engine-0") as kept:
            await kept.once()
            assert transport.venue_clock.age_s is not None
            assert [row.part async for row in PoolShare.objects.all()] == pytest.approx([0.8, 0.8])
            assert kept.detail()["venue_clock_offset_s"] == pytest.approx(0, abs=1)
            await kept._leave()
    assert not await PoolShare.objects.filter(expires_at__gt=Now()).aexists()


@pytest.mark.django_db(transaction=True)
async def test_a_process_that_never_trades_leaves_trading_to_the_others(sandbox: RunningSandbox) -> None:
    async with connected(sandbox) as (feeding, _), connected(sandbox) as (trading, _):
        feed = BudgetKeeper(transport=feeding, holder="feed", monotonic=lambda: 0.0, groups=(READING,))
        with keeper(trading, "engine-0") as engine:
            for kept in (feed, engine):
                await kept.once()
            parts = {(row.pool, row.holder): row.part async for row in PoolShare.objects.all()}
            assert parts[("venue:trading", "engine-0")] == pytest.approx(0.8)
            assert ("venue:trading", "feed") not in parts
            for kept in (feed, engine):
                await kept._leave()


@pytest.mark.django_db(transaction=True)
async def test_v06_a_pause_told_to_one_process_is_kept_by_all(sandbox: RunningSandbox) -> None:
    async with connected(sandbox) as (first, _), connected(sandbox) as (second, _):
        with keeper(first, "engine-0") as one, keeper(second, "engine-1") as two:
            await first.budget.take(ORDER, party="a")
            first.budget.answered(ORDER, party="a", status=429, headers={"Retry-After": "60"})
            await one.once()
            await two.once()
            assert second.budget.wait_s(ORDER, party="b") == pytest.approx(60, abs=2)
            until = (await PoolHold.objects.aget()).until
            # Hearing of it does not prolong it.
            await two.once()
            await one.once()
            assert (await PoolHold.objects.aget()).until == until
            await one._leave()
            await two._leave()


@pytest.mark.django_db(transaction=True)
async def test_v12_a_venue_upgrade_stops_every_process_until_a_person_has_looked(sandbox: RunningSandbox) -> None:
    async with connected(sandbox) as (first, _), connected(sandbox) as (second, _):
        with keeper(first, "engine-0") as one, keeper(second, "engine-1") as two:
            first.standstill = "changed"
            await one.once()
            await two.once()
            assert second.standstill == "changed"
            # It stays so however often they speak, until a person ends it; then all go on.
            for kept in (one, two, one):
                await kept.once()
            assert await PoolHold.objects.acount() == 1
            assert await sync_to_async(budgets.end_standstill)()
            for kept in (one, two):
                await kept.once()
            assert (first.standstill, second.standstill) == ("", "")
            first.standstill = "changed"
            await one.once()
            await one._leave()
            await two._leave()
    async with connected(sandbox) as (later, _):
        with keeper(later, "engine-0") as successor:
            await successor.once()
            assert later.standstill == "changed"
            assert await PoolHold.objects.acount() == 1
            await successor._leave()


@pytest.mark.django_db(transaction=True)
async def test_without_the_database_a_process_falls_back_to_a_guests_part(
    sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(**_: object) -> float:
        raise DatabaseError("away")

    now = 0.0
    async with connected(sandbox) as (transport, _):
        kept = BudgetKeeper(transport=transport, holder="engine-0", monotonic=lambda: now)
        await kept.once()
        whole = most_of(transport)
        # The database cannot be taken away from one test alone: its answer is what matters here.
        monkeypatch.setattr(shares, "settle", away)
        await kept.once()
        assert most_of(transport) == whole
        now = 11.0
        await kept.once()
        assert most_of(transport) == pytest.approx(whole * GUEST_SHARE / budgets.WHOLE, rel=0.01)
        await kept._leave()


def most_of(transport: Transport) -> int:
    """How many orders may go at once; counted on a copy of the budget."""
    return int(5_000 * transport.budget._windows["POST /order"][0].share)


@pytest.mark.django_db
def test_headroom_is_told_to_prometheus() -> None:
    told = {"budget": {"tightest": "/book", "headroom": 0.42, "waited": 7, "turned_away": 0, "limited": 3}}
    Service.objects.create(name="engine-7", detail=told)
    text = metrics.exposition(now=SystemClock().now()).decode()
    assert 'polyhub_venue_headroom_ratio{service="engine-7"} 0.42' in text
    assert 'polyhub_venue_limited{how="limited",service="engine-7"} 3.0' in text
