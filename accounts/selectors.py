"""Reading people's accounts; the first argument is always whose."""

from uuid import UUID

from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.db.models import QuerySet

from accounts.domain.statuses import AccountMode, AccountStatus
from accounts.models import ApiToken, TradingAccount, User
from polyhub.lib.errors import AppError


class NotFound(AppError):
    """There is none, or it is somebody else's: the answer is the same."""

    code = "NOT_FOUND"
    http_status = 404


def accounts_of(*, user: User, mode: AccountMode | None = None) -> QuerySet[TradingAccount]:
    """The user's trading accounts, primary ones first; those that were stopped come last."""
    accounts = TradingAccount.objects.filter(user=user)
    if mode is not None:
        accounts = accounts.filter(mode=mode)
    return accounts.order_by("-is_primary", "created_at", "id")


def account_of(*, user: User, account_id: UUID) -> TradingAccount:
    """Raises NotFound for a foreign account too."""
    account = TradingAccount.objects.filter(user=user, id=account_id).first()
    if account is None:
        raise NotFound("There is no such account.")
    return account


def primary_of(*, user: User, mode: AccountMode) -> TradingAccount | None:
    return TradingAccount.objects.filter(user=user, mode=mode, is_primary=True).first()


def usable_accounts_of(*, user: User, mode: AccountMode) -> QuerySet[TradingAccount]:
    """What a new rule may trade on: everything that is not stopped."""
    return accounts_of(user=user, mode=mode).exclude(status=AccountStatus.STOPPED)


def tokens_of(*, user: User) -> QuerySet[ApiToken]:
    return ApiToken.objects.filter(user=user).order_by("-created", "digest")


def may_import_keys(*, user: User) -> bool:
    """A key may come in once a second factor guards the account (not asked for in the sandbox)."""
    return not settings.REQUIRE_MFA_FOR_KEYS or bool(is_mfa_enabled(user))
