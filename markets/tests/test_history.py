"""Ticks go in by COPY with their candles; age thins and drops them; the venue's own past fills the rest."""

from datetime import timedelta, timezone
from decimal import Decimal

import pytest
from django.db import connection

from markets import selectors
from markets.models import Candle, Token
from markets.services import history
from markets.services.history import QuoteTick, TradeTick
from markets.tests.factories import NOW, make_token

pytestmark = pytest.mark.django_db
START = NOW.replace(second=0, microsecond=0)


def quote(token: Token, seconds: float, bid: int | None, ask: int | None) -> QuoteTick:
    return QuoteTick(token.pk, START + timedelta(seconds=seconds), bid, ask, 5_000_000, 7_000_000)


def trade(token: Token, seconds: float, price: int, shares: int = 10_000_000) -> TradeTick:
    at = START + timedelta(seconds=seconds)
    return TradeTick(token.pk, at, at, True, price, shares)


def candle(token: Token, span_s: int = 60) -> tuple[Decimal, Decimal, Decimal, Decimal, Decimal, int]:
    row = Candle.objects.filter(token=token, span_s=span_s).order_by("-at").first()
    assert row is not None
    return row.open, row.high, row.low, row.close, row.shares, row.trades


def cents(*prices: float) -> tuple[Decimal, ...]:
    return tuple(Decimal(str(price)) for price in prices)


def test_candles_of_every_span_follow_each_batch() -> None:
    token = make_token()
    history.record(quotes=[], trades=[trade(token, 1, 4000), trade(token, 2, 4200)])
    history.record(quotes=[], trades=[trade(token, 50, 3900), trade(token, 70, 5000)])
    first = Candle.objects.filter(token=token, span_s=60).order_by("at").first()
    assert first is not None
    assert (first.open, first.high, first.low, first.close) == cents(0.40, 0.42, 0.39, 0.39)
    for span in (300, 3_600, 86_400):
        assert candle(token, span) == (*cents(0.40, 0.50, 0.39, 0.50), Decimal(40), 4)
    late = trade(token, 0.5, 3000)
    history.record(quotes=[], trades=[late])
    assert candle(token, 86_400) == (*cents(0.30, 0.50, 0.30, 0.50), Decimal(50), 5), (
        "a late one moves the opening only"
    )


def test_quotes_draw_only_where_nobody_traded() -> None:
    token = make_token()
    history.record(quotes=[quote(token, 1, 4000, 4200), quote(token, 2, 4000, None)], trades=[])
    assert candle(token) == (*cents(0.41, 0.41, 0.41, 0.41), Decimal(0), 0)
    history.record(quotes=[], trades=[trade(token, 3, 6000)])
    assert candle(token) == (*cents(0.60, 0.60, 0.60, 0.60), Decimal(10), 1)
    history.record(quotes=[quote(token, 4, 4000, 4200)], trades=[])
    assert candle(token) == (*cents(0.60, 0.60, 0.60, 0.60), Decimal(10), 1)


def test_a_failed_batch_leaves_nothing_behind() -> None:
    token = make_token()
    with pytest.raises(Exception, match="markets_tradetick"):
        history.record(quotes=[quote(token, 1, 4000, 4200)], trades=[trade(token, 1, 0)])
    assert not Candle.objects.exists()


def test_the_venues_past_fills_what_was_not_seen_and_twice_changes_nothing() -> None:
    token = make_token()
    points = [(START - timedelta(minutes=minute), Decimal("0.30") + minute * Decimal("0.01")) for minute in range(10)]
    for _ in range(2):
        history.import_prices(token=token.pk, points=[*points, (START, Decimal(1))])
    history.record(quotes=[], trades=[trade(token, 30, 8000)])
    assert Candle.objects.filter(token=token, span_s=60).count() == 10
    day = Candle.objects.get(token=token, span_s=86_400)
    assert (day.low, day.high, day.close, day.is_imported) == (*cents(0.30, 0.80, 0.80), True)
    drawn = selectors.candles(token=token, span_s=60, since=START - timedelta(hours=1))
    assert [row.at for row in drawn] == sorted(at for at, _ in points)


def test_a_week_old_day_is_thinned_once_and_a_quarter_old_one_is_dropped() -> None:
    token = make_token()
    days = {"fresh": NOW, "old": NOW - timedelta(days=9), "ancient": NOW - timedelta(days=92)}
    for at in days.values():
        quotes = [QuoteTick(token.pk, at.replace(second=second), 4000, 4000 + second) for second in range(1, 50)]
        trades = [TradeTick(token.pk, at.replace(second=second), at, True, 4000, 1) for second in range(10)]
        history.record(quotes=quotes, trades=trades)
    assert history.retain(now=NOW) == (1, 2)
    assert ticks(history.QUOTES) == {days["fresh"].date(): 49, days["old"].date(): 1}
    assert ticks(history.TRADES) == {days["fresh"].date(): 10, days["old"].date(): 10}
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT ask_units FROM {history.QUOTES} WHERE at < %s", [NOW - timedelta(days=5)])
        assert cursor.fetchall() == [(4049,)], "the newest of the minute stays"
    assert Candle.objects.filter(token=token, span_s=60).count() == 3, "candles stay for ever"
    assert history.retain(now=NOW) == (0, 0)


def ticks(table: str) -> dict[object, int]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT (at AT TIME ZONE 'UTC')::date, count(*) FROM {table} GROUP BY 1")
        return dict(cursor.fetchall())


def test_g7_times_with_a_zone_go_in_and_come_back_as_the_same_instant() -> None:
    token = make_token()
    berlin = timezone(timedelta(hours=2))
    history.record(
        quotes=[], trades=[TradeTick(token.pk, START.astimezone(berlin), START.astimezone(berlin), True, 4000, 1)]
    )
    told = selectors.tape(token=token, limit=5)
    assert [one.at for one in told] == [START]
    assert told[0].at.tzinfo is not None
    assert Candle.objects.get(token=token, span_s=60).at == START


def test_the_tape_is_newest_first_and_of_this_token_only() -> None:
    token, other = make_token(), make_token()
    history.record(quotes=[], trades=[trade(token, 1, 4000), trade(other, 2, 4100), trade(token, 3, 4200)])
    assert [one.price for one in selectors.tape(token=token, limit=5)] == list(cents(0.42, 0.40))
