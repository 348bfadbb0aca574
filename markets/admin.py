"""The catalogue and the feed's records in the admin site, read-only: the venue is their only author."""

from django.contrib import admin

from markets.models import LeaderTrade, Market, WatchedWallet
from polyhub.lib.read_only_admin import ReadOnlyAdmin


@admin.register(Market)
class MarketAdmin(ReadOnlyAdmin):
    list_display = ("question", "category", "tick_size", "fee_rate", "closed", "updated_at")
    list_filter = ("closed", "category")
    search_fields = ("question", "condition_id", "slug")


@admin.register(WatchedWallet)
class WatchedWalletAdmin(ReadOnlyAdmin):
    list_display = ("address", "active", "since_at", "reconciled_at")
    list_filter = ("active",)
    search_fields = ("address",)


@admin.register(LeaderTrade)
class LeaderTradeAdmin(ReadOnlyAdmin):
    list_display = ("wallet", "side", "shares", "price", "first_source", "traded_at", "received_at", "decided_at")
    list_filter = ("side", "first_source")
    search_fields = ("wallet", "transaction_hash")
    list_select_related = ("token",)
