"""The accounting of fills: order and repetition of reports never matter, nothing is lost."""

from datetime import timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from markets.venue.ports import Side
from polyhub.lib import money
from polyhub.lib.money import ZERO
from trading.domain import fills
from trading.domain.orders import FillStatus, OrderStatus
from trading.tests.factories import NOW

# The life a trade may have, each a prefix of what the venue can report.
LIVES = [
    [FillStatus.MATCHED],
    [FillStatus.MATCHED, FillStatus.MINED],
    [FillStatus.MATCHED, FillStatus.MINED, FillStatus.CONFIRMED],
    [FillStatus.MATCHED, FillStatus.RETRYING, FillStatus.MINED, FillStatus.CONFIRMED],
    [FillStatus.MATCHED, FillStatus.RETRYING, FillStatus.FAILED],
]


def fact(key: str, side: Side, price: int, units: int, status: FillStatus, second: int) -> fills.FillFact:
    return fills.FillFact(
        key=key,
        side=side,
        shares=money.from_units(units),
        notional_usdc=money.from_units(price * units // money.PRICE_UNITS),
        fee_usdc=money.from_units(units // 1000 // 10 * 10),
        status=status,
        venue_at=NOW + timedelta(seconds=second),
    )


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[fills.FillFact, list[FillStatus]]]:
    """Buys and sells that never sell more than was bought, each with its life."""
    held, history = 0, []
    for number in range(draw(st.integers(1, 8))):
        selling = held > 0 and draw(st.booleans())
        units = draw(st.integers(1, held if selling else 50_000)) * 1 if selling else draw(st.integers(1, 50)) * 10_000
        life = [FillStatus.MATCHED, FillStatus.MINED, FillStatus.CONFIRMED] if selling else draw(st.sampled_from(LIVES))
        if selling:
            held -= units
        elif life[-1] in {FillStatus.MINED, FillStatus.CONFIRMED}:
            held += units
        side = Side.SELL if selling else Side.BUY
        price = draw(st.integers(1, 99)) * 100
        history.append((fact(f"t{number}", side, price, units, life[-1], number), life))
    return history


def booked(reports: list[tuple[str, FillStatus]]) -> dict[str, FillStatus]:
    table: dict[str, FillStatus] = {}
    for key, status in reports:
        table[key] = fills.more_final(table.get(key, status), status)
    return table


@given(histories(), st.randoms(use_true_random=False))
def test_any_order_and_repetition_of_reports_ends_in_one_state(
    history: list[tuple[fills.FillFact, list[FillStatus]]], chance: object
) -> None:
    reports = [(fact.key, status) for fact, life in history for status in life]
    shuffled = reports + reports[: len(reports) // 2]
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert booked(shuffled) == {fact.key: fact.status for fact, _ in history}
    expected = fills.fold([fact for fact, _ in history])
    facts = [fact for fact, _ in history]
    chance.shuffle(facts)  # type: ignore[attr-defined]
    assert fills.fold(facts) == expected


@given(histories())
def test_cash_cost_and_profit_are_conserved(history: list[tuple[fills.FillFact, list[FillStatus]]]) -> None:
    facts = [fact for fact, _ in history]
    holding, sales = fills.fold(facts)
    cash = sum((fills.cash_effect(fact) for fact in facts), ZERO)
    # What was spent is either still in the position or came back as proceeds and profit.
    assert cash == holding.realized_usdc - holding.cost_usdc
    assert holding.realized_usdc == sum((sale.pnl_usdc for sale in sales.values()), ZERO)
    bought = sum((f.shares for f in facts if f.counts and f.side is Side.BUY), ZERO)
    sold = sum((f.shares for f in facts if f.counts and f.side is Side.SELL), ZERO)
    assert holding.shares == bought - sold
    assert holding.settled <= holding.sellable <= holding.shares
    assert holding.cost_usdc >= 0
    if holding.shares == 0:
        assert holding.cost_usdc == 0


def test_a_failed_buy_leaves_nothing_behind() -> None:
    failed = fact("t1", Side.BUY, 5000, 10_000_000, FillStatus.FAILED, 0)
    holding, _ = fills.fold([failed])
    assert holding == fills.Holding()
    assert fills.cash_effect(failed) == 0


def test_a_buy_that_fails_after_its_shares_were_sold_never_shows_negative_shares() -> None:
    sale = fact("t2", Side.SELL, 6000, 10_000_000, FillStatus.MATCHED, 1)
    holding, _ = fills.fold([fact("t1", Side.BUY, 5000, 10_000_000, FillStatus.FAILED, 0), sale])
    assert (holding.shares, holding.sellable) == (0, 0)


def test_a_late_lower_report_does_not_lower_the_rank() -> None:
    assert fills.more_final(FillStatus.CONFIRMED, FillStatus.MATCHED) is FillStatus.CONFIRMED
    assert fills.more_final(FillStatus.MINED, FillStatus.FAILED) is FillStatus.FAILED


def status(current: OrderStatus = OrderStatus.SENT, **given_: object) -> OrderStatus:
    terms: dict[str, object] = {
        "complete": False,
        "any_filled": True,
        "rests": False,
        "trades_named": (),
        "booked": {"a"},
    }
    return fills.status_after(current, **{**terms, **given_})  # type: ignore[arg-type]


def test_an_immediate_order_is_over_only_when_every_named_trade_is_booked() -> None:
    assert status(trades_named=("a", "b")) is OrderStatus.PARTIALLY_FILLED
    assert status(trades_named=("a", "b"), booked={"a", "b"}) is OrderStatus.CANCELED
    assert status() is OrderStatus.PARTIALLY_FILLED
    assert status(rests=True, trades_named=("a",)) is OrderStatus.PARTIALLY_FILLED


def test_a_canceled_order_stays_so_unless_it_was_filled_after_all() -> None:
    assert status(OrderStatus.CANCELED) is OrderStatus.CANCELED
    assert status(OrderStatus.CANCELED, complete=True) is OrderStatus.FILLED


def test_a_failed_only_fill_puts_a_resting_order_back() -> None:
    assert status(OrderStatus.FILLED, any_filled=False, rests=True) is OrderStatus.OPEN


def test_a_market_buy_is_complete_by_its_budget_and_others_by_their_shares() -> None:
    done = fills.Totals(shares=Decimal(25), usdc=Decimal("9.995"))
    common = {"ordered": Decimal(20), "budget_usdc": Decimal(10), "done": done}
    assert fills.is_complete(side=Side.BUY, by_budget=True, **common)  # type: ignore[arg-type]
    half = fills.Totals(shares=Decimal("19.98"), usdc=Decimal(9))
    assert not fills.is_complete(side=Side.BUY, by_budget=False, **{**common, "done": half})  # type: ignore[arg-type]
