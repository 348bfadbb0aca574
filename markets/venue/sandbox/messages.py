"""Request bodies of the venue's protocol, under the names it uses on the wire."""

from typing import Literal

import msgspec

from markets.venue.sandbox.events import SideText


class WireOrder(msgspec.Struct, frozen=True):
    salt: int
    maker: str
    signer: str
    tokenId: str
    makerAmount: str
    takerAmount: str
    side: SideText
    signatureType: int
    timestamp: str
    signature: str
    expiration: str = "0"
    metadata: str = "0x" + "0" * 64
    builder: str = "0x" + "0" * 64


class PostOrder(msgspec.Struct, frozen=True):
    order: WireOrder
    owner: str
    orderType: Literal["GTC", "GTD", "FOK", "FAK"] = "GTC"
    deferExec: bool = False
    postOnly: bool = False


class CancelOrder(msgspec.Struct, frozen=True):
    orderID: str


class CancelMarket(msgspec.Struct, frozen=True):
    market: str = ""
    asset_id: str = ""


class TokenRequest(msgspec.Struct, frozen=True):
    token_id: str
    side: str = ""


class Heartbeat(msgspec.Struct, frozen=True):
    heartbeat_id: str | None = ""
