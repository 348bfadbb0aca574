"""The one table of an order's moves."""

import pytest

from trading.domain.orders import (
    LIVE_AT_VENUE,
    TERMINAL,
    TRANSITIONS,
    UNFINISHED,
    IllegalTransition,
    OrderStatus,
    advance,
)

# Finished, and yet there is a true way out: the venue told us late.
REVIVED = {OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.EXPIRED, OrderStatus.PRESUMED_NOT_PLACED}


@pytest.mark.parametrize("current", list(OrderStatus))
@pytest.mark.parametrize("to", list(OrderStatus))
def test_every_pair_is_either_legal_or_refused(current: OrderStatus, to: OrderStatus) -> None:
    if to in TRANSITIONS[current]:
        assert advance(current, to) is to
    else:
        with pytest.raises(IllegalTransition):
            advance(current, to)


def test_every_status_is_finished_or_unfinished() -> None:
    assert set(OrderStatus) == TERMINAL | UNFINISHED
    assert not TERMINAL & UNFINISHED
    assert LIVE_AT_VENUE < UNFINISHED


def test_only_late_news_leads_out_of_a_finished_status() -> None:
    assert {status for status in TERMINAL if TRANSITIONS[status]} == REVIVED


def test_nothing_denied_or_pending_is_ever_at_the_venue() -> None:
    for status in (OrderStatus.PENDING, OrderStatus.AWAITING_APPROVAL):
        assert not TRANSITIONS[status] & (LIVE_AT_VENUE - {OrderStatus.SENT})
    assert not TRANSITIONS[OrderStatus.DENIED]
