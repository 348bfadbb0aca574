"""Shapes on the wire, in the venue's spelling. Unknown fields are ignored, absent optionals have defaults."""

from decimal import Decimal
from typing import Generic, TypeVar

import msgspec

Row = TypeVar("Row")

FIRST_CURSOR = "MA=="
LAST_CURSOR = "LTE="


class BadAnswer(Exception):
    """The venue answered with something that cannot be true or cannot be read; names the payload's id."""


# -- orders out --------------------------------------------------------------------------------------------------


class OrderOut(msgspec.Struct, frozen=True, rename="camel"):
    """Keys in the order the official client writes them."""

    builder: str
    expiration: str
    maker: str
    maker_amount: str
    metadata: str
    salt: int
    side: str
    signature: str
    signature_type: int
    signer: str
    taker_amount: str
    timestamp: str
    token_id: str


class PostOrder(msgspec.Struct, frozen=True, rename="camel"):
    defer_exec: bool
    order: OrderOut
    order_type: str
    owner: str


class PostOnlyOrder(msgspec.Struct, frozen=True, rename="camel"):
    defer_exec: bool
    order: OrderOut
    order_type: str
    owner: str
    post_only: bool


class CancelOrder(msgspec.Struct, frozen=True):
    orderID: str


encoder = msgspec.json.Encoder()

# -- CLOB answers ------------------------------------------------------------------------------------------------


class ErrorBody(msgspec.Struct, frozen=True):
    error: str = ""
    code: str = ""
    retry_after_seconds: float | None = None


class ApiKey(msgspec.Struct, frozen=True, rename="camel"):
    """Never printed: `repr` would show the secret."""

    api_key: str
    secret: str
    passphrase: str

    def __repr__(self) -> str:
        return "ApiKey(...)"


class OrderAnswer(msgspec.Struct, frozen=True):
    success: bool = False
    errorMsg: str | None = ""
    orderID: str | None = ""
    status: str | None = ""
    tradeIDs: list[str] | None = None


class CancelAnswer(msgspec.Struct, frozen=True):
    canceled: list[str] = []
    not_canceled: dict[str, str] | None = None


class OrderRow(msgspec.Struct, frozen=True):
    """An own order, as REST lists it and as the user socket tells it."""

    id: str
    asset_id: str
    side: str
    price: str
    original_size: str
    size_matched: str
    status: str
    order_type: str = "GTC"
    market: str = ""
    associate_trades: list[str] | None = None


class MakerRow(msgspec.Struct, frozen=True):
    order_id: str
    asset_id: str
    matched_amount: str
    price: str
    side: str = ""
    owner: str = ""
    maker_address: str = ""


class TradeRow(msgspec.Struct, frozen=True):
    """A trade one of our orders took part in. Top-level side, price and size are the taker's."""

    id: str
    taker_order_id: str
    market: str
    asset_id: str
    side: str
    price: str
    size: str
    status: str
    trader_side: str = "TAKER"
    match_time: str = ""
    matchtime: str = ""
    timestamp: str = ""
    bucket_index: int = 0
    transaction_hash: str | None = ""
    owner: str = ""
    maker_orders: list[MakerRow] | None = None


class Page(msgspec.Struct, Generic[Row], frozen=True):
    data: list[Row]
    next_cursor: str = LAST_CURSOR


class BalanceAnswer(msgspec.Struct, frozen=True):
    balance: str
    allowances: dict[str, str] = {}


class LevelRow(msgspec.Struct, frozen=True, gc=False):
    price: str
    size: str


class BookRow(msgspec.Struct, frozen=True):
    asset_id: str
    timestamp: str
    bids: list[LevelRow]
    asks: list[LevelRow]
    min_order_size: str | float | None = None
    tick_size: str | float | None = None
    market: str = ""
    hash: str = ""
    neg_risk: bool | None = None
    last_trade_price: str | None = None


class HashedBook(msgspec.Struct, frozen=True):
    """What the venue's checksum is taken of, in this order of keys and with an empty hash."""

    market: str
    asset_id: str
    timestamp: str
    hash: str
    bids: list[LevelRow]
    asks: list[LevelRow]
    min_order_size: str | float | None
    tick_size: str | float | None
    neg_risk: bool | None
    last_trade_price: str | None


class FeeRow(msgspec.Struct, frozen=True):
    r: Decimal = Decimal(0)
    e: Decimal = Decimal(1)
    to: bool = True


class ClobMarket(msgspec.Struct, frozen=True):
    """Trading parameters under the venue's short keys; no `fd` means no fee."""

    mos: Decimal = Decimal(5)
    mts: Decimal = Decimal("0.01")
    fd: FeeRow | None = None
    nr: bool | None = None


class MarketByToken(msgspec.Struct, frozen=True):
    condition_id: str
    primary_token_id: str = ""
    secondary_token_id: str = ""


# -- Gamma -------------------------------------------------------------------------------------------------------


class GammaEvent(msgspec.Struct, frozen=True):
    id: str = ""
    slug: str | None = ""
    title: str | None = ""
    category: str | None = None


class GammaTag(msgspec.Struct, frozen=True):
    label: str | None = ""


class FeeSchedule(msgspec.Struct, frozen=True, rename="camel"):
    rate: Decimal | None = None
    exponent: Decimal | None = None
    taker_only: bool | None = None


class GammaMarket(msgspec.Struct, frozen=True, rename="camel"):
    """Almost any field can be absent or null. Lists of outcomes and token ids are JSON inside a string."""

    condition_id: str | None = None
    version: str | None = None
    slug: str | None = None
    question: str | None = None
    category: str | None = None
    outcomes: str | list[str] | None = None
    clob_token_ids: str | list[str] | None = None
    position_ids: list[str] | None = None
    neg_risk: bool | None = None
    order_price_min_tick_size: Decimal | None = None
    order_min_size: Decimal | None = None
    fees_enabled: bool | None = None
    fee_schedule: FeeSchedule | None = None
    active: bool | None = None
    closed: bool | None = None
    accepting_orders: bool | None = None
    end_date: str | None = None
    description: str | None = None
    group_item_title: str | None = None
    neg_risk_market_id: str | None = msgspec.field(name="negRiskMarketID", default=None)
    uma_resolution_status: str | None = None
    outcome_prices: str | list[str] | None = None
    volume_num: Decimal | None = None
    volume24hr: Decimal | None = None
    liquidity_num: Decimal | None = None
    seconds_delay: int | None = None
    events: list[GammaEvent] | None = None
    tags: list[GammaTag] | None = None


class GammaPage(msgspec.Struct, frozen=True):
    markets: list[GammaMarket]
    next_cursor: str | None = None


class GammaListing(msgspec.Struct, frozen=True):
    """A page whose rows are read one by one, so that an odd one costs only itself."""

    markets: list[msgspec.Raw]
    next_cursor: str | None = None


class PricePoint(msgspec.Struct, frozen=True, gc=False):
    t: int
    p: Decimal


class PriceHistory(msgspec.Struct, frozen=True):
    history: list[PricePoint]


# -- Data API ----------------------------------------------------------------------------------------------------


class Paging(msgspec.Struct, frozen=True):
    has_more: bool = False
    next_cursor: str | None = None


class DataPage(msgspec.Struct, Generic[Row], frozen=True):
    data: list[Row]
    pagination: Paging = Paging()


class PublicTradeRow(msgspec.Struct, frozen=True):
    proxy_wallet: str
    token_id: str
    condition_id: str
    side: str
    size: Decimal
    price: Decimal
    timestamp: int
    transaction_hash: str
    title: str | None = ""
    slug: str | None = ""
    event_slug: str | None = ""
    outcome: str | None = ""
    outcome_index: int | None = 0


class ActivityRow(msgspec.Struct, frozen=True):
    """Rows that are no trades have no price or side."""

    type: str
    proxy_wallet: str
    timestamp: int
    transaction_hash: str = ""
    condition_id: str = ""
    token_id: str | None = ""
    side: str | None = ""
    size: Decimal = Decimal(0)
    usdc_size: Decimal = Decimal(0)
    price: Decimal | None = None
    outcome_index: int | None = 999


class PositionRow(msgspec.Struct, frozen=True):
    proxy_wallet: str
    token_id: str
    condition_id: str
    current_size: Decimal
    avg_price: Decimal | None = None
    current_price: Decimal | None = None
    current_value: Decimal | None = None
    realized_pnl: Decimal | None = None
    unrealized_pnl: Decimal | None = None
    total_pnl: Decimal | None = None
    status: str = ""
    last_event_at: msgspec.Raw = msgspec.Raw(b"null")


# -- sockets -----------------------------------------------------------------------------------------------------


class PriceChange(msgspec.Struct, frozen=True, gc=False):
    asset_id: str
    price: str
    size: str
    side: str
    hash: str = ""
    best_bid: str | None = None
    best_ask: str | None = None


class MarketFrame(msgspec.Struct, frozen=True):
    """Every event of the market channel in one shape: a single decoding pass finds out which it is."""

    event_type: str = ""
    asset_id: str = ""
    market: str = ""
    timestamp: str = ""
    bids: list[LevelRow] | None = None
    asks: list[LevelRow] | None = None
    min_order_size: str | float | None = None
    tick_size: str | float | None = None
    new_tick_size: str | float | None = None
    price_changes: list[PriceChange] | None = None
    price: str = ""
    size: str = ""
    side: str = ""
    winning_asset_id: str = ""
    hash: str = ""
    neg_risk: bool | None = None
    last_trade_price: str | None = None


class UserFrame(msgspec.Struct, frozen=True):
    event_type: str = ""


class ActivityPayload(msgspec.Struct, frozen=True, rename="camel"):
    asset: str
    condition_id: str
    proxy_wallet: str
    side: str
    price: msgspec.Raw
    size: msgspec.Raw
    timestamp: int
    transaction_hash: str
    title: str | None = ""
    slug: str | None = ""
    event_slug: str | None = ""
    outcome: str | None = ""
    outcome_index: int | None = 0


class ActivityFrame(msgspec.Struct, frozen=True):
    topic: str = ""
    type: str = ""
    payload: msgspec.Raw = msgspec.Raw(b"null")
