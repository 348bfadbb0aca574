"""REST for leaders: public facts with their sample, the same for every user."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.services.tokens import Scope
from polyhub.api import Paging
from scanner import selectors
from scanner.models import Wallet, WalletTrade


class LeaderSerializer(serializers.ModelSerializer[Wallet]):
    name = serializers.CharField(source="alias")

    class Meta:
        model = Wallet
        fields = [
            "address",
            "name",
            "trades",
            "buys",
            "sells",
            "markets",
            "volume_usdc",
            "median_trade_usdc",
            "closed_pnl_usdc",
            "closed_positions",
            "closed_wins",
            "first_trade_at",
            "last_trade_at",
            "source",
            "measured_at",
        ]
        read_only_fields = fields


class RecordedTradeSerializer(serializers.ModelSerializer[WalletTrade]):
    token = serializers.CharField(source="token.token_id")
    outcome = serializers.CharField(source="token.outcome")
    market = serializers.CharField(source="token.market.condition_id")
    question = serializers.CharField(source="token.market.question")

    class Meta:
        model = WalletTrade
        fields = ["token", "outcome", "market", "question", "side", "price", "shares", "traded_at", "transaction_hash"]
        read_only_fields = fields


@extend_schema_view(
    list=extend_schema(
        parameters=[
            OpenApiParameter("order", enum=list(selectors.ORDER_NAMES), description="Largest first; names A to Z."),
            OpenApiParameter("search", description="Part of the name or of the address."),
        ]
    )
)
class LeaderViewSet(viewsets.ReadOnlyModelViewSet[Wallet]):
    """Wallets with recorded trades. Each figure is a count or a sum over that sample."""

    required_scopes = {"GET": Scope.READ_MARKET}
    serializer_class = LeaderSerializer
    queryset = Wallet.objects.none()
    lookup_field = "address"
    lookup_value_regex = "0x[0-9a-fA-F]{40}"

    def get_queryset(self) -> QuerySet[Wallet]:
        said = self.request.query_params
        return selectors.leaders(order_by=said.get("order", "volume"), search=said.get("search", "")[:60])

    def get_object(self) -> Wallet:
        return selectors.wallet_named(address=self.kwargs["address"])

    @extend_schema(responses=RecordedTradeSerializer(many=True))
    @action(detail=True, methods=["get"])
    def trades(self, request: Request, **kwargs: Any) -> Response:
        """The wallet's recorded trades, newest first."""
        paging = Paging()
        rows = paging.paginate_queryset(selectors.trades_of(wallet=self.get_object()), request) or []
        return paging.get_paginated_response(RecordedTradeSerializer(rows, many=True).data)
