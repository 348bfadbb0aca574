"""Verdicts, orders and obligations in one transaction."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from copytrade.domain.rules import Sizing
from copytrade.models import CopyDecision, LeaderBook
from copytrade.services import rules
from copytrade.tests.factories import book, decide_all, fill, follow, leader_does, orders_of
from markets.models import LeaderTrade
from markets.tests.factories import NOW, make_token
from markets.venue.ports import Side
from polyhub.lib import money
from polyhub.lib.models import PushEvent
from trading.tests import factories as trading

pytestmark = pytest.mark.django_db

OTHER = "0x" + "cd" * 20
TX = "0x" + "7" * 64


def verdicts() -> list[tuple[str, str]]:
    return list(CopyDecision.objects.order_by("id").values_list("verdict", "code"))


def test_every_follower_gets_one_verdict_and_one_order_however_often_it_runs() -> None:
    token, followers = make_token(), [follow(trading.account()) for _ in range(3)]
    leader_does(Side.BUY, token)
    assert decide_all(token) == 3
    assert decide_all(token) == 0
    assert verdicts() == [("ORDERED", "COPIED")] * 3
    assert [len(orders_of(rule)) for rule in followers] == [1, 1, 1]
    assert LeaderTrade.objects.get().decided_at is not None


def test_an_order_names_its_rule_its_worst_price_and_its_share_of_the_size() -> None:
    token, rule = make_token(), follow(trading.account())
    leader_does(Side.BUY, token, price="0.5", shares="200")
    decide_all(token)
    (order,) = orders_of(rule)
    assert (order.source, order.order_type, order.side) == ("copy", "FAK", "BUY")
    assert order.price == Decimal("0.51")
    assert order.shares <= 20
    assert CopyDecision.objects.get().order_id == order.pk


def test_fills_of_one_leader_order_share_one_order() -> None:
    token, rule = make_token(), follow(trading.account())
    for shares in ("60", "140"):
        leader_does(Side.BUY, token, shares=shares, tx=TX)
    assert decide_all(token) == 2
    assert len(orders_of(rule)) == 1
    assert len(set(CopyDecision.objects.values_list("order_id", flat=True))) == 1


def test_a_fill_told_later_adds_its_own_share_for_a_ratio_and_nothing_for_fixed_dollars() -> None:
    token = make_token()
    ratio = follow(trading.account())
    fixed = follow(trading.account(), sizing=Sizing.FIXED, ratio=None, fixed_usdc=Decimal(10))
    leader_does(Side.BUY, token, shares="100", tx=TX)
    decide_all(token)
    leader_does(Side.BUY, token, shares="150", tx=TX)
    decide_all(token)
    assert sum(order.shares for order in orders_of(ratio)) <= 25
    assert len(orders_of(ratio)) == 2
    assert len(orders_of(fixed)) == 1
    assert CopyDecision.objects.filter(rule=fixed).latest("id").code == "ALREADY_ORDERED"


def test_what_the_risk_gate_denies_is_a_skip_with_its_code() -> None:
    token, rule = make_token(), follow(trading.account(cash="2"))
    leader_does(Side.BUY, token)
    decide_all(token)
    decision = CopyDecision.objects.get(rule=rule)
    assert (decision.verdict, decision.code) == ("SKIPPED", "RISK_CASH_SHORT")
    assert decision.numbers["free"]


def test_a_shard_decides_for_its_own_accounts_and_the_last_one_finishes_the_trade() -> None:
    token = make_token()
    follow(trading.account(shard_key=4))
    follow(trading.account(shard_key=5))
    leader_does(Side.BUY, token)
    assert decide_all(token, shard=0, shards=2) == 1
    assert LeaderTrade.objects.get().decided_at is None
    assert decide_all(token, shard=1, shards=2) == 1
    assert LeaderTrade.objects.get().decided_at is not None


def test_what_the_leader_did_before_the_rule_is_not_copied() -> None:
    token, _ = make_token(), follow(trading.account())
    leader_does(Side.BUY, token, at=NOW - timedelta(hours=1))
    assert decide_all(token) == 0
    assert LeaderTrade.objects.get().decided_at is not None


def test_a_paused_rule_skips_entries_and_follows_exits() -> None:
    token, rule = make_token(), follow(trading.account())
    leader_does(Side.BUY, token)
    decide_all(token)
    fill(orders_of(rule)[0])
    rules.pause_rule(rule=rule, now=NOW)
    leader_does(Side.BUY, token, at=NOW + timedelta(seconds=1))
    leader_does(Side.SELL, token, shares="400", at=NOW + timedelta(seconds=2))
    decide_all(token)
    assert [code for _, code in verdicts()] == ["COPIED", "RULE_PAUSED", "EXIT_ORDERED"]


def test_a_stopped_rule_gets_no_verdict_on_entries_and_still_exits() -> None:
    token, rule = make_token(), follow(trading.account())
    leader_does(Side.BUY, token)
    decide_all(token)
    fill(orders_of(rule)[0])
    rules.stop_rule(rule=rule, now=NOW)
    leader_does(Side.BUY, token, at=NOW + timedelta(seconds=1))
    leader_does(Side.SELL, token, shares="400", at=NOW + timedelta(seconds=2))
    decide_all(token)
    assert [code for _, code in verdicts()] == ["COPIED", "EXIT_ORDERED"]


def test_an_exit_sells_the_leaders_share_of_what_is_booked_for_that_leader_only() -> None:
    token, account = make_token(), trading.account()
    mine, others = follow(account), follow(account, leader=OTHER)
    leader_does(Side.BUY, token, shares="200")
    leader_does(Side.BUY, token, shares="400", wallet=OTHER)
    decide_all(token)
    for order in (*orders_of(mine), *orders_of(others)):
        fill(order)
    bought = orders_of(mine)[0].shares
    leader_does(Side.SELL, token, shares="50", at=NOW + timedelta(seconds=1))
    decide_all(token)
    exit_order = orders_of(mine)[1]
    assert (exit_order.side, exit_order.shares) == (
        "SELL",
        (bought / 4).quantize(Decimal("0.01"), rounding="ROUND_DOWN"),
    )
    assert len(orders_of(others)) == 1


def test_a_sale_without_booked_shares_is_skipped() -> None:
    token, _ = make_token(), follow(trading.account())
    leader_does(Side.SELL, token)
    decide_all(token)
    assert verdicts() == [("SKIPPED", "NO_SHARES_OF_LEADER")]


def test_an_exit_that_cannot_be_sent_is_owed_not_skipped() -> None:
    token, rule = make_token(), follow(trading.account())
    leader_does(Side.BUY, token)
    decide_all(token)
    fill(orders_of(rule)[0])
    leader_does(Side.SELL, token, at=NOW + timedelta(seconds=1))
    decide_all(token, view=book(bid="0.30", ask="0.31"))
    decision = CopyDecision.objects.latest("id")
    assert (decision.verdict, decision.code, decision.numbers["waits_for"]) == ("ORDERED", "EXIT_OWED", "SLIPPAGE")
    owed = LeaderBook.objects.get()
    assert owed.exit_obliged_shares == orders_of(rule)[0].shares
    assert owed.exit_retry_at is not None


def test_a_buy_and_its_sale_in_one_pass_are_both_followed() -> None:
    token, rule = make_token(), follow(trading.account())
    leader_does(Side.BUY, token)
    leader_does(Side.SELL, token, at=NOW + timedelta(seconds=1))
    decide_all(token)
    assert [code for _, code in verdicts()] == ["COPIED", "EXIT_OWED"]
    # What is signed is cut to whole cents of dollars, which costs less than one lot of shares.
    assert 0 <= LeaderBook.objects.get().exit_obliged_shares - orders_of(rule)[0].shares < Decimal("0.01")


def test_each_verdict_is_told_to_its_user_only() -> None:
    token, account = make_token(), trading.account()
    follow(account)
    leader_does(Side.BUY, token)
    decide_all(token)
    told = PushEvent.objects.get(topic="decision.made")
    assert told.user_id == account.user_id
    assert told.payload["code"] == "COPIED"


def test_two_hundred_followers_cost_no_more_statements_than_two(django_assert_max_num_queries) -> None:  # type: ignore[no-untyped-def]
    token = make_token()
    for _ in range(20):
        follow(trading.account())
    leader_does(Side.BUY, token)
    decide_all(token)
    leader_does(Side.BUY, token, at=NOW + timedelta(seconds=1))
    with django_assert_max_num_queries(32):
        assert decide_all(token) == 20


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_owners_are_told_in_one_go_so_that_streams_are_locked_in_order(side: Side) -> None:
    """Orders first and verdicts later would lock the streams of some users twice, out of order: a deadlock."""
    token, followers = make_token(), [follow(trading.account()) for _ in range(2)]
    leader_does(Side.BUY, token)
    if side is Side.SELL:
        decide_all(token)
        fill(orders_of(followers[1])[0])
        leader_does(Side.SELL, token, at=NOW + timedelta(seconds=1))
    with CaptureQueriesContext(connection) as asked:
        decide_all(token)
    assert len([one for one in asked.captured_queries if "lib_pushstream" in one["sql"]]) == 1


def test_the_fees_of_orders_under_way_count_against_the_most_a_rule_holds() -> None:
    token, rule = make_token(), follow(trading.account(), max_position_usdc=Decimal(20))
    for number in range(3):
        leader_does(Side.BUY, token, tx=f"0x{number:064x}")
        if number:
            decide_all(token)
    ordered = orders_of(rule)
    assert len(ordered) > 1
    # Each spends its dollars; the fee of a dollar spent at the best ask of 0.50 is 0.05 * 0.50.
    assert sum(money.from_units(order.maker_units) for order in ordered) * Decimal("1.025") <= 20
