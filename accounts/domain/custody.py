"""Which key trades for an account, for how long, and what a thief of it could do. Pure.

A session key is a signer of its own that the owner of a deposit wallet allows to trade for a while: it can lose the
balance by bad trades and, by the venue's word, withdraw nothing (unverified: docs/venue.md says how to prove it).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

# Trading and nothing else; the official client would ask for every venue there is.
SCOPE = "CLOB"
MAX_LIFE = timedelta(hours=4_315)
MIN_LIFE = timedelta(hours=1)
DEFAULT_LIFE = timedelta(days=90)
RENEW_BEFORE = timedelta(days=14)
# A key this near its end signs nothing: the order would outlive it on the way.
STOP_BEFORE = timedelta(seconds=60)


class KeyKind(StrEnum):
    """OWNER is the wallet's own key and can do everything; SESSION may only trade, until it expires."""

    OWNER = "OWNER"
    SESSION = "SESSION"


class Health(StrEnum):
    LASTING = "lasting"
    FRESH = "fresh"
    RENEW = "renew"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Countdown:
    """How long a key still signs; `left` is None for one that does not expire."""

    health: Health
    left: timedelta | None

    @property
    def words(self) -> str:
        if self.left is None:
            return "does not expire"
        if self.health is Health.EXPIRED:
            return "has expired"
        days, hours = self.left.days, self.left.seconds // 3600
        if days >= 2:
            return f"{days} days left"
        return f"{days * 24 + hours} hours left" if days or hours else f"{self.left.seconds // 60} minutes left"


def countdown(*, expires_at: datetime | None, now: datetime) -> Countdown:
    if expires_at is None:
        return Countdown(Health.LASTING, None)
    left = expires_at - STOP_BEFORE - now
    if left <= timedelta(0):
        return Countdown(Health.EXPIRED, timedelta(0))
    return Countdown(Health.RENEW if left <= RENEW_BEFORE else Health.FRESH, left)


@dataclass(frozen=True, slots=True)
class AtStake:
    """What could be lost if the key were stolen now: by trading, and by taking money away."""

    by_trading_usdc: Decimal
    by_withdrawal_usdc: Decimal
    through_us_usdc: Decimal
    sentence: str


def at_stake(*, kind: KeyKind, is_expired: bool, equity_usdc: Decimal, max_day_usdc: Decimal) -> AtStake:
    """`equity_usdc` is cash and shares as valued now. Through PolyHub itself no more than a day's limit can be lost."""
    if is_expired:
        return AtStake(Decimal(0), Decimal(0), Decimal(0), "Nothing: the key has expired.")
    through_us = min(equity_usdc, max_day_usdc)
    if kind is KeyKind.SESSION:
        sentence = "A thief could lose all of it by bad trades, but take nothing away."
        return AtStake(equity_usdc, Decimal(0), through_us, sentence)
    sentence = "A thief could take everything the wallet holds, now and later. A session key could not."
    return AtStake(equity_usdc, equity_usdc, through_us, sentence)
