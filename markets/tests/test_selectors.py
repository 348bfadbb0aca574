"""What pages and services read of the catalogue and of the feed."""

from datetime import timedelta
from decimal import Decimal

import pytest

from markets import selectors
from markets.services import leader_trades, quotes, watch
from markets.services.quotes import TopOfBook
from markets.tests.factories import LEADER, NOW, make_token, seen

pytestmark = pytest.mark.django_db

OTHER = "0x" + "cd" * 20


def test_coverage_says_what_part_came_live_and_how_late() -> None:
    token = make_token()
    told = [seen(token_id=token.token_id) for _ in range(3)]
    late = seen(token_id=token.token_id, source="data_api", at=NOW + timedelta(seconds=1))
    leader_trades.record(seen=[*told, late], now=NOW)
    covered = selectors.coverage(wallets=[LEADER, OTHER], since=NOW - timedelta(days=1))
    assert list(covered) == [LEADER]
    assert (covered[LEADER].trades, covered[LEADER].live, covered[LEADER].share) == (4, 3, Decimal("0.75"))
    assert covered[LEADER].median_lag_ms == 250


def test_only_active_wallets_are_watched_and_watching_again_starts_anew() -> None:
    watch.watch(addresses=[LEADER, OTHER.upper().replace("X", "x")], now=NOW)
    watch.mark_reconciled(address=LEADER, now=NOW)
    watch.unwatch(addresses=[OTHER])
    assert selectors.watched_wallets() == {LEADER: NOW}
    watch.watch(addresses=[OTHER, LEADER], now=NOW)
    assert selectors.watched_wallets() == {LEADER: NOW, OTHER: None}


def test_quotes_are_replaced_and_keep_the_last_price() -> None:
    token = make_token()
    first = TopOfBook(token.token_id, Decimal("0.4"), Decimal("0.5"), Decimal("0.45"), NOW)
    quotes.store(tops=[first, TopOfBook("unknown", None, None, None, None)], now=NOW)
    quotes.store(tops=[TopOfBook(token.token_id, None, Decimal("0.6"), None, NOW)], now=NOW)
    (quote,) = selectors.quotes_of(token_ids=[token.token_id, "unknown"]).values()
    assert (quote.best_bid, quote.best_ask, quote.last_price) == (None, Decimal("0.6"), Decimal("0.45"))


def test_tokens_of_undescribed_markets_are_named_until_their_fee_is_known() -> None:
    leader_trades.record(seen=[seen(token_id="777"), seen(token_id=make_token().token_id)], now=NOW)
    assert selectors.undescribed_tokens() == ["777"]
    assert selectors.unknown_tokens(token_ids=["777", "888"]) == ["888"]


def test_tokens_that_watched_wallets_hold_are_followed() -> None:
    token = make_token()
    leader_trades.record(seen=[seen(token_id=token.token_id)], now=NOW)
    assert selectors.followed_tokens() == []
    watch.watch(addresses=[LEADER], now=NOW)
    assert selectors.followed_tokens() == [token.token_id]
