"""Turns what happened at the exchange into frames on the three sockets and rows of the public record."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from markets.venue.ports import Side, TradeStatus
from markets.venue.sandbox import market_frames, wire
from markets.venue.sandbox.catalogue import Catalogue
from markets.venue.sandbox.events import MarketDef
from markets.venue.sandbox.hub import Connection, Hub
from markets.venue.sandbox.record import PublicRecord, PublicTrade
from markets.venue.sandbox.socket_faults import SocketFaults
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
        self, *, exchange: Exchange, catalogue: Catalogue, hub: Hub, sockets: SocketFaults, record: PublicRecord
    ) -> None:
        self.owners: dict[str, Ownership] = {}
        self.on_trade: Callable[[str], None] = lambda condition_id: None
        self.after_trade: Callable[[str], None] = lambda condition_id: None
        self._exchange = exchange
        self._catalogue = catalogue
        self._hub = hub
        self._best: dict[str, market_frames.Best] = {}
        self.sockets = sockets
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

    def opening_books(self, tokens: Iterable[str], now_ms: int) -> list[wire.Json]:
        """What a socket hears on subscribing. From here on a changed best price is news."""
        known = [token for token in tokens if token in self._catalogue.by_token]
        self._best.update((token, self._exchange.best(token)) for token in known)
        return [{"event_type": "book", **self.book(token, now_ms)} for token in known]

    def listed(self, market: MarketDef, now_ms: int) -> None:
        """Tell every socket that asked for it of a new market."""
        frame = market_frames.new_market(market, self._catalogue, now_ms=now_ms)
        self.sockets.send(
            self._hub.custom(), wire.encode(frame), event="new_market", tokens=market.token_ids, now_ms=now_ms
        )

    def tick_changed(self, condition_id: str, old: int, new: int, now_ms: int) -> None:
        market = self._catalogue.by_condition[condition_id]
        for token in market.token_ids:
            frame = market_frames.tick_size_change(market, token, old=old, new=new, now_ms=now_ms)
            self._tell_token(token, frame, now_ms)

    def resolved(self, condition_id: str, winning_token: str, paid: dict[str, int], now_ms: int) -> None:
        """Tell sockets that asked for it, and record what each wallet was paid."""
        market = self._catalogue.by_condition[condition_id]
        frame = market_frames.market_resolved(market, self._catalogue, winning_token=winning_token, now_ms=now_ms)
        listeners = [one for one in self._hub.market(market.token_ids) if one.custom]
        self.sockets.send(
            listeners, wire.encode(frame), event="market_resolved", tokens=market.token_ids, now_ms=now_ms
        )
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
            self.sockets.send(listeners, wire.encode(frame), event="order", tokens=[order.new.token_id], now_ms=now_ms)

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
                self.sockets.send(listeners, wire.encode(frame), event="trade", tokens=[leg.token_id], now_ms=now_ms)

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
        if listeners:
            self._tell_changes(market, changes, listeners, now_ms)
        if changes.trades:
            self.after_trade(condition_id)

    def _tell_changes(
        self, market: MarketDef, changes: _Changes, listeners: Collection[Connection], now_ms: int
    ) -> None:
        if changes.levels:
            self._levels_changed(market, changes.levels, listeners, now_ms)
        for trade in changes.trades:
            self._tell_token(trade.taker.token_id, market_frames.last_trade_price(trade, market, now_ms=now_ms), now_ms)
        if changes.trades:
            for token in market.token_ids:
                if self._hub.market([token]):
                    self._tell_token(token, {"event_type": "book", **self.book(token, now_ms)}, now_ms)

    def _levels_changed(
        self, market: MarketDef, levels: list[LevelChanged], listeners: Collection[Connection], now_ms: int
    ) -> None:
        first, second = market.token_ids
        bests = (self._exchange.best(first), self._exchange.best(second))
        hashes = (str(self.book(first, now_ms)["hash"]), str(self.book(second, now_ms)["hash"]))
        frame = market_frames.price_change(market, levels, bests=bests, hashes=hashes, now_ms=now_ms)
        self.sockets.send(listeners, wire.encode(frame), event="price_change", tokens=market.token_ids, now_ms=now_ms)
        for token, best in zip(market.token_ids, bests, strict=True):
            if self._best.get(token) == best:
                continue
            self._best[token] = best
            custom = [one for one in self._hub.market([token]) if one.custom]
            if custom:
                told = market_frames.best_bid_ask(market, token, best, now_ms=now_ms)
                self.sockets.send(custom, wire.encode(told), event="best_bid_ask", tokens=[token], now_ms=now_ms)

    def _tell_token(self, token: str, frame: wire.Json, now_ms: int) -> None:
        """A frame for everybody who wants this token."""
        listeners = self._hub.market([token])
        if listeners:
            self.sockets.send(listeners, wire.encode(frame), event=frame["event_type"], tokens=[token], now_ms=now_ms)

    # -- everybody's trades --------------------------------------------------------------------------------------

    def _tell_public(self, events: Iterable[ExchangeEvent], now_ms: int) -> None:
        """RTDS speaks at the match (it may still fail); the record is written once mined, as the chain is."""
        trades = [event for event in events if isinstance(event, TradeChanged)]
        for public in _public_trades([e.trade for e in trades if e.status is TradeStatus.MATCHED], now_ms):
            payload = self._catalogue.rtds_payload(public)
            for kind in ("orders_matched", "trades") if public.taker else ("trades",):
                listeners = self._hub.rtds(kind, payload)
                if listeners:
                    frame = {"topic": "activity", "type": kind, "timestamp": now_ms, "payload": payload}
                    self.sockets.send(
                        listeners,
                        wire.encode(frame),
                        event=kind,
                        tokens=[public.token_id],
                        wallets=[public.wallet],
                        now_ms=now_ms,
                    )
        for public in _public_trades([e.trade for e in trades if e.status is TradeStatus.MINED], now_ms):
            self._record.add(public)


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
