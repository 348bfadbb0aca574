"""Rules and verdicts in the admin site, read-only: they change through services only."""

from django.contrib import admin

from copytrade.models import CopyDecision, CopyRule
from polyhub.lib.read_only_admin import ReadOnlyAdmin


@admin.register(CopyRule)
class CopyRuleAdmin(ReadOnlyAdmin):
    list_display = ("account", "leader", "status", "sizing", "max_position_usdc", "created_at")
    list_filter = ("status", "sizing")
    list_select_related = ("account",)
    search_fields = ("leader",)


@admin.register(CopyDecision)
class CopyDecisionAdmin(ReadOnlyAdmin):
    list_display = ("rule", "verdict", "code", "decided_at")
    list_filter = ("verdict", "code")
    list_select_related = ("rule",)
