"""Every address of the site."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from polyhub import health, views

urlpatterns: list[URLPattern | URLResolver] = [
    path("", views.Landing.as_view(), name="landing"),
    path("system/strip/", views.SystemStrip.as_view(), name="system-strip"),
    path("auth/", include("allauth.urls")),
    path("api/v1/", include("polyhub.api_urls")),
    path("", include("accounts.urls")),
    path("", include("scanner.urls")),
    path("", include("trading.urls")),
    path("", include("trading.account_urls")),
    path("", include("trading.market_urls")),
    path("", include("copytrade.urls")),
    path("admin/", admin.site.urls),
    path("health", health.health, name="health"),
    path("ready", health.ready, name="ready"),
]

handler400 = "polyhub.views.bad_request"
handler403 = "polyhub.views.forbidden"
handler404 = "polyhub.views.not_found"
handler500 = "polyhub.views.server_error"
