"""Limits a user sets, and the state the gate reads under its row lock."""

from django.db import models

from polyhub.lib.choices import choices_of, one_of
from riskmgmt.domain.states import TradingState


class RiskLimits(models.Model):
    """What one account may risk. All amounts in pUSD."""

    account = models.OneToOneField("accounts.TradingAccount", on_delete=models.PROTECT, related_name="risk_limits")
    order_min_usdc = models.DecimalField(max_digits=20, decimal_places=6, default=1)
    order_max_usdc = models.DecimalField(max_digits=20, decimal_places=6, default=100)
    market_max_usdc = models.DecimalField(max_digits=20, decimal_places=6, default=300)
    total_max_usdc = models.DecimalField(max_digits=20, decimal_places=6, default=2000)
    max_open_orders = models.PositiveIntegerField(default=50)
    daily_loss_usdc = models.DecimalField(max_digits=20, decimal_places=6, default=200)
    updated_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(order_min_usdc__gt=0)
                & models.Q(order_max_usdc__gte=models.F("order_min_usdc"))
                & models.Q(market_max_usdc__gt=0)
                & models.Q(total_max_usdc__gt=0)
                & models.Q(daily_loss_usdc__gt=0)
                & models.Q(max_open_orders__gt=0),
                name="risk_limits_positive",
            )
        ]

    def __str__(self) -> str:
        return f"limits of {self.account_id}"


class RiskState(models.Model):
    """The account's risk row: locked before each check, so that two orders never spend the same room."""

    account = models.OneToOneField("accounts.TradingAccount", on_delete=models.PROTECT, related_name="risk_state")
    state = models.CharField(max_length=8, choices=choices_of(TradingState), default=TradingState.ACTIVE)
    reason = models.CharField(max_length=200, blank=True, default="")
    changed_at = models.DateTimeField()
    # The day the loss is counted for (UTC) and the equity it started with.
    day = models.DateField(null=True, blank=True)
    day_start_equity_usdc = models.DecimalField(max_digits=20, decimal_places=6, null=True, blank=True)

    class Meta:
        constraints = [one_of("state", TradingState, name="risk_state_known")]

    def __str__(self) -> str:
        return f"{self.account_id} {self.state}"
