"""The admin site's own rows: services and their leases, read-only; and what staff must not reach there at all."""

# Imported first, so that what they register is there to be taken away.
import allauth.account.admin
import allauth.mfa.admin
import allauth.usersessions.admin  # noqa: F401
import django_q.admin  # noqa: F401
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib import admin
from django_q.models import Failure, OrmQ, Schedule, Success

from polyhub import system
from polyhub.lib.clock import SystemClock
from polyhub.lib.models import Service
from polyhub.lib.read_only_admin import ReadOnlyAdmin

# Tasks and schedules name functions to run: whoever edits them runs code. Sessions and second factors are keys, and so
# is an e-mail address: whoever gives alice theirs resets her password.
for hidden in (Schedule, Success, Failure, OrmQ, Authenticator, UserSession, EmailAddress):
    if admin.site.is_registered(hidden):
        admin.site.unregister(hidden)


@admin.register(Service)
class ServiceAdmin(ReadOnlyAdmin):
    """Who runs what, with which fencing token, until when."""

    list_display = ("name", "feels", "state", "owner", "token", "expires_at", "heartbeat_at", "started_at")
    search_fields = ("name",)
    ordering = ("name",)

    @admin.display(description="now")
    def feels(self, service: Service) -> str:
        found = system.state(now=SystemClock().now()).services
        return next((row.word for row in found if row.name == service.name), "")
