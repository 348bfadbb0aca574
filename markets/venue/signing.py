"""What the venue wants signed: EIP-712 orders (plain and ERC-7739 wrapped), the sign-in message, request HMACs.

Pure functions. A private key is an argument, never kept. Domain separators and type hashes are computed once.
Source: docs.polymarket.com (orders, authentication), EIP-712, ERC-7739.
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from coincurve import PrivateKey
from Crypto.Hash import keccak as _keccak

from markets.venue.ports import OrderTerms, Side

CHAIN_ID: Final = 137
EXCHANGE: Final = "0xE111180000d2663C0091e4f400237545B87B996B"
NEG_RISK_EXCHANGE: Final = "0xe2222d279d744050d28e00520010520000310F59"
EXCHANGE_V3: Final = "0xe3333700cA9d93003F00f0F71f8515005F6c00Aa"

EOA, PROXY, SAFE, DEPOSIT_WALLET = 0, 1, 2, 3

ORDER_TYPE: Final = (
    b"Order(uint256 salt,address maker,address signer,uint256 tokenId,uint256 makerAmount,uint256 takerAmount,"
    b"uint8 side,uint8 signatureType,uint256 timestamp,bytes32 metadata,bytes32 builder)"
)
ZERO_BYTES32: Final = "0x" + "00" * 32

_WRAPPED_TYPE = (
    b"TypedDataSign(Order contents,string name,string version,uint256 chainId,address verifyingContract,bytes32 salt)"
    + ORDER_TYPE
)
_AUTH_TYPE = b"ClobAuth(address address,string timestamp,uint256 nonce,string message)"
_AUTH_TEXT = b"This message attests that I control the given wallet"
_DOMAIN_TYPE = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
_AUTH_DOMAIN_TYPE = b"EIP712Domain(string name,string version,uint256 chainId)"


def keccak256(content: bytes) -> bytes:
    return _keccak.new(digest_bits=256, data=content).digest()


def _word(number: int) -> bytes:
    return number.to_bytes(32, "big")


@lru_cache(maxsize=8192)
def _address_word(address: str) -> bytes:
    """An address as one ABI word. Raises ValueError for anything but 20 bytes of hex."""
    raw = bytes.fromhex(address.removeprefix("0x"))
    if len(raw) != 20:
        raise ValueError(f"Not an address: {address!r}")
    return raw.rjust(32, b"\0")


@dataclass(frozen=True, slots=True)
class Domain:
    """An exchange contract and what its signatures are bound to."""

    exchange: str
    version: str
    separator: bytes


def _domain(exchange: str, version: str) -> Domain:
    name = keccak256(b"Polymarket CTF Exchange")
    parts = (keccak256(_DOMAIN_TYPE), name, keccak256(version.encode()), _word(CHAIN_ID), _address_word(exchange))
    return Domain(exchange, version, keccak256(b"".join(parts)))


ORDINARY: Final = _domain(EXCHANGE, "2")
NEG_RISK: Final = _domain(NEG_RISK_EXCHANGE, "2")
POSITIONS_V3: Final = _domain(EXCHANGE_V3, "3")

_ORDER_TYPEHASH = keccak256(ORDER_TYPE)
_WRAPPED_TYPEHASH = keccak256(_WRAPPED_TYPE)
_WALLET_DOMAIN = keccak256(b"DepositWallet") + keccak256(b"1") + _word(CHAIN_ID)
_AUTH_TYPEHASH = keccak256(_AUTH_TYPE)
_AUTH_TEXT_HASH = keccak256(_AUTH_TEXT)
_AUTH_SEPARATOR = keccak256(
    keccak256(_AUTH_DOMAIN_TYPE) + keccak256(b"ClobAuthDomain") + keccak256(b"1") + _word(CHAIN_ID)
)
_ZERO_METADATA_AND_BUILDER = bytes(64)
_TRAILER = ORDER_TYPE + len(ORDER_TYPE).to_bytes(2, "big")
_SESSION_MARK = bytes.fromhex("6492" * 16)


def is_v3_position(token_id: str) -> bool:
    """Whether a token id is a module position of the second protocol (they have 64 zero bits in the middle)."""
    return (int(token_id) >> 40) & (2**64 - 1) == 0


def domain_of(terms: OrderTerms) -> Domain:
    """The domain is chosen by the token, never by a global switch: both protocol generations trade side by side."""
    if is_v3_position(terms.token_id):
        return POSITIONS_V3
    return NEG_RISK if terms.neg_risk else ORDINARY


def exchange_of(terms: OrderTerms) -> str:
    """The verifying contract of an order of this token."""
    return domain_of(terms).exchange


def order_parties(*, signature_type: int, signer_address: str, trading_address: str) -> tuple[str, str]:
    """(maker, signer) as the order names them. A deposit wallet is both; its key only signs for it."""
    if signature_type == EOA:
        return signer_address, signer_address
    if signature_type == DEPOSIT_WALLET:
        return trading_address, trading_address
    return trading_address, signer_address


def order_hash(terms: OrderTerms, *, maker: str, signer: str, signature_type: int) -> str:
    """What the venue calls the order: the plain Order digest, for every signature type."""
    contents = _contents(terms, maker, signer, signature_type)
    return "0x" + _digest(domain_of(terms).separator, contents).hex()


def sign_order(
    terms: OrderTerms, *, key: bytes, maker: str, signer: str, signature_type: int, session_signer: str = ""
) -> str:
    """The wire signature: 65 bytes over the order, 317 for a deposit wallet (ERC-7739), 480 by its session key.

    `session_signer` is the key's own address where the key is a session key of the wallet and not its owner.
    """
    domain = domain_of(terms)
    contents = _contents(terms, maker, signer, signature_type)
    if signature_type != DEPOSIT_WALLET:
        return sign_digest(_digest(domain.separator, contents), key)
    inner = sign_digest(wrapped_digest(domain, contents, wallet=signer), key)
    wrapped = wrap_1271(inner, domain, contents)
    return wrap_session(wrapped, session_signer=session_signer) if session_signer else wrapped


def sign_digest(digest: bytes, key: bytes) -> str:
    """Deterministic (RFC 6979) recoverable signature, r || s || v with v 27 or 28, as 0x-hex."""
    signature = PrivateKey(key).sign_recoverable(digest, hasher=None)
    return f"0x{signature[:64].hex()}{27 + signature[64]:02x}"


def wrapped_digest(domain: Domain, contents: bytes, *, wallet: str) -> bytes:
    """What the key of a deposit wallet signs: the order nested in the wallet's own domain."""
    nested = _WRAPPED_TYPEHASH + contents + _WALLET_DOMAIN + _address_word(wallet) + bytes(32)
    return _digest(domain.separator, keccak256(nested))


def wrap_1271(signature: str, domain: Domain, contents: bytes) -> str:
    """The inner signature with what a contract needs to check it: domain, contents, type string and its length."""
    return f"{signature}{domain.separator.hex()}{contents.hex()}{_TRAILER.hex()}"


def wrap_session(signature: str, *, session_signer: str) -> str:
    """A session key's deposit-wallet signature (317 bytes) with who signed it: 480 bytes the wallet can tell apart."""
    inner = bytes.fromhex(signature.removeprefix("0x"))
    head = _address_word(session_signer) + bytes(32) + _word(96) + _word(len(inner))
    return f"0x{(head + inner.ljust(-(-len(inner) // 32) * 32, bytes(1)) + _SESSION_MARK).hex()}"


def clob_auth_digest(address: str, timestamp_s: int, nonce: int) -> bytes:
    """The sign-in message (L1): it creates or derives API credentials and moves no money."""
    stamp = keccak256(str(timestamp_s).encode())
    contents = _AUTH_TYPEHASH + _address_word(address) + stamp + _word(nonce) + _AUTH_TEXT_HASH
    return _digest(_AUTH_SEPARATOR, keccak256(contents))


def l2_signature(*, secret: bytes, timestamp_s: int, method: str, path: str, body: bytes = b"") -> str:
    """HMAC of one request: `path` without its query, `body` exactly as sent. `secret` from `decode_secret`."""
    text = f"{timestamp_s}{method}{path}".encode() + body
    return base64.urlsafe_b64encode(hmac.digest(secret, text, hashlib.sha256)).decode()


def decode_secret(secret: str) -> bytes:
    """API secret from its URL-safe base64, padded or not. Raises ValueError."""
    return base64.urlsafe_b64decode(secret + "=" * (-len(secret) % 4))


def address_of(key: bytes) -> str:
    """Checksummed address of a private key. Raises ValueError for a key that is none."""
    public = PrivateKey(key).public_key.format(compressed=False)
    return checksum_address(keccak256(public[1:])[12:].hex())


@lru_cache(maxsize=8192)
def checksum_address(address: str) -> str:
    """EIP-55 form. Raises ValueError for anything but 20 bytes of hex."""
    plain = _address_word(address)[12:].hex()
    digest = keccak256(plain.encode()).hex()
    return "0x" + "".join(
        char.upper() if int(nibble, 16) >= 8 else char for char, nibble in zip(plain, digest, strict=False)
    )


def _contents(terms: OrderTerms, maker: str, signer: str, signature_type: int) -> bytes:
    """hashStruct(Order)."""
    return keccak256(
        b"".join(
            (
                _ORDER_TYPEHASH,
                _word(terms.salt),
                _address_word(maker),
                _address_word(signer),
                _word(int(terms.token_id)),
                _word(terms.maker_units),
                _word(terms.taker_units),
                _word(0 if terms.side is Side.BUY else 1),
                _word(signature_type),
                _word(terms.timestamp_ms),
                _ZERO_METADATA_AND_BUILDER,
            )
        )
    )


def _digest(separator: bytes, contents: bytes) -> bytes:
    return keccak256(b"\x19\x01" + separator + contents)
