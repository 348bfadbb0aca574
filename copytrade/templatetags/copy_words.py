"""Verdicts in words."""

from django import template

from copytrade.domain import words
from copytrade.models import CopyDecision, CopyRule

register = template.Library()


@register.filter
def reason(decision: CopyDecision) -> str:
    return words.reason(decision.code, decision.numbers)


@register.filter
def code_label(code: str) -> str:
    return words.label(code)


@register.filter
def code_reason(row: object) -> str:
    """The sentence of anything with a code and numbers."""
    return words.reason(row.code, row.numbers)  # type: ignore[attr-defined]


@register.filter
def milliseconds(decision: CopyDecision, which: str) -> int | None:
    """`feed`: from the trade to our hearing of it. `ours`: from hearing of it to the verdict."""
    trade = decision.leader_trade
    first, last = (trade.traded_at, trade.received_at) if which == "feed" else (trade.received_at, decision.decided_at)
    return max(int((last - first).total_seconds() * 1000), 0)


@register.filter
def size_words(rule: CopyRule) -> str:
    """$5 per trade, or 10% of the leader's size."""
    if rule.ratio is not None:
        return f"{(rule.ratio * 100).normalize():f}% of the leader's size"
    return f"${rule.fixed_usdc:,.2f} per trade"
