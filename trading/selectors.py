"""Reading orders, fills, positions and what accounts are worth. The first argument is whose."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db.models import QuerySet, Sum

from accounts.models import AccountMode, TradingAccount, User
from markets.models import Quote, Token
from polyhub.lib.errors import AppError
from polyhub.lib.money import ZERO
from trading.domain.orders import UNFINISHED, OrderStatus
from trading.models import Balance, Engine, EquityPoint, Fill, Order, OrderEvent, Position

_UNFINISHED = sorted(status.value for status in UNFINISHED)
_MOST_POINTS = 600


class OrderNotFound(AppError):
    """There is none, or it is somebody else's: the answer is the same."""

    code = "NOT_FOUND"
    http_status = 404


@dataclass(frozen=True, slots=True)
class Holding:
    """A position at the best bid; value and gain are None without a quote: unknown is not zero."""

    position: Position
    quote: Quote | None

    @property
    def account(self) -> TradingAccount:
        return self.position.account

    @property
    def token(self) -> Token:
        return self.position.token

    @property
    def value_usdc(self) -> Decimal | None:
        bid = self.quote.best_bid if self.quote else None
        return None if bid is None else self.position.shares * bid

    @property
    def estimate_usdc(self) -> Decimal:
        """What equity counts it with: at the best bid, else the last price, else what it cost; as the curve does."""
        price = None
        if self.quote is not None:
            price = self.quote.last_price if self.quote.best_bid is None else self.quote.best_bid
        return self.position.cost_usdc if price is None else self.position.shares * price

    @property
    def gain_usdc(self) -> Decimal | None:
        value = self.value_usdc
        return None if value is None else value - self.position.cost_usdc

    @property
    def average_price(self) -> Decimal | None:
        """What a share cost on average, fees included."""
        return self.position.cost_usdc / self.position.shares if self.position.shares else None


@dataclass(frozen=True, slots=True)
class AccountFigures:
    """One account: cash, positions as equity counts them, and what is held back for orders under way."""

    account: TradingAccount
    engine: Engine | None
    cash_usdc: Decimal = ZERO
    reserved_usdc: Decimal = ZERO
    positions_usdc: Decimal = ZERO
    cost_usdc: Decimal = ZERO
    deposited_usdc: Decimal = ZERO
    realized_usdc: Decimal = ZERO
    unquoted: int = 0
    open_orders: int = 0
    cash_at: datetime | None = None

    @property
    def equity_usdc(self) -> Decimal:
        return self.cash_usdc + self.positions_usdc

    @property
    def gain_usdc(self) -> Decimal:
        return self.equity_usdc - self.deposited_usdc


@dataclass(frozen=True, slots=True)
class Portfolio:
    """A user's accounts of one mode. Paper and live are never added up."""

    mode: AccountMode
    accounts: Sequence[AccountFigures] = field(default_factory=tuple)
    holdings: Sequence[Holding] = field(default_factory=tuple)

    def _sum(self, name: str) -> Decimal:
        return sum((getattr(figures, name) for figures in self.accounts), ZERO)

    @property
    def cash_usdc(self) -> Decimal:
        return self._sum("cash_usdc")

    @property
    def reserved_usdc(self) -> Decimal:
        return self._sum("reserved_usdc")

    @property
    def positions_usdc(self) -> Decimal:
        return self._sum("positions_usdc")

    @property
    def equity_usdc(self) -> Decimal:
        return self.cash_usdc + self.positions_usdc

    @property
    def gain_usdc(self) -> Decimal:
        return self.equity_usdc - self._sum("deposited_usdc")

    @property
    def realized_usdc(self) -> Decimal:
        return self._sum("realized_usdc")

    @property
    def unquoted(self) -> int:
        return sum(figures.unquoted for figures in self.accounts)

    @property
    def open_orders(self) -> int:
        return sum(figures.open_orders for figures in self.accounts)

    @property
    def oldest_quote_at(self) -> datetime | None:
        return min((holding.quote.received_at for holding in self.holdings if holding.quote), default=None)


def orders_of(*, account: TradingAccount) -> QuerySet[Order]:
    """An account's orders, newest first."""
    return Order.objects.filter(account=account).select_related("account", "token__market").order_by("-id")


def orders_of_user(*, user: User, mode: AccountMode | None = None) -> QuerySet[Order]:
    """A user's orders over all accounts (of a mode), newest first."""
    rows = Order.objects.filter(account__user=user).select_related("account", "token__market")
    if mode is not None:
        rows = rows.filter(account__mode=mode)
    return rows.order_by("-id")


def open_orders_of(*, user: User, mode: AccountMode | None = None) -> QuerySet[Order]:
    """Orders that may still cost money or wait to be sent."""
    return orders_of_user(user=user, mode=mode).filter(status__in=_UNFINISHED)


def unanswered_of(*, user: User, mode: AccountMode, before: datetime) -> QuerySet[Order]:
    """Orders sent before a time that the venue has not answered: their outcome is unknown."""
    return orders_of_user(user=user, mode=mode).filter(status=OrderStatus.SENT, sent_at__lt=before)


def order_of(*, user: User, order_id: int) -> Order:
    """Raises OrderNotFound for a foreign order too."""
    order = orders_of_user(user=user).filter(pk=order_id).first()
    if order is None:
        raise OrderNotFound("There is no such order.")
    return order


def events_of(*, order: Order) -> QuerySet[OrderEvent]:
    """The life of an order, oldest first. The caller was allowed to read the order."""
    return OrderEvent.objects.filter(order=order).order_by("id")


def fills_of(*, order: Order) -> QuerySet[Fill]:
    """The trades of an order, oldest first. The caller was allowed to read the order."""
    return Fill.objects.filter(order=order).order_by("venue_at", "id")


def positions_of(*, account: TradingAccount) -> QuerySet[Position]:
    """What an account holds."""
    rows = Position.objects.filter(account=account, shares__gt=0)
    return rows.select_related("account", "token__market").order_by("-cost_usdc", "id")


def positions_of_user(*, user: User, mode: AccountMode | None = None) -> QuerySet[Position]:
    """Every position of a user, also those sold out again."""
    rows = Position.objects.filter(account__user=user).select_related("account", "token__market")
    if mode is not None:
        rows = rows.filter(account__mode=mode)
    return rows.order_by("-cost_usdc", "id")


def holdings(*, positions: Sequence[Position]) -> list[Holding]:
    """Positions with their quotes; the caller was allowed to read them. One query."""
    quotes = {
        quote.token_id: quote
        for quote in Quote.objects.filter(token_id__in={position.token_id for position in positions})
    }
    return [Holding(position, quotes.get(position.token_id)) for position in positions]


def portfolio_of(*, user: User, mode: AccountMode) -> Portfolio:
    """What a user's accounts of one mode hold and are worth, in a fixed number of queries."""
    accounts = list(TradingAccount.objects.filter(user=user, mode=mode).order_by("-is_primary", "created_at", "id"))
    if not accounts:
        return Portfolio(mode)
    positions = list(positions_of_user(user=user, mode=mode))
    held = holdings(positions=[position for position in positions if position.shares > 0])
    balances = {balance.account_id: balance for balance in Balance.objects.filter(account__in=accounts)}
    engines = {engine.account_id: engine for engine in Engine.objects.filter(account__in=accounts)}
    reserved: dict[UUID, Decimal] = defaultdict(lambda: ZERO)
    open_orders: dict[UUID, int] = defaultdict(int)
    for account_id, amount in Order.objects.filter(account__in=accounts, status__in=_UNFINISHED).values_list(
        "account_id", "reserved_usdc"
    ):
        reserved[account_id] += amount
        open_orders[account_id] += 1
    figures = []
    for account in accounts:
        own = [holding for holding in held if holding.position.account_id == account.pk]
        balance = balances.get(account.pk)
        figures.append(
            AccountFigures(
                account=account,
                engine=engines.get(account.pk),
                cash_usdc=balance.cash_usdc if balance else ZERO,
                reserved_usdc=reserved[account.pk],
                positions_usdc=sum((holding.estimate_usdc for holding in own), ZERO),
                cost_usdc=sum((holding.position.cost_usdc for holding in own), ZERO),
                deposited_usdc=balance.deposited_usdc if balance else ZERO,
                realized_usdc=sum(
                    (position.realized_pnl_usdc for position in positions if position.account_id == account.pk), ZERO
                ),
                unquoted=sum(holding.value_usdc is None for holding in own),
                open_orders=open_orders[account.pk],
                cash_at=balance.updated_at if balance else None,
            )
        )
    return Portfolio(mode, figures, held)


def equity_of(*, user: User, mode: AccountMode, since: datetime | None = None) -> list[tuple[datetime, Decimal]]:
    """Equity of a user's accounts of one mode over time; each account counts with its newest point so far."""
    points = EquityPoint.objects.filter(account__user=user, account__mode=mode).order_by("at", "id")
    if since is not None:
        points = points.filter(at__gte=since)
    newest: dict[UUID, Decimal] = {}
    curve: list[tuple[datetime, Decimal]] = []
    for account_id, at, cash, held in points.values_list("account_id", "at", "cash_usdc", "positions_usdc"):
        newest[account_id] = cash + held
        total = sum(newest.values(), ZERO)
        if curve and curve[-1][0] == at:
            curve[-1] = (at, total)
        else:
            curve.append((at, total))
    step = max(1, -(-len(curve) // _MOST_POINTS))
    # The newest point is always kept: thinning goes back from it.
    return curve[::-1][::step][::-1]


def exposure_of(*, account: TradingAccount) -> Decimal:
    """Cost of what an account holds plus what its unfinished orders hold back."""
    held = Position.objects.filter(account=account).aggregate(total=Sum("cost_usdc", default=ZERO))["total"]
    waiting = Order.objects.filter(account=account, status__in=_UNFINISHED).aggregate(
        total=Sum("reserved_usdc", default=ZERO)
    )["total"]
    return Decimal(held + waiting)
