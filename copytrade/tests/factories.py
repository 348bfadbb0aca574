"""Followers, leaders' trades and outcomes of orders for tests of copying."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.apps import apps

from accounts.models import TradingAccount
from copytrade.domain.decide import BookView
from copytrade.domain.rules import Sizing
from copytrade.models import CopyRule
from copytrade.services import commit, rules, work
from copytrade.services.rules import RuleInput
from markets.domain.book import Book
from markets.models import Token
from markets.services import leader_trades
from markets.tests.factories import LEADER, NOW, seen
from markets.venue.ports import Side
from polyhub.lib import money

TERMS = RuleInput(sizing=Sizing.RATIO, ratio=Decimal("0.1"), max_position_usdc=Decimal(100))
EARLIER = NOW - timedelta(minutes=10)


def follow(account: TradingAccount, *, leader: str = LEADER, **terms: Any) -> CopyRule:
    """A rule made ten minutes ago."""
    return rules.create_rule(account=account, leader=leader, terms=replace(TERMS, **terms), now=EARLIER)


def book(*, bid: str = "0.49", ask: str = "0.50", shares: int = 100_000) -> BookView:
    levels = Book()
    levels.replace(
        bids=[(money.price_to_units(Decimal(bid)), shares * money.UNITS)],
        asks=[(money.price_to_units(Decimal(ask)), shares * money.UNITS)],
    )
    return BookView(levels)


def leader_does(side: Side, token: Token, *, shares: str = "200", at: datetime = NOW, **fields: Any) -> None:
    """A leader's trade is recorded."""
    told = seen(
        token_id=token.token_id, condition_id=token.market.condition_id, side=side, shares=shares, at=at, **fields
    )
    leader_trades.record(seen=[told], now=at)


def decide_all(
    token: Token, *, view: BookView | None = None, shard: int = 0, shards: int = 1, now: datetime | None = None
) -> int:
    """One pass of a shard over what is undecided."""
    fills = work.pending(shard=shard, shards=shards)
    views = {token.token_id: view or book()}
    written = commit.decide_fills(
        fills=fills, views=views, shard=shard, shards=shards, now=now or NOW + timedelta(seconds=2)
    )
    return written.verdicts


def orders_of(rule: CopyRule) -> list[Any]:
    return list(apps.get_model("trading.Order").objects.filter(source_ref=str(rule.pk)).order_by("id"))


def fill(order: Any, *, shares: Decimal | None = None) -> None:
    """The order is over and filled (whole unless told otherwise), and its shares can be sold."""
    filled = order.shares if shares is None else shares
    order.filled_shares, order.filled_usdc = filled, filled * order.price
    order.status = "FILLED" if filled == order.shares else "CANCELED"
    order.reserved_usdc = order.reserved_shares = 0
    order.save()
    positions = apps.get_model("trading.Position").objects
    position, _ = positions.get_or_create(
        account_id=order.account_id, token_id=order.token_id, defaults={"opened_at": NOW, "updated_at": NOW}
    )
    position.shares += filled if order.side == "BUY" else -filled
    position.sellable_shares = position.shares
    position.save()
