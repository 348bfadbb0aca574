"""Signatures equal the venue's published vectors and its official client's, byte for byte."""

import base64
import hashlib
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import given, settings
from hypothesis import strategies as st
from polymarket._internal.actions.orders.typed_data import build_order_signature, build_order_typed_data
from polymarket._internal.actions.orders.types import BYTES32_ZERO, UnsignedOrder
from polymarket._internal.hmac import build_hmac_signature
from polymarket._internal.l1_auth import sign_api_key_auth
from polymarket._internal.wallet import wrap_deposit_wallet_session_signer_signature
from polymarket.types import EvmAddress, HexString

from markets.tests import venue_strategies as some
from markets.venue import signing
from markets.venue.ports import OrderTerms, OrderType, Side

KEY = b"\x11" * 32
OWNER = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
WALLET = "0x7a57144fAfde87F5cE4a880D570BAe58eeBC83f2"
TERMS = OrderTerms(
    client_order_id=UUID(int=1),
    token_id="7" * 70,
    side=Side.BUY,
    order_type=OrderType.GTC,
    price_units=5000,
    share_units=10_000_000,
    maker_units=5_000_000,
    taker_units=10_000_000,
    salt=1,
    timestamp_ms=1_790_000_000_000,
)
V3_TOKEN = str(1 << 248)


def sdk_order(terms: OrderTerms, *, maker: str, signer: str, signature_type: int) -> UnsignedOrder:
    domain = signing.domain_of(terms)
    fields: dict[str, Any] = {
        "chain_id": 137,
        "builder": BYTES32_ZERO,
        "exchange_address": domain.exchange,
        "expiration": terms.expiration_s,
        "maker": maker,
        "maker_amount": terms.maker_units,
        "metadata": BYTES32_ZERO,
        "order_type": terms.order_type.value,
        "salt": terms.salt,
        "side": terms.side.value,
        "signature_type": signature_type,
        "signer": signer,
        "taker_amount": terms.taker_units,
        "timestamp": terms.timestamp_ms,
        "token_id": terms.token_id,
        "protocol_version": domain.version,
    }
    return UnsignedOrder(**fields)


def sdk_signature(order: UnsignedOrder, key: bytes) -> str:
    signed = Account.from_key(key).sign_typed_data(full_message=build_order_typed_data(order))
    return str(build_order_signature(order, HexString("0x" + signed.signature.hex())))


@pytest.mark.parametrize(
    ("domain", "separator"),
    [
        (signing.ORDINARY, "3264e159346253e26a64e00b69032db0e7d32f94628de3e6eecb50304d7af3d2"),
        (signing.NEG_RISK, "9b858f53327b0bd13af8ec14cfb35234fb9eb7b0504d1a4e61f433840d30e81a"),
        (signing.POSITIONS_V3, "466c63910185bbd55e8679264200c4e0abdcbb0c6264eb3d41d13326022e095b"),
    ],
)
def test_domain_separators_are_the_published_ones(domain: signing.Domain, separator: str) -> None:
    assert domain.separator.hex() == separator


def test_the_address_of_a_key_is_checksummed() -> None:
    assert signing.address_of(KEY) == OWNER
    assert signing.checksum_address(OWNER.lower()) == OWNER


def test_an_ordinary_order_has_the_published_hash_and_signature() -> None:
    assert signing.order_hash(TERMS, maker=OWNER, signer=OWNER, signature_type=0) == (
        "0xc09e1dde49cdaa108ea6374769ce9a157a4ce43f898832874c77c23776097665"
    )
    assert signing.sign_order(TERMS, key=KEY, maker=OWNER, signer=OWNER, signature_type=0) == (
        "0xee14df83305ee5764474dcc7d48f0c1f9805469620d84b981725eafce12ae1ec"
        "449d84c22522ebc42138cbace715788ec1ab3cc4747ccf288e90c9a2f59b97511b"
    )


def test_a_neg_risk_order_has_the_published_hash() -> None:
    terms = replace(TERMS, neg_risk=True)
    assert signing.order_hash(terms, maker=OWNER, signer=OWNER, signature_type=0) == (
        "0x4ea041cc50d7fa9c46a9b3bb4a34873190e158bdb97e41575cbb9fed3763aef8"
    )


def test_version_three_has_the_published_hash_of_the_same_order() -> None:
    contents = signing._contents(TERMS, OWNER, OWNER, 0)
    assert signing._digest(signing.POSITIONS_V3.separator, contents).hex() == (
        "56147072e98ee1e2a87b28564511e9df581ca310de5bbb8302af295fb5995686"
    )


def test_the_token_chooses_the_exchange() -> None:
    assert signing.exchange_of(TERMS) == signing.EXCHANGE
    assert signing.exchange_of(replace(TERMS, neg_risk=True)) == signing.NEG_RISK_EXCHANGE
    assert signing.exchange_of(replace(TERMS, token_id=V3_TOKEN)) == signing.EXCHANGE_V3
    assert signing.exchange_of(replace(TERMS, token_id=V3_TOKEN, neg_risk=True)) == signing.EXCHANGE_V3


def test_a_deposit_wallet_order_has_the_published_hash_and_wrapped_signature() -> None:
    assert signing.order_hash(TERMS, maker=WALLET, signer=WALLET, signature_type=3) == (
        "0x28369adc84ed316667ed4de2883f756d5df59023a68dd4e2169b73d48180172c"
    )
    signature = signing.sign_order(TERMS, key=KEY, maker=WALLET, signer=WALLET, signature_type=3)
    assert signature.startswith(
        "0x845c3aed023555e17f6c1373d0eac053d5692103c9c4fbf359ebe3872b4250c7"
        "063fe7181fb6ea974731fe4adca03ad54cc4d5c66e779ef3f02b557591d204421b"
    )
    assert len(bytes.fromhex(signature[2:])) == 317
    assert hashlib.sha256(signature.encode()).hexdigest() == (
        "774b19b9e5a4b0d9907336697328d2f291156ec813e5d7fc382c8f599bf004b8"
    )


def test_the_sign_in_message_has_the_published_signature() -> None:
    digest = signing.clob_auth_digest(OWNER, 1_790_000_000, 0)
    assert signing.sign_digest(digest, KEY) == (
        "0x85ca564babee4e457e787f6a6db85d07f12ea4c3b436cbb0d7985b97543f11f5"
        "0a58fb1019b2ba8c4c77d3cc30a2901659b9074b54129b035d545c907c8c5caa1b"
    )


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("POST", "/order", b'{"a":"b"}', "ml3p_I2MS-ofUfilkDb8ozGykdFbe4hVWcnf05q3sl0="),
        ("GET", "/data/orders", b"", "FVB6g2ZvKNXT0_2Pg8MdwBPhxyefgOCZ6FgmkqkNieU="),
    ],
)
def test_request_hmacs_are_the_published_ones(method: str, path: str, body: bytes, expected: str) -> None:
    secret = signing.decode_secret("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
    assert (
        signing.l2_signature(secret=secret, timestamp_s=1_790_000_000, method=method, path=path, body=body) == expected
    )


@pytest.mark.parametrize(
    ("signature_type", "parties"),
    [(0, (OWNER, OWNER)), (1, (WALLET, OWNER)), (2, (WALLET, OWNER)), (3, (WALLET, WALLET))],
)
def test_a_deposit_wallet_is_maker_and_signer_others_sign_for_their_wallet(
    signature_type: int, parties: tuple[str, str]
) -> None:
    found = signing.order_parties(signature_type=signature_type, signer_address=OWNER, trading_address=WALLET)
    assert found == parties


@given(terms=some.terms, key=some.keys)
@settings(max_examples=60, deadline=None)
def test_plain_orders_equal_the_official_client(terms: OrderTerms, key: bytes) -> None:
    owner = signing.address_of(key)
    order = sdk_order(terms, maker=owner, signer=owner, signature_type=0)
    signed = Account.from_key(key).sign_typed_data(full_message=build_order_typed_data(order))
    assert signing.sign_order(terms, key=key, maker=owner, signer=owner, signature_type=0) == sdk_signature(order, key)
    assert signing.order_hash(terms, maker=owner, signer=owner, signature_type=0) == (
        "0x" + signed.message_hash.hex().removeprefix("0x")
    )


@given(terms=some.terms, key=some.keys, wallet=some.addresses)
@settings(max_examples=60, deadline=None)
def test_deposit_wallet_orders_equal_the_official_client(terms: OrderTerms, key: bytes, wallet: str) -> None:
    order = sdk_order(terms, maker=wallet, signer=wallet, signature_type=3)
    assert signing.sign_order(terms, key=key, maker=wallet, signer=wallet, signature_type=3) == sdk_signature(
        order, key
    )
    # The order's name is the digest of the plain struct, whatever wraps the signature.
    typed = build_order_typed_data(replace(order, signature_type=0))
    typed["message"]["signatureType"] = 3
    message = encode_typed_data(full_message=typed)
    plain = signing.keccak256(b"\x19" + message.version + message.header + message.body)
    assert signing.order_hash(terms, maker=wallet, signer=wallet, signature_type=3) == "0x" + plain.hex()


@given(terms=some.terms, key=some.keys, wallet=some.addresses)
@settings(max_examples=40, deadline=None)
def test_session_key_orders_equal_the_official_client(terms: OrderTerms, key: bytes, wallet: str) -> None:
    signer = signing.address_of(key)
    order = sdk_order(terms, maker=wallet, signer=wallet, signature_type=3)
    theirs = wrap_deposit_wallet_session_signer_signature(EvmAddress(signer), HexString(sdk_signature(order, key)))
    ours = signing.sign_order(terms, key=key, maker=wallet, signer=wallet, signature_type=3, session_signer=signer)
    assert ours == theirs
    assert len(bytes.fromhex(ours[2:])) == 480


@given(key=some.keys, timestamp=st.integers(0, 2**40), nonce=st.integers(0, 2**62))
@settings(max_examples=40, deadline=None)
def test_sign_in_messages_equal_the_official_client(key: bytes, timestamp: int, nonce: int) -> None:
    theirs = sign_api_key_auth(Account.from_key(key), chain_id=137, timestamp=timestamp, nonce=nonce)
    assert signing.sign_digest(signing.clob_auth_digest(theirs.address, timestamp, nonce), key) == theirs.signature


@given(
    secret=st.binary(min_size=1, max_size=64),
    timestamp=st.integers(0, 2**40),
    method=st.sampled_from(["GET", "POST", "DELETE"]),
    path=st.text(max_size=40),
    body=st.none() | st.text(max_size=200),
)
@settings(max_examples=100, deadline=None)
def test_request_hmacs_equal_the_official_client(
    secret: bytes, timestamp: int, method: str, path: str, body: str | None
) -> None:
    text = base64.urlsafe_b64encode(secret).decode().rstrip("=")
    theirs = build_hmac_signature(secret=text, timestamp=timestamp, method=method, path=path, body=body)
    ours = signing.l2_signature(
        secret=signing.decode_secret(text),
        timestamp_s=timestamp,
        method=method,
        path=path,
        body=(body or "").encode(),
    )
    assert ours == theirs


@pytest.mark.parametrize("text", ["", "0x12", "0x" + "zz" * 20, OWNER + "00"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        signing.checksum_address(text)
