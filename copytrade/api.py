"""REST for copy rules and verdicts."""

from typing import Any
from uuid import UUID

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
from copytrade import selectors
from copytrade.domain import words
from copytrade.domain.rules import Sizing, Verdict
from copytrade.models import CopyDecision, CopyRule
from copytrade.services import rules
from copytrade.services.rules import RuleInput
from polyhub.api import choice_param, mode_param, user_of
from polyhub.lib.clock import SystemClock

RULE = OpenApiParameter("rule", OpenApiTypes.UUID, description="Only verdicts of this rule.")
VERDICT = OpenApiParameter("verdict", enum=[verdict.value for verdict in Verdict])
CODE = OpenApiParameter("code", description="Only verdicts with this code.")


class RuleSerializer(serializers.ModelSerializer[CopyRule]):
    account = serializers.UUIDField(source="account_id")
    mode = serializers.CharField(source="account.mode")

    class Meta:
        model = CopyRule
        fields = [
            "id",
            "account",
            "mode",
            "leader",
            "status",
            "sizing",
            "ratio",
            "fixed_usdc",
            "max_position_usdc",
            "min_order_usdc",
            "slippage",
            "min_price",
            "max_price",
            "max_age_s",
            "created_at",
            "updated_at",
        ]
        read_only_fields = fields


class TermsSerializer(serializers.Serializer[Any]):
    """Fractions, not percent: slippage 0.03, prices 0.05 to 0.95, ratio 0.1."""

    sizing = serializers.ChoiceField(choices=[sizing.value for sizing in Sizing])
    ratio = serializers.DecimalField(max_digits=20, decimal_places=6, required=False, allow_null=True)
    fixed_usdc = serializers.DecimalField(max_digits=20, decimal_places=6, required=False, allow_null=True)
    max_position_usdc = serializers.DecimalField(max_digits=20, decimal_places=6, required=False)
    min_order_usdc = serializers.DecimalField(max_digits=20, decimal_places=6, required=False)
    slippage = serializers.DecimalField(max_digits=12, decimal_places=6, required=False)
    min_price = serializers.DecimalField(max_digits=12, decimal_places=6, required=False)
    max_price = serializers.DecimalField(max_digits=12, decimal_places=6, required=False)
    max_age_s = serializers.IntegerField(min_value=1, required=False)

    def terms(self) -> RuleInput:
        said = {name: value for name, value in self.validated_data.items() if name not in {"account", "leader"}}
        return RuleInput(**{**said, "sizing": Sizing(said["sizing"])})


class NewRuleSerializer(TermsSerializer):
    account = serializers.UUIDField()
    leader = serializers.CharField(max_length=80)


@extend_schema_view(list=extend_schema(parameters=[MODE]))
class RuleViewSet(mixins.ListModelMixin, viewsets.GenericViewSet[CopyRule]):
    """Whom your accounts follow, by which rule. A stopped rule stays stopped."""

    required_scopes = {
        "GET": Scope.READ_PORTFOLIO,
        "POST": Scope.TRADE_EXECUTE,
        "PUT": Scope.TRADE_EXECUTE,
        "DELETE": Scope.TRADE_EXECUTE,
    }
    serializer_class = RuleSerializer
    queryset = CopyRule.objects.none()
    lookup_value_converter = "uuid"

    def get_queryset(self) -> QuerySet[CopyRule]:
        return selectors.rules_of(user=user_of(self), mode=mode_param(self))

    def retrieve(self, request: Request, pk: UUID) -> Response:
        return Response(RuleSerializer(self._rule(pk)).data)

    @extend_schema(request=NewRuleSerializer, responses={201: RuleSerializer})
    def create(self, request: Request) -> Response:
        """Follow a leader from now on."""
        asked = NewRuleSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        account = accounts.account_of(user=user_of(self), account_id=asked.validated_data["account"])
        rule = rules.create_rule(
            account=account, leader=asked.validated_data["leader"], terms=asked.terms(), now=SystemClock().now()
        )
        return Response(RuleSerializer(rule).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=TermsSerializer, responses=RuleSerializer)
    def update(self, request: Request, pk: UUID) -> Response:
        """New terms for what the leader does from now on."""
        rule = self._rule(pk)
        asked = TermsSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        return Response(RuleSerializer(rules.change_rule(rule=rule, terms=asked.terms(), now=SystemClock().now())).data)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: UUID) -> Response:
        """The same as stop: history is never deleted."""
        rules.stop_rule(rule=self._rule(pk), now=SystemClock().now())
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=None, responses=RuleSerializer)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: UUID) -> Response:
        """No new entries; exits go on."""
        return Response(RuleSerializer(rules.pause_rule(rule=self._rule(pk), now=SystemClock().now())).data)

    @extend_schema(request=None, responses=RuleSerializer)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: UUID) -> Response:
        """Copy entries again."""
        return Response(RuleSerializer(rules.resume_rule(rule=self._rule(pk), now=SystemClock().now())).data)

    @extend_schema(request=None, responses=RuleSerializer)
    @action(detail=True, methods=["post"])
    def stop(self, request: Request, pk: UUID) -> Response:
        """No entries for ever; what is held is still sold when the leader sells."""
        return Response(RuleSerializer(rules.stop_rule(rule=self._rule(pk), now=SystemClock().now())).data)

    def _rule(self, pk: UUID) -> CopyRule:
        return selectors.rule_of(user=user_of(self), rule_id=pk)


class DecisionSerializer(serializers.ModelSerializer[CopyDecision]):
    account = serializers.UUIDField(source="rule.account_id")
    mode = serializers.CharField(source="rule.account.mode")
    leader = serializers.CharField(source="leader_trade.wallet")
    token = serializers.CharField(source="leader_trade.token.token_id")
    outcome = serializers.CharField(source="leader_trade.token.outcome")
    question = serializers.CharField(source="leader_trade.token.market.question")
    side = serializers.CharField(source="leader_trade.side")
    leader_price = serializers.DecimalField(source="leader_trade.price", max_digits=12, decimal_places=10)
    leader_shares = serializers.DecimalField(source="leader_trade.shares", max_digits=20, decimal_places=6)
    traded_at = serializers.DateTimeField(source="leader_trade.traded_at")
    received_at = serializers.DateTimeField(source="leader_trade.received_at")
    reason = serializers.SerializerMethodField(help_text="The code and its numbers in words.")
    order_status = serializers.CharField(source="order.status", allow_null=True, default=None)

    class Meta:
        model = CopyDecision
        fields = [
            "id",
            "rule",
            "account",
            "mode",
            "leader",
            "token",
            "outcome",
            "question",
            "side",
            "leader_price",
            "leader_shares",
            "traded_at",
            "received_at",
            "verdict",
            "code",
            "reason",
            "numbers",
            "order",
            "order_status",
            "decided_at",
        ]
        read_only_fields = fields

    def get_reason(self, decision: CopyDecision) -> str:
        return words.reason(decision.code, decision.numbers)


@extend_schema_view(list=extend_schema(parameters=[MODE, RULE, VERDICT, CODE]))
class DecisionViewSet(viewsets.ReadOnlyModelViewSet[CopyDecision]):
    """The one verdict on each trade of a leader for each of your rules, newest first."""

    required_scopes = {"GET": Scope.READ_PORTFOLIO}
    serializer_class = DecisionSerializer
    queryset = CopyDecision.objects.none()
    lookup_value_converter = "int"

    def get_queryset(self) -> QuerySet[CopyDecision]:
        verdict = choice_param(self, "verdict", Verdict)
        return selectors.decisions_of(
            user=user_of(self),
            mode=mode_param(self),
            rule_id=_rule_param(self),
            verdict=Verdict(verdict) if verdict else None,
            code=self.request.query_params.get("code", ""),
        )


def _rule_param(view: DecisionViewSet) -> UUID | None:
    said = view.request.query_params.get("rule")
    try:
        return UUID(said) if said is not None else None
    except ValueError:
        raise ValidationError({"rule": ["Must be a UUID."]}) from None
