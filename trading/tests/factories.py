"""Rows the tests of trading start from."""

import itertools
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID, uuid4

from accounts.models import AccountMode, TradingAccount, User
from markets.models import Market, Quote, Token
from markets.venue.ports import OrderType, Side
from riskmgmt import services as risk
from trading.models import Balance, Engine, Order, Position
from trading.services import orders

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
_numbers = itertools.count(1)


def user(name: str = "") -> User:
    number = next(_numbers)
    return User.objects.create(email=f"{name or 'user'}{number}@example.com")


def account(
    *, owner: User | None = None, cash: str = "1000", mode: AccountMode = AccountMode.PAPER, shard_key: int = 0
) -> TradingAccount:
    owner = owner or user()
    row = TradingAccount.objects.create(
        user=owner, name=f"account {next(_numbers)}", mode=mode, shard_key=shard_key, created_at=NOW
    )
    risk.ensure(account_ids=[row.id], now=NOW)
    Balance.objects.create(account=row, cash_usdc=Decimal(cash), deposited_usdc=Decimal(cash), updated_at=NOW)
    Engine.objects.create(account=row)
    return row


def token(*, fee_rate: str | None = "0.05", tick: str = "0.01", best_bid: str | None = None) -> Token:
    number = next(_numbers)
    market = Market.objects.create(
        condition_id=f"0x{number:064x}",
        question=f"Will it rain on day {number}?",
        tick_size=Decimal(tick),
        fee_rate=None if fee_rate is None else Decimal(fee_rate),
        updated_at=NOW,
    )
    row = Token.objects.create(token_id=str(10**70 + number), market=market, outcome="Yes", outcome_index=0)
    if best_bid is not None:
        Quote.objects.create(token=row, best_bid=Decimal(best_bid), received_at=NOW)
    return row


def request(
    *,
    account: TradingAccount,
    token: Token,
    side: Side = Side.BUY,
    order_type: OrderType = OrderType.FAK,
    price: str = "0.50",
    shares: str = "20",
    client_order_id: UUID | None = None,
    source_ref: str = "",
) -> orders.OrderRequest:
    return orders.OrderRequest(
        account_id=account.id,
        client_order_id=client_order_id or uuid4(),
        token_id=token.token_id,
        side=side,
        order_type=order_type,
        price=Decimal(price),
        shares=Decimal(shares),
        source="test",
        source_ref=source_ref,
    )


def pending(*, account: TradingAccount, token: Token, now: datetime = NOW, **terms: object) -> Order:
    result = orders.submit_order(
        request=request(account=account, token=token, **terms),  # type: ignore[arg-type]
        actor="test",
        now=now,
    )
    assert result.admitted, result
    return Order.objects.get(pk=result.order_id)


def position(*, account: TradingAccount, token: Token, shares: str, cost: str) -> Position:
    return Position.objects.create(
        account=account,
        token=token,
        shares=Decimal(shares),
        sellable_shares=Decimal(shares),
        settled_shares=Decimal(shares),
        cost_usdc=Decimal(cost),
        opened_at=NOW,
        updated_at=NOW,
    )
