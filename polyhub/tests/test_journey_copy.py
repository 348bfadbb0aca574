"""A thousand recorded trades, twenty followers: one verdict each, and not a unit lost on either side."""

import os
import urllib.error
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db.models import F, Sum

from accounts.models import AccountMode, TradingAccount, User
from accounts.services.keys import PolicyValues
from copytrade.domain.rules import Sizing, Verdict
from copytrade.models import CopyDecision, CopyRule
from copytrade.services import rules
from copytrade.services.rules import RuleInput
from markets.domain.catalogue import MarketFacts, OutcomeFacts
from markets.models import LeaderTrade
from markets.services import catalogue
from markets.venue import signing
from markets.venue.sandbox import tape
from markets.venue.sandbox.events import LeaderTradeEvent
from polyhub.lib import money
from polyhub.lib.clock import SystemClock
from polyhub.tests.eventually import eventually
from polyhub.tests.stack import Stack
from riskmgmt import services as risk
from riskmgmt.services import LimitValues
from trading.domain.orders import UNFINISHED, OrderStatus
from trading.models import Balance, Engine, Fill, Order, Position
from trading.services import accounts, booked

pytestmark = pytest.mark.django_db(transaction=True)

TRADES = int(os.environ.get("JOURNEY_TRADES", "1000"))
FOLLOWERS = 20
START_USDC = Decimal(10_000)
# How many trades may be on their way before the next is made: a venue does not wait, but ages are judged.
IN_FLIGHT = 40
LIMITS = LimitValues(
    order_max_usdc=Decimal(50),
    market_max_usdc=Decimal(200),
    total_max_usdc=Decimal(5_000),
    max_open_orders=100,
    daily_loss_usdc=Decimal(5_000),
)
ON_THE_BOOKS = {OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.PARTIALLY_FILLED, OrderStatus.OPEN}


@dataclass(frozen=True, slots=True)
class Told:
    """What the venue says of one wallet, in units."""

    cash: int
    shares: dict[str, int]
    orders: dict[str, int]


def recorded() -> tuple[list[LeaderTradeEvent], list[str]]:
    """The first trades of the wallets worth following, and these wallets."""
    wallets = set(tape.header(tape.DEMO).featured)
    found: list[LeaderTradeEvent] = []
    for event in tape.replay(tape.load(tape.DEMO), salt="journey", laps=1):
        if isinstance(event, LeaderTradeEvent) and event.wallet in wallets:
            found.append(event)
        if len(found) == TRADES:
            break
    return found, sorted({event.wallet for event in found})


def list_markets() -> None:
    """The catalogue as it is after its first minutes; markets it does not know are another test's."""
    clock = SystemClock()
    facts = [
        MarketFacts(
            condition_id=market.condition_id,
            outcomes=tuple(
                OutcomeFacts(token_id, outcome, index)
                for index, (token_id, outcome) in enumerate(zip(market.token_ids, market.outcomes, strict=True))
            ),
            question=market.question,
            neg_risk=market.neg_risk,
            tick_size=market.tick_size,
            min_order_shares=market.min_order_size,
            fee_rate=market.fee_rate,
            fee_exponent=market.fee_exponent,
        )
        for market in tape.load(tape.DEMO).markets
    ]
    catalogue.upsert_markets(markets=facts, now=clock.now())


def sized(number: int) -> RuleInput:
    """Followers differ: a share of the leader's size or fixed dollars, wide or narrow bands."""
    if number % 4 == 0:
        return RuleInput(
            sizing=Sizing.FIXED, fixed_usdc=Decimal(3), max_position_usdc=Decimal(6), slippage=Decimal("0.05")
        )
    ratio = (Decimal("0.01"), Decimal("0.02"), Decimal("0.05"))[number % 3]
    return RuleInput(sizing=Sizing.RATIO, ratio=ratio, max_position_usdc=Decimal(40), min_price=Decimal("0.10"))


def follower(stack: Stack, number: int, leaders: list[str]) -> TradingAccount:
    """Half on paper, half live, each behind all leaders."""
    clock = SystemClock()
    user = User.objects.create(email=f"follower{number}@example.com")
    if number % 2:
        account = accounts.open_paper_account(user=user, name="paper", start_usdc=START_USDC, now=clock.now())
    else:
        key = f"{number + 1:064x}"
        wallet = stack.call("POST", "wallets", {"private_key": f"0x{key}", "usdc": str(START_USDC)})
        account = accounts.open_live_account(
            user=user,
            name="live",
            private_key=key,
            signature_type=signing.DEPOSIT_WALLET,
            trading_address=wallet["address"],
            now=clock.now(),
            policy=PolicyValues(max_day_usdc=Decimal(100_000)),
        )
    risk.set_limits(account=account, values=LIMITS, now=clock.now())
    for leader in leaders:
        rules.create_rule(account=account, leader=leader, terms=sized(number), now=clock.now())
    return account


@pytest.fixture
def stack(tmp_path: Path, settings: Any) -> Iterator[Stack]:
    settings.SIGNER_SOCKET = ""  # restored after the test, as the keys' files are
    settings.SIGNER_PRIVATE_KEY_FILE = settings.SIGNER_PUBLIC_KEY_FILE = tmp_path
    with Stack(tmp_path, tape=tape.DEMO) as running:
        running.start_venue()
        running.start_signer()
        yield running


def test_every_trade_and_follower_has_one_verdict_and_both_sides_agree(stack: Stack) -> None:
    events, leaders = recorded()
    list_markets()
    followers = [follower(stack, number, leaders) for number in range(FOLLOWERS)]
    for service in ("feed", "engine-0"):
        stack.start_service(service)
    eventually(lambda: Engine.objects.filter(state="RUNNING").count() == FOLLOWERS, timeout_s=40)
    made = replay(stack, events)
    settle(made)
    stack.stop_services()

    _each_pair_has_one_verdict(made)
    told = {account.id: _told(stack, account) for account in followers if account.mode == AccountMode.LIVE}
    for account in followers:
        if account.mode == AccountMode.LIVE:
            _orders_are_the_venues(account, told[account.id])
            _holdings_are_the_venues(account, told[account.id])
        _cash_and_shares_are_conserved(account)
    assert stack.call("GET", "state")["conserved"]
    _no_rule_sold_what_it_had_not()
    _both_kinds_bought_and_sold()


def replay(stack: Stack, events: list[LeaderTradeEvent]) -> set[tuple[str, str, str, str]]:
    """Make the recorded trades happen now; gives the leader orders that did."""
    made: set[tuple[str, str, str, str]] = set()
    for number, event in enumerate(events):
        body = {
            "wallet": event.wallet,
            "token_id": event.token_id,
            "side": event.side,
            "price": str(event.price),
            "size": str(event.size),
            "tx_hash": event.tx_hash,
        }
        try:
            stack.call("POST", "leader_trade", body)
        except urllib.error.HTTPError:
            continue  # smaller than the venue's smallest lot
        made.add((event.tx_hash, event.wallet, event.token_id, event.side))
        if number % 4 == 0:
            eventually(_has_room, timeout_s=60, poll_s=0.05)
    return made


def _has_room() -> bool:
    waiting = LeaderTrade.objects.filter(decided_at=None).count()
    return waiting < IN_FLIGHT and Order.objects.filter(status=OrderStatus.PENDING).count() < 2 * FOLLOWERS


def settle(made: set[tuple[str, str, str, str]]) -> None:
    """Wait until everything was seen, decided, finished and final."""

    def seen() -> bool:
        return _orders_of_leaders() >= made

    eventually(seen, timeout_s=60, poll_s=0.2)
    eventually(lambda: not LeaderTrade.objects.filter(decided_at=None).exists(), timeout_s=60, poll_s=0.2)

    def final() -> bool:
        orders = Order.objects.filter(status__in=[status.value for status in UNFINISHED])
        fills = Fill.objects.exclude(status__in=["CONFIRMED", "FAILED"])
        assert Counter(orders.values_list("account__mode", "side", "status", "code")) == Counter()
        assert Counter(fills.values_list("order__account__mode", "status")) == Counter()
        return True

    eventually(final, timeout_s=60, poll_s=0.2)


def _orders_of_leaders() -> set[tuple[str, str, str, str]]:
    rows = LeaderTrade.objects.values_list("transaction_hash", "wallet", "token__token_id", "side")
    return set(rows.distinct())


def _each_pair_has_one_verdict(made: set[tuple[str, str, str, str]]) -> None:
    assert _orders_of_leaders() == made
    trades = LeaderTrade.objects.count()
    assert CopyDecision.objects.count() == trades * FOLLOWERS
    assert CopyDecision.objects.values("leader_trade", "rule__account").distinct().count() == trades * FOLLOWERS
    assert not CopyDecision.objects.exclude(leader_trade__wallet=F("rule__leader")).exists()
    without = CopyDecision.objects.filter(verdict=Verdict.ORDERED, order=None).exclude(code="EXIT_OWED")
    assert not without.exists()


def _told(stack: Stack, account: TradingAccount) -> Told:
    state = stack.call("GET", f"state?wallet={account.trading_address}")
    (wallet,) = state["wallets"]
    return Told(
        cash=int(wallet["cash_units"]),
        shares={token: int(units) for token, units in wallet["shares"].items()},
        orders={order["id"]: int(order["matched_units"]) for order in state["orders"]},
    )


def _orders_are_the_venues(account: TradingAccount, told: Told) -> None:
    ours = Order.objects.filter(account=account, status__in=[status.value for status in ON_THE_BOOKS])
    filled = {order.order_hash: money.to_units(order.filled_shares) for order in ours}
    assert filled == told.orders


def _holdings_are_the_venues(account: TradingAccount, told: Told) -> None:
    positions = Position.objects.filter(account=account, shares__gt=0).select_related("token")
    assert {held.token.token_id: money.to_units(held.shares) for held in positions} == told.shares
    assert money.to_units(Balance.objects.get(account=account).cash_usdc) == told.cash


def _cash_and_shares_are_conserved(account: TradingAccount) -> None:
    """What was paid and received, fill by fill, is exactly what changed."""
    fills = Fill.objects.filter(order__account=account, status="CONFIRMED")
    spent = Decimal(0)
    shares: Counter[int] = Counter()
    for row in fills:
        sign = 1 if row.side == "BUY" else -1
        spent += sign * row.notional_usdc + row.fee_usdc
        shares[row.token_id] += sign * money.to_units(row.shares)
    assert Balance.objects.get(account=account).cash_usdc == START_USDC - spent
    held = Position.objects.filter(account=account, shares__gt=0)
    assert {row.token_id: money.to_units(row.shares) for row in held} == {
        token: units for token, units in shares.items() if units
    }


def _no_rule_sold_what_it_had_not() -> None:
    refs = [str(pk) for pk in CopyRule.objects.values_list("pk", flat=True)]
    for (ref, token), held in booked.by_ref(source="copy", refs=refs).items():
        assert held.sold <= held.bought, (ref, token)


def _both_kinds_bought_and_sold() -> None:
    """The run exercised what it claims to."""
    for mode in AccountMode:
        for side in ("BUY", "SELL"):
            filled = Order.objects.filter(account__mode=mode, side=side).aggregate(shares=Sum("filled_shares"))
            assert filled["shares"], f"no {side} was filled on a {mode} account"
