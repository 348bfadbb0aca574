"""Whether an account may trade."""

from enum import StrEnum


class TradingState(StrEnum):
    """ACTIVE: all orders. REDUCING: only orders that make a position smaller. HALTED: none. Cancels always pass."""

    ACTIVE = "ACTIVE"
    REDUCING = "REDUCING"
    HALTED = "HALTED"
