"""Figures of wallets, by hand and by invariants."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from scanner.domain import figures

START = datetime(2026, 4, 6, 13, 0, tzinfo=UTC)  # a Monday


def trade(side: str, price: str, shares: str, *, minute: int = 0, token: str = "1") -> figures.Trade:
    return figures.Trade(
        token_id=token,
        condition_id=f"market of {token}",
        side=side,
        price=Decimal(price),
        shares=Decimal(shares),
        traded_at=START + timedelta(minutes=minute),
    )


def test_a_position_closes_at_its_average_cost() -> None:
    trades = [
        trade("BUY", "0.40", "100"),
        trade("BUY", "0.60", "100", minute=1),
        trade("SELL", "0.70", "50", minute=2),
        trade("SELL", "0.55", "150", minute=3),
    ]
    (position,) = figures.closed_positions(trades)
    assert position.cost_usdc == Decimal(100)
    assert position.proceeds_usdc == Decimal("117.5")
    assert position.pnl_usdc == Decimal("17.5")
    assert (position.opened_at, position.closed_at) == (START, START + timedelta(minutes=3))


def test_an_open_position_has_no_profit_yet() -> None:
    measured = figures.measure([trade("BUY", "0.40", "100"), trade("SELL", "0.90", "50", minute=1)])
    assert measured.closed_positions == 0
    assert measured.closed_pnl_usdc is None


def test_a_sale_of_shares_bought_before_the_sample_earns_nothing_known() -> None:
    assert figures.closed_positions([trade("SELL", "0.90", "100")]) == []


def test_a_sale_of_more_than_was_seen_bought_counts_only_what_was() -> None:
    (position,) = figures.closed_positions([trade("BUY", "0.50", "10"), trade("SELL", "0.60", "25", minute=1)])
    assert position.sold_shares == 10
    assert position.pnl_usdc == Decimal(1)


def test_dust_left_over_does_not_keep_a_position_open() -> None:
    (position,) = figures.closed_positions([trade("BUY", "0.5", "100"), trade("SELL", "0.6", "99.5", minute=1)])
    assert position.pnl_usdc == Decimal("9.95")


def test_a_token_bought_again_is_a_new_position() -> None:
    trades = [
        trade("BUY", "0.5", "10"),
        trade("SELL", "0.6", "10", minute=1),
        trade("BUY", "0.9", "10", minute=2),
        trade("SELL", "0.8", "10", minute=3),
    ]
    assert [position.pnl_usdc for position in figures.closed_positions(trades)] == [Decimal(1), Decimal(-1)]
    assert figures.equity_points(figures.closed_positions(trades)) == [
        (START + timedelta(minutes=1), Decimal(1)),
        (START + timedelta(minutes=3), Decimal(0)),
    ]


def test_counts_volume_and_median_are_of_all_trades() -> None:
    measured = figures.measure(
        [trade("BUY", "0.5", "10"), trade("BUY", "0.5", "40", token="2"), trade("SELL", "0.5", "20", minute=5)]
    )
    assert (measured.trades, measured.buys, measured.sells, measured.markets) == (3, 2, 1, 2)
    assert measured.volume_usdc == Decimal(35)
    assert measured.median_trade_usdc == Decimal(10)
    assert (measured.first_trade_at, measured.last_trade_at) == (START, START + timedelta(minutes=5))


def test_nothing_measures_as_nothing() -> None:
    measured = figures.measure([])
    assert measured.trades == 0
    assert measured.closed_pnl_usdc is None
    assert measured.first_trade_at is None


def test_hours_and_entry_prices_count_each_trade_once() -> None:
    trades = [trade("BUY", "0.05", "1"), trade("BUY", "0.99", "1", minute=60), trade("SELL", "0.5", "1", minute=1440)]
    hours = figures.hours_by_weekday(trades)
    assert (hours[0][13], hours[0][14], hours[1][13]) == (1, 1, 1)
    assert sum(map(sum, hours)) == 3
    assert figures.entry_price_histogram(trades) == [1, 0, 0, 0, 0, 0, 0, 0, 0, 1]


_trades = st.lists(
    st.builds(
        trade,
        st.sampled_from(["BUY", "SELL"]),
        st.decimals("0.001", "0.999", places=3).map(str),
        st.decimals("0.01", "1000", places=2).map(str),
        token=st.sampled_from(["1", "2"]),
    ),
    max_size=30,
)


@given(_trades)
def test_no_position_sells_more_than_was_bought_or_costs_more_than_was_paid(trades: list[figures.Trade]) -> None:
    closed = figures.closed_positions(trades)
    for token in ("1", "2"):
        bought = [each for each in trades if each.token_id == token and each.side == "BUY"]
        positions = [each for each in closed if each.token_id == token]
        assert sum(each.sold_shares for each in positions) <= sum(each.shares for each in bought)
        paid = sum(each.usdc for each in bought)
        assert sum(each.cost_usdc for each in positions) <= paid + Decimal("0.000001") * len(positions)


@given(_trades)
def test_the_last_point_of_the_curve_is_the_profit_told(trades: list[figures.Trade]) -> None:
    measured = figures.measure(trades)
    points = figures.equity_points(figures.closed_positions(trades))
    assert (points[-1][1] if points else None) == measured.closed_pnl_usdc
