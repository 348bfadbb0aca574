"""Erasing trading accounts with all their rows: only beside the local venue, whose money is not real.

Elsewhere money rows are never deleted; nothing but the demo calls this.
"""

from collections.abc import Sequence
from uuid import UUID

from django.conf import settings
from django.db import transaction

from accounts.models import NextKey, SigningPolicy, TradingAccount, TradingKey
from polyhub.lib.errors import AppError
from riskmgmt.models import RiskLimits, RiskState
from trading.models import Balance, Engine, EquityPoint, Fill, Order, OrderEvent, Position, SignatureRecord


class ErasingRefused(AppError):
    """Accounts of the real venue keep their history."""

    code = "ERASING_REFUSED"


@transaction.atomic
def erase_accounts(*, account_ids: Sequence[UUID]) -> None:
    """Delete the accounts and whatever hangs on them. Raises ErasingRefused unless the venue is the sandbox."""
    if settings.VENUE != "sandbox":
        raise ErasingRefused("Accounts can be erased beside the local venue only.")
    Fill.objects.filter(order__account__in=account_ids).delete()
    OrderEvent.objects.filter(order__account__in=account_ids).delete()
    own = (Order, Position, Balance, EquityPoint, Engine, RiskLimits, RiskState, SigningPolicy, TradingKey, NextKey)
    for model in own:
        model._default_manager.filter(account__in=account_ids).delete()
    SignatureRecord.objects.filter(account_id__in=account_ids).delete()
    TradingAccount.objects.filter(id__in=account_ids).delete()


def have_orders(*, account_ids: Sequence[UUID]) -> set[UUID]:
    """Those of the accounts that ever ordered anything."""
    return set(Order.objects.filter(account__in=account_ids).values_list("account_id", flat=True).distinct())
