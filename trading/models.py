"""Orders and everything that happened to them. Money rows are protected and never deleted."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from markets.models import TradeSide
from markets.venue.ports import OrderType
from polyhub.lib.choices import choices_of, one_of
from trading.domain.orders import UNFINISHED, EngineState, FillStatus, OrderStatus

# For plain SQL: the index `order_unfinished` only serves statements that spell its statuses out.
UNFINISHED_SQL = "(" + ", ".join(f"'{status.value}'" for status in sorted(UNFINISHED)) + ")"


class Order(models.Model):
    """One order of one account. The terms never change after insertion; `status` moves by `domain.orders`."""

    account = models.ForeignKey("accounts.TradingAccount", on_delete=models.PROTECT, related_name="orders")
    client_order_id = models.UUIDField(unique=True)
    token = models.ForeignKey("markets.Token", on_delete=models.PROTECT, related_name="orders")
    side = models.CharField(max_length=4, choices=choices_of(TradeSide))
    order_type = models.CharField(max_length=4, choices=choices_of(OrderType))
    price = models.DecimalField(max_digits=6, decimal_places=4)
    shares = models.DecimalField(max_digits=20, decimal_places=6)
    post_only = models.BooleanField(default=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    # The exact integers that are signed; they make the order hash reproducible after a crash.
    maker_units = models.BigIntegerField()
    taker_units = models.BigIntegerField()
    salt = models.BigIntegerField()
    timestamp_ms = models.BigIntegerField()

    status = models.CharField(max_length=20, choices=choices_of(OrderStatus), default=OrderStatus.PENDING)
    code = models.CharField(max_length=64, blank=True, default="")
    message = models.CharField(max_length=500, blank=True, default="")
    order_hash = models.CharField(max_length=66, null=True, blank=True, unique=True)
    wire = models.BinaryField(null=True, blank=True)
    service = models.CharField(max_length=64, blank=True, default="")
    fencing_token = models.BigIntegerField(null=True, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)

    filled_shares = models.DecimalField(max_digits=20, decimal_places=6, default=0)
    filled_usdc = models.DecimalField(max_digits=20, decimal_places=6, default=0)
    fee_usdc = models.DecimalField(max_digits=20, decimal_places=6, default=0)
    # The trades the venue named when it answered: an order that cannot rest is over once all of them are booked.
    venue_trade_ids = models.JSONField(default=list, blank=True)
    # Held back from the account until the outcome is known; `admitted_usdc` is what was held back at first.
    admitted_usdc = models.DecimalField(max_digits=20, decimal_places=6, default=0)
    reserved_usdc = models.DecimalField(max_digits=20, decimal_places=6, default=0)
    reserved_shares = models.DecimalField(max_digits=20, decimal_places=6, default=0)

    source = models.CharField(max_length=16)
    source_ref = models.CharField(max_length=64, blank=True, default="")
    actor = models.CharField(max_length=80)
    risk_verdict = models.CharField(max_length=200, blank=True, default="")
    created_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True, blank=True)
    answered_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    watch_until = models.DateTimeField(null=True, blank=True)
    updated_at = models.DateTimeField()

    class Meta:
        constraints = [
            one_of("side", TradeSide, name="order_side_known"),
            one_of("order_type", OrderType, name="order_type_known"),
            one_of("status", OrderStatus, name="order_status_known"),
            models.CheckConstraint(condition=Q(price__gt=0, price__lt=1), name="order_price_0_1"),
            models.CheckConstraint(condition=Q(shares__gt=0), name="order_shares_positive"),
            models.CheckConstraint(
                condition=Q(reserved_usdc__gte=0, reserved_shares__gte=0), name="order_reserve_not_negative"
            ),
            # Nothing is on the wire without its hash and bytes being on disk first.
            models.CheckConstraint(
                condition=~Q(status__in=[OrderStatus.SENT, OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED])
                | Q(order_hash__isnull=False),
                name="order_sent_has_hash",
            ),
        ]
        indexes = [
            models.Index(
                fields=["account", "id"],
                condition=Q(status__in=[status.value for status in sorted(UNFINISHED)]),
                name="order_unfinished",
            ),
            models.Index(fields=["account", "-created_at"], name="order_account_time"),
            models.Index(fields=["source_ref", "token"], condition=~Q(source_ref=""), name="order_by_source"),
        ]

    def __str__(self) -> str:
        return f"{self.side} {self.shares}@{self.price} {self.status}"


class OrderEvent(models.Model):
    """One status change, written in the transaction of the change."""

    order = models.ForeignKey("trading.Order", on_delete=models.PROTECT, related_name="events")
    from_status = models.CharField(max_length=20, blank=True, default="")
    to_status = models.CharField(max_length=20)
    code = models.CharField(max_length=64, blank=True, default="")
    detail = models.JSONField(default=dict, blank=True)
    actor = models.CharField(max_length=80)
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.from_status}->{self.to_status}"


class Fill(models.Model):
    """One trade of one order. A repeated report changes nothing; FAILED reverses it."""

    order = models.ForeignKey("trading.Order", on_delete=models.PROTECT, related_name="fills")
    venue_trade_id = models.CharField(max_length=80)
    token = models.ForeignKey("markets.Token", on_delete=models.PROTECT, related_name="+")
    side = models.CharField(max_length=4, choices=choices_of(TradeSide))
    price = models.DecimalField(max_digits=6, decimal_places=4)
    shares = models.DecimalField(max_digits=20, decimal_places=6)
    notional_usdc = models.DecimalField(max_digits=20, decimal_places=6)
    fee_usdc = models.DecimalField(max_digits=20, decimal_places=6)
    # What this fill realised when it sold: kept so that FAILED can take exactly it back.
    realized_pnl_usdc = models.DecimalField(max_digits=20, decimal_places=6, default=0)
    cost_released_usdc = models.DecimalField(max_digits=20, decimal_places=6, default=0)
    is_maker = models.BooleanField(default=False)
    status = models.CharField(max_length=10, choices=choices_of(FillStatus))
    transaction_hash = models.CharField(max_length=66, blank=True, default="")
    venue_at = models.DateTimeField()
    received_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["order", "venue_trade_id"], name="fill_once"),
            one_of("status", FillStatus, name="fill_status_known"),
            models.CheckConstraint(condition=Q(shares__gt=0), name="fill_shares_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.shares}@{self.price} {self.status}"


class Position(models.Model):
    """Shares of one token in one account. `shares` matched, of them `sellable` mined, of them `settled` confirmed."""

    account = models.ForeignKey("accounts.TradingAccount", on_delete=models.PROTECT, related_name="positions")
    token = models.ForeignKey("markets.Token", on_delete=models.PROTECT, related_name="positions")
    shares = models.DecimalField(max_digits=20, decimal_places=6, default=0)
    sellable_shares = models.DecimalField(max_digits=20, decimal_places=6, default=0)
    settled_shares = models.DecimalField(max_digits=20, decimal_places=6, default=0)
    # Cost of the shares still held, fees included (average cost).
    cost_usdc = models.DecimalField(max_digits=20, decimal_places=6, default=0)
    realized_pnl_usdc = models.DecimalField(max_digits=20, decimal_places=6, default=0)
    fees_usdc = models.DecimalField(max_digits=20, decimal_places=6, default=0)
    opened_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "token"], name="position_once"),
            models.CheckConstraint(condition=Q(shares__gte=0), name="position_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.shares} of {self.token_id}"


class Balance(models.Model):
    """Cash of one account as our own fills make it, and what the venue said last."""

    account = models.OneToOneField("accounts.TradingAccount", on_delete=models.PROTECT, related_name="balance")
    cash_usdc = models.DecimalField(max_digits=20, decimal_places=6, default=0)
    deposited_usdc = models.DecimalField(max_digits=20, decimal_places=6, default=0)
    venue_cash_usdc = models.DecimalField(max_digits=20, decimal_places=6, null=True, blank=True)
    venue_checked_at = models.DateTimeField(null=True, blank=True)
    updated_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.cash_usdc} of {self.account_id}"


class EquityPoint(models.Model):
    """Equity of one account at one time: cash plus positions at the best bid."""

    account = models.ForeignKey("accounts.TradingAccount", on_delete=models.CASCADE, related_name="equity_points")
    at = models.DateTimeField()
    cash_usdc = models.DecimalField(max_digits=20, decimal_places=6)
    positions_usdc = models.DecimalField(max_digits=20, decimal_places=6)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "at"], name="equity_point_once")]

    def __str__(self) -> str:
        return f"{self.account_id} {self.at}"


class Engine(models.Model):
    """The running state of one account's engine."""

    account = models.OneToOneField("accounts.TradingAccount", on_delete=models.PROTECT, related_name="engine")
    state = models.CharField(max_length=10, choices=choices_of(EngineState), default=EngineState.INIT)
    detail = models.CharField(max_length=300, blank=True, default="")
    beat_at = models.DateTimeField(null=True, blank=True)
    reconciled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [one_of("state", EngineState, name="engine_state_known")]

    def __str__(self) -> str:
        return f"{self.account_id} {self.state}"


class SignatureRecord(models.Model):
    """The signer's own book, written before it signs: one hash per intent, for ever."""

    intent_id = models.UUIDField(unique=True)
    order_hash = models.CharField(max_length=66, unique=True)
    account_id = models.UUIDField()
    service = models.CharField(max_length=64)
    fencing_token = models.BigIntegerField()
    notional_units = models.BigIntegerField()
    signed_on = models.DateField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index(fields=["account_id", "signed_on"], name="signature_account_day")]

    def __str__(self) -> str:
        return self.order_hash
