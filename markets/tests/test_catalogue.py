"""The catalogue takes what the venue says and never mistakes unknown for zero."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError

from markets.domain.catalogue import MarketFacts, OutcomeFacts
from markets.models import Event, Market, Token
from markets.services import catalogue
from markets.tests.factories import NOW, seen

pytestmark = pytest.mark.django_db

CONDITION = "0x" + "c" * 64
FACTS = MarketFacts(
    condition_id=CONDITION,
    outcomes=(OutcomeFacts("11", "Yes", 0), OutcomeFacts("12", "No", 1)),
    question="Rain?",
    event_id="7",
    event_title="Weather",
    fee_rate=Decimal("0.05"),
)


def test_the_newest_facts_win_and_nothing_is_doubled() -> None:
    catalogue.upsert_markets(markets=[FACTS], now=NOW)
    later = replace(FACTS, closed=True, tick_size=Decimal("0.001"), fee_rate=Decimal(0))
    catalogue.upsert_markets(markets=[later, later], now=NOW + timedelta(minutes=1))
    market = Market.objects.get()
    assert (market.closed, market.tick_size, market.fee_rate) == (True, Decimal("0.001"), 0)
    assert market.event == Event.objects.get(venue_id="7")
    assert set(Token.objects.values_list("token_id", "outcome")) == {("11", "Yes"), ("12", "No")}


def test_a_placeholder_has_an_unknown_fee_until_the_venue_describes_it() -> None:
    catalogue.ensure_placeholders(seen=[seen(token_id="11", condition_id=CONDITION)], now=NOW)
    assert Market.objects.get().fee_rate is None
    catalogue.upsert_markets(markets=[FACTS], now=NOW)
    assert Market.objects.get().fee_rate == Decimal("0.05")
    assert Token.objects.count() == 2


def test_a_placeholder_never_overwrites_what_the_venue_said() -> None:
    catalogue.upsert_markets(markets=[FACTS], now=NOW)
    told = [seen(token_id="11", condition_id=CONDITION), seen(token_id="99", condition_id=CONDITION)]
    catalogue.ensure_placeholders(seen=told, now=NOW)
    assert Market.objects.get().question == "Rain?"
    assert not Token.objects.filter(token_id="99").exists(), "outcome 0 of the market is another token"


def test_g2_another_token_id_for_the_same_outcome_is_not_another_market() -> None:
    """One market, however many ids are told for it: limits and "already ordered" go by the market."""
    catalogue.upsert_markets(markets=[FACTS], now=NOW)
    again = [seen(token_id="11", condition_id=CONDITION), seen(token_id="12", condition_id=CONDITION)]
    catalogue.ensure_placeholders(seen=[*again, seen(token_id="13", condition_id=CONDITION)], now=NOW)
    assert Market.objects.count() == 1
    assert set(Token.objects.values_list("token_id", "market__condition_id")) == {("11", CONDITION), ("12", CONDITION)}
    with pytest.raises(IntegrityError, match="token_outcome_once"):
        Token.objects.create(token_id="14", market=Market.objects.get(), outcome="Yes", outcome_index=0)


def test_a_trade_without_a_condition_makes_no_market() -> None:
    catalogue.ensure_placeholders(seen=[seen(token_id="11", condition_id="")], now=NOW)
    assert not Market.objects.exists()
