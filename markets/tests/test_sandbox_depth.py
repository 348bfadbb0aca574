"""The depth model and the replay on top of it."""

import asyncio
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from markets.venue.ports import Side
from markets.venue.sandbox import depth
from markets.venue.sandbox.core import Sandbox, UnknownMarket
from markets.venue.sandbox.events import BookEvent, LeaderTradeEvent, MarketDef, ResolveEvent, TickSizeEvent
from markets.venue.sandbox.market_maker import WALLET
from markets.venue.sandbox.replay import Replay
from markets.venue.simulator.orders import lot_units
from polyhub.lib import money

LEADER = "0x" + "1e" * 20
MARKET = MarketDef(condition_id="0xc", token_ids=("1", "2"), slug="one", fee_rate=Decimal("0.05"))


class Clock:
    def __init__(self) -> None:
        self.ms = 1_800_000_000_000

    def __call__(self) -> int:
        return self.ms


def replay_of(*markets: MarketDef) -> tuple[Sandbox, Replay, Clock]:
    clock = Clock()
    sandbox = Sandbox(now_ms=clock)
    sandbox.load_markets(markets or (MARKET,))
    return sandbox, Replay(sandbox), clock


def trade(side: str, price: str, size: str, token: str = "1", at_ms: int = 0) -> LeaderTradeEvent:
    return LeaderTradeEvent(
        at_ms=at_ms,
        wallet=LEADER,
        token_id=token,
        condition_id="0xc",
        side="BUY" if side == "BUY" else "SELL",
        price=Decimal(price),
        size=Decimal(size),
        tx_hash="0xabc",
    )


@given(
    st.decimals("0.001", "0.999", places=6),
    st.integers(10_000, 10**12),
    st.sampled_from([10, 25, 50, 100, 1_000]),
)
def test_parts_lie_on_the_grid_and_average_to_the_price(price: Decimal, shares: int, tick: int) -> None:
    parts = depth.parts_of(price, shares, tick)
    assert all(level % tick == 0 and 0 < level < money.PRICE_UNITS for level, _ in parts)
    assert all(amount % lot_units(level) == 0 for level, amount in parts)
    total = sum(amount for _, amount in parts)
    assert shares - 20_000 <= total <= shares
    inside = tick <= price * money.PRICE_UNITS <= money.PRICE_UNITS - tick
    if inside and total > 10**9:
        average = Decimal(sum(level * amount for level, amount in parts)) / total
        assert abs(average - price * money.PRICE_UNITS) < 1


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["BUY", "SELL"]),
    st.decimals("0.02", "0.98", places=4),
    st.decimals("1", "5000", places=2),
    st.sampled_from(["1", "2"]),
)
def test_a_recorded_trade_executes_at_its_price_and_size(side: str, price: Decimal, size: Decimal, token: str) -> None:
    sandbox, replay, clock = replay_of()
    order = replay.leader_trade(trade(side, str(price), str(size), token))
    assert order is not None
    assert abs(Decimal(order.matched_units) / money.UNITS - size) <= Decimal("0.02")
    assert abs(Decimal(order.matched_cost_units) / order.matched_units - price) < Decimal("0.0001")
    clock.ms += 10_000
    sandbox.tick()
    sandbox.exchange.check()


def test_followers_find_a_level_at_the_leaders_price_and_worse_ones_behind() -> None:
    sandbox, replay, _ = replay_of()
    replay.leader_trade(trade("BUY", "0.60", "1000"))
    _, asks = sandbox.exchange.levels("1")
    assert [price for price, _ in asks[:3]] == [6_000, 6_100, 6_200]
    assert asks[0][1] == depth.level_shares(6_000, 0)
    bids, _ = sandbox.exchange.levels("1")
    assert bids[0][0] == 5_900


def test_quotes_taken_by_others_come_back() -> None:
    sandbox, replay, clock = replay_of()
    replay.leader_trade(trade("BUY", "0.60", "1000"))
    before = sandbox.exchange.levels("1")
    sandbox.maker.taken("0xc", now_ms=clock.ms)
    clock.ms += depth.REFILL_MS
    sandbox.tick()
    assert sandbox.exchange.levels("1") == before


def test_a_recorded_book_stands_in_place_of_the_ladder() -> None:
    sandbox, replay, _ = replay_of()
    book = BookEvent(
        at_ms=0,
        token_id="2",
        bids=((Decimal("0.40"), Decimal(7)),),
        asks=((Decimal("0.43"), Decimal(9)), (Decimal("0.50"), Decimal(11))),
    )
    replay.apply(book)
    assert sandbox.exchange.levels("2") == ([(4_000, 7_000_000)], [(4_300, 9_000_000), (5_000, 11_000_000)])
    replay.leader_trade(trade("BUY", "0.43", "20", token="2"))
    _, asks = sandbox.exchange.levels("2")
    assert [price for price, _ in asks] == [4_300, 5_000]


def test_a_leader_may_sell_what_the_tape_never_saw_it_buy() -> None:
    sandbox, replay, _ = replay_of()
    order = replay.leader_trade(trade("SELL", "0.30", "100"))
    assert order is not None
    assert order.new.side is Side.SELL
    sandbox.exchange.check()


def test_a_tick_event_changes_the_grid() -> None:
    sandbox, replay, _ = replay_of()
    replay.apply(TickSizeEvent(at_ms=0, condition_id="0xc", tick_size=Decimal("0.001")))
    replay.leader_trade(trade("BUY", "0.605", "100"))
    assert sandbox.exchange.levels("1")[1][0][0] == 6_050


def test_resolution_withdraws_the_maker_and_pays_the_winner() -> None:
    sandbox, replay, clock = replay_of()
    replay.leader_trade(trade("BUY", "0.60", "100"))
    clock.ms += 10_000
    sandbox.tick()
    cash = sandbox.exchange.ledger.wallet(LEADER).cash
    replay.apply(ResolveEvent(at_ms=0, condition_id="0xc", winning_token_id="1"))
    sandbox.exchange.check()
    assert sandbox.exchange.ledger.wallet(LEADER).cash == cash + 100 * money.UNITS
    assert sandbox.exchange.ledger.wallet(WALLET).reserved_cash == 0
    with pytest.raises(UnknownMarket):
        replay.apply(trade("BUY", "0.60", "100"))


async def test_events_play_in_order_at_the_chosen_speed_and_bad_ones_are_left_out() -> None:
    sandbox, replay, _ = replay_of()
    events = [
        trade("BUY", "0.60", "10", at_ms=0),
        trade("BUY", "0.61", "10", token="9", at_ms=1_000),
        trade("BUY", "0.62", "10", at_ms=2_000),
    ]
    await asyncio.wait_for(replay.play(events, 100.0), 5)
    assert replay.played == 3
    assert [t.taker.price_units for t in sandbox.exchange.trades.values()] == [6_000, 6_200]


async def test_a_paused_tape_plays_nothing_until_it_goes_on() -> None:
    _, replay, _ = replay_of()
    replay.paused = True
    playing = asyncio.create_task(replay.play([trade("BUY", "0.60", "10")], 1.0))
    await asyncio.sleep(0)
    assert replay.played == 0
    replay.paused = False
    await asyncio.wait_for(playing, 5)
    assert replay.played == 1
