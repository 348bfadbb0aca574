"""How numbers and times look on every page. Up and down carry a sign and an arrow, never colour alone."""

from datetime import datetime
from decimal import Decimal
from typing import Literal

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from polyhub.lib.money import CENT, nearest_to

register = template.Library()

UNKNOWN = mark_safe('<span class="text-secondary" title="not known">—</span>')
# Templates give "" for a figure of something that is not there, such as the quote of an unquoted market.
Figure = Decimal | Literal[""] | None
_STEPS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


@register.filter
def usdc(amount: Figure) -> str:
    """Dollars and cents: $1,234.50."""
    if amount is None or amount == "":
        return UNKNOWN
    rounded = nearest_to(Decimal(amount), CENT)
    return f"{'-' if rounded < 0 else ''}${abs(rounded):,.2f}"


@register.filter
def signed(amount: Figure) -> str:
    """A gain or a loss: arrow, sign, and colour as a third hint."""
    if amount is None or amount == "":
        return UNKNOWN
    rounded = nearest_to(Decimal(amount), CENT)
    if rounded == 0:
        return format_html('<span class="num">{}</span>', "$0.00")
    up = rounded > 0
    arrow, sign, tone, word = ("▲", "+", "up", "gain") if up else ("▼", "−", "down", "loss")
    figure = f"{sign}${abs(rounded):,.2f}"
    return format_html(
        '<span class="num {}"><span aria-hidden="true">{}</span> <span class="visually-hidden">{} </span>{}</span>',
        tone,
        arrow,
        word,
        figure,
    )


@register.filter
def price(value: Figure) -> str:
    """A price of 0 to 1 in cents: 53.5¢."""
    if value is None or value == "":
        return UNKNOWN
    return f"{(Decimal(value) * 100).quantize(Decimal('0.1'))}¢".replace(".0¢", "¢")


@register.filter
def shares(value: Figure) -> str:
    """1,234.5 shares; dust is not nothing."""
    if value is None or value == "":
        return UNKNOWN
    rounded = nearest_to(Decimal(value), CENT)
    if value and not rounded:
        return "<0.01"
    return f"{rounded:,.2f}".removesuffix(".00")


@register.filter
def percent(value: Figure) -> str:
    """A fraction as percent: 0.03 is 3%."""
    if value is None or value == "":
        return UNKNOWN
    text = f"{(Decimal(value) * 100).quantize(Decimal('0.01')):f}".rstrip("0").rstrip(".")
    return f"{text}%"


@register.filter
def short(address: str) -> str:
    """0x1234…abcd."""
    return f"{address[:6]}…{address[-4:]}" if len(address) > 12 else address


@register.filter
def words(code: str) -> str:
    """PARTIALLY_FILLED as Partially filled."""
    return str(code).replace("_", " ").capitalize()


@register.filter
def share_of(part: Decimal | int | None, whole: Decimal | int | None) -> int:
    """Percent of a whole, 0 to 100, for bars."""
    if not part or not whole:
        return 0
    return max(0, min(100, int(Decimal(part) * 100 / Decimal(whole))))


@register.filter
def exact(at: datetime) -> str:
    """A moment to the millisecond, in UTC."""
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03}"


@register.simple_tag(takes_context=True)
def ago(context: template.Context, at: datetime | None, empty: str = "never") -> SafeString:
    """How long ago, kept current by the page itself; the exact time on hover."""
    if at is None:
        return format_html('<span class="text-secondary">{}</span>', empty)
    age = int((context["now"] - at).total_seconds())
    moment = f"{at:%Y-%m-%d %H:%M:%S} UTC"
    return format_html('<time datetime="{}" data-ago title="{}">{}</time>', at.isoformat(), moment, in_words(age))


def in_words(age_s: int) -> str:
    """12 s ago, 3 min ago."""
    for size, unit in _STEPS:
        if age_s >= size:
            return f"{age_s // size} {unit} ago"
    return "just now"
