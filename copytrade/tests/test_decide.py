"""The pure rules: which gate blocks, how sizes round, and that a sale never exceeds what is booked."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copytrade.domain import decide, sizing
from copytrade.domain.decide import BookView, Holding, LeaderOrder, MarketTerms, Owe, PlaceOrder, Skip, Wait
from copytrade.domain.rules import RuleStatus, RuleTerms, Sizing
from markets.domain.book import BUY, SELL, Book
from polyhub.lib import money

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
DOLLAR = money.UNITS
SHARE = money.UNITS

RULE = RuleTerms(
    status=RuleStatus.ACTIVE,
    sizing=Sizing.RATIO,
    size_units=100_000,
    max_position_units=100 * DOLLAR,
    min_order_units=DOLLAR,
    slippage_units=300,
    min_price_units=500,
    max_price_units=9500,
    max_age_s=60,
)
MARKET = MarketTerms(tick_units=100, min_share_units=5 * SHARE, is_open=True, fee_rate=Decimal(0))
BUY_100 = LeaderOrder(side=BUY, share_units=100 * SHARE, value_units=5000 * 100 * SHARE, traded_at=NOW)


def view(*, bid: int = 4900, ask: int = 5100, size: int = 1000) -> BookView:
    book = Book()
    book.replace(bids=[(bid, size * SHARE)], asks=[(ask, size * SHARE)])
    return BookView(book)


def entry(
    leader: LeaderOrder = BUY_100,
    rule: RuleTerms = RULE,
    market: MarketTerms = MARKET,
    holding: Holding = Holding(),  # noqa: B008 - frozen
    book: BookView | None = None,
) -> PlaceOrder | Skip:
    return decide.decide_entry(
        leader=leader, rule=rule, market=market, holding=holding, view=book or view(), now=NOW + timedelta(seconds=2)
    )


def test_a_ratio_copies_that_share_of_the_leaders_size_at_a_worst_price_on_the_grid() -> None:
    order = entry()
    assert isinstance(order, PlaceOrder)
    assert (order.side, order.price_units, order.share_units) == (BUY, 5100, 10 * SHARE)


def test_a_ratio_spends_what_its_shares_cost_now_not_what_they_may_cost_at_worst() -> None:
    """A market buy spends its dollars: named at the worst price they would buy more shares than the rule asks for."""
    order = entry(book=view(ask=4500))
    assert isinstance(order, PlaceOrder)
    dollars = money.notional_units(price_units=order.price_units, share_units=order.share_units)
    got = dollars * money.PRICE_UNITS // 4500
    assert 10 * SHARE <= got <= 10 * SHARE + 2 * sizing.LOT_UNITS
    assert order.numbers["shares"] == "10"


def test_the_fee_on_top_stays_inside_the_largest_position() -> None:
    rate = Decimal("0.05")
    rule = replace(RULE, sizing=Sizing.FIXED, size_units=90 * DOLLAR, max_position_units=50 * DOLLAR)
    order = entry(rule=rule, market=replace(MARKET, fee_rate=rate), book=view(ask=4500))
    assert isinstance(order, PlaceOrder)
    dollars = money.notional_units(price_units=order.price_units, share_units=order.share_units)
    shares = dollars * money.PRICE_UNITS // 4500
    fee = shares * rate * Decimal("0.45") * Decimal("0.55")
    assert 49 * DOLLAR < dollars + fee <= 50 * DOLLAR


def test_fixed_dollars_are_never_exceeded_at_the_worst_price() -> None:
    order = entry(rule=replace(RULE, sizing=Sizing.FIXED, size_units=10 * DOLLAR))
    assert isinstance(order, PlaceOrder)
    assert order.share_units == 19_600_000
    assert money.notional_units(price_units=order.price_units, share_units=order.share_units) <= 10 * DOLLAR


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("RULE_PAUSED", {"rule": replace(RULE, status=RuleStatus.PAUSED)}),
        ("TOO_OLD", {"leader": replace(BUY_100, traded_at=NOW - timedelta(seconds=59))}),
        ("MARKET_CLOSED", {"market": replace(MARKET, is_open=False)}),
        ("FEE_UNKNOWN", {"market": replace(MARKET, fee_rate=None)}),
        ("PRICE_BAND", {"rule": replace(RULE, max_price_units=4999)}),
        ("PRICE_BAND", {"rule": replace(RULE, min_price_units=5001)}),
        ("BOOK_UNTRUSTED", {"book": BookView(None, "GAP", 1200)}),
        ("BELOW_MINIMUM", {"rule": replace(RULE, min_order_units=6 * DOLLAR)}),
        ("BELOW_MINIMUM", {"rule": replace(RULE, size_units=49_000)}),
        ("MAX_POSITION", {"holding": Holding(held_units=190 * SHARE, cost_units=98 * DOLLAR)}),
        ("MAX_POSITION", {"holding": Holding(buying_cost_units=98 * DOLLAR)}),
        ("SLIPPAGE", {"book": view(ask=5200)}),
        ("SLIPPAGE", {"book": BookView(Book())}),
        (
            "ALREADY_ORDERED",
            {"holding": Holding(ordered_units=20 * SHARE), "leader": replace(BUY_100, seen_units=100 * SHARE)},
        ),
    ],
)
def test_each_gate_blocks_with_its_code(code: str, change: dict[str, object]) -> None:
    skip = entry(**change)  # type: ignore[arg-type]
    assert isinstance(skip, Skip)
    assert skip.code == code


@pytest.mark.parametrize(("ask", "is_copied"), [(3900, False), (4000, True), (6000, True), (6100, False)])
def test_g5_a_trade_far_from_its_book_is_not_copied(ask: int, is_copied: bool) -> None:
    wide = replace(RULE, slippage_units=5000)
    verdict = entry(rule=wide, book=view(ask=ask))
    assert isinstance(verdict, PlaceOrder) is is_copied
    assert is_copied or (isinstance(verdict, Skip) and verdict.code == "BOOK_DIVERGED")


def test_room_left_in_the_position_reduces_the_size_before_it_blocks() -> None:
    order = entry(holding=Holding(held_units=190 * SHARE, cost_units=96 * DOLLAR))
    assert isinstance(order, PlaceOrder)
    assert order.share_units == 7_840_000


def test_later_fills_of_one_leader_order_are_sized_with_the_earlier_ones() -> None:
    later = replace(BUY_100, share_units=30 * SHARE, value_units=5000 * 30 * SHARE, seen_units=100 * SHARE)
    assert isinstance(entry(leader=later, holding=Holding(ordered_units=10 * SHARE)), Skip)
    order = entry(leader=later)
    assert isinstance(order, PlaceOrder)
    assert order.share_units == 13 * SHARE


def sale(sold: int, held: int | None, at: datetime = NOW) -> LeaderOrder:
    return LeaderOrder(
        side=SELL, share_units=sold * SHARE, value_units=5000 * sold * SHARE, traded_at=at, held_before_units=held
    )


def test_an_exit_owes_the_same_share_of_the_booked_shares_as_the_leader_sold() -> None:
    owe = decide.decide_exit(leader=sale(25, 100 * SHARE), holding=Holding(held_units=40 * SHARE))
    assert isinstance(owe, Owe)
    assert owe.share_units == 10 * SHARE


def test_an_exit_owes_everything_when_the_leaders_holding_is_unknown() -> None:
    owe = decide.decide_exit(leader=sale(1, None), holding=Holding(held_units=40 * SHARE))
    assert isinstance(owe, Owe)
    assert owe.share_units == 40 * SHARE


def test_a_sale_older_than_the_book_is_of_other_shares() -> None:
    holding = Holding(held_units=40 * SHARE, opened_at=NOW)
    skip = decide.decide_exit(leader=sale(25, 100 * SHARE, NOW - timedelta(seconds=5)), holding=holding)
    assert isinstance(skip, Skip)
    assert skip.code == "NO_SHARES_OF_LEADER"


def test_shares_still_being_bought_are_owed_too() -> None:
    owe = decide.decide_exit(leader=sale(100, 100 * SHARE), holding=Holding(buying_units=10 * SHARE))
    assert isinstance(owe, Owe)
    assert owe.share_units == 10 * SHARE


def exit_order(
    holding: Holding, *, attempt: int = 0, book: BookView | None = None, market: MarketTerms = MARKET
) -> PlaceOrder | Wait:
    return decide.size_exit(
        holding=holding,
        market=market,
        view=book or view(),
        slippage_units=300,
        leader_price_units=5000,
        attempt=attempt,
    )


OWES_ALL = Holding(held_units=12_345_678, obliged_units=12_345_678)


def test_an_exit_keeps_to_the_leaders_price_first_and_follows_the_bid_later() -> None:
    falling = view(bid=3000, ask=3100)
    waiting = exit_order(OWES_ALL, book=falling)
    assert isinstance(waiting, Wait)
    assert waiting.code == "SLIPPAGE"
    order = exit_order(OWES_ALL, attempt=decide.PATIENT_ATTEMPTS, book=falling)
    assert isinstance(order, PlaceOrder)
    assert (order.side, order.price_units, order.share_units) == (SELL, 3000, 12_340_000)


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("BOOK_UNTRUSTED", {"book": BookView(None, "STALE", 9000)}),
        ("MARKET_CLOSED", {"market": replace(MARKET, is_open=False)}),
        ("FEE_UNKNOWN", {"market": replace(MARKET, fee_rate=None)}),
        ("SLIPPAGE", {"book": BookView(Book())}),
    ],
)
def test_an_exit_waits_and_says_for_what(code: str, change: dict[str, object]) -> None:
    wait = exit_order(OWES_ALL, **change)  # type: ignore[arg-type]
    assert isinstance(wait, Wait)
    assert wait.code == code


def test_an_exit_waits_for_its_own_order_and_leaves_dust() -> None:
    under_way = exit_order(replace(OWES_ALL, selling_units=12_340_000))
    assert isinstance(under_way, Wait)
    assert under_way.code == "ORDER_UNDER_WAY"
    dust = exit_order(Holding(held_units=9_999, obliged_units=9_999))
    assert isinstance(dust, Wait)
    assert dust.code == "NOTHING_TO_SELL"


def test_retries_back_off_to_a_minute_and_never_stop() -> None:
    delays = [decide.retry_delay(attempt).total_seconds() for attempt in (0, 1, 2, 5, 6, 500)]
    assert delays == [1, 2, 4, 32, 60, 60]


units = st.integers(min_value=0, max_value=10**12)


@given(sold=st.lists(st.integers(1, 10**9), max_size=8), held=st.integers(0, 10**9), booked=st.integers(0, 10**9))
def test_a_row_of_sales_never_owes_more_than_is_booked(sold: list[int], held: int, booked: int) -> None:
    holding, left = Holding(held_units=booked), held
    for shares in sold:
        leader = LeaderOrder(
            side=SELL, share_units=shares, value_units=5000 * shares, traded_at=NOW, held_before_units=left
        )
        owe = decide.decide_exit(leader=leader, holding=holding)
        if isinstance(owe, Owe):
            holding = replace(holding, obliged_units=holding.obliged_units + owe.share_units)
        left = max(left - shares, 0)
    assert holding.owed_units <= booked
    if sold and left == 0:
        assert holding.owed_units == booked, "a leader who left entirely leaves nothing behind"


@given(held=units, obliged=units, sold=units, selling=units, attempt=st.integers(0, 10))
def test_an_exit_never_sells_more_than_is_booked_or_owed(
    held: int, obliged: int, sold: int, selling: int, attempt: int
) -> None:
    holding = Holding(held_units=held, obliged_units=obliged, sold_units=sold, selling_units=selling)
    order = exit_order(holding, attempt=attempt)
    if isinstance(order, PlaceOrder):
        assert 0 < order.share_units <= held - selling
        assert order.share_units + selling <= max(obliged - sold, 0)
        assert order.share_units % sizing.LOT_UNITS == 0


@given(
    price=st.integers(100, 9900),
    leader_shares=st.integers(10_000, 10**12),
    size=st.integers(1, 10**9),
    kind=st.sampled_from(list(Sizing)),
    position=st.integers(0, 150 * DOLLAR),
    slippage=st.integers(0, 5000),
    tick=st.sampled_from([1, 10, 25, 50, 100, 1000]),
)
def test_an_entry_stays_inside_its_rule(
    price: int, leader_shares: int, size: int, kind: Sizing, position: int, slippage: int, tick: int
) -> None:
    rule = replace(RULE, sizing=kind, size_units=size, slippage_units=slippage, min_price_units=1, max_price_units=9999)
    leader = LeaderOrder(side=BUY, share_units=leader_shares, value_units=price * leader_shares, traded_at=NOW)
    order = entry(
        leader=leader,
        rule=rule,
        market=replace(MARKET, tick_units=tick),
        holding=Holding(cost_units=position),
        book=view(bid=1, ask=tick, size=10**9),
    )
    if isinstance(order, Skip):
        return
    cost = money.notional_units(price_units=order.price_units, share_units=order.share_units)
    assert position + cost <= rule.max_position_units
    assert order.share_units % sizing.LOT_UNITS == 0
    assert order.price_units % tick == 0
    assert order.price_units * 10_000 <= price * (10_000 + slippage)
    if kind is Sizing.RATIO:
        assert order.share_units * 1_000_000 <= leader_shares * size
    else:
        assert cost <= size
