"""What pages show of copying: whose it is, what it made, and in how many queries."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import AccountMode
from copytrade import selectors
from copytrade.domain.rules import Verdict
from copytrade.services import rules
from copytrade.tests.factories import decide_all, fill, follow, leader_does, orders_of
from markets.models import Quote
from markets.tests.factories import NOW, make_token
from markets.venue.ports import Side
from trading.tests import factories as trading

pytestmark = pytest.mark.django_db


def test_bob_sees_nothing_of_alices() -> None:
    alice, bob = trading.account(), trading.account()
    token, rule = make_token(), follow(alice)
    leader_does(Side.BUY, token)
    decide_all(token)
    assert list(selectors.rules_of(user=alice.user)) == [rule]
    assert selectors.decisions_of(user=alice.user).count() == 1
    assert not selectors.rules_of(user=bob.user).exists()
    assert not selectors.decisions_of(user=bob.user, rule_id=rule.pk).exists()
    assert selectors.rule_cards(user=bob.user) == []


def test_live_and_paper_are_never_in_one_list() -> None:
    owner = trading.user()
    follow(trading.account(owner=owner))
    follow(trading.account(owner=owner, mode=AccountMode.LIVE))
    for mode in AccountMode:
        assert [rule.account.mode for rule in selectors.rules_of(user=owner, mode=mode)] == [mode]


def test_a_card_tells_what_a_leader_brought() -> None:
    account, token = trading.account(), make_token()
    rule = follow(account)
    leader_does(Side.BUY, token, shares="200")
    decide_all(token)
    bought = orders_of(rule)[0]
    fill(bought)
    leader_does(Side.SELL, token, shares="100", at=NOW + timedelta(seconds=1))
    leader_does(Side.BUY, token, shares="1", at=NOW + timedelta(seconds=1))
    decide_all(token)
    fill(orders_of(rule)[1])
    Quote.objects.create(token=token, best_bid=Decimal("0.60"), received_at=NOW)
    (card,) = selectors.rule_cards(user=account.user)
    sold = orders_of(rule)[1]
    left = bought.shares - sold.shares
    assert card.figures.invested_usdc == left * bought.price
    assert card.figures.value_usdc == left * Decimal("0.60")
    assert card.figures.unrealized_usdc == left * (Decimal("0.60") - bought.price)
    assert card.figures.realized_usdc == sold.shares * (sold.price - bought.price)
    assert (card.figures.executed, card.figures.skipped, card.figures.failed) == (2, 1, 0)
    assert card.largest_used_usdc == left * bought.price


def test_a_position_without_a_quote_is_named_not_counted() -> None:
    account, token = trading.account(), make_token()
    rule = follow(account)
    leader_does(Side.BUY, token)
    decide_all(token)
    fill(orders_of(rule)[0])
    (card,) = selectors.rule_cards(user=account.user)
    assert card.figures.unquoted_positions == 1
    assert card.figures.value_usdc == 0
    assert card.held[0].value_usdc is None


def test_decisions_filter_by_rule_verdict_and_code() -> None:
    account, token = trading.account(), make_token()
    rule = follow(account)
    rules.pause_rule(rule=rule, now=NOW)
    leader_does(Side.BUY, token)
    decide_all(token)
    assert selectors.decisions_of(user=account.user, rule_id=rule.pk, code="RULE_PAUSED").count() == 1
    assert selectors.decisions_of(user=account.user, verdict=Verdict.SKIPPED).count() == 1
    assert not selectors.decisions_of(user=account.user, verdict=Verdict.ORDERED).exists()


def test_cards_and_decisions_cost_the_same_queries_for_many_rules(django_assert_num_queries: Any) -> None:
    owner, token = trading.user(), make_token()
    for _ in range(5):
        rule = follow(trading.account(owner=owner))
        leader_does(Side.BUY, token)
        decide_all(token)
        fill(orders_of(rule)[0])
    with django_assert_num_queries(6):
        assert len(selectors.rule_cards(user=owner)) == 5
    with django_assert_num_queries(1):
        assert all(row.leader_trade.token.market.question for row in selectors.decisions_of(user=owner))
