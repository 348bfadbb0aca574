"""What a rule would have made of a leader's recorded buys: the decider itself, on a book at the leader's own price."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from copytrade.domain import decide
from copytrade.domain.decide import BookView, Holding, LeaderOrder, MarketTerms, PlaceOrder
from copytrade.domain.rules import RATIO_UNITS, RuleStatus, RuleTerms, Sizing
from copytrade.services import rules
from copytrade.services.rules import RuleInput
from markets.domain.book import SELL, Book
from markets.models import TradeSide
from polyhub.lib import money
from scanner import selectors as scanner
from scanner.models import WalletTrade

MOST = 50


@dataclass(frozen=True, slots=True)
class PreviewRow:
    """One recorded buy and what it would have become."""

    trade: WalletTrade
    shares: Decimal | None
    cost_usdc: Decimal | None
    code: str
    numbers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Preview:
    """`copied` of `seen` buys would have become orders, together worth `cost_usdc` at the leader's own prices."""

    rows: Sequence[PreviewRow]
    seen: int
    copied: int
    cost_usdc: Decimal


def preview(*, leader: str, terms: RuleInput) -> Preview:
    """Delay and spread are left out: the real result is worse. Raises InvalidRule, WalletNotFound."""
    rules.check_terms(terms)
    wallet = scanner.wallet_named(address=leader)
    trades = list(scanner.trades_of(wallet=wallet).filter(side=TradeSide.BUY)[:MOST])
    rule, held = _terms(terms), dict[int, Holding]()
    rows = []
    for trade in reversed(trades):
        row, held[trade.token_id] = _copy(trade, rule, held.get(trade.token_id, Holding()))
        rows.append(row)
    copied = [row for row in rows if row.cost_usdc is not None]
    total = sum((row.cost_usdc for row in copied if row.cost_usdc is not None), money.ZERO)
    return Preview(rows[::-1], len(rows), len(copied), total)


def _copy(trade: WalletTrade, rule: RuleTerms, holding: Holding) -> tuple[PreviewRow, Holding]:
    share_units = money.floor_units(trade.shares)
    price_units = max(int(trade.price * money.PRICE_UNITS), 1)
    market = trade.token.market
    book = Book()
    book.apply_level(SELL, price_units, 10**15)
    verdict = decide.decide_entry(
        leader=LeaderOrder(TradeSide.BUY, max(share_units, 1), max(share_units, 1) * price_units, trade.traded_at),
        rule=rule,
        market=MarketTerms(
            tick_units=money.price_to_units(market.tick_size),
            min_share_units=money.floor_units(market.min_order_shares),
            is_open=True,
            fee_rate=money.ZERO,
        ),
        holding=holding,
        view=BookView(book),
        now=trade.traded_at,
    )
    if not isinstance(verdict, PlaceOrder):
        return PreviewRow(trade, None, None, verdict.code, dict(verdict.numbers)), holding
    cost_units = money.notional_units(price_units=price_units, share_units=verdict.share_units)
    row = PreviewRow(
        trade, money.from_units(verdict.share_units), money.from_units(cost_units), "COPIED", dict(verdict.numbers)
    )
    return row, Holding(holding.held_units + verdict.share_units, holding.cost_units + cost_units)


def _terms(terms: RuleInput) -> RuleTerms:
    size = terms.ratio * RATIO_UNITS if terms.ratio is not None else (terms.fixed_usdc or money.ZERO) * money.UNITS
    return RuleTerms(
        status=RuleStatus.ACTIVE,
        sizing=Sizing(terms.sizing),
        size_units=int(size),
        max_position_units=money.to_units(terms.max_position_usdc),
        min_order_units=money.to_units(terms.min_order_usdc),
        slippage_units=money.price_to_units(terms.slippage),
        min_price_units=money.price_to_units(terms.min_price),
        max_price_units=money.price_to_units(terms.max_price),
        max_age_s=terms.max_age_s,
    )
