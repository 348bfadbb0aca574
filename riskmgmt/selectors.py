"""Reading limits and states."""

from accounts.models import TradingAccount
from riskmgmt.models import RiskLimits, RiskState


def limits_of(*, account: TradingAccount) -> RiskLimits | None:
    return RiskLimits.objects.filter(account=account).first()


def state_of(*, account: TradingAccount) -> RiskState | None:
    return RiskState.objects.filter(account=account).first()
