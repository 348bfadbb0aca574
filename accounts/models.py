"""Users, their trading accounts, sealed keys and API tokens."""

import uuid
from typing import ClassVar

from django.contrib.auth.models import AbstractUser, BaseUserManager
from django.contrib.postgres.fields import ArrayField
from django.db import models
from knox.models import AbstractAuthToken

from accounts.domain.custody import KeyKind
from accounts.domain.statuses import AccountMode, AccountStatus
from polyhub.lib.choices import choices_of, one_of

__all__ = [
    "AccountMode",
    "AccountStatus",
    "ApiToken",
    "KeyKind",
    "NextKey",
    "SigningPolicy",
    "TradingAccount",
    "TradingKey",
    "User",
]


class UserManager(BaseUserManager["User"]):
    """Users are named by their e-mail address."""

    use_in_migrations = True

    def create_user(self, email: str, password: str | None = None, **fields: object) -> "User":
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: object) -> "User":
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class User(AbstractUser):  # type: ignore[django-manager-missing]  # knox is untyped
    username = None  # type: ignore[assignment]
    email = models.EmailField(unique=True)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects = UserManager()  # type: ignore[assignment,misc]

    def __str__(self) -> str:
        return self.email


class TradingAccount(models.Model):
    """One pot of money, paper or live, never both."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey("accounts.User", on_delete=models.PROTECT, related_name="trading_accounts")
    name = models.CharField(max_length=60)
    mode = models.CharField(max_length=8, choices=choices_of(AccountMode))
    status = models.CharField(max_length=8, choices=choices_of(AccountStatus), default=AccountStatus.ACTIVE)
    status_reason = models.CharField(max_length=200, blank=True, default="")
    is_primary = models.BooleanField(default=False)
    paper_start_usdc = models.DecimalField(max_digits=20, decimal_places=6, default=0)
    shard_key = models.PositiveIntegerField(default=0)
    # Live only: who signs, how, and the wallet that holds the money.
    signature_type = models.PositiveSmallIntegerField(null=True, blank=True)
    signer_address = models.CharField(max_length=42, blank=True, default="")
    trading_address = models.CharField(max_length=42, blank=True, default="")
    connection = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            one_of("mode", AccountMode, name="account_mode_known"),
            one_of("status", AccountStatus, name="account_status_known"),
            models.UniqueConstraint(
                fields=["user", "mode"], condition=models.Q(is_primary=True), name="account_one_primary_per_mode"
            ),
            models.UniqueConstraint(fields=["user", "name"], name="account_name_once_per_user"),
            models.CheckConstraint(
                condition=models.Q(signature_type__isnull=True) | models.Q(signature_type__in=[0, 1, 2, 3]),
                name="account_signature_type_known",
            ),
            # Once for each key: who holds the key may claim a wallet, and a stranger's claim is not in the owner's way.
            models.UniqueConstraint(
                fields=["trading_address", "signer_address"],
                condition=~models.Q(trading_address=""),
                name="account_wallet_once_per_key",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.mode})"


class TradingKey(models.Model):
    """A sealed private key. Only the signer holds what opens `sealed`; nothing else ever sees the key again."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.OneToOneField("accounts.TradingAccount", on_delete=models.PROTECT, related_name="key")
    key_id = models.CharField(max_length=16)
    sealed = models.BinaryField()
    address = models.CharField(max_length=42)
    kind = models.CharField(max_length=8, choices=choices_of(KeyKind), default=KeyKind.OWNER)
    # Session keys only: after this the venue takes nothing signed by it any more.
    expires_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            one_of("kind", KeyKind, name="key_kind_known"),
            models.CheckConstraint(
                condition=models.Q(kind=KeyKind.OWNER, expires_at__isnull=True)
                | models.Q(kind=KeyKind.SESSION, expires_at__isnull=False),
                name="key_session_expires",
            ),
        ]

    def __str__(self) -> str:
        return f"key of {self.account_id}"


class NextKey(models.Model):
    """A session key waiting to take over: sealed, not yet used. Its id becomes that of the account's key."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.OneToOneField("accounts.TradingAccount", on_delete=models.PROTECT, related_name="next_key")
    key_id = models.CharField(max_length=16)
    sealed = models.BinaryField()
    address = models.CharField(max_length=42)
    expires_at = models.DateTimeField()
    created_at = models.DateTimeField()
    # Since then the account takes no orders, so that the key in use can be let go of.
    draining_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"next key of {self.account_id}"


class SigningPolicy(models.Model):
    """What the signer will sign for an account, whatever the engine asks."""

    account = models.OneToOneField("accounts.TradingAccount", on_delete=models.PROTECT, related_name="signing_policy")
    max_order_usdc = models.DecimalField(max_digits=20, decimal_places=6, default=500)
    max_day_usdc = models.DecimalField(max_digits=20, decimal_places=6, default=5000)
    min_price = models.DecimalField(max_digits=6, decimal_places=4, default="0.0100")
    max_price = models.DecimalField(max_digits=6, decimal_places=4, default="0.9900")
    updated_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(max_order_usdc__gt=0) & models.Q(max_day_usdc__gt=0), name="policy_limits_positive"
            ),
            models.CheckConstraint(
                condition=models.Q(min_price__gt=0, max_price__lt=1) & models.Q(min_price__lte=models.F("max_price")),
                name="policy_price_collar",
            ),
        ]

    def __str__(self) -> str:
        return f"policy of {self.account_id}"


class ApiToken(AbstractAuthToken):  # type: ignore[misc]
    """A hashed, scoped, expiring token of one user."""

    objects: ClassVar[models.Manager["ApiToken"]] = models.Manager()

    id = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=60)
    scopes = ArrayField(models.CharField(max_length=32), default=list)
    last_used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.name} ({self.token_key}…)"
