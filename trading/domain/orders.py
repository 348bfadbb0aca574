"""The states of an order and of an engine, and the only legal moves between them."""

from enum import StrEnum

from polyhub.lib.errors import AppError


class OrderStatus(StrEnum):
    """DENIED is by us before the wire; REJECTED is by the venue; SENT without an answer is unknown, and shown so."""

    AWAITING_APPROVAL = "AWAITING_APPROVAL"
    PENDING = "PENDING"
    DENIED = "DENIED"
    SENT = "SENT"
    OPEN = "OPEN"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"
    PRESUMED_NOT_PLACED = "PRESUMED_NOT_PLACED"


class IllegalTransition(AppError):
    code = "ILLEGAL_TRANSITION"
    http_status = 409


S = OrderStatus
TRANSITIONS: dict[OrderStatus, frozenset[OrderStatus]] = {
    S.AWAITING_APPROVAL: frozenset({S.PENDING, S.DENIED}),
    S.PENDING: frozenset({S.SENT, S.DENIED, S.AWAITING_APPROVAL}),
    S.DENIED: frozenset(),
    # A fill or a cancel may be the first news of an order whose answer was lost.
    S.SENT: frozenset({S.OPEN, S.PARTIALLY_FILLED, S.FILLED, S.CANCELED, S.EXPIRED, S.REJECTED, S.PRESUMED_NOT_PLACED}),
    S.OPEN: frozenset({S.PARTIALLY_FILLED, S.FILLED, S.CANCELED, S.EXPIRED}),
    # Back to OPEN: the only fill of a resting order FAILED to settle.
    S.PARTIALLY_FILLED: frozenset({S.OPEN, S.FILLED, S.CANCELED, S.EXPIRED}),
    # Out of FILLED: a fill FAILED on chain; the order is not resting any more (or rests again for the rest).
    S.FILLED: frozenset({S.PARTIALLY_FILLED, S.CANCELED, S.OPEN}),
    # A fill can be reported after the cancel: the match came first at the venue.
    S.CANCELED: frozenset({S.PARTIALLY_FILLED, S.FILLED}),
    S.EXPIRED: frozenset({S.PARTIALLY_FILLED, S.FILLED}),
    S.REJECTED: frozenset(),
    # Watched for a day: a late report revives it.
    S.PRESUMED_NOT_PLACED: frozenset({S.SENT, S.OPEN, S.PARTIALLY_FILLED, S.FILLED, S.CANCELED, S.EXPIRED}),
}

TERMINAL = frozenset({S.DENIED, S.FILLED, S.CANCELED, S.EXPIRED, S.REJECTED, S.PRESUMED_NOT_PLACED})
# May still cost money: counted as exposure, reserved, reconciled.
LIVE_AT_VENUE = frozenset({S.SENT, S.OPEN, S.PARTIALLY_FILLED})
UNFINISHED = LIVE_AT_VENUE | {S.PENDING, S.AWAITING_APPROVAL}


def advance(current: OrderStatus, to: OrderStatus) -> OrderStatus:
    """The new state; raises IllegalTransition naming both."""
    if to not in TRANSITIONS[current]:
        raise IllegalTransition(f"An order cannot go from {current} to {to}.", details={"from": current, "to": to})
    return to


class FillStatus(StrEnum):
    """Ranked by how final they are: a later report never lowers the rank."""

    MATCHED = "MATCHED"
    RETRYING = "RETRYING"
    MINED = "MINED"
    CONFIRMED = "CONFIRMED"
    FAILED = "FAILED"


class EngineState(StrEnum):
    INIT = "INIT"
    LOADING = "LOADING"
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"
    RECOVERY = "RECOVERY"
    STOPPED = "STOPPED"
