"""What is said on the signer's socket: MessagePack frames behind a length of four bytes."""

import asyncio
from typing import Literal
from uuid import UUID

import msgspec

from markets.venue.signers import SignRequest

MAX_FRAME = 4 * 1024 * 1024
MAX_ORDERS = 2000
LENGTH_BYTES = 4


class FrameTooLarge(Exception):
    """The peer announced more than MAX_FRAME bytes."""


class SignOrders(msgspec.Struct, frozen=True, tag="orders"):
    id: int
    items: list[SignRequest]


class SignAuth(msgspec.Struct, frozen=True, tag="auth"):
    """The venue's own L1 message for creating or deriving API credentials."""

    id: int
    account_id: UUID
    timestamp_s: int
    nonce: int


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    id: int


class Signed(msgspec.Struct, frozen=True, tag="signed"):
    order_hash: str
    signature: str


class SignedAuth(msgspec.Struct, frozen=True, tag="signed_auth"):
    address: str
    signature: str


class NotSigned(msgspec.Struct, frozen=True, tag="not_signed"):
    """`retry` is true when nothing was decided and the same request may come again."""

    code: str
    message: str
    retry: bool = False


class Alive(msgspec.Struct, frozen=True, tag="alive"):
    key_ids: list[str]


Request = SignOrders | SignAuth | Ping
Result = Signed | SignedAuth | NotSigned | Alive


class Reply(msgspec.Struct, frozen=True):
    id: int
    results: list[Result]


class SignerConfig(msgspec.Struct, frozen=True):
    """All the signer is told. Passed on an inherited descriptor: arguments and environment can be read by others."""

    dsn: str
    socket_path: str
    private_key_file: str
    public_key_file: str
    peer_uids: list[int]
    make_keys: bool = False
    network: Literal["off", "on"] = "off"


encoder = msgspec.msgpack.Encoder()
request_decoder = msgspec.msgpack.Decoder(Request)
reply_decoder = msgspec.msgpack.Decoder(Reply)


def frame(message: Request | Reply) -> bytes:
    body = encoder.encode(message)
    if len(body) > MAX_FRAME:
        raise FrameTooLarge(f"{len(body)} bytes")
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


async def read_frame(reader: asyncio.StreamReader, *, body_timeout_s: float) -> bytes | None:
    """The next body, None when the peer closed. A length that lies or a body that dawdles raises."""
    try:
        header = await reader.readexactly(LENGTH_BYTES)
    except asyncio.IncompleteReadError:
        return None
    length = int.from_bytes(header, "big")
    if length > MAX_FRAME:
        raise FrameTooLarge(f"{length} bytes announced")
    async with asyncio.timeout(body_timeout_s):
        return await reader.readexactly(length)
