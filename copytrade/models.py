"""Who follows whom by which rule, one verdict per leader trade and follower, and the shares booked per leader."""

import uuid

from django.db import models
from django.db.models import Q

from copytrade.domain.rules import RuleStatus, Sizing, Verdict
from polyhub.lib.choices import choices_of, one_of


class CopyRule(models.Model):
    """One account follows one leader by one rule."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey("accounts.TradingAccount", on_delete=models.PROTECT, related_name="copy_rules")
    leader = models.CharField(max_length=42)
    status = models.CharField(max_length=8, choices=choices_of(RuleStatus), default=RuleStatus.ACTIVE)
    sizing = models.CharField(max_length=8, choices=choices_of(Sizing))
    ratio = models.DecimalField(max_digits=10, decimal_places=6, null=True, blank=True)
    fixed_usdc = models.DecimalField(max_digits=20, decimal_places=6, null=True, blank=True)
    max_position_usdc = models.DecimalField(max_digits=20, decimal_places=6)
    min_order_usdc = models.DecimalField(max_digits=20, decimal_places=6)
    slippage = models.DecimalField(max_digits=6, decimal_places=4)
    min_price = models.DecimalField(max_digits=6, decimal_places=4)
    max_price = models.DecimalField(max_digits=6, decimal_places=4)
    max_age_s = models.PositiveIntegerField()
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["leader"], name="rule_by_leader")]
        constraints = [
            one_of("status", RuleStatus, name="rule_status_known"),
            one_of("sizing", Sizing, name="rule_sizing_known"),
            models.UniqueConstraint(
                fields=["account", "leader"], condition=~Q(status="STOPPED"), name="rule_once_per_leader"
            ),
            models.CheckConstraint(
                condition=Q(sizing="RATIO", ratio__gt=0, ratio__lte=10, fixed_usdc__isnull=True)
                | Q(sizing="FIXED", fixed_usdc__gt=0, ratio__isnull=True),
                name="rule_size_given",
            ),
            models.CheckConstraint(
                condition=Q(max_position_usdc__gt=0, min_order_usdc__gt=0, max_age_s__gt=0), name="rule_positive"
            ),
            models.CheckConstraint(condition=Q(slippage__gte=0, slippage__lte="0.5"), name="rule_slippage"),
            models.CheckConstraint(
                condition=Q(min_price__gt=0, max_price__lt=1) & Q(min_price__lt=models.F("max_price")),
                name="rule_price_band",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.account_id} follows {self.leader[:10]}"


class CopyDecision(models.Model):
    """The one verdict on one leader trade for one follower: an order, or a skip with its code and numbers."""

    rule = models.ForeignKey("copytrade.CopyRule", on_delete=models.PROTECT, related_name="decisions")
    leader_trade = models.ForeignKey("markets.LeaderTrade", on_delete=models.PROTECT, related_name="decisions")
    verdict = models.CharField(max_length=8, choices=choices_of(Verdict))
    code = models.CharField(max_length=64)
    numbers = models.JSONField(default=dict, blank=True)
    # Several fills of one leader order share one order of ours.
    order = models.ForeignKey(
        "trading.Order", null=True, blank=True, on_delete=models.PROTECT, related_name="copy_decisions"
    )
    decided_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["rule", "leader_trade"], name="decision_once"),
            one_of("verdict", Verdict, name="decision_verdict_known"),
        ]
        indexes = [models.Index(fields=["rule", "-id"], name="decision_rule_recent")]

    def __str__(self) -> str:
        return f"{self.verdict} {self.code}"


class LeaderBook(models.Model):
    """What the leader's sales oblige one rule to sell of one token; survives restarts.

    The shares held for the rule are the fills of its own orders (`Order.source_ref`), so they cannot drift.
    """

    rule = models.ForeignKey("copytrade.CopyRule", on_delete=models.PROTECT, related_name="books")
    token = models.ForeignKey("markets.Token", on_delete=models.PROTECT, related_name="+")
    # Grows with each sale of the leader; still to sell = this minus what our exit orders sold.
    exit_obliged_shares = models.DecimalField(max_digits=20, decimal_places=6, default=0)
    # When the leader made the entry that opened this book; older sales of the leader are not of these shares.
    opened_at = models.DateTimeField(null=True, blank=True)
    # The leader's price of the newest sale: the first tries keep to it.
    exit_price = models.DecimalField(max_digits=6, decimal_places=4, null=True, blank=True)
    exit_attempts = models.PositiveIntegerField(default=0)
    exit_retry_at = models.DateTimeField(null=True, blank=True)
    updated_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["rule", "token"], name="leader_book_once"),
            models.CheckConstraint(condition=Q(exit_obliged_shares__gte=0), name="leader_book_not_negative"),
        ]
        indexes = [
            models.Index(
                fields=["exit_retry_at"], condition=Q(exit_retry_at__isnull=False), name="leader_book_exit_due"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.rule_id} owes {self.exit_obliged_shares}"
