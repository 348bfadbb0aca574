"""Wallets, for staff to look up; figures are measured, not edited."""

from django.contrib import admin
from django.http import HttpRequest

from scanner.models import Wallet


@admin.register(Wallet)
class WalletAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = (
        "alias",
        "address",
        "trades",
        "markets",
        "volume_usdc",
        "closed_pnl_usdc",
        "last_trade_at",
        "source",
    )
    search_fields = ("alias", "address")
    ordering = ("-volume_usdc", "address")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Wallet | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Wallet | None = None) -> bool:
        return False
