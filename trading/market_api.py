"""REST for markets: the catalogue, books, prints and candles; the same for every user."""

from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.services.tokens import Scope
from markets import metrics, selectors
from markets.models import Candle, Market, Token
from markets.services import history, interest
from polyhub.api import Paging
from polyhub.lib.clock import SystemClock
from trading.market_views import LONGEST, chosen

OUTCOME = OpenApiParameter("outcome", int, description="Index of the outcome, 0 when left out.")
MOST_PRINTS = 200


class OutcomeSerializer(serializers.ModelSerializer[Token]):
    token = serializers.CharField(source="token_id")

    class Meta:
        model = Token
        fields = ["token", "outcome", "outcome_index"]
        read_only_fields = fields


class MarketSerializer(serializers.ModelSerializer[Market]):
    market = serializers.CharField(source="condition_id")
    event = serializers.CharField(source="event.title", default="")
    outcomes = OutcomeSerializer(source="tokens", many=True)

    class Meta:
        model = Market
        fields = [
            "market",
            "question",
            "event",
            "category",
            "slug",
            "outcomes",
            "neg_risk",
            "neg_risk_group",
            "tick_size",
            "min_order_shares",
            "fee_rate",
            "fee_exponent",
            "taker_delay_s",
            "volume_usdc",
            "volume_24h_usdc",
            "liquidity_usdc",
            "closed",
            "accepting_orders",
            "resolution",
            "payout_of_first",
            "ends_at",
            "updated_at",
        ]
        read_only_fields = fields


class BookSerializer(serializers.Serializer[Any]):
    """Best first. `doubt` is empty for a trusted book; an untrusted one is shown and must not be acted on."""

    token = serializers.CharField()
    trusted = serializers.BooleanField()
    doubt = serializers.CharField(allow_blank=True)
    bids = serializers.ListField(child=serializers.ListField(child=serializers.CharField()))
    asks = serializers.ListField(child=serializers.ListField(child=serializers.CharField()))
    tick_size = serializers.DecimalField(max_digits=6, decimal_places=4)
    venue_at = serializers.DateTimeField(allow_null=True)
    updated_at = serializers.DateTimeField(allow_null=True)


class PrintSerializer(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    side = serializers.CharField(help_text="The taker's.")
    price = serializers.DecimalField(max_digits=6, decimal_places=4)
    shares = serializers.DecimalField(max_digits=20, decimal_places=6)


class CandleSerializer(serializers.ModelSerializer[Candle]):
    class Meta:
        model = Candle
        fields = ["at", "open", "high", "low", "close", "shares", "trades", "is_imported"]
        read_only_fields = fields


@extend_schema_view(
    list=extend_schema(
        parameters=[
            OpenApiParameter("search", description="Beginnings of words, or a whole market or token id."),
            OpenApiParameter("state", enum=["open", "closed", "all"]),
            OpenApiParameter("category"),
            OpenApiParameter("order", enum=["volume", "total", "liquidity", "ending", "newest"]),
        ]
    )
)
class MarketViewSet(viewsets.ReadOnlyModelViewSet[Market]):
    """The venue's markets as the catalogue has them."""

    required_scopes = {"GET": Scope.READ_MARKET}
    serializer_class = MarketSerializer
    queryset = Market.objects.none()
    lookup_field = "condition_id"
    lookup_value_regex = "0x[0-9a-fA-F]{62,64}"

    def get_queryset(self) -> QuerySet[Market]:
        said = self.request.query_params
        return selectors.find_markets(
            search=said.get("search", "")[:100],
            state=said.get("state", "open"),
            category=said.get("category", "")[:64],
            order_by=said.get("order", "volume"),
            now=SystemClock().now(),
        ).prefetch_related("tokens")

    def get_object(self) -> Market:
        return selectors.market_of(condition_id=self.kwargs["condition_id"].lower())

    @extend_schema(parameters=[OUTCOME], responses=BookSerializer)
    @action(detail=True, methods=["get"])
    def book(self, request: Request, **kwargs: Any) -> Response:
        """The newest book of an outcome. The first question subscribes it: it is there a moment later."""
        token = self._token()
        interest.look(token_ids=[token.pk], now=SystemClock().now())
        shown = selectors.book_payloads(tokens=[token.pk]).get(token.pk)
        waiting = {"token": token.token_id, "trusted": False, "doubt": "NO_BOOK", "bids": [], "asks": []}
        empty = {**waiting, "tick_size": token.market.tick_size, "venue_at": None, "updated_at": None}
        return Response(BookSerializer(shown or empty).data)

    @extend_schema(parameters=[OUTCOME], responses=PrintSerializer(many=True))
    @action(detail=True, methods=["get"], pagination_class=None)
    def trades(self, request: Request, **kwargs: Any) -> Response:
        """The newest trades of an outcome, newest first."""
        rows = selectors.tape(token=self._token(), limit=MOST_PRINTS)
        return Response(
            [
                PrintSerializer(
                    {"at": one.at, "side": "BUY" if one.is_buy else "SELL", "price": one.price, "shares": one.shares}
                ).data
                for one in rows
            ]
        )

    @extend_schema(
        parameters=[OUTCOME, OpenApiParameter("span_s", int, enum=list(history.SPANS_S))],
        responses=CandleSerializer(many=True),
    )
    @action(detail=True, methods=["get"])
    def candles(self, request: Request, **kwargs: Any) -> Response:
        """Candles of one span, newest first, a page at a time."""
        said = request.query_params.get("span_s", "3600")
        if said not in {str(span) for span in history.SPANS_S}:
            raise ValidationError({"span_s": [f"Must be one of {', '.join(map(str, history.SPANS_S))}."]})
        since = SystemClock().now() - LONGEST
        rows = selectors.candles(token=self._token(), span_s=int(said), since=since).order_by("-at")
        paging = Paging()
        page = paging.paginate_queryset(rows, request) or []
        return paging.get_paginated_response(CandleSerializer(page, many=True).data)

    def _token(self) -> Token:
        market = self.get_object()
        token = chosen(list(market.tokens.order_by("outcome_index")), self.request.query_params.get("outcome", "0"))
        if token is None:
            raise selectors.MarketNotFound("The venue has not named the outcomes of this market.")
        return token


class DataMetrics(APIView):
    """Figures of the data for Prometheus: today's trust and troubles, each source's part, the catalogue's age."""

    required_scopes = {"GET": Scope.READ_MARKET}

    @extend_schema(responses={(200, "text/plain"): str})
    def get(self, request: Request) -> HttpResponse:
        text = metrics.exposition(now=SystemClock().now())
        return HttpResponse(text, content_type=metrics.CONTENT_TYPE)
