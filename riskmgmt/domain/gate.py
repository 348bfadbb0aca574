"""The risk gate: one pure function says whether an order may leave, and with which numbers it was decided.

Amounts are Decimal pUSD and shares. A SELL only ever sells shares the account holds, so it is an exit: sizes,
exposure and loss limits do not hold it back, a halt does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from markets.venue.ports import Side
from polyhub.lib.money import ZERO
from riskmgmt.domain.states import TradingState


class DenyCode(StrEnum):
    """Why an order was not let out. Stable: pages, the API and tests name them."""

    ACCOUNT_STOPPED = "ACCOUNT_STOPPED"
    ACCOUNT_PAUSED = "ACCOUNT_PAUSED"
    LIVE_TRADING_OFF = "LIVE_TRADING_OFF"
    HALTED = "HALTED"
    REDUCING_ONLY = "REDUCING_ONLY"
    TOKEN_UNKNOWN = "TOKEN_UNKNOWN"  # noqa: S105
    MARKET_CLOSED = "MARKET_CLOSED"
    FEE_UNKNOWN = "FEE_UNKNOWN"
    ORDER_EXPIRED = "ORDER_EXPIRED"
    PRICE_OFF_TICK = "PRICE_OFF_TICK"
    SIZE_INVALID = "SIZE_INVALID"
    VENUE_MINIMUM = "VENUE_MINIMUM"
    ORDER_BELOW_MIN = "ORDER_BELOW_MIN"
    ORDER_ABOVE_MAX = "ORDER_ABOVE_MAX"
    MARKET_EXPOSURE = "MARKET_EXPOSURE"
    TOTAL_EXPOSURE = "TOTAL_EXPOSURE"
    OPEN_ORDERS = "OPEN_ORDERS"
    DAILY_LOSS = "DAILY_LOSS"
    CASH_SHORT = "CASH_SHORT"
    SHARES_SHORT = "SHARES_SHORT"
    STALE_INTENT = "STALE_INTENT"
    SIGNING_REFUSED = "SIGNING_REFUSED"


@dataclass(frozen=True, slots=True)
class Intent:
    """What an order could cost at worst. `fee_usdc` is an upper bound, None while the market's fee is unknown."""

    side: Side
    price: Decimal
    shares: Decimal
    cost_usdc: Decimal
    fee_usdc: Decimal | None
    market_open: bool = True
    expires_at: datetime | None = None
    # The venue's own minimum for this kind of order, in shares and in pUSD.
    min_shares: Decimal = ZERO
    min_cost_usdc: Decimal = ZERO

    @property
    def is_exit(self) -> bool:
        return self.side is Side.SELL


@dataclass(frozen=True, slots=True)
class Exposure:
    """What the account has at stake, read under its risk row lock.

    `market_usdc` and `total_usdc` are the cost of shares held plus what unfinished buys may still spend;
    `cash_usdc` and `free_shares` have the reservations of unfinished orders already taken off.
    """

    cash_usdc: Decimal
    free_shares: Decimal = ZERO
    market_usdc: Decimal = ZERO
    total_usdc: Decimal = ZERO
    open_orders: int = 0
    day_loss_usdc: Decimal = ZERO
    trading_state: TradingState = TradingState.ACTIVE
    paused: bool = False
    stopped: bool = False
    live_off: bool = False

    def with_order(self, intent: Intent) -> "Exposure":
        """The exposure once `intent` is admitted: what the next order of the same batch is checked against."""
        if intent.is_exit:
            return replace(self, free_shares=self.free_shares - intent.shares, open_orders=self.open_orders + 1)
        need = intent.cost_usdc + (intent.fee_usdc or ZERO)
        return replace(
            self,
            cash_usdc=self.cash_usdc - need,
            market_usdc=self.market_usdc + need,
            total_usdc=self.total_usdc + need,
            open_orders=self.open_orders + 1,
        )


@dataclass(frozen=True, slots=True)
class Limits:
    """The user's own limits of one account, in pUSD."""

    order_min_usdc: Decimal
    order_max_usdc: Decimal
    market_max_usdc: Decimal
    total_max_usdc: Decimal
    max_open_orders: int
    daily_loss_usdc: Decimal


@dataclass(frozen=True, slots=True)
class Approved:
    """May leave, holding back this much until its outcome is known."""

    reserve_usdc: Decimal
    reserve_shares: Decimal

    @property
    def text(self) -> str:
        return f"APPROVED: reserve_usdc={self.reserve_usdc}, reserve_shares={self.reserve_shares}"


@dataclass(frozen=True, slots=True)
class Denied:
    code: DenyCode
    numbers: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        told = ", ".join(f"{name}={value}" for name, value in self.numbers.items())
        return f"{self.code}: {told}" if told else str(self.code)


Verdict = Approved | Denied


def denied(code: DenyCode, **numbers: object) -> Denied:
    return Denied(code, {name: str(value) for name, value in numbers.items()})


def check_order(*, intent: Intent, exposure: Exposure, limits: Limits, now: datetime) -> Verdict:
    """Approved with its reservations, or Denied with the first limit that stands in the way.

    The order of checks is part of the contract: states, then the market, then sizes, exposure and cash.
    """
    refusal = _state(intent, exposure) or _market(intent, now)
    if refusal is None:
        refusal = _exit(intent, exposure) if intent.is_exit else _entry(intent, exposure, limits)
    if refusal is not None:
        return refusal
    if intent.is_exit:
        return Approved(reserve_usdc=ZERO, reserve_shares=intent.shares)
    return Approved(reserve_usdc=intent.cost_usdc + (intent.fee_usdc or ZERO), reserve_shares=ZERO)


Check = tuple[bool, DenyCode, dict[str, object]]


def _first(*checks: Check) -> Denied | None:
    return next((denied(code, **numbers) for stands_in_the_way, code, numbers in checks if stands_in_the_way), None)


def _state(intent: Intent, exposure: Exposure) -> Denied | None:
    entry = not intent.is_exit
    return _first(
        (exposure.stopped, DenyCode.ACCOUNT_STOPPED, {}),
        (exposure.live_off, DenyCode.LIVE_TRADING_OFF, {}),
        (exposure.trading_state is TradingState.HALTED, DenyCode.HALTED, {}),
        (entry and exposure.trading_state is TradingState.REDUCING, DenyCode.REDUCING_ONLY, {}),
        (entry and exposure.paused, DenyCode.ACCOUNT_PAUSED, {}),
    )


def _market(intent: Intent, now: datetime) -> Denied | None:
    expires = intent.expires_at
    return _first(
        (not intent.market_open, DenyCode.MARKET_CLOSED, {}),
        (intent.fee_usdc is None, DenyCode.FEE_UNKNOWN, {}),
        (expires is not None and expires <= now, DenyCode.ORDER_EXPIRED, {"expires_at": expires}),
    )


def _exit(intent: Intent, exposure: Exposure) -> Denied | None:
    short = intent.shares > exposure.free_shares
    return _first((short, DenyCode.SHARES_SHORT, {"shares": intent.shares, "free": exposure.free_shares}))


def _entry(intent: Intent, exposure: Exposure, limits: Limits) -> Denied | None:
    cost, need = intent.cost_usdc, intent.cost_usdc + (intent.fee_usdc or ZERO)
    in_market, total, open_orders = exposure.market_usdc, exposure.total_usdc, exposure.open_orders
    return _first(
        (
            intent.shares < intent.min_shares,
            DenyCode.VENUE_MINIMUM,
            {"shares": intent.shares, "minimum": intent.min_shares},
        ),
        (cost < intent.min_cost_usdc, DenyCode.VENUE_MINIMUM, {"notional": cost, "minimum": intent.min_cost_usdc}),
        (cost < limits.order_min_usdc, DenyCode.ORDER_BELOW_MIN, {"notional": cost, "limit": limits.order_min_usdc}),
        (cost > limits.order_max_usdc, DenyCode.ORDER_ABOVE_MAX, {"notional": cost, "limit": limits.order_max_usdc}),
        (
            open_orders >= limits.max_open_orders,
            DenyCode.OPEN_ORDERS,
            {"open": open_orders, "limit": limits.max_open_orders},
        ),
        (
            exposure.day_loss_usdc >= limits.daily_loss_usdc,
            DenyCode.DAILY_LOSS,
            {"loss": exposure.day_loss_usdc, "limit": limits.daily_loss_usdc},
        ),
        (
            in_market + need > limits.market_max_usdc,
            DenyCode.MARKET_EXPOSURE,
            {"used": in_market, "order": need, "limit": limits.market_max_usdc},
        ),
        (
            total + need > limits.total_max_usdc,
            DenyCode.TOTAL_EXPOSURE,
            {"used": total, "order": need, "limit": limits.total_max_usdc},
        ),
        (need > exposure.cash_usdc, DenyCode.CASH_SHORT, {"need": need, "free": exposure.cash_usdc}),
    )
