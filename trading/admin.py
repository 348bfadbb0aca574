"""Orders and what became of them, to look at. Nothing here can be changed: services and engines do that."""

from django.contrib import admin

from polyhub.lib.read_only_admin import ReadOnlyAdmin
from trading.models import Balance, Engine, Fill, Order, OrderEvent, Position


@admin.register(Order)
class OrderAdmin(ReadOnlyAdmin):
    list_display = ("id", "account", "side", "order_type", "price", "shares", "filled_shares", "status", "code")
    list_filter = ("status", "order_type", "side")
    search_fields = ("client_order_id", "order_hash", "account__name")
    list_select_related = ("account",)
    ordering = ("-id",)
    # The signed bytes are nobody's business here.
    exclude = ("wire",)


@admin.register(OrderEvent)
class OrderEventAdmin(ReadOnlyAdmin):
    list_display = ("id", "order_id", "from_status", "to_status", "code", "actor", "at")
    ordering = ("-id",)


@admin.register(Fill)
class FillAdmin(ReadOnlyAdmin):
    list_display = ("id", "order_id", "side", "price", "shares", "fee_usdc", "status", "venue_at")
    list_filter = ("status", "side")
    search_fields = ("venue_trade_id", "transaction_hash")
    ordering = ("-id",)


@admin.register(Position)
class PositionAdmin(ReadOnlyAdmin):
    list_display = ("id", "account", "token", "shares", "sellable_shares", "settled_shares", "cost_usdc")
    list_select_related = ("account", "token")
    ordering = ("-id",)


@admin.register(Balance)
class BalanceAdmin(ReadOnlyAdmin):
    list_display = ("account", "cash_usdc", "deposited_usdc", "venue_cash_usdc", "venue_checked_at")
    list_select_related = ("account",)
    ordering = ("id",)


@admin.register(Engine)
class EngineAdmin(ReadOnlyAdmin):
    list_display = ("account", "state", "detail", "beat_at", "reconciled_at")
    list_filter = ("state",)
    list_select_related = ("account",)
    ordering = ("id",)
