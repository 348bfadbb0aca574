"""The matching engine's rules, one by one; its invariants are in test_simulator_properties.py."""

from decimal import Decimal

import pytest

from markets.domain.book import Book
from markets.venue.ports import OrderType, Side, TradeStatus, VenueOrderStatus
from markets.venue.simulator.external import FeeSchedule, take_from_book
from markets.venue.simulator.matching import Exchange
from markets.venue.simulator.orders import LevelChanged, MarketSpec, NewOrder, Order, OrderRejected

YES, NO, CONDITION = "1", "2", "0xc"
USD = 1_000_000
_serial = iter(range(10**9))


def exchange_with(*wallets: str, fee_rate: str = "0", mined_after_ms: int = 0) -> Exchange:
    exchange = Exchange(name="test", mined_after_ms=mined_after_ms)
    exchange.add_market(MarketSpec(CONDITION, (YES, NO), fee_rate=Decimal(fee_rate)))
    for wallet in wallets:
        exchange.ledger.deposit(wallet, 2_000 * USD)
        exchange.ledger.approve(wallet)
        exchange.ledger.split(wallet, CONDITION, (YES, NO), 1_000 * USD)
    return exchange


def order(
    wallet: str, side: Side, token: str, price: int, shares: int, kind: OrderType = OrderType.GTC, **more: object
) -> NewOrder:
    cash, units = price * shares * USD // 10_000, shares * USD
    maker, taker = (cash, units) if side is Side.BUY else (units, cash)
    name = str(more.pop("order_hash", f"0x{next(_serial):x}"))
    return NewOrder(name, wallet, token, side, kind, maker, taker, **more)  # type: ignore[arg-type]


def place(exchange: Exchange, new: NewOrder, now_ms: int = 0) -> Order:
    placed = exchange.place(new, now_ms=now_ms)
    exchange.check()
    return placed


def fills(exchange: Exchange) -> list[tuple[str, int, int]]:
    return [
        (leg.wallet, leg.price_units, leg.share_units)
        for trade in exchange.trades.values()
        for leg in (trade.taker, *trade.makers)
    ]


def test_better_prices_trade_first_and_older_orders_before_younger() -> None:
    exchange = exchange_with("a", "b", "c", "taker")
    place(exchange, order("a", Side.SELL, YES, 5_100, 10))
    place(exchange, order("b", Side.SELL, YES, 5_000, 10))
    place(exchange, order("c", Side.SELL, YES, 5_000, 10))
    place(exchange, order("taker", Side.BUY, YES, 5_100, 25))
    makers = [leg for leg in fills(exchange) if leg[0] != "taker"]
    assert makers == [("b", 5_000, 10 * USD), ("c", 5_000, 10 * USD), ("a", 5_100, 5 * USD)]


def test_two_buyers_of_opposite_tokens_mint_a_pair() -> None:
    exchange = exchange_with("a", "b")
    before = exchange.ledger.collateral[CONDITION]
    place(exchange, order("a", Side.BUY, NO, 4_000, 10))
    place(exchange, order("b", Side.BUY, YES, 6_500, 10))
    exchange.advance(0)
    exchange.check()
    assert fills(exchange) == [("b", 6_000, 10 * USD), ("a", 4_000, 10 * USD)]
    assert exchange.ledger.collateral[CONDITION] == before + 10 * USD


def test_two_sellers_of_opposite_tokens_merge_a_pair() -> None:
    exchange = exchange_with("a", "b")
    before = exchange.ledger.collateral[CONDITION]
    place(exchange, order("a", Side.SELL, NO, 4_000, 10))
    place(exchange, order("b", Side.SELL, YES, 5_500, 10))
    exchange.advance(0)
    exchange.check()
    assert fills(exchange) == [("b", 6_000, 10 * USD), ("a", 4_000, 10 * USD)]
    assert exchange.ledger.collateral[CONDITION] == before - 10 * USD


def test_the_book_of_one_token_shows_the_orders_of_the_other() -> None:
    exchange = exchange_with("a")
    place(exchange, order("a", Side.BUY, NO, 4_000, 10))
    place(exchange, order("a", Side.BUY, YES, 5_500, 7))
    assert exchange.levels(YES) == ([(5_500, 7 * USD)], [(6_000, 10 * USD)])
    assert exchange.levels(NO) == ([(4_000, 10 * USD)], [(4_500, 7 * USD)])


def test_partial_fill_rests_and_keeps_its_place() -> None:
    exchange = exchange_with("a", "b", "c")
    first = place(exchange, order("a", Side.BUY, YES, 5_000, 20))
    place(exchange, order("b", Side.BUY, YES, 5_000, 20))
    place(exchange, order("c", Side.SELL, YES, 5_000, 5))
    place(exchange, order("c", Side.SELL, YES, 5_000, 15))
    assert first.status is VenueOrderStatus.MATCHED
    assert exchange.levels(YES)[0] == [(5_000, 20 * USD)]


def test_fok_fills_whole_or_changes_nothing() -> None:
    exchange = exchange_with("a", "b")
    place(exchange, order("a", Side.SELL, YES, 5_000, 10))
    with pytest.raises(OrderRejected) as refused:
        place(exchange, order("b", Side.BUY, YES, 5_000, 11, OrderType.FOK))
    assert refused.value.code == "FOK_NOT_FILLED"
    assert exchange.levels(YES)[1] == [(5_000, 10 * USD)]
    assert place(exchange, order("b", Side.BUY, YES, 5_000, 10, OrderType.FOK)).matched_units == 10 * USD


def test_fak_takes_what_is_there_and_never_rests() -> None:
    exchange = exchange_with("a", "b")
    place(exchange, order("a", Side.BUY, YES, 5_000, 10))
    sold = place(exchange, order("b", Side.SELL, YES, 5_000, 25, OrderType.FAK))
    assert (sold.matched_units, sold.status) == (10 * USD, VenueOrderStatus.MATCHED)
    assert exchange.levels(YES) == ([], [])
    with pytest.raises(OrderRejected) as refused:
        place(exchange, order("b", Side.SELL, YES, 5_000, 25, OrderType.FAK))
    assert refused.value.code == "FAK_NOT_FILLED"


def test_market_buy_spends_its_budget_at_better_prices() -> None:
    exchange = exchange_with("a", "b")
    place(exchange, order("a", Side.SELL, YES, 4_000, 100))
    bought = place(exchange, order("b", Side.BUY, YES, 5_000, 20, OrderType.FAK))  # a budget of $10
    assert bought.matched_units == 25 * USD
    assert bought.matched_cost_units == 10 * USD


def test_post_only_refuses_to_take() -> None:
    exchange = exchange_with("a", "b")
    place(exchange, order("a", Side.SELL, YES, 5_000, 10))
    with pytest.raises(OrderRejected) as refused:
        place(exchange, order("b", Side.BUY, YES, 5_000, 10, post_only=True))
    assert refused.value.code == "POST_ONLY_CROSSES"
    assert place(exchange, order("b", Side.BUY, YES, 4_900, 10, post_only=True)).status is VenueOrderStatus.LIVE


def test_the_same_hash_is_accepted_once() -> None:
    exchange = exchange_with("a")
    place(exchange, order("a", Side.BUY, YES, 5_000, 10, order_hash="0xsame"))
    with pytest.raises(OrderRejected) as refused:
        place(exchange, order("a", Side.BUY, YES, 5_000, 10, order_hash="0xsame"))
    assert refused.value.code == "DUPLICATED"
    assert "Duplicated" in refused.value.message


@pytest.mark.parametrize(
    ("new", "code"),
    [
        (order("a", Side.BUY, YES, 5_050, 10), "TICK_SIZE"),
        (order("a", Side.BUY, YES, 10_000, 10), "TICK_SIZE"),
        (order("a", Side.BUY, YES, 5_000, 4), "MIN_SIZE"),
        (order("a", Side.BUY, YES, 5_000, 10, OrderType.GTD, expiration_s=100), "INVALID_EXPIRATION"),
        (order("a", Side.BUY, YES, 5_000, 10, expiration_s=9_999), "INVALID_EXPIRATION"),
        (order("a", Side.BUY, YES, 5_000, 3_000), "NOT_ENOUGH_BALANCE"),
        (order("a", Side.SELL, YES, 5_000, 1_001), "NOT_ENOUGH_BALANCE"),
        (order("a", Side.BUY, "9", 5_000, 10), "MARKET_NOT_READY"),
        (NewOrder("0xp", "a", YES, Side.BUY, OrderType.FAK, 1_005_000, 2_010_000), "AMOUNTS"),
        (NewOrder("0xq", "a", YES, Side.BUY, OrderType.FAK, 1_000_000, 2_000_001), "AMOUNTS"),
        (NewOrder("0xz", "a", YES, Side.BUY, OrderType.GTC, 0, 10), "INVALID_PAYLOAD"),
    ],
)
def test_bad_orders_are_refused_with_a_code(new: NewOrder, code: str) -> None:
    exchange = exchange_with("a")
    with pytest.raises(OrderRejected) as refused:
        place(exchange, new)
    assert refused.value.code == code
    assert exchange.orders == {}


def test_a_marketable_buy_under_a_dollar_is_refused() -> None:
    exchange = exchange_with("a", "b")
    place(exchange, order("a", Side.SELL, YES, 1_000, 10))
    with pytest.raises(OrderRejected) as refused:
        place(exchange, order("b", Side.BUY, YES, 1_000, 9, OrderType.FAK))
    assert refused.value.code == "MIN_AMOUNT"


def test_resting_orders_reserve_what_they_may_need() -> None:
    exchange = exchange_with("a")
    buy = place(exchange, order("a", Side.BUY, YES, 5_000, 1_900))
    with pytest.raises(OrderRejected):
        place(exchange, order("a", Side.BUY, YES, 5_000, 200))
    assert exchange.cancel(buy.new.order_hash) == ""
    exchange.check()
    place(exchange, order("a", Side.BUY, YES, 5_000, 200))


def test_nothing_trades_without_allowance() -> None:
    exchange = exchange_with("a")
    exchange.ledger.approve("a", cash_allowance=0, shares=False)
    for side in Side:
        with pytest.raises(OrderRejected) as refused:
            place(exchange, order("a", side, YES, 5_000, 10))
        assert refused.value.code == "NOT_ENOUGH_BALANCE"


def test_the_taker_pays_the_fee_and_the_maker_none() -> None:
    exchange = exchange_with("maker", "taker", fee_rate="0.05")
    place(exchange, order("maker", Side.SELL, YES, 5_000, 100))
    place(exchange, order("taker", Side.BUY, YES, 5_000, 100))
    exchange.advance(0)
    exchange.check()
    assert exchange.ledger.wallet("taker").cash == (1_000 - 50) * USD - 1_250_000
    assert exchange.ledger.wallet("maker").cash == (1_000 + 50) * USD
    assert exchange.ledger.fees_units == 1_250_000


def test_bought_shares_can_be_sold_only_once_mined() -> None:
    exchange = exchange_with("a", mined_after_ms=500)
    exchange.ledger.deposit("b", 100 * USD)
    exchange.ledger.approve("b")
    place(exchange, order("a", Side.SELL, YES, 5_000, 10))
    place(exchange, order("b", Side.BUY, YES, 5_000, 10))
    with pytest.raises(OrderRejected):
        place(exchange, order("b", Side.SELL, YES, 6_000, 10))
    exchange.advance(499)
    assert exchange.ledger.wallet("b").shares == {}
    exchange.advance(500)
    exchange.check()
    place(exchange, order("b", Side.SELL, YES, 6_000, 10))


def test_a_failed_trade_gives_everything_back() -> None:
    exchange = exchange_with("a", "b", fee_rate="0.05", mined_after_ms=10)
    before = [(w.cash, dict(w.shares)) for w in exchange.ledger.wallets.values()]
    place(exchange, order("a", Side.SELL, YES, 5_000, 10))
    exchange.place(order("b", Side.BUY, YES, 5_000, 10), now_ms=0, doomed=True)
    exchange.check()
    exchange.advance(10)
    exchange.check()
    assert [t.status for t in exchange.trades.values()] == [TradeStatus.FAILED]
    assert [(w.cash, dict(w.shares)) for w in exchange.ledger.wallets.values()] == before


def test_trades_live_matched_mined_confirmed() -> None:
    exchange = Exchange(mined_after_ms=10, confirmed_after_ms=20)
    exchange.add_market(MarketSpec(CONDITION, (YES, NO)))
    for wallet in "ab":
        exchange.ledger.deposit(wallet, 100 * USD)
        exchange.ledger.approve(wallet)
    place(exchange, order("a", Side.BUY, NO, 5_000, 10))
    place(exchange, order("b", Side.BUY, YES, 5_000, 10))
    (trade,) = exchange.trades.values()
    seen = []
    for now in (5, 10, 20):
        exchange.advance(now)
        seen.append(trade.status)
    assert seen == [TradeStatus.MATCHED, TradeStatus.MINED, TradeStatus.CONFIRMED]


def test_gtd_dies_a_minute_before_its_stated_time() -> None:
    exchange = exchange_with("a")
    resting = place(exchange, order("a", Side.BUY, YES, 5_000, 10, OrderType.GTD, expiration_s=300))
    exchange.advance(239_999)
    assert resting.status is VenueOrderStatus.LIVE
    exchange.advance(240_000)
    assert (resting.status, resting.reason) == (VenueOrderStatus.CANCELED, "CANCELED_EXPIRED_ORDER")
    assert exchange.ledger.wallet("a").reserved_cash == 0


def test_nobody_cancels_the_order_of_another() -> None:
    exchange = exchange_with("a", "b")
    resting = place(exchange, order("a", Side.BUY, YES, 5_000, 10))
    assert exchange.cancel(resting.new.order_hash, wallet="b") == "order not found"
    assert resting.status is VenueOrderStatus.LIVE


def test_a_canceled_order_says_so_when_canceled_again() -> None:
    exchange = exchange_with("a")
    resting = place(exchange, order("a", Side.BUY, YES, 5_000, 10))
    exchange.cancel(resting.new.order_hash)
    assert exchange.cancel(resting.new.order_hash) == "order already canceled"


def test_levels_are_told_with_absolute_sizes() -> None:
    exchange = exchange_with("a", "b")
    place(exchange, order("a", Side.SELL, YES, 5_000, 30))
    exchange.drain()
    place(exchange, order("b", Side.BUY, YES, 5_000, 10))
    levels = [event for event in exchange.drain() if isinstance(event, LevelChanged)]
    assert levels == [LevelChanged(CONDITION, Side.SELL, 5_000, 20 * USD)]


def test_a_new_tick_binds_new_orders() -> None:
    exchange = exchange_with("a")
    exchange.change_tick(CONDITION, 10)
    place(exchange, order("a", Side.BUY, YES, 5_010, 10))


def test_resolution_pays_a_dollar_per_winning_share_and_closes() -> None:
    exchange = exchange_with("a")
    place(exchange, order("a", Side.BUY, YES, 5_000, 10))
    assert exchange.resolve(CONDITION, YES, now_ms=0) == {"a": 1_000 * USD}
    exchange.check()
    assert exchange.ledger.wallet("a").cash == 2_000 * USD
    with pytest.raises(OrderRejected):
        place(exchange, order("a", Side.BUY, YES, 5_000, 10))


def external_book() -> Book:
    book = Book()
    book.replace(bids=[(4_800, 50 * USD)], asks=[(5_000, 10 * USD), (5_200, 50 * USD)])
    return book


def test_taking_from_a_foreign_book_walks_it_within_the_limit() -> None:
    fee = FeeSchedule(Decimal("0.05"))
    got = take_from_book(external_book(), Side.BUY, 5_200, 10 * USD, OrderType.FAK, fee)
    assert [(f.price_units, f.share_units) for f in got] == [(5_000, 10 * USD), (5_200, 9_615_375)]
    assert sum(f.cost_units for f in got) <= 10 * USD
    assert got[0].fee_units == 125_000


def test_taking_from_a_foreign_book_keeps_fill_or_kill() -> None:
    fee = FeeSchedule(Decimal(0))
    with pytest.raises(OrderRejected):
        take_from_book(external_book(), Side.SELL, 4_800, 51 * USD, OrderType.FOK, fee)
    with pytest.raises(OrderRejected):
        take_from_book(external_book(), Side.SELL, 4_900, 1 * USD, OrderType.FAK, fee)
    assert take_from_book(external_book(), Side.SELL, 4_900, 1 * USD, OrderType.GTC, fee) == []


def test_the_fee_of_many_small_makers_is_checked_before_it_is_taken() -> None:
    exchange = exchange_with("maker", fee_rate="0.0006")
    exchange.ledger.deposit("taker", 10 * USD)
    exchange.ledger.approve("taker")
    for _ in range(4):
        place(exchange, order("maker", Side.SELL, YES, 5_000, 5))
    with pytest.raises(OrderRejected) as refused:
        place(exchange, order("taker", Side.BUY, YES, 5_000, 20))
    assert refused.value.code == "NOT_ENOUGH_BALANCE"
