"""The sandbox's independent encoder against published vectors, eth-account and the official SDK's own bytes."""

from typing import Any

import pytest
from eth_abi.abi import encode
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_keys.backends import get_backend
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st
from polymarket._internal.environment import PRODUCTION_CONFIG
from polymarket._internal.wallet import (
    derive_beacon_deposit_wallet_address,
    derive_proxy_wallet_address,
    derive_safe_wallet_address,
    derive_uups_deposit_wallet_address,
)

from markets.tests.sandbox_client import (
    EXCHANGE,
    NEG_RISK_EXCHANGE,
    ORDER_FIELDS,
    order_fields,
    sign_order,
)
from markets.venue.sandbox import eip712, wallets
from markets.venue.sandbox.contracts import EXCHANGE_V3
from markets.venue.sandbox.messages import WireOrder

KEY = "0x" + "11" * 32
EOA = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
VECTOR = order_fields(
    salt=1, maker=EOA, signer=EOA, tokenId="7" * 70, makerAmount=5_000_000, takerAmount=10_000_000, side="BUY"
)


def wire_of(order: dict[str, Any], signature: str) -> WireOrder:
    text = {name: str(order[name]) for name in ("makerAmount", "takerAmount", "timestamp")}
    return WireOrder(**{**order, **text, "signature": signature})


@pytest.mark.parametrize(
    ("neg_risk", "expected"),
    [
        (False, "c09e1dde49cdaa108ea6374769ce9a157a4ce43f898832874c77c23776097665"),
        (True, "4ea041cc50d7fa9c46a9b3bb4a34873190e158bdb97e41575cbb9fed3763aef8"),
    ],
)
def test_v17_order_ids_equal_the_published_vectors(neg_risk: bool, expected: str) -> None:
    digest = eip712.OrderDigest(wire_of(VECTOR, "0x"), neg_risk=neg_risk)
    assert digest.order_id.hex() == expected


def test_v17_positions_of_the_second_protocol_hash_under_the_third_version() -> None:
    first = (1 << 248) + (0xAB << 104)
    order = {**VECTOR, "tokenId": str(first)}
    domain = {"name": "Polymarket CTF Exchange", "version": "3", "chainId": 137, "verifyingContract": EXCHANGE_V3}
    message = {**order, "tokenId": first, "side": 0, "metadata": bytes(32), "builder": bytes(32)}
    signable = encode_typed_data(domain, {"Order": ORDER_FIELDS}, message)
    for neg_risk in (False, True):
        digest = eip712.OrderDigest(wire_of(order, "0x"), neg_risk=neg_risk)
        assert digest.order_id == keccak(b"\x19\x01" + signable.header + signable.body)
    other = eip712.OrderDigest(wire_of(order, sign_order(KEY, order)), neg_risk=False)
    assert other.signer() != EOA
    assert other.is_of_other_version(EOA)


def test_an_eoa_signature_names_its_signer() -> None:
    digest = eip712.OrderDigest(wire_of(VECTOR, sign_order(KEY, VECTOR)), neg_risk=False)
    assert digest.signer() == EOA


def test_a_signature_for_the_other_exchange_names_somebody_else() -> None:
    other = sign_order(KEY, VECTOR, exchange=NEG_RISK_EXCHANGE)
    assert eip712.OrderDigest(wire_of(VECTOR, other), neg_risk=False).signer() != EOA


def test_the_auth_vector_names_its_signer() -> None:
    signature = (
        "0x85ca564babee4e457e787f6a6db85d07f12ea4c3b436cbb0d7985b97543f11f5"
        "0a58fb1019b2ba8c4c77d3cc30a2901659b9074b54129b035d545c907c8c5caa1b"
    )
    got = eip712.auth_signer(address=EOA, timestamp="1790000000", nonce=0, signature=signature)
    assert got == EOA


DEPOSIT_WALLET = "0x7a57144fAfde87F5cE4a880D570BAe58eeBC83f2"
INNER = (
    "845c3aed023555e17f6c1373d0eac053d5692103c9c4fbf359ebe3872b4250c7"
    "063fe7181fb6ea974731fe4adca03ad54cc4d5c66e779ef3f02b557591d204421b"
)


def deposit_order(signature: str) -> WireOrder:
    order = {**VECTOR, "maker": DEPOSIT_WALLET, "signer": DEPOSIT_WALLET, "signatureType": 3}
    return wire_of(order, signature)


def session_signature(address: str, inner: str) -> str:
    """The envelope a session key puts around its own ERC-7739 signature."""
    payload = encode(
        ["bytes32", "bytes32", "bytes"],
        [bytes.fromhex(address[2:]).rjust(32, b"\0"), bytes(32), bytes.fromhex(inner[2:])],
    )
    return "0x" + payload.hex() + "6492" * 16


def test_a_session_keys_envelope_names_the_key_and_nobody_else() -> None:
    sealed = session_signature(EOA, deposit_signature())
    assert len(bytes.fromhex(sealed[2:])) == 480
    digest = eip712.OrderDigest(deposit_order(sealed), neg_risk=False)
    assert digest.signed() == eip712.Signed(EOA, session=True)
    assert not eip712.OrderDigest(deposit_order(deposit_signature()), neg_risk=False).signed().session
    for wrong in (
        session_signature("0x" + "12" * 20, deposit_signature()),
        session_signature(EOA, "0x1234"),
        sealed[:-66],
    ):
        with pytest.raises(eip712.WrongSignature):
            eip712.OrderDigest(deposit_order(wrong), neg_risk=False).signed()


def deposit_signature() -> str:
    digest = eip712.OrderDigest(deposit_order("0x"), neg_risk=False)
    domain = "3264e159346253e26a64e00b69032db0e7d32f94628de3e6eecb50304d7af3d2"
    contents = digest.contents.hex()
    return "0x" + INNER + domain + contents + eip712.ORDER_TYPE.hex() + "00ba"


def test_a_deposit_wallet_signature_names_the_owner_behind_it() -> None:
    digest = eip712.OrderDigest(deposit_order(deposit_signature()), neg_risk=False)
    assert digest.order_id.hex() == "28369adc84ed316667ed4de2883f756d5df59023a68dd4e2169b73d48180172c"
    assert digest.signer() == EOA


@pytest.mark.parametrize("cut", [2 + 2 * 65, 2 + 2 * 97, 2 + 2 * 129, -4])
def test_a_deposit_wallet_signature_must_carry_its_whole_tail(cut: int) -> None:
    digest = eip712.OrderDigest(deposit_order(deposit_signature()[:cut]), neg_risk=False)
    with pytest.raises(eip712.WrongSignature):
        digest.signer()


@pytest.mark.parametrize("signature", ["0x", "0x1234", "nonsense", "0x" + "00" * 65, "0x" + "ff" * 65])
def test_rubbish_is_no_signature(signature: str) -> None:
    digest = eip712.OrderDigest(wire_of(VECTOR, signature), neg_risk=False)
    with pytest.raises(eip712.WrongSignature):
        digest.signer()


@pytest.mark.parametrize("field", [{"maker": "0x12"}, {"salt": -1}, {"makerAmount": 2**256}, {"tokenId": "x"}])
def test_what_no_order_can_hold_is_refused(field: dict[str, Any]) -> None:
    with pytest.raises(eip712.WrongSignature):
        eip712.OrderDigest(wire_of({**VECTOR, **field}, "0x"), neg_risk=False)


@settings(max_examples=40, deadline=None)
@given(
    salt=st.integers(0, 2**53),
    token=st.builds(
        lambda high, middle, low: high << 104 | middle << 40 | low,
        st.integers(1, 2**152 - 1),
        st.integers(1, 2**64 - 1),  # zero here marks the tokens of the next protocol
        st.integers(0, 2**40 - 1),
    ),
    amounts=st.tuples(st.integers(1, 2**64), st.integers(1, 2**64)),
    side=st.sampled_from(["BUY", "SELL"]),
    neg_risk=st.booleans(),
)
def test_order_ids_equal_eth_accounts_typed_data(
    salt: int, token: int, amounts: tuple[int, int], side: str, neg_risk: bool
) -> None:
    maker, taker = amounts
    order = {**VECTOR, "salt": salt, "tokenId": str(token), "makerAmount": maker, "takerAmount": taker, "side": side}
    contract = NEG_RISK_EXCHANGE if neg_risk else EXCHANGE
    domain = {"name": "Polymarket CTF Exchange", "version": "2", "chainId": 137, "verifyingContract": contract}
    message = {**order, "tokenId": token, "side": int(side == "SELL"), "metadata": bytes(32), "builder": bytes(32)}
    signable = encode_typed_data(domain, {"Order": ORDER_FIELDS}, message)
    digest = eip712.OrderDigest(wire_of(order, "0x"), neg_risk=neg_risk)
    assert digest.order_id == keccak(b"\x19\x01" + signable.header + signable.body)


@settings(max_examples=20, deadline=None)
@given(st.binary(min_size=32, max_size=32).filter(lambda key: 0 < int.from_bytes(key) < 2**255))
def test_wallet_addresses_equal_the_official_sdks(key: bytes) -> None:
    signer, config = Account.from_key(key).address, PRODUCTION_CONFIG.wallet_derivation
    assert wallets.trading_address(signer, wallets.EOA) == signer
    assert wallets.trading_address(signer, wallets.PROXY) == derive_proxy_wallet_address(signer, config)
    assert wallets.trading_address(signer, wallets.SAFE) == derive_safe_wallet_address(signer, config)
    assert wallets.trading_address(signer, wallets.DEPOSIT) == derive_beacon_deposit_wallet_address(signer, config)
    assert wallets.old_deposit_address(signer) == derive_uups_deposit_wallet_address(signer, config)


def test_signatures_are_checked_by_the_fast_backend() -> None:
    assert type(get_backend()).__name__ == "CoinCurveECCBackend"
