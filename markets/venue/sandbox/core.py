"""The state of one local venue and everything that can be done to it. Transports call it; it calls none of them."""

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from eth_utils.address import to_checksum_address

from markets.venue.ports import OrderType, Side, VenueOrderStatus
from markets.venue.sandbox import depth, wallets, wire
from markets.venue.sandbox.auth import Credentials, KeyRing
from markets.venue.sandbox.catalogue import Catalogue
from markets.venue.sandbox.eip712 import OrderDigest, WrongSignature
from markets.venue.sandbox.events import MarketDef
from markets.venue.sandbox.faults import Faults
from markets.venue.sandbox.hub import Hub
from markets.venue.sandbox.market_maker import MarketMaker
from markets.venue.sandbox.messages import PostOrder
from markets.venue.sandbox.publisher import Ownership, Publisher
from markets.venue.sandbox.record import PublicRecord
from markets.venue.sandbox.wallets import Wallet
from markets.venue.simulator.matching import Exchange
from markets.venue.simulator.orders import MarketSpec, NewOrder, Order, OrderRejected, Trade
from polyhub.lib import money

_HEARTBEAT_MS = 10_000


class UnknownMarket(LookupError):
    """No order book exists for this token or condition."""


class WrongHeartbeat(ValueError):
    """Carries the id that would have been right."""

    def __init__(self, expected: str) -> None:
        super().__init__("Invalid Heartbeat ID")
        self.expected = expected


@dataclass(slots=True)
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
        self.faults = Faults(self.chance)
        self.maker = MarketMaker(self.exchange)
        self.publisher = Publisher(
            exchange=self.exchange, catalogue=self.catalogue, hub=self.hub, faults=self.faults, record=self.record
        )
        self.publisher.on_trade = lambda condition_id: self.maker.taken(condition_id, now_ms=self.now_ms())
        self._orders_of: dict[str, list[str]] = defaultdict(list)
        self._wallets_of: dict[str, list[Wallet]] = defaultdict(list)
        self._heartbeats: dict[str, _Heartbeat] = {}

    # -- markets and wallets -------------------------------------------------------------------------------------

    def load_markets(self, definitions: Sequence[MarketDef]) -> None:
        for definition in definitions:
            self.add_market(definition)

    def add_market(self, definition: MarketDef, *, quotes: depth.Quotes | None = None) -> None:
        """List a market. `quotes` replace the ladders the depth model would put around its first price."""
        tick = wire.tick_units(definition)
        spec = MarketSpec(
            definition.condition_id,
            definition.token_ids,
            tick_units=tick,
            min_share_units=money.to_units(definition.min_order_size),
            fee_rate=definition.fee_rate,
            fee_exponent=definition.fee_exponent,
        )
        self.catalogue.add(definition)
        self.exchange.add_market(spec)
        if quotes is None:
            first = int(definition.first_price * money.PRICE_UNITS)
            quotes = depth.around(min(max(first, tick), money.PRICE_UNITS - tick), tick)
        now = self.now_ms()
        self.maker.quote(spec, quotes, now_ms=now)
        self.publisher.publish(now)

    def market_of(self, token_id: str) -> tuple[MarketDef, MarketSpec]:
        """Raises UnknownMarket."""
        definition, spec = self.catalogue.by_token.get(token_id), self.exchange.market(token_id)
        if definition is None or spec is None or definition.condition_id in self.catalogue.closed:
            raise UnknownMarket("No orderbook exists for the requested token id")
        return definition, spec

    def register(self, signer: str, *, signature_type: int, cash_units: int, name: str = "") -> Wallet:
        """Make the trading wallet of a signer known, approve everything, and deposit cash (each time it is called)."""
        signer = to_checksum_address(signer)
        address = wallets.trading_address(signer, signature_type)
        wallet = self.catalogue.add_wallet(Wallet(address, signer, signature_type, name))
        if wallet not in self._wallets_of[signer]:
            self._wallets_of[signer].append(wallet)
        self.exchange.ledger.approve(wallet.key)
        self.exchange.ledger.deposit(wallet.key, cash_units)
        return wallet

    def wallet_of(self, signer: str, signature_type: int | None) -> Wallet | None:
        """The registered wallet of a signer; without a type the first one."""
        for wallet in self._wallets_of.get(signer, ()):
            if signature_type is None or wallet.signature_type == signature_type:
                return wallet
        return None

    def wallets_of(self, signer: str) -> list[str]:
        """The signer and its wallets, as faults name them."""
        return [signer, *(wallet.key for wallet in self._wallets_of.get(signer, ()))]

    # -- orders --------------------------------------------------------------------------------------------------

    def accept(self, post: PostOrder, credentials: Credentials) -> Order:
        """Check whose order it is, then match it. Raises OrderRejected with the venue's wording."""
        wire_order, now = post.order, self.now_ms()
        if post.owner != credentials.api_key:
            raise OrderRejected("the order owner has to be the owner of the API KEY")
        market = self.catalogue.by_token.get(wire_order.tokenId)
        if market is None:
            raise OrderRejected(f"the orderbook {wire_order.tokenId} does not exist")
        self._check_addresses(post, credentials.signer)
        try:
            digest = OrderDigest(wire_order, neg_risk=market.neg_risk)
            if digest.signer() != credentials.signer:
                raise OrderRejected("invalid signature")
            new = _new_order(post, "0x" + digest.order_id.hex())
        except (WrongSignature, ValueError) as error:
            raise OrderRejected("invalid signature") from error
        doomed = self.faults.hit(
            ["failed_settlement"],
            now_ms=now,
            path="/clob/order",
            method="POST",
            wallets=(new.wallet, credentials.signer),
        )
        known = new.order_hash in self.publisher.owners
        self.publisher.owners.setdefault(new.order_hash, Ownership(credentials.api_key, credentials.signer))
        try:
            order = self.exchange.place(new, now_ms=now, doomed=doomed is not None)
        except OrderRejected:
            if not known:
                del self.publisher.owners[new.order_hash]
            raise
        self._orders_of[credentials.signer].append(new.order_hash)
        self.publisher.publish(now)
        return order

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
        return wire.order_row(order, market, owner=owner.api_key, address=self.catalogue.address(order.new.wallet))

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

    def _cancel_all_of_key(self, api_key: str) -> None:
        for order_hash, owner in self.publisher.owners.items():
            if owner.api_key == api_key:
                self.exchange.cancel(order_hash)

    def _check_addresses(self, post: PostOrder, signer: str) -> None:
        order = post.order
        maker, signed_by = order.maker.lower(), order.signer.lower()
        if signed_by != (maker if order.signatureType == wallets.DEPOSIT else signer.lower()):
            raise OrderRejected("the order signer address has to be the address of the API KEY")
        known = self.catalogue.wallets.get(maker)
        if known is not None and known.signer == signer and known.signature_type == order.signatureType:
            return
        if order.signatureType not in (wallets.EOA, wallets.PROXY, wallets.SAFE, wallets.DEPOSIT):
            raise OrderRejected("Invalid order payload")
        if order.signatureType == wallets.EOA and maker == signer.lower():
            raise OrderRejected("maker address not allowed, please use the deposit wallet flow")
        if maker not in wallets.addresses_of(signer, order.signatureType):
            raise OrderRejected("the order signer address has to be the address of the API KEY")


def _new_order(post: PostOrder, order_id: str) -> NewOrder:
    order = post.order
    return NewOrder(
        order_hash=order_id,
        wallet=order.maker.lower(),
        token_id=order.tokenId,
        side=Side(order.side),
        order_type=OrderType(post.orderType),
        maker_units=int(order.makerAmount),
        taker_units=int(order.takerAmount),
        expiration_s=int(order.expiration),
        post_only=post.postOnly,
    )
