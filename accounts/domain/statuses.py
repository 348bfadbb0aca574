"""The states of a trading account and the only legal moves between them."""

from enum import StrEnum

from polyhub.lib.errors import AppError


class AccountMode(StrEnum):
    PAPER = "paper"
    LIVE = "live"


class AccountStatus(StrEnum):
    """ACTIVE trades; PAUSED opens nothing new but exits go on; STOPPED is closed by the user."""

    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    STOPPED = "STOPPED"


class IllegalStatus(AppError):
    code = "ILLEGAL_STATUS"
    http_status = 409


TRANSITIONS: dict[AccountStatus, frozenset[AccountStatus]] = {
    AccountStatus.ACTIVE: frozenset({AccountStatus.PAUSED, AccountStatus.STOPPED}),
    AccountStatus.PAUSED: frozenset({AccountStatus.ACTIVE, AccountStatus.STOPPED}),
    # A wallet is connected once only, so a stopped live account may start again; paused, to look before it trades.
    AccountStatus.STOPPED: frozenset({AccountStatus.PAUSED}),
}


def advance(current: AccountStatus, to: AccountStatus) -> AccountStatus:
    """The new status; raises IllegalStatus naming both."""
    if to not in TRANSITIONS[current]:
        raise IllegalStatus(f"An account cannot go from {current} to {to}.", details={"from": current, "to": to})
    return to
