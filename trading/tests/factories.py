"""Rows the tests of trading start from."""

import itertools
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

from accounts.models import AccountMode, TradingAccount, User
from markets.models import Market, Quote, Token
from markets.venue.ports import OrderType, Side, TradeStatus, VenueTrade
from polyhub.lib import leases, money
from riskmgmt import services as risk
from trading.domain import reports
from trading.models import Balance, Engine, Order, Position
from trading.services import claiming, orders

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SERVICE = "engine-0"
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
    return Order.objects.get(client_order_id=result.client_order_id)


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


def lease(name: str = SERVICE) -> int:
    """The token of a lease that is held now."""
    leases.ensure(names=[name])
    held = leases.acquire(name=name, owner="test", ttl=timedelta(minutes=5))
    assert held is not None
    return held.token


def sent(*, account: TradingAccount, token: Token, fencing_token: int, now: datetime = NOW, **asked: object) -> Order:
    """An order claimed by engine-0 and, as far as we know, on the wire."""
    order = pending(account=account, token=token, now=now, **asked)
    claim = reports.Claim(order.pk, f"0x{order.pk:064x}", b"wire")
    claiming.claim_orders(claims=[claim], service=SERVICE, fencing_token=fencing_token, now=now)
    order.refresh_from_db()
    return order


def trade(
    order: Order,
    *,
    trade_id: str = "t1",
    price: str = "0.50",
    shares: str = "20",
    fee: str = "0",
    status: TradeStatus = TradeStatus.MATCHED,
    at: datetime = NOW,
) -> reports.TradeReport:
    return reports.TradeReport(
        order.account_id,
        VenueTrade(
            trade_id=trade_id,
            order_hash=order.order_hash or "",
            token_id=order.token.token_id,
            side=Side(order.side),
            price_units=money.price_to_units(Decimal(price)),
            share_units=money.to_units(Decimal(shares)),
            fee_units=money.to_units(Decimal(fee)),
            is_maker=False,
            status=status,
            venue_at=at,
        ),
    )
