"""Wallets and their measured figures. Every figure is a count or a sum over the trades at hand, with its sample."""

from django.db import models


class Wallet(models.Model):
    """A public wallet and what its recorded trades measure. No judgement is stored here."""

    address = models.CharField(max_length=42, unique=True)
    alias = models.CharField(max_length=60)
    trades = models.PositiveIntegerField(default=0)
    buys = models.PositiveIntegerField(default=0)
    sells = models.PositiveIntegerField(default=0)
    markets = models.PositiveIntegerField(default=0)
    volume_usdc = models.DecimalField(max_digits=20, decimal_places=6, default=0)
    median_trade_usdc = models.DecimalField(max_digits=20, decimal_places=6, default=0)
    # Only of positions opened and closed inside the sample; null when there is none.
    closed_pnl_usdc = models.DecimalField(max_digits=20, decimal_places=6, null=True, blank=True)
    closed_positions = models.PositiveIntegerField(default=0)
    closed_wins = models.PositiveIntegerField(default=0)
    first_trade_at = models.DateTimeField(null=True, blank=True)
    last_trade_at = models.DateTimeField(null=True, blank=True)
    source = models.CharField(max_length=120, blank=True, default="")
    measured_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["-volume_usdc", "address"], name="wallet_by_volume")]

    def __str__(self) -> str:
        return self.alias


class WalletTrade(models.Model):
    """A recorded trade of a wallet, for its page and its figures."""

    wallet = models.ForeignKey("scanner.Wallet", on_delete=models.CASCADE, related_name="recorded_trades")
    token = models.ForeignKey("markets.Token", on_delete=models.PROTECT, related_name="+")
    side = models.CharField(max_length=4)
    price = models.DecimalField(max_digits=12, decimal_places=10)
    shares = models.DecimalField(max_digits=20, decimal_places=6)
    transaction_hash = models.CharField(max_length=66)
    traded_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["transaction_hash", "wallet", "token", "side", "price", "shares"], name="wallet_trade_once"
            )
        ]
        indexes = [models.Index(fields=["wallet", "-traded_at"], name="wallet_trade_time")]

    def __str__(self) -> str:
        return f"{self.side} {self.shares}@{self.price}"
