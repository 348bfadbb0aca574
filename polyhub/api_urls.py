"""REST v1: every app's endpoints, the schema, and its pages for people."""

from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.routers import SimpleRouter

from accounts.api import AccountViewSet, TokenViewSet
from copytrade.api import DecisionViewSet, RuleViewSet
from scanner.api import LeaderViewSet
from trading.api import OrderViewSet, PositionViewSet
from trading.market_api import DataMetrics, MarketViewSet

router = SimpleRouter(use_regex_path=False)
router.register("orders", OrderViewSet, basename="api-orders")
router.register("positions", PositionViewSet, basename="api-positions")
router.register("copy/rules", RuleViewSet, basename="api-rules")
router.register("copy/decisions", DecisionViewSet, basename="api-decisions")
router.register("accounts", AccountViewSet, basename="api-accounts")
router.register("tokens", TokenViewSet, basename="api-tokens")

# Addresses need a pattern, which paths do not have.
leaders = SimpleRouter()
leaders.register("leaders", LeaderViewSet, basename="api-leaders")

leaders.register("markets", MarketViewSet, basename="api-markets")

urlpatterns = [
    path("schema/", SpectacularAPIView.as_view(throttle_classes=[]), name="api-schema"),
    path("docs/", SpectacularSwaggerSplitView.as_view(url_name="api-schema"), name="api-docs"),
    path("data/metrics/", DataMetrics.as_view(), name="api-data-metrics"),
    path("", include(router.urls)),
    path("", include(leaders.urls)),
]
