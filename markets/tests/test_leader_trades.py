from datetime import timedelta
from decimal import Decimal

import pytest

from markets.models import LeaderPosition, LeaderTrade, Market, Token
from markets.services import leader_trades, watch
from markets.tests.factories import LEADER, NOW, make_token, seen
from markets.venue.ports import Side

pytestmark = pytest.mark.django_db

TX = "0x" + "1" * 64


def test_a_trade_told_twice_is_one_row_with_both_arrivals() -> None:
    token = make_token()
    first = leader_trades.record(seen=[seen(token_id=token.token_id, tx=TX)], now=NOW)
    again = leader_trades.record(seen=[seen(token_id=token.token_id, tx=TX, source="data_api")], now=NOW)
    row = LeaderTrade.objects.get()
    assert (first.new_ids, again.new_ids, again.known) == ((row.pk,), (), 1)
    assert row.first_source == "rtds"
    assert row.rtds_at is not None
    assert row.data_api_at is not None


def test_a_second_arrival_of_the_same_source_keeps_the_first_time() -> None:
    token = make_token()
    leader_trades.record(seen=[seen(token_id=token.token_id, tx=TX)], now=NOW)
    before = LeaderTrade.objects.get().rtds_at
    leader_trades.record(seen=[seen(token_id=token.token_id, tx=TX, at=NOW + timedelta(seconds=5))], now=NOW)
    assert LeaderTrade.objects.get().rtds_at == before


def test_the_same_fill_printed_with_other_digits_by_another_source_is_one_row() -> None:
    token = make_token()
    leader_trades.record(seen=[seen(token_id=token.token_id, tx=TX, price="0.4866666667", shares="30.5")], now=NOW)
    leader_trades.record(
        seen=[seen(token_id=token.token_id, tx=TX, price="0.48666", shares="30.500001", source="data_api")], now=NOW
    )
    assert LeaderTrade.objects.count() == 1


def test_near_fills_of_one_source_are_two_fills() -> None:
    token = make_token()
    for shares in ("30.5", "30.501"):
        leader_trades.record(seen=[seen(token_id=token.token_id, tx=TX, shares=shares)], now=NOW)
    assert LeaderTrade.objects.count() == 2


def test_one_batch_may_repeat_a_trade_and_hold_nonsense() -> None:
    token = make_token()
    good = seen(token_id=token.token_id, tx=TX)
    batch = [good, good, seen(token_id=token.token_id, price="1.5"), seen(token_id=token.token_id, shares="NaN")]
    recorded = leader_trades.record(seen=batch, now=NOW)
    assert (len(recorded.new_ids), recorded.unreadable) == (1, 2)


def test_an_unknown_token_is_recorded_with_its_fee_unknown() -> None:
    recorded = leader_trades.record(seen=[seen(token_id="777")], now=NOW)
    assert recorded.undescribed_tokens == ("777",)
    assert Market.objects.get().fee_rate is None
    assert Token.objects.get().outcome == "Yes"
    assert LeaderTrade.objects.count() == 1


def test_holdings_move_with_trades_and_each_fill_knows_what_was_held_before() -> None:
    token = make_token()
    leader_trades.record(
        seen=[
            seen(token_id=token.token_id, shares="100"),
            seen(token_id=token.token_id, shares="40", side=Side.SELL, at=NOW + timedelta(seconds=1)),
            seen(token_id=token.token_id, shares="60", side=Side.SELL, at=NOW + timedelta(seconds=2)),
        ],
        now=NOW,
    )
    held = list(LeaderTrade.objects.order_by("traded_at").values_list("held_before_shares", flat=True))
    assert held == [0, 100, 60]
    assert LeaderPosition.objects.get().shares == 0


def test_a_sale_of_something_never_seen_has_an_unknown_holding() -> None:
    token = make_token()
    leader_trades.record(seen=[seen(token_id=token.token_id, side=Side.SELL)], now=NOW)
    assert LeaderTrade.objects.get().held_before_shares is None


def test_a_snapshot_is_moved_on_by_later_trades_only() -> None:
    token = make_token()
    leader_trades.record(seen=[seen(token_id=token.token_id, shares="5", at=NOW - timedelta(seconds=9))], now=NOW)
    leader_trades.record(seen=[seen(token_id=token.token_id, shares="7", at=NOW + timedelta(seconds=3))], now=NOW)
    watch.store_positions(wallet=LEADER, shares={token.token_id: (Decimal(50), NOW), "unknown": (Decimal(1), NOW)})
    assert LeaderPosition.objects.get().shares == 57
    late = seen(token_id=token.token_id, shares="2", at=NOW - timedelta(seconds=1), source="data_api")
    leader_trades.record(seen=[late], now=NOW)
    assert LeaderPosition.objects.get().shares == 57, "a trade the snapshot contains must not count twice"
