"""How long an order lives, in the venue's own terms. Pure.

Source: docs.polymarket.com (order lifecycle, since 2026-07-03): a GTD expiration lies at least three minutes ahead, and
the order dies one minute before the time it states.
"""

from typing import Final

from markets.venue.amounts import IMMEDIATE
from markets.venue.ports import OrderTerms, OrderType
from polyhub.lib.errors import AppError

MIN_AHEAD_S: Final = 180
EARLY_S: Final = 60
MIN_LIFE_S: Final = MIN_AHEAD_S - EARLY_S


class BadLifetime(AppError):
    """The venue would not take an order that lives like this; the code is the venue's own word for it."""

    code = "INVALID_EXPIRATION"


def gtd_expiration_s(*, now_s: int, life_s: int) -> int:
    """What to state so that the order lives `life_s`. Raises BadLifetime under two minutes."""
    if life_s < MIN_LIFE_S:
        raise BadLifetime(f"An order with an end must live {MIN_LIFE_S} s or longer.")
    return now_s + life_s + EARLY_S


def check(terms: OrderTerms, *, venue_now_s: int) -> None:
    """Expiration and post-only against the order's type, by the venue's clock. Raises BadLifetime."""
    if terms.order_type is OrderType.GTD:
        if terms.expiration_s < venue_now_s + MIN_AHEAD_S:
            raise BadLifetime(f"A GTD order must state an end at least {MIN_AHEAD_S} s ahead.")
    elif terms.expiration_s:
        raise BadLifetime(f"A {terms.order_type} order has no expiration.")
    if terms.post_only and terms.order_type in IMMEDIATE:
        raise BadLifetime("Post-only is for orders that rest.", code="POST_ONLY_TYPE")
