"""Whose order it is and whether the venue takes it, before matching. Wording as the venue's own."""

from dataclasses import dataclass

from markets.venue.ports import OrderType, Side
from markets.venue.sandbox import contracts, wallets
from markets.venue.sandbox.approvals import ClobView
from markets.venue.sandbox.auth import Credentials
from markets.venue.sandbox.catalogue import Catalogue
from markets.venue.sandbox.eip712 import OrderDigest, WrongSignature
from markets.venue.sandbox.events import MarketDef
from markets.venue.sandbox.messages import PostOrder
from markets.venue.sandbox.session_keys import SessionKeys
from markets.venue.sandbox.standing import RegionBarred, Standings
from markets.venue.simulator.admission import Believed
from markets.venue.simulator.orders import NewOrder, OrderRejected

_SIGNATURE_TYPES = (wallets.EOA, wallets.PROXY, wallets.SAFE, wallets.DEPOSIT)
_NOT_THEIRS = "the order signer address has to be the address of the API KEY"


@dataclass(frozen=True, slots=True)
class Admitted:
    """An order whose signature, owner and market are in order; `believed` is what its wallet may spend on it.

    `extras` are the builder code and the metadata it was signed with, as the chain will tell them.
    """

    new: NewOrder
    market: MarketDef
    believed: Believed
    extras: tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class OrderGate:
    """The order in which the venue checks is (unverified)."""

    catalogue: Catalogue
    sessions: SessionKeys
    standings: Standings
    view: ClobView

    def admit(self, post: PostOrder, credentials: Credentials, *, now_s: int) -> Admitted:
        """Raises OrderRejected with the venue's words, RegionBarred."""
        order, signer = post.order, credentials.signer
        if self.standings.blocked:
            raise RegionBarred
        if post.owner != credentials.api_key:
            raise OrderRejected("the order owner has to be the owner of the API KEY")
        market = self.catalogue.by_token.get(order.tokenId)
        if market is None:
            raise OrderRejected(f"the orderbook {order.tokenId} does not exist")
        self._check_addresses(post, signer, now_s)
        new = new_order(post, self._signed_hash(post, market, signer))
        self.standings.check_order(maker=order.maker, signer=signer, buying=new.side is Side.BUY)
        extras = bytes.fromhex(order.builder[2:]), bytes.fromhex(order.metadata[2:])
        return Admitted(new, market, self._believed(new, market), extras)

    def _check_addresses(self, post: PostOrder, signer: str, now_s: int) -> None:
        order = post.order
        maker, kind = order.maker.lower(), order.signatureType
        if order.signer.lower() != (maker if kind == wallets.DEPOSIT else signer.lower()):
            raise OrderRejected(_NOT_THEIRS)
        if kind not in _SIGNATURE_TYPES:
            raise OrderRejected("Invalid order payload")
        known = self.catalogue.wallets.get(maker)
        if known is not None and known.signer == signer and known.signature_type == kind:
            return
        if kind == wallets.DEPOSIT and self.sessions.may_trade(maker, signer, now_s=now_s):
            return
        if kind == wallets.EOA and maker == signer.lower():
            raise OrderRejected("maker address not allowed, please use the deposit wallet flow")
        if maker not in wallets.addresses_of(signer, kind):
            raise OrderRejected(_NOT_THEIRS)

    def _signed_hash(self, post: PostOrder, market: MarketDef, signer: str) -> str:
        """The order's id. A wallet's own key signs plainly, a session key inside its envelope."""
        try:
            digest = OrderDigest(post.order, neg_risk=market.neg_risk)
            signed = digest.signed()
        except WrongSignature as error:
            raise OrderRejected("invalid signature") from error
        owner = self.catalogue.wallets.get(post.order.maker.lower())
        by_session = owner is not None and owner.signer != signer
        if signed.by == signer and signed.session is by_session:
            return "0x" + digest.order_id.hex()
        if digest.is_of_other_version(signer):
            raise OrderRejected("order_version_mismatch")
        raise OrderRejected("invalid signature")

    def _believed(self, new: NewOrder, market: MarketDef) -> Believed:
        token = new.token_id if new.side is Side.SELL else ""
        exchange = contracts.exchange_of(new.token_id, neg_risk=market.neg_risk)
        allowed = self.view.allowance(new.wallet, exchange, token_id=token)
        return Believed(self.view.spendable(new.wallet, token_id=token), allowed)


def new_order(post: PostOrder, order_id: str) -> NewOrder:
    """The order as the exchange takes it. Raises OrderRejected."""
    order = post.order
    try:
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
    except ValueError as error:
        raise OrderRejected("Invalid order payload") from error
