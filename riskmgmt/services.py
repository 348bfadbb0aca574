"""Writing limits and trading states. Stopping never waits for a check; starting again is the user's own act."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import transaction

from accounts.models import TradingAccount
from polyhub.lib import push
from polyhub.lib.errors import AppError
from riskmgmt.domain.states import TradingState
from riskmgmt.models import RiskLimits, RiskState


class BadLimits(AppError):
    """The limits contradict themselves or are not positive."""

    code = "BAD_LIMITS"


@dataclass(frozen=True, slots=True)
class LimitValues:
    """The limits of one account as a user gives them, in pUSD."""

    order_min_usdc: Decimal = Decimal(1)
    order_max_usdc: Decimal = Decimal(100)
    market_max_usdc: Decimal = Decimal(300)
    total_max_usdc: Decimal = Decimal(2000)
    max_open_orders: int = 50
    daily_loss_usdc: Decimal = Decimal(200)


def ensure(*, account_ids: Sequence[UUID], now: datetime) -> None:
    """Give accounts that have none their default limits and an active risk row."""
    RiskLimits.objects.bulk_create(
        [RiskLimits(account_id=account_id, updated_at=now) for account_id in account_ids], ignore_conflicts=True
    )
    RiskState.objects.bulk_create(
        [RiskState(account_id=account_id, changed_at=now) for account_id in account_ids], ignore_conflicts=True
    )


@transaction.atomic
def set_limits(*, account: TradingAccount, values: LimitValues, now: datetime) -> RiskLimits:
    """Replace the account's limits; raises BadLimits naming the first wrong one."""
    _check(values)
    ensure(account_ids=[account.id], now=now)
    RiskState.objects.select_for_update().get(account=account)
    limits = RiskLimits.objects.get(account=account)
    for name in LimitValues.__dataclass_fields__:
        setattr(limits, name, getattr(values, name))
    limits.updated_at = now
    limits.save(update_fields=[*LimitValues.__dataclass_fields__, "updated_at"])
    return limits


def halt(*, account: TradingAccount, reason: str, now: datetime) -> None:
    """No order leaves until `resume`; cancels still do."""
    _set_state(account=account, state=TradingState.HALTED, reason=reason, now=now)


def reduce_only(*, account: TradingAccount, reason: str, now: datetime) -> None:
    """Only exits leave until `resume`."""
    _set_state(account=account, state=TradingState.REDUCING, reason=reason, now=now)


def resume(*, account: TradingAccount, now: datetime) -> None:
    _set_state(account=account, state=TradingState.ACTIVE, reason="", now=now)


@transaction.atomic
def _set_state(*, account: TradingAccount, state: TradingState, reason: str, now: datetime) -> None:
    ensure(account_ids=[account.id], now=now)
    row = RiskState.objects.select_for_update().get(account=account)
    if row.state == state and row.reason == reason:
        return
    row.state, row.reason, row.changed_at = state, reason[:200], now
    row.save(update_fields=["state", "reason", "changed_at"])
    payload = {"account": str(account.id), "risk_state": str(state), "reason": row.reason}
    push.push(pushes=[push.Push(account.user_id, "account.changed", payload)], now=now)


def _check(values: LimitValues) -> None:
    for name in LimitValues.__dataclass_fields__:
        if getattr(values, name) <= 0:
            raise BadLimits(f"{name} must be above zero.", details={"field": name})
    if values.order_max_usdc < values.order_min_usdc:
        raise BadLimits("The largest order must not be below the smallest.", details={"field": "order_max_usdc"})
    if values.market_max_usdc > values.total_max_usdc:
        raise BadLimits("One market must not exceed the total.", details={"field": "market_max_usdc"})
