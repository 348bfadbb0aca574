"""The state of one local venue and everything that can be done to it. Transports call it; it calls none of them."""

import dataclasses
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from uuid import UUID

from eth_utils.address import to_checksum_address

from markets.venue.ports import VenueOrderStatus
from markets.venue.sandbox import depth, wallets, wire
from markets.venue.sandbox.approvals import Approvals, ClobView
from markets.venue.sandbox.auth import Credentials, KeyRing
from markets.venue.sandbox.catalogue import Catalogue
from markets.venue.sandbox.cdn import Cdn
from markets.venue.sandbox.chain import Chain
from markets.venue.sandbox.contract_calls import Contracts
from markets.venue.sandbox.events import MarketDef
from markets.venue.sandbox.faults import Faults
from markets.venue.sandbox.hub import Hub
from markets.venue.sandbox.limits import Limits
from markets.venue.sandbox.market_maker import MarketMaker
from markets.venue.sandbox.market_rows import Facts
from markets.venue.sandbox.messages import PostOrder
from markets.venue.sandbox.order_gate import OrderGate, new_order
from markets.venue.sandbox.publisher import Ownership, Publisher
from markets.venue.sandbox.record import PublicRecord
from markets.venue.sandbox.session_keys import SessionKeys
from markets.venue.sandbox.socket_faults import SocketFaults
from markets.venue.sandbox.standing import Standings
from markets.venue.sandbox.wallets import Wallet
from markets.venue.sandbox.windows import Windows
from markets.venue.simulator.matching import Exchange
from markets.venue.simulator.orders import MarketSpec, NewOrder, Order, OrderRejected, Trade
from polyhub.lib import money

_HEARTBEAT_MS = 10_000
_CENT = money.PRICE_UNITS // 100
_MIDDLE = range(4 * _CENT, 96 * _CENT + 1)


class UnknownMarket(LookupError):
    """No order book exists for this token or condition."""


class WrongHeartbeat(ValueError):
    """Carries the id that would have been right."""

    def __init__(self, expected: str) -> None:
        super().__init__("Invalid Heartbeat ID")
        self.expected = expected


@dataclasses.dataclass(slots=True)
class _Heartbeat:
    heartbeat_id: str
    at_ms: int


class Sandbox:
    """`now_ms` is the wall clock (markets' own time is the wall's). Same seed and same calls, same answers.

    Settlement: a trade is MINED and CONFIRMED so many milliseconds after it MATCHED.
    """

    def __init__(
        self, *, now_ms: Callable[[], int], seed: int = 0, mined_after_ms: int = 400, confirmed_after_ms: int = 1_000
    ) -> None:
        self.now_ms = now_ms
        self.chance = random.Random(seed)  # noqa: S311 - faults must be repeatable, nothing here is secret
        self.exchange = Exchange(
            name=f"{seed}:{now_ms()}", mined_after_ms=mined_after_ms, confirmed_after_ms=confirmed_after_ms
        )
        self.keys = KeyRing(f"sandbox/{seed}")
        self.record = PublicRecord()
        self.catalogue = Catalogue(self.record)
        self.hub = Hub()
        self.cdn = Cdn(now_ms)
        self.windows = Windows(now_ms)
        self.limits = Limits(now_ms, lambda signer: len(self.orders_of(to_checksum_address(signer))))
        self.faults = Faults(self.chance)
        self.maker = MarketMaker(self.exchange)
        self.publisher = Publisher(
            exchange=self.exchange,
            catalogue=self.catalogue,
            hub=self.hub,
            sockets=SocketFaults(self.hub, self.faults, self.wallets_of),
            record=self.record,
        )
        self.approvals = Approvals()
        self.view = ClobView(self.exchange.ledger, self.approvals)
        self.sessions = SessionKeys()
        self.standings = Standings()
        self.chain = Chain(self.catalogue, now_ms)
        self.exchange.on_mined = self.chain.settled
        self.contracts = Contracts(
            exchange=self.exchange,
            catalogue=self.catalogue,
            approvals=self.approvals,
            view=self.view,
            sessions=self.sessions,
            record=self.record,
            chain=self.chain,
            now_ms=now_ms,
        )
        self.gate = OrderGate(self.catalogue, self.sessions, self.standings, self.view)
        self.publisher.on_trade = lambda condition_id: self.maker.taken(condition_id, now_ms=self.now_ms())
        self.publisher.after_trade = self._refine_tick
        self._orders_of: dict[str, list[str]] = defaultdict(list)
        self._wallets_of: dict[str, list[Wallet]] = defaultdict(list)
        self._heartbeats: dict[str, _Heartbeat] = {}
        self.nonces: dict[str, int] = {}
        self.relayer_quota: int | None = None
        self.odd_statuses = False
        self.builder_fees: dict[str, tuple[int, int]] = {}
        self.dropped_notifications: dict[str, set[str]] = defaultdict(set)

    # -- markets and wallets -------------------------------------------------------------------------------------

    def load_markets(self, definitions: Sequence[MarketDef]) -> None:
        for definition in definitions:
            self.add_market(definition)

    def add_market(self, definition: MarketDef, *, quotes: depth.Quotes | None = None, opens_after_ms: int = 0) -> None:
        """List a market. `quotes` replace the ladders the depth model would put around its first price.

        Gamma shows it at once, the order book only `opens_after_ms` later.
        """
        tick = wire.tick_units(definition)
        spec = MarketSpec(
            definition.condition_id,
            definition.token_ids,
            tick_units=tick,
            min_share_units=money.to_units(definition.min_order_size),
            fee_rate=definition.fee_rate,
            fee_exponent=definition.fee_exponent,
        )
        self.catalogue.add(definition, now_ms=self.now_ms())
        if opens_after_ms:
            self.catalogue.opens_ms[definition.condition_id] = self.now_ms() + opens_after_ms
        self.exchange.add_market(spec)
        if quotes is None:
            first = int(definition.first_price * money.PRICE_UNITS)
            quotes = depth.around(min(max(first, tick), money.PRICE_UNITS - tick), tick)
        now = self.now_ms()
        self.maker.quote(spec, quotes, now_ms=now)
        self.publisher.publish(now)
        self.publisher.listed(definition, now)

    def market_of(self, token_id: str) -> tuple[MarketDef, MarketSpec]:
        """Raises UnknownMarket."""
        definition, spec = self.catalogue.by_token.get(token_id), self.exchange.market(token_id)
        if definition is None or spec is None or definition.condition_id in self.catalogue.closed:
            raise UnknownMarket("No orderbook exists for the requested token id")
        if not self.is_open(definition):
            raise UnknownMarket("No orderbook exists for the requested token id")
        return definition, spec

    def is_open(self, market: MarketDef) -> bool:
        """Whether the order book of a listed market exists already."""
        opens_ms = self.catalogue.opens_ms.get(market.condition_id)
        return opens_ms is None or self.now_ms() >= opens_ms

    def facts_of(self, market: MarketDef) -> Facts:
        """What Gamma and the CLOB tell of a market besides its definition."""
        condition, first, now_s = market.condition_id, market.token_ids[0], self.now_ms() // 1000
        record, catalogue = self.record, self.catalogue
        spec = self.exchange.market(first)
        bids, asks = self.exchange.levels(first)
        last = record.last_price.get(first, int(market.first_price * money.PRICE_UNITS))
        before = [record.price_at(first, now_s - span) for span in (3_600, 86_400, 604_800)]
        hour, day, week = (0 if price is None else last - price for price in before)
        return Facts(
            gamma_id=catalogue.gamma_id(condition),
            tick=spec.tick_units if spec is not None else wire.tick_units(market),
            bid=bids[0][0] if bids else None,
            ask=asks[0][0] if asks else None,
            last=last,
            traded=first in record.last_price,
            volume_units=record.volume_units.get(condition, 0),
            day_volume_units=record.day_volume_units(condition, now_s=now_s),
            liquidity_units=sum(price * shares for price, shares in (*bids, *asks)) // money.PRICE_UNITS,
            listed_ms=catalogue.listed_ms[condition],
            closed_ms=catalogue.closed_ms.get(condition, 0),
            payouts=catalogue.payouts.get(condition),
            oracle=tuple(catalogue.oracle.get(condition, ())),
            accepting=condition not in catalogue.closed and self.is_open(market),
            price_changes=(hour, day, week),
        )

    def resolve(
        self, condition_id: str, winning_token: str, *, payouts: tuple[int, int] | None = None, redeem: bool = True
    ) -> None:
        """Decide a market. `redeem` pays every winner at once, as the venue's own operator does for most wallets."""
        market, now = self.catalogue.by_condition[condition_id], self.now_ms()
        spec = self.exchange.market(market.token_ids[0])
        if spec is not None:
            self.maker.leave(spec, now_ms=now)
        if payouts is None:
            payouts = (1, 0) if winning_token == market.token_ids[0] else (0, 1)
        self.exchange.close(condition_id, winning_token, now_ms=now, payouts=payouts)
        self.publisher.publish(now)
        self.catalogue.close(condition_id, winning_token, payouts, now_ms=now)
        self.contracts.reported(condition_id)
        if winning_token:
            self.publisher.resolved(condition_id, winning_token, {}, now)
        for token, part in zip(market.token_ids, payouts, strict=True):
            self.record.last_price[token] = part * money.PRICE_UNITS // sum(payouts)
        if redeem:
            self.contracts.redeem_winners(condition_id)

    def register(
        self, signer: str, *, signature_type: int, cash_units: int, name: str = "", old: bool = False
    ) -> Wallet:
        """Make the trading wallet of a signer known, approve everything, and deposit cash (each time it is called)."""
        wallet = self.deploy(signer, signature_type, old=old)
        if name:
            wallet.name = name
        self.approvals.grant_all(wallet.key)
        self.exchange.ledger.deposit(wallet.key, cash_units)
        self.view.update(wallet.key)
        return wallet

    def wallet_of(self, signer: str, signature_type: int | None) -> Wallet | None:
        """The registered wallet a signer trades for, its own or as a session key; without a type the first one."""
        for wallet in self._traded_by(signer):
            if signature_type is None or wallet.signature_type == signature_type:
                return wallet
        return None

    def deploy(self, signer: str, signature_type: int, *, old: bool = False) -> Wallet:
        """Make a signer's wallet exist, with nothing in it and nothing approved.

        `old` deposit wallets have the address that the factory gave before it used a beacon.
        """
        signer = to_checksum_address(signer)
        if old and signature_type == wallets.DEPOSIT:
            address = wallets.old_deposit_address(signer)
        else:
            address = wallets.trading_address(signer, signature_type)
        wallet = self.catalogue.add_wallet(Wallet(address, signer, signature_type))
        wallet.signer, wallet.signature_type = signer, signature_type
        if wallet not in self._wallets_of[signer]:
            self._wallets_of[signer].append(wallet)
            self.exchange.ledger.approve(wallet.key)
        return wallet

    def deposit_wallet_of(self, signer: str) -> Wallet | None:
        """The deposit wallet a signer owns."""
        mine = self._wallets_of.get(signer, ())
        return next((one for one in mine if one.signature_type == wallets.DEPOSIT), None)

    def wallets_of(self, signer: str) -> list[str]:
        """The signer and its wallets, as faults name them."""
        return [signer, *(wallet.key for wallet in self._traded_by(signer))]

    def _traded_by(self, signer: str) -> list[Wallet]:
        lent = self.sessions.wallets_of(signer, now_s=self.now_ms() // 1000)
        return [*self._wallets_of.get(signer, ()), *(self.catalogue.wallets[key] for key in lent)]

    # -- orders --------------------------------------------------------------------------------------------------

    def taker_delay_ms(self, post: PostOrder) -> int:
        """How much longer the POST of this order takes, in markets with the short delay."""
        market = self.catalogue.by_token.get(post.order.tokenId)
        if market is None or not market.taker_delay_ms:
            return 0
        return market.taker_delay_ms if self.exchange.would_take(new_order(post, "")) else 0

    def accept(self, post: PostOrder, credentials: Credentials) -> Order:
        """Check whose order it is, then match it. Raises OrderRejected with the venue's wording, RegionBarred."""
        now = self.now_ms()
        admitted = self.gate.admit(post, credentials, now_s=now // 1000)
        if not self.is_open(admitted.market):
            raise OrderRejected("the market is not yet ready to process new orders")
        new = self._with_builder(admitted.new, admitted.extras[0])
        doomed, retried = (
            self.faults.hit(
                [name], now_ms=now, path="/clob/order", method="POST", wallets=(new.wallet, credentials.signer)
            )
            for name in ("failed_settlement", "retried_settlement")
        )
        known = new.order_hash in self.publisher.owners
        self.publisher.owners.setdefault(new.order_hash, Ownership(credentials.api_key, credentials.signer))
        try:
            order = self.exchange.place(
                new,
                now_ms=now,
                doomed=doomed is not None,
                delay_ms=admitted.market.seconds_delay * 1_000,
                believed=admitted.believed,
            )
        except OrderRejected:
            if not known:
                del self.publisher.owners[new.order_hash]
            raise
        for trade_id in order.trade_ids if retried else ():
            self.exchange.trades[trade_id].retries = 1
        self._orders_of[credentials.signer].append(new.order_hash)
        self.chain.signed_extras[new.order_hash] = admitted.extras
        self.publisher.publish(now)
        return order

    def _with_builder(self, new: NewOrder, code: bytes) -> NewOrder:
        """The order with the fee that its builder takes of takers. Makers' builder fees are not charged here."""
        known = self.builder_fees.get(f"0x{code.hex()}")
        return new if known is None else dataclasses.replace(new, builder_bps=known[1])

    def cancel(self, order_hash: str, credentials: Credentials) -> str:
        """Cancel an order of this signer; answers "" or why not."""
        owner = self.publisher.owners.get(order_hash)
        if owner is None or owner.signer != credentials.signer:
            return "order not found"
        reason = self.exchange.cancel(order_hash)
        self.publisher.publish(self.now_ms())
        return reason

    def orders_of(self, signer: str, *, live: bool = True) -> list[Order]:
        """Orders sent with this signer's credentials, oldest first."""
        found = [self.exchange.orders[order_hash] for order_hash in self._orders_of[signer]]
        return [order for order in found if order.status is VenueOrderStatus.LIVE] if live else found

    def trades_of(self, signer: str) -> list[tuple[Trade, str]]:
        """(trade, wallet) for every trade of this signer's orders, oldest first."""
        found: dict[tuple[str, str], Trade] = {}
        for order in self.orders_of(signer, live=False):
            for trade_id in order.trade_ids:
                found[trade_id, order.new.wallet] = self.exchange.trades[trade_id]
        rows = [(trade, wallet) for (_, wallet), trade in found.items()]
        return sorted(rows, key=lambda row: (row[0].matched_ms, row[0].trade_id))

    def order_row(self, order: Order) -> wire.Json:
        owner = self.publisher.owners[order.new.order_hash]
        market = self.catalogue.by_condition[order.condition_id]
        row = wire.order_row(order, market, owner=owner.api_key, address=self.catalogue.address(order.new.wallet))
        return {**row, "status": f"ORDER_STATUS_{row['status']}"} if self.odd_statuses else row

    # -- time ----------------------------------------------------------------------------------------------------

    def heartbeat(self, credentials: Credentials, heartbeat_id: str) -> str:
        """Start or prolong the dead-man switch of a credential. Raises WrongHeartbeat."""
        known = self._heartbeats.get(credentials.api_key)
        if known is not None and heartbeat_id != known.heartbeat_id:
            raise WrongHeartbeat(known.heartbeat_id)
        fresh = str(UUID(int=self.chance.getrandbits(128)))
        self._heartbeats[credentials.api_key] = _Heartbeat(fresh, self.now_ms())
        return fresh

    def tick(self) -> None:
        """Settle, expire, sweep silent heartbeats, bring quotes back. Called many times a second."""
        now = self.now_ms()
        self.exchange.advance(now)
        for api_key, beat in list(self._heartbeats.items()):
            if now - beat.at_ms > _HEARTBEAT_MS:
                del self._heartbeats[api_key]
                self._cancel_all_of_key(api_key)
        for condition_id in self.maker.refill_due(now_ms=now):
            spec = self.exchange.market(self.catalogue.by_condition[condition_id].token_ids[0])
            if spec is not None:
                self.maker.quote(spec, self.maker.target(condition_id), now_ms=now)
        self.publisher.publish(now)

    def cancel_all_of(self, signer: str) -> None:
        """Cancel every open order of a signer, as when its session key is taken away."""
        for order in self.orders_of(signer):
            self.exchange.cancel(order.new.order_hash)
        self.publisher.publish(self.now_ms())

    def change_tick(self, condition_id: str, tick_units: int) -> None:
        """New orders keep to another tick, and sockets are told. Raises UnknownMarket."""
        market = self.catalogue.by_condition.get(condition_id)
        if market is None:
            raise UnknownMarket(condition_id)
        spec = self.exchange.market(market.token_ids[0])
        if spec is not None and spec.tick_units != tick_units:
            self.exchange.change_tick(condition_id, tick_units)
            self.publisher.tick_changed(condition_id, spec.tick_units, tick_units, self.now_ms())

    def _refine_tick(self, condition_id: str) -> None:
        """A market of cents gets tenths of cents once it trades near an end of the scale."""
        first = self.catalogue.by_condition[condition_id].token_ids[0]
        spec = self.exchange.market(first)
        if spec is not None and spec.tick_units == _CENT and self.record.last_price[first] not in _MIDDLE:
            self.change_tick(condition_id, _CENT // 10)

    def _cancel_all_of_key(self, api_key: str) -> None:
        for order_hash, owner in self.publisher.owners.items():
            if owner.api_key == api_key:
                self.exchange.cancel(order_hash)
