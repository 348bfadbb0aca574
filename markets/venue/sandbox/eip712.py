"""What the venue hashes and checks, written on eth-abi and eth-keys alone.

It shares nothing with the product's own encoder on purpose: when both agree, both are right.
"""

from dataclasses import dataclass
from typing import Final

from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_abi.exceptions import DecodingError, EncodingError
from eth_keys.datatypes import Signature
from eth_keys.exceptions import BadSignature
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from eth_utils.exceptions import ValidationError

from markets.venue.sandbox.contracts import EXCHANGE, EXCHANGE_V3, NEG_RISK_EXCHANGE
from markets.venue.sandbox.messages import WireOrder

CHAIN_ID: Final = 137

ORDER_TYPE: Final = (
    b"Order(uint256 salt,address maker,address signer,uint256 tokenId,uint256 makerAmount,uint256 takerAmount,"
    b"uint8 side,uint8 signatureType,uint256 timestamp,bytes32 metadata,bytes32 builder)"
)
_WRAPPED_TYPE = (
    b"TypedDataSign(Order contents,string name,string version,uint256 chainId,address verifyingContract,bytes32 salt)"
    + ORDER_TYPE
)
_AUTH_TYPE = b"ClobAuth(address address,string timestamp,uint256 nonce,string message)"
_AUTH_TEXT = b"This message attests that I control the given wallet"

_ORDER_TYPEHASH = keccak(ORDER_TYPE)
_WRAPPED_TYPEHASH = keccak(_WRAPPED_TYPE)
_AUTH_TYPEHASH = keccak(_AUTH_TYPE)
_ORDER_FIELDS = [
    *("bytes32", "uint256", "address", "address", "uint256", "uint256"),
    *("uint256", "uint8", "uint8", "uint256", "bytes32", "bytes32"),
]
_WALLET_NAME, _WALLET_VERSION = keccak(b"DepositWallet"), keccak(b"1")
_ZERO32 = bytes(32)
_SESSION_MARK = bytes.fromhex("6492") * 16


class WrongSignature(ValueError):
    """The bytes are no signature of this message by anybody the venue accepts."""


@dataclass(frozen=True, slots=True)
class Signed:
    """Who signed (checksummed), and whether inside a session key's envelope."""

    by: str
    session: bool = False


def _domain(name: bytes, version: bytes, contract: str | None) -> bytes:
    fields = "string name,string version,uint256 chainId" + (",address verifyingContract" if contract else "")
    types = ["bytes32", "bytes32", "bytes32", "uint256"] + (["address"] if contract else [])
    values = [keccak(f"EIP712Domain({fields})".encode()), keccak(name), keccak(version), CHAIN_ID]
    return keccak(abi_encode(types, [*values, contract] if contract else values))


_EXCHANGE_NAME = b"Polymarket CTF Exchange"
_PLAIN_DOMAIN = _domain(_EXCHANGE_NAME, b"2", EXCHANGE)
_NEG_RISK_DOMAIN = _domain(_EXCHANGE_NAME, b"2", NEG_RISK_EXCHANGE)
_V3_DOMAIN = _domain(_EXCHANGE_NAME, b"3", EXCHANGE_V3)
_AUTH_DOMAIN = _domain(b"ClobAuthDomain", b"1", None)


def order_domain(token_id: int, *, neg_risk: bool) -> bytes:
    """Domain separator an order of this token is signed under."""
    if (token_id >> 40) & (2**64 - 1) == 0:
        return _V3_DOMAIN
    return _NEG_RISK_DOMAIN if neg_risk else _PLAIN_DOMAIN


class OrderDigest:
    """Hashes of one order, each computed once. `order_id` is the venue's name of the order, `contents` its struct hash.

    Raises WrongSignature for fields that no order struct can hold.
    """

    __slots__ = ("_domain", "_order", "contents", "order_id")

    def __init__(self, order: WireOrder, *, neg_risk: bool) -> None:
        self._order = order
        try:
            token_id = int(order.tokenId)
            self.contents = keccak(abi_encode(_ORDER_FIELDS, _order_values(order, token_id)))
        except (ValueError, EncodingError) as error:
            raise WrongSignature(str(error)) from error
        self._domain = order_domain(token_id, neg_risk=neg_risk)
        self.order_id = keccak(b"\x19\x01" + self._domain + self.contents)

    def signer(self) -> str:
        """Checksummed address whose key signed the order. Raises WrongSignature."""
        return self.signed().by

    def signed(self) -> Signed:
        """Who signed, and how. Raises WrongSignature."""
        return self._signed(self._domain)

    def is_of_other_version(self, signer: str) -> bool:
        """Whether this is a good signature of `signer`, for the venue's other protocol version.

        That the venue answers it with order_version_mismatch and not with invalid signature is (unverified).
        """
        others = (_PLAIN_DOMAIN, _NEG_RISK_DOMAIN) if self._domain == _V3_DOMAIN else (_V3_DOMAIN,)
        for domain in others:
            try:
                if self._signed(domain).by == signer:
                    return True
            except WrongSignature:
                continue
        return False

    def _signed(self, domain: bytes) -> Signed:
        signature = _bytes(self._order.signature)
        if self._order.signatureType != 3:
            return Signed(recover(keccak(b"\x19\x01" + domain + self.contents), signature))
        if not signature.endswith(_SESSION_MARK):
            return Signed(self._wallet_signer(domain, signature))
        claimed, signature = _opened(signature)
        if self._wallet_signer(domain, signature) != claimed:
            raise WrongSignature("the envelope names another session key")
        return Signed(claimed, session=True)

    def _wallet_signer(self, domain: bytes, signature: bytes) -> str:
        """The key behind an ERC-7739 signature of the deposit wallet."""
        tail = domain + self.contents + ORDER_TYPE + len(ORDER_TYPE).to_bytes(2, "big")
        if len(signature) != 65 + len(tail) or signature[65:] != tail:
            raise WrongSignature("not an ERC-7739 signature of this order")
        wrapped = abi_encode(
            ["bytes32", "bytes32", "bytes32", "bytes32", "uint256", "address", "bytes32"],
            [
                *(_WRAPPED_TYPEHASH, self.contents, _WALLET_NAME, _WALLET_VERSION),
                *(CHAIN_ID, self._order.signer.lower(), _ZERO32),
            ],
        )
        return recover(keccak(b"\x19\x01" + domain + keccak(wrapped)), signature[:65])


def _opened(signature: bytes) -> tuple[str, bytes]:
    """(session key, its signature) of an envelope."""
    try:
        signer, zero, inner = abi_decode(["bytes32", "bytes32", "bytes"], signature[: -len(_SESSION_MARK)])
    except DecodingError as error:
        raise WrongSignature(str(error)) from error
    if zero != _ZERO32 or any(signer[:12]):
        raise WrongSignature("no session key's envelope")
    return to_checksum_address(signer[12:]), inner


def auth_signer(*, address: str, timestamp: str, nonce: int, signature: str) -> str:
    """Checksummed address that signed an L1 authentication message. Raises WrongSignature."""
    try:
        contents = abi_encode(
            ["bytes32", "address", "bytes32", "uint256", "bytes32"],
            [_AUTH_TYPEHASH, address, keccak(timestamp.encode()), nonce, keccak(_AUTH_TEXT)],
        )
    except (ValueError, EncodingError) as error:
        raise WrongSignature(str(error)) from error
    return recover(keccak(b"\x19\x01" + _AUTH_DOMAIN + keccak(contents)), _bytes(signature))


def recover(digest: bytes, signature: bytes) -> str:
    if len(signature) != 65:
        raise WrongSignature(f"{len(signature)} bytes instead of 65")
    recovery = signature[64] - 27 if signature[64] >= 27 else signature[64]
    try:
        parsed = Signature(signature[:64] + bytes([recovery]))
        return to_checksum_address(parsed.recover_public_key_from_msg_hash(digest).to_canonical_address())
    except (BadSignature, ValidationError, ValueError) as error:
        raise WrongSignature(str(error)) from error


def _order_values(order: WireOrder, token_id: int) -> list[object]:
    return [
        *(_ORDER_TYPEHASH, order.salt, order.maker.lower(), order.signer.lower(), token_id),
        *(int(order.makerAmount), int(order.takerAmount), 0 if order.side == "BUY" else 1, order.signatureType),
        *(int(order.timestamp), _bytes(order.metadata), _bytes(order.builder)),
    ]


def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text.removeprefix("0x"))
    except ValueError as error:
        raise WrongSignature(str(error)) from error
