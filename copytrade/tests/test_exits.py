"""Exits are durable: retried until sold, never more than is booked, whatever happens in between."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.apps import apps

from copytrade.domain.decide import BookView
from copytrade.models import CopyRule, LeaderBook
from copytrade.services import exits, rules
from copytrade.tests.factories import book, decide_all, fill, follow, leader_does, orders_of
from markets.models import Token, WatchedWallet
from markets.tests.factories import NOW, make_token
from markets.venue.ports import Side
from trading.tests import factories as trading

pytestmark = pytest.mark.django_db

CRASHED = book(bid="0.30", ask="0.31")


def held() -> tuple[Token, CopyRule]:
    """A follower holds what it copied."""
    token, rule = make_token(), follow(trading.account())
    leader_does(Side.BUY, token)
    decide_all(token)
    fill(orders_of(rule)[0])
    return token, rule


def retry(token: Token, at: datetime, view: BookView | None = None) -> int:
    return len(exits.retry(views={token.token_id: view or book()}, shard=0, shards=1, now=at))


def due_at() -> datetime:
    at = LeaderBook.objects.get().exit_retry_at
    assert at is not None
    return at


def test_an_exit_follows_the_bid_down_after_its_patient_tries_whatever_the_age() -> None:
    token, rule = held()
    leader_does(Side.SELL, token, at=NOW + timedelta(seconds=1))
    decide_all(token, view=CRASHED)
    tries = 0
    while len(orders_of(rule)) == 1:
        tries += 1
        retry(token, due_at() + timedelta(hours=1), CRASHED)
        assert tries < 10
    sale = orders_of(rule)[1]
    assert sale.side == "SELL"
    assert sale.price <= Decimal("0.30")
    assert tries == 3


def test_nothing_is_tried_before_its_time() -> None:
    token, rule = held()
    leader_does(Side.SELL, token, at=NOW + timedelta(seconds=1))
    decide_all(token, view=CRASHED)
    assert retry(token, due_at() - timedelta(milliseconds=1)) == 0
    assert len(orders_of(rule)) == 1


def test_a_partly_filled_exit_sells_the_rest_in_another_order() -> None:
    token, rule = held()
    leader_does(Side.SELL, token, at=NOW + timedelta(seconds=1))
    decide_all(token)
    first = orders_of(rule)[1]
    fill(first, shares=first.shares / 2)
    assert retry(token, due_at()) == 1
    second = orders_of(rule)[2]
    assert second.client_order_id != first.client_order_id
    assert first.shares / 2 + second.shares <= orders_of(rule)[0].shares
    assert orders_of(rule)[0].shares - first.shares / 2 - second.shares < 1


def test_an_exit_under_way_is_not_sent_again() -> None:
    token, rule = held()
    leader_does(Side.SELL, token, at=NOW + timedelta(seconds=1))
    decide_all(token)
    for _ in range(3):
        assert retry(token, due_at()) == 0
    assert len(orders_of(rule)) == 2


def test_a_finished_exit_is_looked_at_once_more_and_a_sale_that_failed_is_owed_again() -> None:
    token, rule = held()
    leader_does(Side.SELL, token, at=NOW + timedelta(seconds=1))
    decide_all(token)
    sale = orders_of(rule)[1]
    fill(sale)
    retry(token, due_at())
    sale.filled_shares = sale.filled_usdc = 0
    sale.save()
    bought = apps.get_model("trading.Position").objects.get()
    bought.shares = bought.sellable_shares = orders_of(rule)[0].shares
    bought.save()
    assert retry(token, due_at()) == 1
    assert orders_of(rule)[2].shares == sale.shares


def test_a_finished_exit_comes_to_rest() -> None:
    token, rule = held()
    leader_does(Side.SELL, token, at=NOW + timedelta(seconds=1))
    decide_all(token)
    fill(orders_of(rule)[1])
    retry(token, due_at())
    retry(token, due_at())
    assert LeaderBook.objects.get().exit_retry_at is None


def test_what_a_buy_that_never_filled_owed_does_not_sell_the_next_entry() -> None:
    token, rule = make_token(), follow(trading.account())
    leader_does(Side.BUY, token)
    leader_does(Side.SELL, token, at=NOW + timedelta(seconds=1))
    decide_all(token)
    buy = orders_of(rule)[0]
    fill(buy, shares=buy.shares * 0)
    leader_does(Side.BUY, token, at=NOW + timedelta(seconds=3))
    decide_all(token, now=NOW + timedelta(seconds=4))
    fill(orders_of(rule)[1])
    while (at := LeaderBook.objects.get().exit_retry_at) is not None:
        assert retry(token, at) == 0


def test_a_stopped_leaders_wallet_is_watched_until_its_shares_are_sold() -> None:
    token, rule = held()
    rules.stop_rule(rule=rule, now=NOW)
    assert WatchedWallet.objects.get().active
    leader_does(Side.SELL, token, at=NOW + timedelta(seconds=1))
    decide_all(token)
    fill(orders_of(rule)[1])
    retry(token, due_at())
    retry(token, due_at())
    assert not WatchedWallet.objects.get().active
