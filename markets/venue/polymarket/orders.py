"""The exact bytes of an order: they are stored, HMACed, sent, and sent again unchanged."""

from markets.venue import signing
from markets.venue.polymarket import wire
from markets.venue.ports import OrderTerms


def wire_body(terms: OrderTerms, *, maker: str, signer: str, signature_type: int, signature: str, owner: str) -> bytes:
    """Body of POST /order. `owner` is the API key. Hot path, 3 us."""
    order = wire.OrderOut(
        builder=signing.ZERO_BYTES32,
        expiration=str(terms.expiration_s),
        maker=signing.checksum_address(maker),
        maker_amount=str(terms.maker_units),
        metadata=signing.ZERO_BYTES32,
        salt=terms.salt,
        side=terms.side.value,
        signature=signature,
        signature_type=signature_type,
        signer=signing.checksum_address(signer),
        taker_amount=str(terms.taker_units),
        timestamp=str(terms.timestamp_ms),
        token_id=terms.token_id,
    )
    if terms.post_only:
        return wire.encoder.encode(wire.PostOnlyOrder(False, order, terms.order_type.value, owner, True))
    return wire.encoder.encode(wire.PostOrder(False, order, terms.order_type.value, owner))
