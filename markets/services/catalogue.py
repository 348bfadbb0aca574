"""Keeping the catalogue: markets as the venue describes them, and placeholders for what it has not told yet."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from django.db import connection, transaction

from markets.domain.catalogue import MarketFacts
from markets.models import Event, Market, Token
from markets.venue.ports import LeaderTradeSeen
from polyhub.lib import money

_MARKET_FIELDS = [
    "event",
    "slug",
    "question",
    "category",
    "neg_risk",
    "tick_size",
    "min_order_shares",
    "fee_rate",
    "fee_exponent",
    "fee_taker_only",
    "active",
    "closed",
    "accepting_orders",
    "ends_at",
    "rules",
    "group_title",
    "neg_risk_group",
    "resolution",
    "payout_of_first",
    "listed_price",
    "volume_usdc",
    "volume_24h_usdc",
    "liquidity_usdc",
    "taker_delay_s",
    "keywords",
    "updated_at",
]


@transaction.atomic
def upsert_markets(*, markets: Sequence[MarketFacts], now: datetime) -> int:
    """Store markets with their events and tokens, newest facts winning; the number of markets.

    Whoever waits for a fee or a tick (copy decisions do) is woken on commit.
    """
    by_condition = {facts.condition_id: facts for facts in sorted(markets, key=lambda facts: facts.condition_id)}
    if not by_condition:
        return 0
    events = _upsert_events(list(by_condition.values()), now=now)
    Market.objects.bulk_create(
        [_market(facts, events.get(facts.event_id), now=now) for facts in by_condition.values()],
        update_conflicts=True,
        unique_fields=["condition_id"],
        update_fields=_MARKET_FIELDS,
    )
    ids = dict(Market.objects.filter(condition_id__in=by_condition).values_list("condition_id", "id"))
    tokens = [
        Token(
            token_id=outcome.token_id,
            market_id=ids[facts.condition_id],
            outcome=outcome.outcome[:120],
            outcome_index=outcome.outcome_index,
        )
        for facts in by_condition.values()
        for outcome in facts.outcomes
    ]
    Token.objects.bulk_create(
        sorted(tokens, key=lambda token: token.token_id),
        update_conflicts=True,
        unique_fields=["token_id"],
        update_fields=["market", "outcome", "outcome_index"],
    )
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify('leader_trade', '')")
    return len(by_condition)


def ensure_placeholders(*, seen: Sequence[LeaderTradeSeen], now: datetime) -> None:
    """Rows for tokens nobody described yet, from what the trade itself says; the fee stays unknown.

    A description that contradicts what is stored (the same outcome place with another token) is left out.
    """
    conditions = {trade.condition_id: trade for trade in seen if trade.condition_id}
    Market.objects.bulk_create(
        [
            Market(condition_id=key, slug=trade.slug[:255], question=trade.title, updated_at=now)
            for key, trade in sorted(conditions.items())
        ],
        ignore_conflicts=True,
    )
    ids = dict(Market.objects.filter(condition_id__in=conditions).values_list("condition_id", "id"))
    tokens = {trade.token_id: trade for trade in seen if trade.condition_id in ids}
    Token.objects.bulk_create(
        [
            Token(
                token_id=key,
                market_id=ids[trade.condition_id],
                outcome=trade.outcome[:120],
                outcome_index=trade.outcome_index,
            )
            for key, trade in sorted(tokens.items())
        ],
        ignore_conflicts=True,
    )


def _upsert_events(markets: Sequence[MarketFacts], *, now: datetime) -> dict[str, int]:
    named = {facts.event_id: facts for facts in markets if facts.event_id}
    Event.objects.bulk_create(
        [
            Event(
                venue_id=key,
                slug=facts.event_slug[:255],
                title=facts.event_title,
                neg_risk=facts.neg_risk,
                updated_at=now,
            )
            for key, facts in sorted(named.items())
        ],
        update_conflicts=True,
        unique_fields=["venue_id"],
        update_fields=["slug", "title", "neg_risk", "updated_at"],
    )
    return dict(Event.objects.filter(venue_id__in=named).values_list("venue_id", "id"))


def _market(facts: MarketFacts, event_id: int | None, *, now: datetime) -> Market:
    return Market(
        condition_id=facts.condition_id,
        event_id=event_id,
        slug=facts.slug[:255],
        question=facts.question,
        category=facts.category[:64],
        neg_risk=facts.neg_risk,
        tick_size=facts.tick_size,
        min_order_shares=facts.min_order_shares,
        fee_rate=facts.fee_rate,
        fee_exponent=facts.fee_exponent,
        fee_taker_only=facts.fee_taker_only,
        active=facts.active,
        closed=facts.closed,
        accepting_orders=facts.accepting_orders,
        ends_at=facts.ends_at,
        rules=facts.rules,
        group_title=facts.group_title[:255],
        neg_risk_group=facts.neg_risk_group[:66],
        resolution=facts.resolution,
        payout_of_first=facts.payout_of_first,
        listed_price=facts.listed_price,
        volume_usdc=_cents(facts.volume_usdc),
        volume_24h_usdc=_cents(facts.volume_24h_usdc),
        liquidity_usdc=_cents(facts.liquidity_usdc),
        taker_delay_s=facts.taker_delay_s,
        keywords=_keywords(facts),
        updated_at=now,
    )


def _cents(amount: Decimal | None) -> Decimal | None:
    return None if amount is None else money.nearest_to(amount, money.CENT)


def _keywords(facts: MarketFacts) -> str:
    names = [one.outcome for one in facts.outcomes if one.outcome not in ("Yes", "No")]
    return " ".join([facts.event_title, facts.category, facts.slug.replace("-", " "), *names])[:1000]
