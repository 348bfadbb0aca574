"""Turns what happened at the exchange into frames on the three sockets and rows of the public record."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from markets.venue.ports import Side, TradeStatus
from markets.venue.sandbox import wire
from markets.venue.sandbox.catalogue import Catalogue
from markets.venue.sandbox.faults import Faults
from markets.venue.sandbox.hub import Connection, Hub
from markets.venue.sandbox.record import PublicRecord, PublicTrade
from markets.venue.simulator.matching import Exchange
from markets.venue.simulator.orders import ExchangeEvent, Leg, LevelChanged, OrderChanged, Trade, TradeChanged
from polyhub.lib import money


@dataclass(frozen=True, slots=True)
class Ownership:
    """Who stands behind an accepted order of a signed wallet."""

    api_key: str
    signer: str


@dataclass(slots=True)
class _Changes:
    """What one call changed in one market."""

    levels: list[LevelChanged] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)


class Publisher:
    def __init__(
        self, *, exchange: Exchange, catalogue: Catalogue, hub: Hub, faults: Faults, record: PublicRecord
    ) -> None:
        self.owners: dict[str, Ownership] = {}
        self.on_trade: Callable[[str], None] = lambda condition_id: None
        self._exchange = exchange
        self._catalogue = catalogue
        self._hub = hub
        self._faults = faults
        self._record = record

    def publish(self, now_ms: int) -> None:
        """Send everything that happened since the last call."""
        events = self._exchange.drain()
        if not events:
            return
        changed: dict[str, _Changes] = {}
        for event in events:
            if isinstance(event, OrderChanged):
                self._order_changed(event, now_ms)
            elif isinstance(event, LevelChanged):
                changed.setdefault(event.condition_id, _Changes()).levels.append(event)
            else:
                self._trade_changed(event, now_ms)
                if event.status is TradeStatus.MATCHED:
                    changed.setdefault(event.trade.condition_id, _Changes()).trades.append(event.trade)
        for condition_id, changes in changed.items():
            self._market_changed(condition_id, changes, now_ms)
        self._tell_public(events, now_ms)

    def book(self, token_id: str, now_ms: int) -> wire.Json:
        """The public book of a token as the venue sends it."""
        market = self._catalogue.by_token[token_id]
        bids, asks = self._exchange.levels(token_id)
        last = self._record.last_price.get(token_id)
        spec = self._exchange.market(token_id)
        tick = spec.tick_units if spec else wire.tick_units(market)
        return wire.book(
            market, token_id, bids, asks, now_ms=now_ms, last="" if last is None else wire.price(last), tick=tick
        )

    def tick_changed(self, condition_id: str, old: int, new: int, now_ms: int) -> None:
        market = self._catalogue.by_condition[condition_id]
        for token in market.token_ids:
            frame = {
                "event_type": "tick_size_change",
                "asset_id": token,
                "market": condition_id,
                "old_tick_size": wire.price(old),
                "new_tick_size": wire.price(new),
                "timestamp": str(now_ms),
            }
            self._send(self._hub.market([token]), wire.encode(frame), now_ms)

    def resolved(self, condition_id: str, winning_token: str, paid: dict[str, int], now_ms: int) -> None:
        """Tell sockets that asked for it, and record what each wallet was paid."""
        market = self._catalogue.by_condition[condition_id]
        frame = {
            "event_type": "market_resolved",
            "id": self._catalogue.gamma_id(condition_id),
            "market": condition_id,
            "assets_ids": list(market.token_ids),
            "winning_asset_id": winning_token,
            "winning_outcome": wire.outcome(market, winning_token),
            "timestamp": str(now_ms),
            "tags": [],
        }
        listeners = [one for one in self._hub.market(market.token_ids) if one.custom]
        self._send(listeners, wire.encode(frame), now_ms)
        for token in market.token_ids:
            self._record.last_price[token] = money.PRICE_UNITS if token == winning_token else 0
        for wallet, units in paid.items():
            tx_hash = f"0x{self._catalogue.serial():064x}"
            self._record.add(
                PublicTrade(
                    wallet,
                    winning_token,
                    condition_id,
                    Side.SELL,
                    units,
                    units,
                    0,
                    now_ms // 1000,
                    tx_hash,
                    False,
                    "REDEEM",
                )
            )

    # -- own orders and trades -----------------------------------------------------------------------------------

    def _order_changed(self, event: OrderChanged, now_ms: int) -> None:
        order = event.order
        owner = self.owners.get(order.new.order_hash)
        if owner is None:
            return
        listeners = self._hub.user(owner.signer, order.condition_id)
        if listeners:
            market = self._catalogue.by_condition[order.condition_id]
            frame = wire.order_event(
                order,
                market,
                kind=event.kind,
                owner=owner.api_key,
                address=self._catalogue.address(order.new.wallet),
                now_ms=now_ms,
            )
            self._send(listeners, wire.encode(frame), now_ms)

    def _trade_changed(self, event: TradeChanged, now_ms: int) -> None:
        trade = event.trade
        told: set[str] = set()
        for leg in (trade.taker, *trade.makers):
            owner = self.owners.get(leg.order_hash)
            if owner is None or leg.wallet in told:
                continue
            told.add(leg.wallet)
            listeners = self._hub.user(owner.signer, trade.condition_id)
            if listeners:
                row = self.trade_row(trade, leg.wallet)
                frame = wire.trade_event(row, status=str(event.status), now_ms=now_ms)
                self._send(listeners, wire.encode(frame), now_ms)

    def trade_row(self, trade: Trade, viewer: str) -> wire.Json:
        """A trade as `viewer` (a wallet's key) sees it."""
        legs = (trade.taker, *trade.makers)
        owners = {leg.order_hash: self.owners[leg.order_hash].api_key for leg in legs if leg.order_hash in self.owners}
        addresses = {leg.wallet: self._catalogue.address(leg.wallet) for leg in legs}
        market = self._catalogue.by_condition[trade.condition_id]
        return wire.trade_row(trade, market, owners=owners, addresses=addresses, viewer=viewer)

    # -- the market channel --------------------------------------------------------------------------------------

    def _market_changed(self, condition_id: str, changes: _Changes, now_ms: int) -> None:
        market = self._catalogue.by_condition[condition_id]
        for trade in changes.trades:
            taker = trade.taker
            self._record.price_seen(
                market.token_ids, taker.token_id, taker.price_units, taker.side, at_s=now_ms // 1000
            )
        if changes.trades:
            self.on_trade(condition_id)
        listeners = self._hub.market(market.token_ids)
        if not listeners:
            return
        if changes.levels:
            self._send(listeners, self._price_change(market.token_ids, changes.levels, now_ms), now_ms)
        for trade in changes.trades:
            wanted = self._hub.market([trade.taker.token_id])
            self._send(wanted, wire.encode(self._last_trade(trade, market.fee_rate, now_ms)), now_ms)
        if changes.trades:
            for token in market.token_ids:
                wanted = self._hub.market([token])
                if wanted:
                    self._send(wanted, wire.encode({"event_type": "book", **self.book(token, now_ms)}), now_ms)

    def _price_change(self, tokens: tuple[str, str], levels: list[LevelChanged], now_ms: int) -> str:
        bests = [self._exchange.best(token) for token in tokens]
        rows: list[wire.Json] = []
        for change in levels:
            mirrored = Side.SELL if change.side is Side.BUY else Side.BUY
            both = (
                (tokens[0], change.side, change.price_units, bests[0]),
                (tokens[1], mirrored, money.PRICE_UNITS - change.price_units, bests[1]),
            )
            for token, side, price, (bid, ask) in both:
                row = {
                    "asset_id": token,
                    "price": wire.price(price),
                    "size": wire.amount(change.share_units),
                    "side": str(side),
                    "hash": "",
                    "best_bid": "" if bid is None else wire.price(bid),
                    "best_ask": "" if ask is None else wire.price(ask),
                }
                rows.append(row)
        frame = {
            "event_type": "price_change",
            "market": levels[0].condition_id,
            "timestamp": str(now_ms),
            "price_changes": rows,
        }
        return wire.encode(frame)

    def _last_trade(self, trade: Trade, fee_rate: object, now_ms: int) -> wire.Json:
        return {
            "event_type": "last_trade_price",
            "market": trade.condition_id,
            "asset_id": trade.taker.token_id,
            "price": wire.price(trade.taker.price_units),
            "size": wire.amount(trade.taker.share_units),
            "side": str(trade.taker.side),
            "fee_rate_bps": str(fee_rate),
            "timestamp": str(now_ms),
            "transaction_hash": trade.transaction_hash,
        }

    # -- everybody's trades --------------------------------------------------------------------------------------

    def _tell_public(self, events: Iterable[ExchangeEvent], now_ms: int) -> None:
        """RTDS speaks at the match (it may still fail); the record is written once mined, as the chain is."""
        trades = [event for event in events if isinstance(event, TradeChanged)]
        for public in _public_trades([e.trade for e in trades if e.status is TradeStatus.MATCHED], now_ms):
            payload = self._catalogue.rtds_payload(public)
            for kind in ("orders_matched", "trades") if public.taker else ("trades",):
                listeners = self._hub.rtds(kind)
                if listeners:
                    frame = {"topic": "activity", "type": kind, "timestamp": now_ms, "payload": payload}
                    self._send(listeners, wire.encode(frame), now_ms)
        for public in _public_trades([e.trade for e in trades if e.status is TradeStatus.MINED], now_ms):
            self._record.add(public)

    def _send(self, listeners: Iterable[Connection], text: str, now_ms: int) -> None:
        for one in listeners:
            if not self._faults.silences(one.channel, now_ms=now_ms, wallets=(one.signer,)):
                one.push(text)


def _public_trades(trades: list[Trade], now_ms: int) -> list[PublicTrade]:
    """One row per wallet, token and side of a transaction, takers first."""
    sums: dict[tuple[str, str, str, Side, bool], list[int]] = {}
    where: dict[str, str] = {}
    for trade in trades:
        where[trade.transaction_hash] = trade.condition_id
        legs: list[tuple[Leg, bool]] = [(trade.taker, True), *((leg, False) for leg in trade.makers)]
        for leg, taker in legs:
            total = sums.setdefault((trade.transaction_hash, leg.wallet, leg.token_id, leg.side, taker), [0, 0, 0])
            total[0] += leg.share_units
            total[1] += leg.cost_units
            total[2] += leg.fee_units
    rows = [
        PublicTrade(wallet, token, where[tx], side, shares, cost, fee, now_ms // 1000, tx, taker)
        for (tx, wallet, token, side, taker), (shares, cost, fee) in sums.items()
    ]
    return sorted(rows, key=lambda row: not row.taker)
