"""The venue's rate limits as this process keeps them: never more than allowed, nobody starved, pauses honoured."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from markets.venue.errors import Unavailable
from markets.venue.polymarket import budget as budgets
from markets.venue.polymarket.budget import Budget
from markets.venue.polymarket.endpoints import LIMITS, TIERS, Limit, endpoint

ORDER = endpoint("POST", "clob", "/order")
CANCEL = endpoint("DELETE", "clob", "/order")
BOOK = endpoint("GET", "clob", "/book")


class Hand:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


def a_budget(clock: Callable[[], float], *, share: float = 1.0, **limits: Limit) -> Budget:
    few = {"/book" if name == "book" else name: (limit,) for name, limit in limits.items()}
    return Budget(monotonic=clock, chance=random.Random(1), share=share, limits={**LIMITS, **few})


@pytest.mark.parametrize(
    ("method", "host", "path", "names", "kind"),
    [
        ("POST", "clob", "/order", ("POST /order", "clob", "all"), "orders"),
        ("DELETE", "clob", "/cancel-all", ("DELETE /cancel-all", "clob", "all"), "cancels"),
        ("GET", "clob", "/data/orders", ("/data/orders", "ledger", "clob", "all"), ""),
        ("GET", "clob", "/data/order", ("ledger", "clob", "all"), ""),
        ("GET", "clob", "/balance-allowance/update", ("/balance-allowance/update", "clob", "all"), ""),
        ("GET", "clob", "/auth/derive-api-key", ("/auth", "clob", "all"), ""),
        ("GET", "clob", "/time", ("clob", "all"), ""),
        ("GET", "gamma", "/markets/keyset", ("gamma /markets", "gamma listings", "gamma", "all"), ""),
        ("GET", "data", "/v2/trades", ("data /trades", "data", "all"), ""),
        ("GET", "other", "", ("all",), ""),
    ],
)
def test_each_request_counts_against_its_own_and_the_wider_budgets(
    method: str, host: str, path: str, names: tuple[str, ...], kind: str
) -> None:
    found = endpoint(method, host, path)
    assert (found.names, found.signer_kind) == (names, kind)
    assert set(names) <= set(LIMITS)


@given(gaps=st.lists(st.floats(0, 0.5), min_size=50, max_size=300), share=st.sampled_from([0.1, 0.5, 1.0]))
@settings(max_examples=60, deadline=None)
async def test_no_window_ever_holds_more_than_its_limit(gaps: list[float], share: float) -> None:
    clock = Hand()
    budget = a_budget(clock, share=share, book=Limit(40))
    went: list[float] = []
    for gap in gaps:
        clock.at += gap
        if budget.wait_s(BOOK) == 0.0:
            await budget.take(BOOK)
            went.append(clock.at)
    for start in went:
        assert sum(1 for at in went if start <= at < start + 10) <= max(40 * share, 1)


async def test_v06_a_pause_the_venue_announced_is_kept_to_the_second() -> None:
    clock = Hand()
    budget = a_budget(clock)
    await budget.take(ORDER, party="a")
    assert budget.answered(ORDER, party="a", status=429, headers={"Retry-After": "7"}) == 7
    for _ in range(6):
        with pytest.raises(Unavailable) as told:
            await budget.take(ORDER, party="b")
        assert told.value.code == "RATE_LIMITED"
        clock.at += 1
    clock.at += 1.001
    await budget.take(ORDER, party="b")


async def test_v06_a_signers_own_limit_stops_that_signer_only() -> None:
    budget = a_budget(Hand())
    await budget.take(ORDER, party="a")
    budget.answered(ORDER, party="a", status=429, headers={"Poly-RateLimit-Remaining": "0", "Retry-After": "5"})
    with pytest.raises(Unavailable):
        await budget.take(ORDER, party="a")
    await budget.take(ORDER, party="b")
    await budget.take(CANCEL, party="a")


async def test_v06_without_a_word_the_pauses_double_and_are_spread() -> None:
    clock = Hand()
    budget = a_budget(clock)
    pauses = []
    for _ in range(8):
        pause = budget.answered(BOOK, party="", status=429, headers={})
        assert pause is not None
        pauses.append(pause)
        clock.at += pause + 0.001
    assert all(0.5 * 2**n <= pause <= min(2**n, 30) for n, pause in enumerate(pauses[:5]))
    assert max(pauses) <= budgets.BACKOFF_MAX_S
    budget.answered(BOOK, party="", status=200, headers={})
    fresh = budget.answered(BOOK, party="", status=429, headers={})
    assert fresh is not None
    assert fresh <= 1


async def test_v06_a_flood_of_one_account_does_not_keep_the_others_out() -> None:
    budget = a_budget(asyncio.get_running_loop().time, book=Limit(300, 0.5))
    served: list[str] = []

    async def ask(party: str) -> None:
        await budget.take(BOOK, party=party)
        served.append(party)

    while budget.wait_s(BOOK) == 0.0:
        await budget.take(BOOK, party="flood")
    async with asyncio.TaskGroup() as group:
        for _ in range(60):
            group.create_task(ask("flood"))
        await asyncio.sleep(0)
        for party in ("quiet", "calm", "still"):
            group.create_task(ask(party))
    # One turn each: whoever came behind the whole flood is among the first dozen.
    assert {"quiet", "calm", "still"} <= set(served[:12])
    assert Counter(served)["flood"] == 60


async def test_v06_an_account_waits_for_its_own_limit_beside_the_others() -> None:
    budget = a_budget(asyncio.get_running_loop().time)
    while budget.wait_s(ORDER, party="busy") == 0.0:
        await budget.take(ORDER, party="busy")
    budget.debit(party="busy", kind="orders", cost=8)
    async with asyncio.TaskGroup() as group:
        stuck = group.create_task(budget.take(ORDER, party="busy"))
        await asyncio.sleep(0)
        await budget.take(ORDER, party="free")
        assert not stuck.done()


async def test_who_would_wait_too_long_is_told_at_once_and_leaves_no_trace() -> None:
    clock = Hand()
    budget = a_budget(clock)
    budget.hold({"POST /order": 60})
    with pytest.raises(Unavailable) as told:
        await budget.take(ORDER, party="a")
    assert told.value.retry_after_s == pytest.approx(60)
    clock.at += 60.1
    await budget.take(ORDER, party="a")


async def test_a_waiter_that_is_canceled_gives_up_its_place() -> None:
    budget = a_budget(asyncio.get_running_loop().time, book=Limit(20, 0.2))
    while budget.wait_s(BOOK) == 0.0:
        await budget.take(BOOK)
    waiting = asyncio.get_running_loop().create_task(budget.take(BOOK, party="a"))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await budget.take(BOOK, party="b")
    assert budget.taken["/book"] >= 1


async def test_reads_leave_room_for_orders() -> None:
    clock = Hand()
    budget = a_budget(clock, clob=Limit(400))
    while budget.wait_s(BOOK) == 0.0:
        try:
            await budget.take(BOOK)
        except Unavailable:
            break
        if budget.waited:
            break
    await budget.take(ORDER, party="a")
    await budget.take(CANCEL, party="a")


@pytest.mark.parametrize("tier", TIERS)
async def test_the_venues_own_count_and_tier_are_believed(tier: str) -> None:
    clock = Hand()
    budget = a_budget(clock)
    await budget.take(ORDER, party="a")
    budget.answered(
        ORDER, party="a", status=200, headers={"Poly-RateLimit-Remaining": "0", "Poly-RateLimit-Tier": tier}
    )
    assert budget.wait_s(ORDER, party="a") == pytest.approx(1 / (0.95 * TIERS[tier][0]), rel=0.01)


async def test_a_batch_costs_its_orders_to_the_signer_and_one_request_to_the_address() -> None:
    clock = Hand()
    budget = a_budget(clock)
    batch = endpoint("POST", "clob", "/orders")
    await budget.take(batch, party="a", cost=15)
    assert budget.taken["POST /orders"] == 1
    for _ in range(39):
        await budget.take(ORDER, party="a")
    assert budget.wait_s(ORDER, party="a") > 0


async def test_what_cancel_all_ended_is_counted_afterwards() -> None:
    clock = Hand()
    budget = a_budget(clock)
    await budget.take(endpoint("DELETE", "clob", "/cancel-all"), party="a")
    budget.debit(party="a", kind="cancels", cost=200)
    assert budget.wait_s(CANCEL, party="a") == pytest.approx(94 / 76, rel=0.01)


async def test_headroom_says_what_is_left_of_our_part() -> None:
    clock = Hand()
    budget = a_budget(clock, share=0.5)
    assert budget.headroom()["/book"] == 1.0
    for _ in range(356):
        await budget.take(BOOK)
    assert 0.45 < budget.headroom()["/book"] < 0.55
    assert budget.detail()["tightest"] == "/book"
    assert budget.demand("reading") >= 356
    assert budget.demand("trading") == 0
    budget.share("trading", 0.1)
    assert 0.45 < budget.headroom()["/book"] < 0.55
    budget.share("reading", 0.1)
    assert budget.headroom()["/book"] == 0.0
    budget.hold({"/book": 3})
    assert budget.headroom()["/book"] == 0.0
    assert budget.held()["/book"] == pytest.approx(3)


async def test_a_venue_without_limits_is_given_more_of_everything() -> None:
    clock = Hand()
    wide = Budget(monotonic=clock, chance=random.Random(1), share=1.0, scale=50)
    for _ in range(2_600):
        await wide.take(ORDER, party="a")
    wide.share("trading", 0.5)
    assert wide.wait_s(ORDER, party="b") == 0.0
    assert wide.wait_s(ORDER, party="a", cost=101) > 0.0
