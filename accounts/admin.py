"""People and accounts for staff. Keys are not here, and nothing here shows a secret."""

from typing import TYPE_CHECKING, Any, ClassVar

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from accounts.models import ApiToken, TradingAccount, User
from polyhub.lib.read_only_admin import ReadOnlyAdmin

if TYPE_CHECKING:
    _UserAdmin = DjangoUserAdmin[User]
else:
    _UserAdmin = DjangoUserAdmin

# Staff sign in like everybody: rate limits and second factors hold for them too.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]


@admin.register(User)
class UserAdmin(_UserAdmin):
    """Passwords are set by their owners: staff can disable a user, not sign in as one."""

    ordering = ("email",)
    list_display = ("email", "is_active", "is_staff", "last_login", "date_joined")
    search_fields = ("email",)
    readonly_fields = ("email", "last_login", "date_joined")
    fieldsets: ClassVar[Any] = (
        (None, {"fields": ("email", "is_active", "is_staff", "is_superuser", "groups")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Who may change users could otherwise make a superuser of themselves."""
        powers = () if _is_superuser(request) else ("is_staff", "is_superuser", "groups")
        return (*self.readonly_fields, *powers)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Only a superuser disables a superuser."""
        allowed = super().has_change_permission(request, obj)
        return allowed and (obj is None or not obj.is_superuser or _is_superuser(request))

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> Any:
        """Django's page for it stays reachable by its address when no link shows it."""
        raise PermissionDenied

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object | None = None) -> bool:
        return False


def _is_superuser(request: HttpRequest) -> bool:
    return bool(getattr(request.user, "is_superuser", False))


@admin.register(TradingAccount)
class TradingAccountAdmin(ReadOnlyAdmin):
    list_display = ("name", "user", "mode", "status", "is_primary", "trading_address", "created_at")
    list_filter = ("mode", "status")
    list_select_related = ("user",)
    search_fields = ("name", "user__email", "trading_address")


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnlyAdmin):
    """Which tokens there are; the digest is left out, the token itself is nowhere."""

    list_display = ("name", "user", "scopes", "created", "expiry", "last_used_at")
    list_select_related = ("user",)
    search_fields = ("name", "user__email")
    fields = ("name", "user", "token_key", "scopes", "created", "expiry", "last_used_at")
