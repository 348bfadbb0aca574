"""Orders in words."""

from django import template

from trading.domain import words
from trading.models import Order, OrderEvent

register = template.Library()


@register.filter
def status_words(status: str, order_type: str = "") -> str:
    return words.status_words(str(status), order_type)


@register.filter
def verdict_words(verdict: str) -> str:
    return words.verdict_words(verdict)


@register.filter
def status_tone(status: str) -> str:
    """The Tabler colour beside the words, never instead of them."""
    return words.TONES.get(str(status), "secondary")


@register.filter
def why(order: Order) -> str:
    """Why an order ended without filling, in words; empty when there is nothing to say."""
    if not order.code:
        return ""
    return words.denial_words(order.code, words.numbers_of(order.message))


@register.filter
def engine_words(detail: str) -> str:
    """Why an account's engine does not run and what to do; empty when there is nothing to say."""
    return words.engine_words(detail) if detail else ""


@register.filter
def event_tone(event: OrderEvent) -> str:
    tone = words.TONES.get(event.to_status, "secondary")
    return {"success": "good", "danger": "bad"}.get(tone, "")
