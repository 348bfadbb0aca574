"""REST for accounts and API tokens. Keys and tokens are never a token's business."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.contrib.knox_auth_token import KnoxTokenScheme
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import reauthentication, selectors
from accounts.domain.statuses import AccountMode
from accounts.models import ApiToken, TradingAccount
from accounts.permissions import SESSION_ONLY
from accounts.services import tokens
from accounts.services.tokens import Scope
from polyhub.api import mode_param, user_of
from polyhub.lib.clock import SystemClock
from polyhub.lib.errors import AppError

MODE = OpenApiParameter("mode", enum=[mode.value for mode in AccountMode], description="Only accounts of this mode.")


class ScopedTokenScheme(KnoxTokenScheme):  # type: ignore[no-untyped-call]
    target_class = "accounts.authentication.ScopedTokenAuthentication"
    name = "token"


class ConfirmFirst(AppError):
    """A token outlives the session it was made in, so the session alone is not enough."""

    code = "REAUTHENTICATION_NEEDED"
    http_status = 403


class AccountSerializer(serializers.ModelSerializer[TradingAccount]):
    class Meta:
        model = TradingAccount
        fields = [
            "id",
            "name",
            "mode",
            "status",
            "status_reason",
            "is_primary",
            "paper_start_usdc",
            "signature_type",
            "signer_address",
            "trading_address",
            "created_at",
        ]
        read_only_fields = fields


@extend_schema_view(list=extend_schema(parameters=[MODE]))
class AccountViewSet(viewsets.ReadOnlyModelViewSet[TradingAccount]):
    """Your trading accounts. They are opened and changed on the pages."""

    required_scopes = {"GET": Scope.READ_PORTFOLIO}
    serializer_class = AccountSerializer
    queryset = TradingAccount.objects.none()
    lookup_value_converter = "uuid"

    def get_queryset(self) -> QuerySet[TradingAccount]:
        return selectors.accounts_of(user=user_of(self), mode=mode_param(self))


class TokenSerializer(serializers.ModelSerializer[ApiToken]):
    begins_with = serializers.CharField(source="token_key", read_only=True)

    class Meta:
        model = ApiToken
        fields = ["id", "name", "scopes", "begins_with", "created", "expiry", "last_used_at"]
        read_only_fields = fields


class NewTokenSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=60)
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=[scope.value for scope in Scope]))
    days = serializers.IntegerField(min_value=1, max_value=tokens.MAX_DAYS, default=30)


class CreatedTokenSerializer(TokenSerializer):
    """The only answer that holds the token itself."""

    token = serializers.CharField(read_only=True)

    class Meta(TokenSerializer.Meta):
        fields = [*TokenSerializer.Meta.fields, "token"]
        read_only_fields = fields


class TokenViewSet(mixins.ListModelMixin, viewsets.GenericViewSet[ApiToken]):
    """Your API tokens: for a signed-in person, never for a token."""

    required_scopes = {"GET": SESSION_ONLY, "POST": SESSION_ONLY, "DELETE": SESSION_ONLY}
    serializer_class = TokenSerializer
    queryset = ApiToken.objects.none()
    lookup_field = "id"
    lookup_value_converter = "uuid"

    def get_queryset(self) -> QuerySet[ApiToken]:
        return selectors.tokens_of(user=user_of(self))

    @extend_schema(request=NewTokenSerializer, responses={201: CreatedTokenSerializer})
    def create(self, request: Request) -> Response:
        """Within five minutes of giving the password (or a code) once more."""
        if reauthentication.needed(request._request):
            raise ConfirmFirst("Confirm your password on the pages first, then ask again.")
        asked = NewTokenSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        token, text = tokens.create_token(user=user_of(self), now=SystemClock().now(), **asked.validated_data)
        body = {**TokenSerializer(token).data, "token": text}
        return Response(body, status=status.HTTP_201_CREATED, headers={"Cache-Control": "no-store"})

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, id: UUID) -> Response:
        tokens.revoke_token(user=user_of(self), token_id=id)
        return Response(status=status.HTTP_204_NO_CONTENT)
