"""REST for orders and positions."""

from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import selectors as accounts
from accounts.api import MODE
from accounts.services.tokens import Scope
from markets.venue.ports import OrderType, Side
from polyhub.api import actor_of, choice_param, mode_param, user_of
from polyhub.lib.clock import SystemClock
from polyhub.lib.errors import AppError
from trading import selectors
from trading.domain import words
from trading.domain.orders import OrderStatus
from trading.models import Fill, Order, OrderEvent, Position
from trading.services import orders

ACCOUNT = OpenApiParameter("account", OpenApiTypes.UUID, description="Only this account.")
STATUS = OpenApiParameter("status", enum=[state.value for state in OrderStatus])


class NotStored(AppError):
    """The order could not even be stored; the code says why."""


class IdTaken(AppError):
    code = orders.ID_TAKEN
    http_status = 409


class OrderSerializer(serializers.ModelSerializer[Order]):
    account = serializers.UUIDField(source="account_id")
    mode = serializers.CharField(source="account.mode")
    token = serializers.CharField(source="token.token_id")
    outcome = serializers.CharField(source="token.outcome")
    market = serializers.CharField(source="token.market.condition_id")
    question = serializers.CharField(source="token.market.question")
    reason = serializers.SerializerMethodField(help_text="Why it was not sent, in words; empty otherwise.")

    class Meta:
        model = Order
        fields = [
            "id",
            "client_order_id",
            "account",
            "mode",
            "token",
            "outcome",
            "market",
            "question",
            "side",
            "order_type",
            "price",
            "shares",
            "status",
            "code",
            "reason",
            "message",
            "order_hash",
            "filled_shares",
            "filled_usdc",
            "fee_usdc",
            "reserved_usdc",
            "reserved_shares",
            "source",
            "source_ref",
            "created_at",
            "sent_at",
            "answered_at",
            "closed_at",
            "cancel_requested_at",
        ]
        read_only_fields = fields

    def get_reason(self, order: Order) -> str:
        return words.denial_words(order.code, words.numbers_of(order.message)) if order.code else ""


class OrderEventSerializer(serializers.ModelSerializer[OrderEvent]):
    class Meta:
        model = OrderEvent
        fields = ["from_status", "to_status", "code", "detail", "actor", "at"]
        read_only_fields = fields


class FillSerializer(serializers.ModelSerializer[Fill]):
    class Meta:
        model = Fill
        fields = [
            "venue_trade_id",
            "side",
            "price",
            "shares",
            "notional_usdc",
            "fee_usdc",
            "is_maker",
            "status",
            "transaction_hash",
            "venue_at",
            "settled_at",
        ]
        read_only_fields = fields


class OrderLifeSerializer(OrderSerializer):
    """One order with every change and every fill."""

    events = OrderEventSerializer(many=True)
    fills = FillSerializer(many=True)

    class Meta(OrderSerializer.Meta):
        fields = [*OrderSerializer.Meta.fields, "events", "fills"]
        read_only_fields = fields


class NewOrderSerializer(serializers.Serializer[Any]):
    """`price` is the worst price you accept. The same `client_order_id` twice is one order."""

    account = serializers.UUIDField()
    client_order_id = serializers.UUIDField(required=False)
    token = serializers.CharField(max_length=80)
    side = serializers.ChoiceField(choices=[side.value for side in Side])
    order_type = serializers.ChoiceField(choices=["GTC", "FOK", "FAK"], default="GTC")
    price = serializers.DecimalField(
        max_digits=5, decimal_places=4, min_value=Decimal("0.0001"), max_value=Decimal("0.9999")
    )
    shares = serializers.DecimalField(max_digits=20, decimal_places=6, min_value=Decimal("0.01"))
    post_only = serializers.BooleanField(default=False)


@extend_schema_view(list=extend_schema(parameters=[MODE, ACCOUNT, STATUS]))
class OrderViewSet(mixins.ListModelMixin, viewsets.GenericViewSet[Order]):
    """Every order ever asked for, sent or not. DENIED is by your own limits, REJECTED by the venue."""

    required_scopes = {"GET": Scope.READ_PORTFOLIO, "POST": Scope.TRADE_EXECUTE}
    serializer_class = OrderSerializer
    queryset = Order.objects.none()
    lookup_value_converter = "int"

    def get_queryset(self) -> QuerySet[Order]:
        rows = selectors.orders_of_user(user=user_of(self), mode=mode_param(self))
        state = choice_param(self, "status", OrderStatus)
        account = account_param(self)
        rows = rows if state is None else rows.filter(status=state)
        return rows if account is None else rows.filter(account_id=account)

    @extend_schema(responses=OrderLifeSerializer)
    def retrieve(self, request: Request, pk: int) -> Response:
        """One order with its life."""
        order = selectors.order_of(user=user_of(self), order_id=pk)
        return Response(OrderLifeSerializer(order).data)

    @extend_schema(request=NewOrderSerializer, responses={201: OrderSerializer, 200: OrderSerializer})
    def create(self, request: Request) -> Response:
        """Ask for an order: 201 PENDING (an engine sends it) or DENIED with its code; 200 when it was known before."""
        asked = NewOrderSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        said = asked.validated_data
        account = accounts.account_of(user=user_of(self), account_id=said["account"])
        result = orders.submit_order(
            request=orders.OrderRequest(
                account_id=account.pk,
                client_order_id=said.get("client_order_id") or uuid4(),
                token_id=said["token"],
                side=Side(said["side"]),
                order_type=OrderType(said["order_type"]),
                price=said["price"],
                shares=said["shares"],
                source="api",
                post_only=said["post_only"],
            ),
            actor=actor_of(self),
            now=SystemClock().now(),
        )
        if result.code == orders.ID_TAKEN:
            raise IdTaken("This client_order_id is taken; choose another.")
        if result.order_id is None:
            sentence = words.denial_words(result.code, result.numbers)
            raise NotStored(f"Not an order: {sentence}.", code=result.code, details=result.numbers)
        order = selectors.order_of(user=user_of(self), order_id=result.order_id)
        code = status.HTTP_201_CREATED if result.created else status.HTTP_200_OK
        return Response(OrderSerializer(order).data, status=code)

    @extend_schema(request=None, responses=OrderSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: int) -> Response:
        """Ask for a cancel; the answer comes as a change of status."""
        order = selectors.order_of(user=user_of(self), order_id=pk)
        orders.request_cancel(order=order, actor=actor_of(self), now=SystemClock().now())
        return Response(OrderSerializer(selectors.order_of(user=user_of(self), order_id=pk)).data)


class Amount(serializers.DecimalField):
    """Exact, as a string; a value may have more decimals than a column."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_digits=30, decimal_places=6, **options)


class PositionSerializer(serializers.Serializer[selectors.Holding]):
    account = serializers.UUIDField(source="position.account_id")
    mode = serializers.CharField(source="account.mode")
    token = serializers.CharField(source="token.token_id")
    outcome = serializers.CharField(source="token.outcome")
    market = serializers.CharField(source="token.market.condition_id")
    question = serializers.CharField(source="token.market.question")
    shares = Amount(source="position.shares")
    sellable_shares = Amount(source="position.sellable_shares")
    settled_shares = Amount(source="position.settled_shares")
    cost_usdc = Amount(source="position.cost_usdc")
    realized_pnl_usdc = Amount(source="position.realized_pnl_usdc")
    fees_usdc = Amount(source="position.fees_usdc")
    value_usdc = Amount(allow_null=True, help_text="At the best bid; null without a quote.")
    gain_usdc = Amount(allow_null=True)
    quoted_at = serializers.DateTimeField(source="quote.received_at", allow_null=True, default=None)
    updated_at = serializers.DateTimeField(source="position.updated_at")


@extend_schema_view(list=extend_schema(parameters=[MODE, ACCOUNT], responses=PositionSerializer(many=True)))
class PositionViewSet(viewsets.GenericViewSet[Position]):
    """What your accounts hold, valued at the best bid."""

    required_scopes = {"GET": Scope.READ_PORTFOLIO}
    queryset = Position.objects.none()

    def get_queryset(self) -> QuerySet[Position]:
        rows = selectors.positions_of_user(user=user_of(self), mode=mode_param(self)).filter(shares__gt=0)
        account = account_param(self)
        return rows if account is None else rows.filter(account_id=account)

    def list(self, request: Request) -> Response:
        positions = self.paginate_queryset(self.get_queryset()) or []
        held = selectors.holdings(positions=positions)
        rows = [PositionSerializer(holding).data for holding in held]
        return self.get_paginated_response(rows)


def account_param(view: viewsets.GenericViewSet[Any]) -> UUID | None:
    """`?account=`; an id that is no account of yours simply finds nothing."""
    said = view.request.query_params.get("account")
    try:
        return UUID(said) if said is not None else None
    except ValueError:
        raise ValidationError({"account": ["Must be a UUID."]}) from None
