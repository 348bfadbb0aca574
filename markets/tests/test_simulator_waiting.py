"""Orders that wait before they take, and markets whose holders redeem for themselves."""

import pytest

from markets.tests.test_simulator import CONDITION, NO, USD, YES, exchange_with, order, place
from markets.venue.ports import OrderType, Side, VenueOrderStatus
from markets.venue.simulator.admission import Believed
from markets.venue.simulator.ledger import InsufficientFunds, LedgerBroken
from markets.venue.simulator.matching import Exchange
from markets.venue.simulator.orders import NewOrder, Order, OrderRejected

DELAY_MS = 3_000


def delayed(exchange: Exchange, new: NewOrder) -> Order:
    return exchange.place(new, now_ms=0, delay_ms=DELAY_MS)


def test_an_order_that_would_take_waits_holds_its_money_and_cannot_be_canceled() -> None:
    exchange = exchange_with("a", "b")
    place(exchange, order("a", Side.SELL, YES, 5_000, 10))
    waiting = delayed(exchange, order("b", Side.BUY, YES, 5_000, 10))
    assert (waiting.status, waiting.matched_units) == (VenueOrderStatus.DELAYED, 0)
    assert exchange.ledger.wallet("b").reserved_cash == 5 * USD
    assert exchange.cancel(waiting.new.order_hash) == "order is delayed and can't be canceled"
    exchange.advance(DELAY_MS - 1)
    assert waiting.matched_units == 0
    exchange.advance(DELAY_MS)
    assert (waiting.status, waiting.matched_units) == (VenueOrderStatus.MATCHED, 10 * USD)
    assert exchange.ledger.wallet("b").reserved_cash == 0
    exchange.check()


def test_an_order_that_takes_nothing_does_not_wait() -> None:
    exchange = exchange_with("a")
    assert delayed(exchange, order("a", Side.BUY, YES, 4_000, 10)).status is VenueOrderStatus.LIVE


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (OrderType.GTC, VenueOrderStatus.LIVE),
        (OrderType.FAK, VenueOrderStatus.CANCELED),
        (OrderType.FOK, VenueOrderStatus.CANCELED),
    ],
)
def test_when_the_book_left_meanwhile_it_rests_or_is_killed(kind: OrderType, status: VenueOrderStatus) -> None:
    exchange = exchange_with("a", "b")
    offered = place(exchange, order("a", Side.SELL, YES, 5_000, 10))
    waiting = delayed(exchange, order("b", Side.BUY, YES, 5_000, 10, kind))
    exchange.cancel(offered.new.order_hash)
    exchange.advance(DELAY_MS)
    assert (waiting.status, waiting.matched_units) == (status, 0)
    assert exchange.ledger.wallet("b").reserved_cash == (5 * USD if status is VenueOrderStatus.LIVE else 0)
    exchange.check()


def test_a_market_that_is_decided_ends_orders_that_wait() -> None:
    exchange = exchange_with("a", "b")
    place(exchange, order("a", Side.SELL, YES, 5_000, 10))
    waiting = delayed(exchange, order("b", Side.BUY, YES, 5_000, 10))
    exchange.close(CONDITION, NO, now_ms=1)
    assert (waiting.status, waiting.reason) == (VenueOrderStatus.CANCELED, "CANCELED_MARKET_RESOLVED")
    exchange.advance(DELAY_MS)
    assert waiting.matched_units == 0
    exchange.check()


def test_a_decided_market_pays_each_holder_when_it_redeems() -> None:
    exchange = exchange_with("a", "b")
    exchange.close(CONDITION, YES, now_ms=0)
    exchange.check()
    ledger = exchange.ledger
    assert ledger.wallet("a").cash == 1_000 * USD
    assert ledger.redeem_wallet("a", CONDITION, (YES, NO)) == 1_000 * USD
    exchange.check()
    assert (ledger.wallet("a").cash, ledger.wallet("a").shares) == (2_000 * USD, {})
    assert ledger.wallet("b").shares == {YES: 1_000 * USD, NO: 1_000 * USD}
    assert ledger.redeem_wallet("a", CONDITION, (YES, NO)) == 0


def test_an_undecided_outcome_pays_half_for_either_share() -> None:
    exchange = exchange_with("a")
    exchange.ledger.move_shares("a", "b", NO, 3)
    assert exchange.resolve(CONDITION, "", now_ms=0, payouts=(1, 1)) == {"a": 1_000 * USD - 2, "b": 1}
    exchange.check()


def test_money_that_vanishes_from_a_decided_market_is_noticed() -> None:
    exchange = exchange_with("a")
    exchange.close(CONDITION, YES, now_ms=0)
    exchange.ledger.wallet("a").shares[YES] -= 1
    with pytest.raises(LedgerBroken):
        exchange.check()


def test_nobody_transfers_or_withdraws_what_orders_hold_back() -> None:
    exchange = exchange_with("a")
    place(exchange, order("a", Side.BUY, YES, 5_000, 100))
    place(exchange, order("a", Side.SELL, YES, 6_000, 400))
    with pytest.raises(InsufficientFunds):
        exchange.ledger.move_cash("a", "b", 951 * USD)
    with pytest.raises(InsufficientFunds):
        exchange.ledger.move_shares("a", "b", YES, 601 * USD)
    exchange.ledger.move_cash("a", "b", 900 * USD)
    exchange.ledger.withdraw("a", 50 * USD)
    exchange.ledger.move_shares("a", "b", YES, 600 * USD)
    exchange.check()


def test_a_restored_ledger_is_as_it_was() -> None:
    exchange = exchange_with("a", "b")
    place(exchange, order("a", Side.BUY, YES, 5_000, 10))
    ledger = exchange.ledger
    before, kept = repr(vars(ledger)), ledger.snapshot()
    ledger.split("a", CONDITION, (YES, NO), 100 * USD)
    ledger.move_cash("a", "somebody new", 100 * USD)
    ledger.move_shares("b", "a", YES, USD)
    ledger.withdraw("b", USD)
    assert repr(vars(ledger)) != before
    ledger.restore(kept)
    assert repr(vars(ledger)) == before
    exchange.check()


def test_what_the_venue_believes_a_wallet_owns_binds_its_orders() -> None:
    exchange = exchange_with("a")
    for believed in (Believed(owned=4 * USD, allowed=9 * USD), Believed(owned=9 * USD, allowed=4 * USD)):
        with pytest.raises(OrderRejected, match="not enough balance / allowance"):
            exchange.place(order("a", Side.BUY, YES, 5_000, 10), now_ms=0, believed=believed)
    exchange.place(order("a", Side.BUY, YES, 5_000, 10), now_ms=0, believed=Believed(5 * USD, 5 * USD))
