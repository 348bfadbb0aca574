"""The words of copying: how a follower sizes, what state a rule is in, and what a rule says."""

from dataclasses import dataclass
from enum import StrEnum

# Marks the orders of this app; their `source_ref` is the rule.
SOURCE = "copy"


class Sizing(StrEnum):
    """RATIO: a share of the leader's size. FIXED: the same dollars each time."""

    RATIO = "RATIO"
    FIXED = "FIXED"


class RuleStatus(StrEnum):
    """PAUSED copies no entries but still exits; STOPPED is final: exits only what is booked, then nothing."""

    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    STOPPED = "STOPPED"


class Verdict(StrEnum):
    ORDERED = "ORDERED"
    SKIPPED = "SKIPPED"


RATIO_UNITS = 1_000_000


@dataclass(frozen=True, slots=True)
class RuleTerms:
    """One follower's rule in integers: dollars in base units, prices and slippage in 1/10,000, ratio in 10^-6.

    `size_units` is the ratio for RATIO and the dollars for FIXED.
    """

    status: RuleStatus
    sizing: Sizing
    size_units: int
    max_position_units: int
    min_order_units: int
    slippage_units: int
    min_price_units: int
    max_price_units: int
    max_age_s: int
