"""Trading accounts as such. Opening one with its limits and balance is `trading.services.accounts`."""

import uuid
from datetime import datetime
from decimal import Decimal

from django.db import IntegrityError, transaction

from accounts.domain import statuses
from accounts.domain.statuses import AccountMode, AccountStatus
from accounts.models import TradingAccount, User
from polyhub.lib import push
from polyhub.lib.errors import AppError

MAX_ACCOUNTS = 50
NAME_LENGTH = 60


class BadAccount(AppError):
    """The account cannot be made as asked; `details.field` names the field."""

    code = "BAD_ACCOUNT"


def create_account(
    *,
    user: User,
    name: str,
    mode: AccountMode,
    now: datetime,
    paper_start_usdc: Decimal = Decimal(0),
    signature_type: int | None = None,
    signer_address: str = "",
    trading_address: str = "",
) -> TradingAccount:
    """The bare row; the first account of a mode is its primary one. Raises BadAccount."""
    name = " ".join(name.split())
    if not name or len(name) > NAME_LENGTH:
        raise BadAccount(f"Give the account a name of 1 to {NAME_LENGTH} letters.", details={"field": "name"})
    with transaction.atomic():
        _lock(user)
        if TradingAccount.objects.filter(user=user).count() >= MAX_ACCOUNTS:
            raise BadAccount(f"{MAX_ACCOUNTS} accounts are the most one user may have.")
        if TradingAccount.objects.filter(user=user, name=name).exists():
            raise BadAccount("You already have an account of that name.", details={"field": "name"})
        account_id = uuid.uuid4()
        account = TradingAccount(
            id=account_id,
            user=user,
            name=name,
            mode=mode,
            is_primary=not TradingAccount.objects.filter(user=user, mode=mode, is_primary=True).exists(),
            paper_start_usdc=paper_start_usdc,
            shard_key=account_id.int & 0x7FFFFFFF,
            signature_type=signature_type,
            signer_address=signer_address,
            trading_address=trading_address,
            created_at=now,
        )
        try:
            with transaction.atomic():
                account.save(force_insert=True)
        except IntegrityError:
            # Names were checked under the lock: only the wallet can be in the way.
            raise BadAccount(
                "This wallet is connected to PolyHub with this key already.", details={"field": "trading_address"}
            ) from None
    return account


@transaction.atomic
def set_primary(*, account: TradingAccount, now: datetime) -> TradingAccount:
    """Make it the one that pages of its mode open with. Raises BadAccount for a stopped account."""
    _lock(account.user)
    row = TradingAccount.objects.select_for_update().get(pk=account.pk)
    if row.status == AccountStatus.STOPPED:
        raise BadAccount("A stopped account cannot be the primary one.")
    TradingAccount.objects.filter(user_id=row.user_id, mode=row.mode, is_primary=True).update(is_primary=False)
    row.is_primary = True
    row.save(update_fields=["is_primary"])
    _tell(row, now=now)
    return row


@transaction.atomic
def set_status(*, account: TradingAccount, status: AccountStatus, reason: str, now: datetime) -> TradingAccount:
    """Pause, resume or stop; the same status again changes nothing. Raises IllegalStatus."""
    row = TradingAccount.objects.select_for_update().get(pk=account.pk)
    if row.status == status:
        return row
    if row.status == AccountStatus.STOPPED and row.mode == AccountMode.PAPER:
        raise statuses.IllegalStatus("A stopped paper account is history: open a new one.")
    row.status = statuses.advance(AccountStatus(row.status), status)
    row.status_reason = reason[:200]
    if status == AccountStatus.STOPPED:
        row.is_primary = False
    row.save(update_fields=["status", "status_reason", "is_primary"])
    _tell(row, now=now)
    return row


@transaction.atomic
def rename(*, account: TradingAccount, name: str) -> TradingAccount:
    """Give it another name of the same user's; raises BadAccount when it is taken."""
    _lock(account.user)
    if TradingAccount.objects.filter(user_id=account.user_id, name=name).exclude(pk=account.pk).exists():
        raise BadAccount("You already have an account of that name.", details={"field": "name"})
    TradingAccount.objects.filter(pk=account.pk).update(name=name[:NAME_LENGTH])
    account.refresh_from_db(fields=["name"])
    return account


def _lock(user: User) -> None:
    """One change of a user's set of accounts at a time, so that limits and the primary mark hold."""
    User.objects.select_for_update().get(pk=user.pk)


def _tell(account: TradingAccount, *, now: datetime) -> None:
    payload = {
        "account": str(account.id),
        "mode": account.mode,
        "status": account.status,
        "reason": account.status_reason,
        "is_primary": account.is_primary,
    }
    push.push(pushes=[push.Push(account.user_id, "account.changed", payload)], now=now)
