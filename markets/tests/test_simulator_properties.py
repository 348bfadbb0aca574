"""What must hold whatever is sent to the exchange."""

from contextlib import suppress
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from markets.venue.ports import OrderType, Side
from markets.venue.simulator.matching import Exchange
from markets.venue.simulator.orders import MarketSpec, NewOrder, OrderRejected
from polyhub.lib import money

YES, NO, CONDITION = "1", "2", "0xc"
TOKENS = (YES, NO)
WALLETS = ("a", "b", "c")

ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(WALLETS),
        st.sampled_from(list(Side)),
        st.sampled_from(TOKENS),
        st.integers(1, 999),  # tick of 0.001
        st.integers(1, 20_000),  # cents of a share
        st.sampled_from([OrderType.GTC, OrderType.GTC, OrderType.FAK, OrderType.FOK]),
        st.booleans(),  # settlement fails
        st.sampled_from(["", "", "cancel", "advance"]),
    ),
    max_size=40,
)
Action = tuple[str, Side, str, int, int, OrderType, bool, str]


def new_exchange() -> Exchange:
    exchange = Exchange(mined_after_ms=3, confirmed_after_ms=5)
    exchange.add_market(MarketSpec(CONDITION, TOKENS, tick_units=10, min_share_units=10_000, fee_rate=Decimal("0.07")))
    for wallet in WALLETS:
        exchange.ledger.deposit(wallet, 300 * money.UNITS)
        exchange.ledger.approve(wallet)
        exchange.ledger.split(wallet, CONDITION, TOKENS, 100 * money.UNITS)
    return exchange


def order_of(name: str, action: Action) -> NewOrder:
    wallet, side, token, tick, cents, kind, _, _ = action
    shares = cents * 10_000
    cash = shares * tick * 10 // money.PRICE_UNITS
    if side is Side.BUY and kind in (OrderType.FAK, OrderType.FOK):
        cash = max(cash - cash % 10_000, 10_000)
        shares = cash * money.PRICE_UNITS // (tick * 10) // 100 * 100
    maker, taker = (cash, shares) if side is Side.BUY else (shares, cash)
    return NewOrder(name, wallet, token, side, kind, maker, taker)


def run(exchange: Exchange, actions: list[Action], *, mirrored: bool = False) -> None:
    for now, action in enumerate(map(mirror, actions) if mirrored else actions):
        with suppress(OrderRejected):
            exchange.place(order_of(f"0x{now}", action), now_ms=now, doomed=action[6])
        if action[7] == "cancel":
            exchange.cancel(f"0x{now // 2}")
        if action[7] == "advance":
            exchange.advance(now)
        exchange.check()


def mirror(action: Action) -> Action:
    """The same order said in the other token: BUY YES at p is SELL NO at 1 - p."""
    wallet, side, token, tick, cents, kind, doomed, then = action
    other = Side.SELL if side is Side.BUY else Side.BUY
    return wallet, other, NO if token == YES else YES, 1_000 - tick, cents, kind, doomed, then


@settings(max_examples=200, deadline=None)
@given(ACTIONS)
def test_cash_and_shares_are_conserved_and_never_negative(actions: list[Action]) -> None:
    exchange = new_exchange()
    run(exchange, actions)
    exchange.advance(10**9)
    exchange.check()
    assert exchange.ledger.cash_in_flight == 0
    assert not any(exchange.ledger.shares_in_flight.values())


@settings(max_examples=100, deadline=None)
@given(ACTIONS)
def test_the_book_is_never_left_crossed(actions: list[Action]) -> None:
    exchange = new_exchange()
    for now, action in enumerate(actions):
        try:
            exchange.place(order_of(f"0x{now}", action), now_ms=now)
        except OrderRejected:
            continue
        for token in TOKENS:
            bids, asks = exchange.levels(token)
            assert not (bids and asks and bids[0][0] >= asks[0][0])


@settings(max_examples=100, deadline=None)
@given(ACTIONS)
def test_makers_trade_by_price_then_time_at_their_own_price(actions: list[Action]) -> None:
    exchange = new_exchange()
    arrival: dict[str, int] = {}
    for now, action in enumerate(actions):
        known = set(exchange.trades)
        try:
            order = exchange.place(order_of(f"0x{now}", action), now_ms=now)
        except OrderRejected:
            continue
        arrival[order.new.order_hash] = now
        sign = 1 if order.new.side is Side.BUY else -1
        ranks = []
        for trade_id in order.trade_ids:
            assert trade_id not in known
            trade = exchange.trades[trade_id]
            for maker in trade.makers:
                same = maker.token_id == trade.taker.token_id
                price = maker.price_units if same else money.PRICE_UNITS - maker.price_units
                assert price == trade.taker.price_units
                assert sign * price <= sign * order.price_units
                assert maker.price_units == exchange.orders[maker.order_hash].price_units
                ranks.append((sign * price, arrival[maker.order_hash]))
        assert ranks == sorted(ranks)


@settings(max_examples=100, deadline=None)
@given(ACTIONS)
def test_each_order_trades_exactly_the_sum_of_its_fills(actions: list[Action]) -> None:
    exchange = new_exchange()
    run(exchange, actions)
    filled: dict[str, int] = {}
    for trade in exchange.trades.values():
        for leg in (trade.taker, *trade.makers):
            filled[leg.order_hash] = filled.get(leg.order_hash, 0) + leg.share_units
            assert leg.price_units * leg.share_units % money.PRICE_UNITS == 0
        assert trade.taker.share_units == sum(maker.share_units for maker in trade.makers)
    assert {name: order.matched_units for name, order in exchange.orders.items() if order.matched_units} == filled


@settings(max_examples=100, deadline=None)
@given(ACTIONS)
def test_an_order_and_its_mirror_in_the_other_token_make_the_same_book(actions: list[Action]) -> None:
    """Limit orders only, of wallets so rich that no balance decides."""
    limits: list[Action] = [(a[0], a[1], a[2], a[3], a[4], OrderType.GTC, False, a[7]) for a in actions]
    plain, mirrored = new_exchange(), new_exchange()
    for exchange in (plain, mirrored):
        for wallet in WALLETS:
            exchange.ledger.deposit(wallet, 10**13)
            exchange.ledger.split(wallet, CONDITION, TOKENS, 10**12)
    # The one dollar minimum is worth p in one token and 1 - p in the other, so both are kept above it.
    limits = [(*a[:4], max(a[4], 100_000 // min(a[3], 1_000 - a[3]) + 1), *a[5:]) for a in limits]
    run(plain, limits)
    run(mirrored, limits, mirrored=True)
    assert plain.levels(YES) == mirrored.levels(YES)
    assert plain.levels(NO) == mirrored.levels(NO)
