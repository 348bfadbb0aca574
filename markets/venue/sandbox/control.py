"""The sandbox's own controls under /_sandbox/, for this machine only."""

import hashlib
from decimal import Decimal
from ipaddress import ip_address
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
from aiohttp import web
from eth_account import Account

from markets.venue.ports import Side
from markets.venue.sandbox import depth, wallets, wire
from markets.venue.sandbox.core import Sandbox
from markets.venue.sandbox.events import LeaderTradeEvent, MarketDef, SideText, TickSizeEvent
from markets.venue.sandbox.faults import AT_ONCE, FaultRequest
from markets.venue.sandbox.http import error, reply
from markets.venue.sandbox.replay import Replay
from markets.venue.simulator.ledger import LedgerBroken
from markets.venue.simulator.orders import Order, Trade
from polyhub.lib import money

_AS_ASKED = (
    *("outcomes", "question", "slug", "category", "tick_size", "min_order_size", "neg_risk", "fee_rate"),
    *("fee_exponent", "end_date", "first_price", "description", "event_title", "neg_risk_market_id", "series"),
    *("tags", "seconds_delay", "taker_delay_ms", "question_id", "group_item_title"),
)
_FROM_ELSEWHERE = ("Origin", "Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")
_UNKNOWN_WALLET = "give one of private_key, address"


class WalletRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`usdc` is deposited each time. `address` is the signer's, where its key must not be sent here.

    `old` gives a deposit wallet its address from before the factory used a beacon.
    """

    private_key: str = ""
    address: str = ""
    usdc: Decimal = Decimal(0)
    signature_type: int = wallets.DEPOSIT
    name: str = ""
    old: bool = False


class Ladder(msgspec.Struct, frozen=True):
    """(price, shares) pairs of the first outcome."""

    bids: list[tuple[Decimal, Decimal]] = []
    asks: list[tuple[Decimal, Decimal]] = []


class MarketRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Ids are made from the slug where none are given. Without a ladder the depth model quotes around first_price."""

    question: str = "Will it happen?"
    slug: str = "will-it-happen"
    condition_id: str = ""
    token_ids: tuple[str, str] | None = None
    outcomes: tuple[str, str] = ("Yes", "No")
    event_slug: str = ""
    category: str = ""
    tick_size: Decimal = Decimal("0.01")
    min_order_size: Decimal = Decimal(5)
    neg_risk: bool = False
    fee_rate: Decimal = Decimal(0)
    fee_exponent: int = 1
    first_price: Decimal = Decimal("0.5")
    end_date: str = ""
    description: str = ""
    event_title: str = ""
    neg_risk_market_id: str = ""
    series: str = ""
    tags: tuple[str, ...] = ()
    seconds_delay: int = 0
    taker_delay_ms: int = 0
    question_id: str = ""
    group_item_title: str = ""
    version: Literal["v1", "v2"] = "v1"
    opens_after_seconds: float = 0
    ladder: Ladder | None = None


class ResolveRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Without a winner `payouts` say how a dollar is shared. `redeem` pays winners at once, else they ask for it."""

    winning_token_id: str = ""
    payouts: tuple[int, int] | None = None
    redeem: bool = True

    def __post_init__(self) -> None:
        if not self.winning_token_id and self.payouts is None:
            raise ValueError("give one of winning_token_id, payouts")


class OracleRequest(msgspec.Struct, frozen=True, kw_only=True):
    status: Literal["proposed", "disputed"]


class LeaderTradeRequest(msgspec.Struct, frozen=True, kw_only=True):
    wallet: str
    token_id: str
    side: SideText
    price: Decimal
    size: Decimal
    tx_hash: str = ""
    name: str = ""


class TapeRequest(msgspec.Struct, frozen=True, kw_only=True):
    speed: float | None = None
    pause: bool | None = None


class Control:
    def __init__(self, sandbox: Sandbox, replay: Replay) -> None:
        self._sandbox = sandbox
        self._replay = replay

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/_sandbox/wallets", self.wallets),
            web.get("/_sandbox/state", self.state),
            web.get("/_sandbox/faults", self.list_faults),
            web.post("/_sandbox/faults", self.add_fault),
            web.delete("/_sandbox/faults", self.clear_faults),
            web.delete("/_sandbox/faults/{fault_id}", self.clear_faults),
            web.get("/_sandbox/tape", self.tape),
            web.post("/_sandbox/tape", self.tape),
            web.post("/_sandbox/markets", self.markets),
            web.post("/_sandbox/markets/{condition_id}/tick", self.tick),
            web.post("/_sandbox/markets/{condition_id}/oracle", self.oracle),
            web.post("/_sandbox/markets/{condition_id}/resolve", self.resolve),
            web.post("/_sandbox/leader_trade", self.leader_trade),
        ]

    async def wallets(self, request: web.Request) -> web.Response:
        asked = msgspec.json.decode(await request.read(), type=WalletRequest)
        if not (asked.private_key or asked.address):
            raise ValueError(_UNKNOWN_WALLET)
        signer = Account.from_key(asked.private_key).address if asked.private_key else asked.address
        wallet = self._sandbox.register(
            signer,
            signature_type=asked.signature_type,
            cash_units=money.to_units(asked.usdc),
            name=asked.name,
            old=asked.old,
        )
        return reply({"address": wallet.address, "signer": wallet.signer, "signature_type": wallet.signature_type})

    async def state(self, request: web.Request) -> web.Response:
        """The truth. Without `all=1` only wallets that somebody signs for, and their orders and trades."""
        sandbox, ledger = self._sandbox, self._sandbox.exchange.ledger
        everything = request.query.get("all") == "1"
        only = request.query.get("wallet", "").lower()
        shown = {
            key
            for key, wallet in sandbox.catalogue.wallets.items()
            if (everything or wallet.signer) and only in ("", key)
        }
        try:
            sandbox.exchange.check()
            conserved = True
        except LedgerBroken:
            conserved = False
        trades = [
            t for t in sandbox.exchange.trades.values() if {t.taker.wallet, *(m.wallet for m in t.makers)} & shown
        ]
        return reply(
            {
                "now_ms": sandbox.now_ms(),
                "conserved": conserved,
                "deposited_units": str(ledger.deposited_units),
                "fees_units": str(ledger.fees_units),
                "cash_in_flight_units": str(ledger.cash_in_flight),
                "tape": self._replay.status(),
                "wallets": [self._wallet(key) for key in sorted(shown)],
                "orders": [_order(order) for order in sandbox.exchange.orders.values() if order.new.wallet in shown],
                "trades": [_trade(trade) for trade in trades],
            }
        )

    async def list_faults(self, request: web.Request) -> web.Response:
        return reply([fault.as_wire() for fault in self._sandbox.faults.active()])

    async def add_fault(self, request: web.Request) -> web.Response:
        asked = msgspec.json.decode(await request.read(), type=FaultRequest)
        fault = self._sandbox.faults.add(asked, now_ms=self._sandbox.now_ms())
        if asked.name in AT_ONCE:
            self._sandbox.publisher.sockets.at_once(asked)
            self._sandbox.faults.clear(fault.fault_id)
        return reply(fault.as_wire())

    async def clear_faults(self, request: web.Request) -> web.Response:
        fault_id = request.match_info.get("fault_id")
        self._sandbox.faults.clear(int(fault_id) if fault_id else None)
        return reply("OK")

    async def tape(self, request: web.Request) -> web.Response:
        asked = msgspec.json.decode(await request.read() or b"{}", type=TapeRequest)
        if asked.speed is not None:
            if asked.speed <= 0:
                raise ValueError("speed must be above 0; use pause to stop")
            self._replay.speed = asked.speed
        if asked.pause is not None:
            self._replay.paused = asked.pause
        return reply(self._replay.status())

    async def markets(self, request: web.Request) -> web.Response:
        asked = msgspec.json.decode(await request.read(), type=MarketRequest)
        market = _definition(asked)
        if market.condition_id in self._sandbox.catalogue.by_condition:
            return error(f"a market with condition {market.condition_id} exists already", status=409)
        quotes = None if asked.ladder is None else _quotes(asked.ladder)
        self._sandbox.add_market(market, quotes=quotes, opens_after_ms=int(asked.opens_after_seconds * 1000))
        return reply({"condition_id": market.condition_id, "token_ids": market.token_ids, "slug": market.slug})

    async def tick(self, request: web.Request) -> web.Response:
        size = Decimal(str(msgspec.json.decode(await request.read())["tick_size"]))
        self._replay.apply(TickSizeEvent(at_ms=0, condition_id=request.match_info["condition_id"], tick_size=size))
        return reply("OK")

    async def oracle(self, request: web.Request) -> web.Response:
        """The next station of a resolution, before the market is decided."""
        asked = msgspec.json.decode(await request.read(), type=OracleRequest)
        condition_id = request.match_info["condition_id"]
        if condition_id not in self._sandbox.catalogue.by_condition:
            return error("market not found", status=404)
        self._sandbox.catalogue.oracle.setdefault(condition_id, []).append(asked.status)
        return reply("OK")

    async def resolve(self, request: web.Request) -> web.Response:
        asked = msgspec.json.decode(await request.read(), type=ResolveRequest)
        condition_id = request.match_info["condition_id"]
        self._sandbox.resolve(condition_id, asked.winning_token_id, payouts=asked.payouts, redeem=asked.redeem)
        return reply("OK")

    async def leader_trade(self, request: web.Request) -> web.Response:
        asked = msgspec.json.decode(await request.read(), type=LeaderTradeRequest)
        market, _ = self._sandbox.market_of(asked.token_id)
        now = self._sandbox.now_ms()
        tx_hash = asked.tx_hash or f"0x1d{self._sandbox.chance.getrandbits(248):062x}"
        event = LeaderTradeEvent(
            at_ms=now,
            wallet=asked.wallet,
            token_id=asked.token_id,
            condition_id=market.condition_id,
            side=asked.side,
            price=asked.price,
            size=asked.size,
            tx_hash=tx_hash,
            name=asked.name,
        )
        order = self._replay.leader_trade(event)
        if order is None:
            return error("less than the smallest lot", status=400)
        return reply(
            {"transaction_hash": tx_hash, "trade_ids": order.trade_ids, "matched": wire.amount(order.matched_units)}
        )

    def _wallet(self, key: str) -> dict[str, Any]:
        wallet, holdings = self._sandbox.catalogue.wallets[key], self._sandbox.exchange.ledger.wallet(key)
        return {
            "address": wallet.address,
            "signer": wallet.signer,
            "signature_type": wallet.signature_type,
            "cash_units": str(holdings.cash),
            "reserved_cash_units": str(holdings.reserved_cash),
            "shares": {token: str(units) for token, units in holdings.shares.items() if units},
            "reserved_shares": {token: str(units) for token, units in holdings.reserved_shares.items()},
        }


@web.middleware
async def loopback_only(request: web.Request, handler: Any) -> web.StreamResponse:
    """Whoever can call the controls owns the sandbox: nobody from another machine may, nor a page in a browser here."""
    if request.path.startswith("/_sandbox/") and not (_is_loopback(request.remote or "") and _is_direct(request)):
        return error("only from this machine", status=403)
    answer: web.StreamResponse = await handler(request)
    return answer


def _is_direct(request: web.Request) -> bool:
    """False for what came through a proxy of this machine, from a web page, or by a name made to lead here."""
    if any(name in request.headers for name in _FROM_ELSEWHERE):
        return False
    host = urlsplit(f"//{request.headers.get('Host', 'localhost')}").hostname or ""
    return host == "localhost" or _is_loopback(host)


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address.split("%", maxsplit=1)[0]).is_loopback
    except ValueError:
        return False


def _order(order: Order) -> dict[str, Any]:
    return {
        "id": order.new.order_hash,
        "wallet": order.new.wallet,
        "token_id": order.new.token_id,
        "condition_id": order.condition_id,
        "side": str(order.new.side),
        "order_type": str(order.new.order_type),
        "price_units": str(order.price_units),
        "maker_units": str(order.new.maker_units),
        "taker_units": str(order.new.taker_units),
        "matched_units": str(order.matched_units),
        "matched_cost_units": str(order.matched_cost_units),
        "status": str(order.status),
        "reason": order.reason,
        "trade_ids": order.trade_ids,
        "created_ms": order.created_ms,
    }


def _trade(trade: Trade) -> dict[str, Any]:
    legs = [
        {
            "wallet": leg.wallet,
            "order_id": leg.order_hash,
            "token_id": leg.token_id,
            "side": str(leg.side),
            "price_units": str(leg.price_units),
            "share_units": str(leg.share_units),
            "cost_units": str(leg.cost_units),
            "fee_units": str(leg.fee_units),
        }
        for leg in (trade.taker, *trade.makers)
    ]
    return {
        "id": trade.trade_id,
        "condition_id": trade.condition_id,
        "status": str(trade.status),
        "transaction_hash": trade.transaction_hash,
        "matched_ms": trade.matched_ms,
        "taker": legs[0],
        "makers": legs[1:],
    }


def _definition(asked: MarketRequest) -> MarketDef:
    condition, tokens = asked.condition_id, asked.token_ids
    if asked.version == "v2":
        condition, tokens = _second_protocol(asked)
    condition = condition or "0x" + hashlib.sha256(asked.slug.encode()).hexdigest()
    return MarketDef(
        condition_id=condition,
        token_ids=tokens or (_token(condition, 0), _token(condition, 1)),
        event_slug=asked.event_slug or asked.slug,
        **{name: getattr(asked, name) for name in _AS_ASKED},
    )


def _second_protocol(asked: MarketRequest) -> tuple[str, tuple[str, str]]:
    """Condition (31 bytes, padded) and positions: module, 18 bytes of hash, 8 reserved zeros, 4 zeros, outcome."""
    module = 2 if asked.neg_risk else 1
    stem = bytes([module]) + hashlib.sha256(asked.slug.encode()).digest()[:18] + bytes(12)
    first = int.from_bytes(stem + b"\0")
    return f"0x{stem.hex()}00", (str(first), str(first + 1))


def _token(condition: str, index: int) -> str:
    return str(int.from_bytes(hashlib.sha256(f"{condition}/{index}".encode()).digest()))


def _quotes(ladder: Ladder) -> depth.Quotes:
    quotes: depth.Quotes = {}
    for side, levels in ((Side.BUY, ladder.bids), (Side.SELL, ladder.asks)):
        for price, size in levels:
            quotes[side, money.price_to_units(price)] = money.to_units(size)
    return quotes
