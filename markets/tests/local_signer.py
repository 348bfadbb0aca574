"""A signer in the test's own process, for venue sessions that are not about the signer."""

from uuid import UUID

from markets.venue import signing
from markets.venue.signers import SignedAuth, SignedOrder, SignRequest, VenueAccount


class LocalSigner:
    """Signs everything it is asked for with the keys it was given."""

    def __init__(self) -> None:
        self._accounts: dict[UUID, tuple[VenueAccount, bytes]] = {}
        self.orders_signed = 0
        self.auths_signed = 0

    def add(self, account: VenueAccount, key: bytes) -> None:
        self._accounts[account.account_id] = (account, key)

    async def sign_order(self, request: SignRequest) -> SignedOrder:
        account, key = self._accounts[request.account_id]
        maker, signer = signing.order_parties(
            signature_type=account.signature_type,
            signer_address=account.signer_address,
            trading_address=account.trading_address,
        )
        self.orders_signed += 1
        kind = account.signature_type
        return SignedOrder(
            order_hash=signing.order_hash(request.terms, maker=maker, signer=signer, signature_type=kind),
            signature=signing.sign_order(request.terms, key=key, maker=maker, signer=signer, signature_type=kind),
        )

    async def sign_auth(self, *, account_id: UUID, timestamp_s: int, nonce: int) -> SignedAuth:
        account, key = self._accounts[account_id]
        self.auths_signed += 1
        digest = signing.clob_auth_digest(account.signer_address, timestamp_s, nonce)
        return SignedAuth(account.signer_address, signing.sign_digest(digest, key))
