"""Reading rules, what they hold and made, and every verdict. The first argument is whose."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db.models import Count, Max, Q, QuerySet

from accounts.models import AccountMode, User
from copytrade.domain.rules import SOURCE, RuleStatus, Verdict
from copytrade.models import CopyDecision, CopyRule, LeaderBook
from markets.models import Quote, Token
from polyhub.lib.errors import AppError
from polyhub.lib.money import ZERO
from trading.services import booked
from trading.services.booked import Booked

_RECENT = 50
_ENDED_EMPTY = ("DENIED", "REJECTED", "CANCELED", "EXPIRED", "PRESUMED_NOT_PLACED")


class RuleNotFound(AppError):
    """There is none, or it is somebody else's: the answer is the same."""

    code = "NOT_FOUND"
    http_status = 404


@dataclass(frozen=True, slots=True)
class HeldToken:
    """Shares of one token booked for one rule. `value_usdc` is at the best bid, None without a quote."""

    token: Token
    shares: Decimal
    cost_usdc: Decimal
    buying_usdc: Decimal
    value_usdc: Decimal | None
    quoted_at: datetime | None
    owed_shares: Decimal

    @property
    def used_usdc(self) -> Decimal:
        """What counts against the rule's largest position."""
        return self.cost_usdc + self.buying_usdc


@dataclass(frozen=True, slots=True)
class RuleFigures:
    """What following one leader by one rule came to. Unrealised sums only positions that have a quote."""

    invested_usdc: Decimal = ZERO
    value_usdc: Decimal = ZERO
    realized_usdc: Decimal = ZERO
    unrealized_usdc: Decimal = ZERO
    unquoted_positions: int = 0
    oldest_quote_at: datetime | None = None
    executed: int = 0
    skipped: int = 0
    failed: int = 0
    last_decision_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RuleCard:
    rule: CopyRule
    figures: RuleFigures
    held: Sequence[HeldToken] = field(default_factory=tuple)

    @property
    def largest_used_usdc(self) -> Decimal:
        """The position nearest to the rule's limit."""
        return max((token.used_usdc for token in self.held), default=ZERO)


@dataclass(frozen=True, slots=True)
class _Counts:
    executed: int = 0
    skipped: int = 0
    failed: int = 0
    last: datetime | None = None


def rules_of(*, user: User, mode: AccountMode | None = None) -> QuerySet[CopyRule]:
    """A user's rules, those that still run first."""
    rows = CopyRule.objects.filter(account__user=user).select_related("account")
    if mode is not None:
        rows = rows.filter(account__mode=mode)
    return rows.order_by("status", "-created_at", "id")


def active_rules_of(*, user: User, mode: AccountMode | None = None) -> QuerySet[CopyRule]:
    return rules_of(user=user, mode=mode).exclude(status=RuleStatus.STOPPED)


def rule_of(*, user: User, rule_id: UUID) -> CopyRule:
    """Raises RuleNotFound for a foreign rule too."""
    rule = rules_of(user=user).filter(pk=rule_id).first()
    if rule is None:
        raise RuleNotFound("There is no such rule.")
    return rule


def today_of(*, user: User, mode: AccountMode, since: datetime) -> dict[str, int]:
    """How many verdicts of each kind since a time: ORDERED, SKIPPED."""
    rows = CopyDecision.objects.filter(rule__account__user=user, rule__account__mode=mode, decided_at__gte=since)
    counted = dict(rows.values_list("verdict").annotate(count=Count("id")).order_by())
    return {verdict.value: counted.get(verdict.value, 0) for verdict in Verdict}


def codes_of(*, user: User, mode: AccountMode, since: datetime) -> list[tuple[str, int]]:
    """How often each code was the verdict since a time, the most frequent first."""
    rows = CopyDecision.objects.filter(rule__account__user=user, rule__account__mode=mode, decided_at__gte=since)
    return list(rows.values_list("code").annotate(count=Count("id")).order_by("-count", "code"))


def decisions_of(
    *,
    user: User,
    mode: AccountMode | None = None,
    rule_id: UUID | None = None,
    verdict: Verdict | None = None,
    code: str = "",
) -> QuerySet[CopyDecision]:
    """A user's verdicts, newest first, with everything a page shows of them."""
    rows = CopyDecision.objects.filter(rule__account__user=user).select_related(
        "rule__account", "leader_trade__token__market", "order"
    )
    if mode is not None:
        rows = rows.filter(rule__account__mode=mode)
    if rule_id is not None:
        rows = rows.filter(rule_id=rule_id)
    if verdict is not None:
        rows = rows.filter(verdict=verdict)
    if code:
        rows = rows.filter(code=code)
    return rows.order_by("-id")


def rule_cards(*, user: User, mode: AccountMode | None = None) -> list[RuleCard]:
    """A user's rules with figures and holdings, in a fixed number of queries."""
    return cards_of(rules=list(rules_of(user=user, mode=mode)))


def cards_of(*, rules: Sequence[CopyRule]) -> list[RuleCard]:
    """Figures and holdings of rules that the caller was allowed to read."""
    if not rules:
        return []
    sums = booked.by_ref(source=SOURCE, refs=[str(rule.pk) for rule in rules])
    tokens = Token.objects.select_related("market").in_bulk(sorted({token for _, token in sums}))
    quotes = {quote.token_id: quote for quote in Quote.objects.filter(token_id__in=tokens)}
    obliged = {
        (str(book.rule_id), book.token_id): book.exit_obliged_shares
        for book in LeaderBook.objects.filter(rule__in=rules)
    }
    counts = _counts(rules)
    by_rule: dict[str, list[tuple[int, Booked]]] = defaultdict(list)
    for (ref, token), books in sorted(sums.items()):
        by_rule[ref].append((token, books))
    cards = []
    for rule in rules:
        ref = str(rule.pk)
        held = [
            _held(tokens[token], books, quotes.get(token), obliged.get((ref, token), ZERO))
            for token, books in by_rule[ref]
        ]
        realized = sum((books.realized_usdc for _, books in by_rule[ref]), ZERO)
        kept = tuple(token for token in held if token.shares > 0 or token.buying_usdc > 0)
        cards.append(RuleCard(rule, _figures(kept, realized, counts.get(rule.pk, _Counts())), kept))
    return cards


def _counts(rules: Sequence[CopyRule]) -> dict[UUID, _Counts]:
    rows = (
        CopyDecision.objects.filter(rule__in=rules)
        .values("rule_id")
        .annotate(
            executed=Count("order", distinct=True, filter=Q(order__filled_shares__gt=0)),
            skipped=Count("id", filter=Q(verdict=Verdict.SKIPPED)),
            failed=Count(
                "order",
                distinct=True,
                filter=Q(verdict=Verdict.ORDERED, order__filled_shares=0, order__status__in=_ENDED_EMPTY),
            ),
            last=Max("decided_at"),
        )
    )
    return {row["rule_id"]: _Counts(row["executed"], row["skipped"], row["failed"], row["last"]) for row in rows}


def _held(token: Token, books: Booked, quote: Quote | None, obliged: Decimal) -> HeldToken:
    bid = quote.best_bid if quote else None
    return HeldToken(
        token=token,
        shares=books.held,
        cost_usdc=books.cost_usdc,
        buying_usdc=books.buying_usdc,
        value_usdc=None if bid is None else books.held * bid,
        quoted_at=quote.received_at if quote else None,
        owed_shares=min(max(obliged - books.sold, ZERO), books.held),
    )


def _figures(held: Sequence[HeldToken], realized: Decimal, counts: _Counts) -> RuleFigures:
    quoted = [(token, token.value_usdc) for token in held if token.value_usdc is not None]
    return RuleFigures(
        invested_usdc=sum((token.cost_usdc for token in held), ZERO),
        value_usdc=sum((value for _, value in quoted), ZERO),
        realized_usdc=realized,
        unrealized_usdc=sum((value - token.cost_usdc for token, value in quoted), ZERO),
        unquoted_positions=len(held) - len(quoted),
        oldest_quote_at=min((token.quoted_at for token, _ in quoted if token.quoted_at), default=None),
        executed=counts.executed,
        skipped=counts.skipped,
        failed=counts.failed,
        last_decision_at=counts.last,
    )


def rule_payloads(user: User, now: datetime) -> list[dict[str, object]]:
    """Rules that are not stopped, as their change events tell of them."""
    return [
        {"rule": str(rule.pk), "account": str(rule.account_id), "leader": rule.leader, "status": str(rule.status)}
        for rule in active_rules_of(user=user)
    ]


def recent_payloads(user: User, now: datetime) -> list[dict[str, object]]:
    """The newest verdicts, as their events tell of them."""
    return [
        {
            "id": row.pk,
            "rule": str(row.rule_id),
            "account": str(row.rule.account_id),
            "leader": row.leader_trade.wallet,
            "leader_trade": row.leader_trade_id,
            "token": row.leader_trade.token.token_id,
            "side": row.leader_trade.side,
            "leader_price": str(row.leader_trade.price),
            "leader_shares": str(row.leader_trade.shares),
            "verdict": row.verdict,
            "code": row.code,
            "numbers": row.numbers,
            "order": row.order_id,
            "decided_at": row.decided_at.isoformat(),
        }
        for row in decisions_of(user=user)[:_RECENT]
    ]
