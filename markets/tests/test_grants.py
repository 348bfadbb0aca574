"""What an owner signs for a session key equals what the official client would have him sign."""

from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import given, settings
from hypothesis import strategies as st
from polymarket._internal.actions.relayer.calls import authorize_session_signer_call, revoke_session_signer_call
from polymarket._internal.actions.relayer.signing.deposit_wallet import sign_deposit_wallet_batch
from polymarket._internal.actions.session_keys import _AUTHORIZATIONS_PATH, _REVOCATIONS_PATH
from polymarket.types import EvmAddress

from markets.tests import venue_strategies as some
from markets.venue import grants
from markets.venue.signing import address_of, checksum_address

LATER = st.integers(1_700_000_000, 2_000_000_000)


@given(owner=some.keys, session=some.keys, wallet=some.addresses, until=LATER, nonce=st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_the_owners_signature_is_the_official_clients(
    owner: bytes, session: bytes, wallet: str, until: int, nonce: int
) -> None:
    wallet, signer = checksum_address(wallet), address_of(session)
    ours = grants.authorize_call(wallet=wallet, session_signer=signer, valid_until_s=until)
    theirs = authorize_session_signer_call(
        wallet_address=EvmAddress(wallet), session_signer=EvmAddress(signer), valid_until=until
    )
    assert (ours.target, ours.data) == (theirs.to, theirs.data)
    typed = grants.batch_typed_data(wallet=wallet, nonce=nonce, deadline_s=until, calls=[ours])
    signed = Account.from_key(owner).sign_message(encode_typed_data(full_message=typed))
    expected = sign_deposit_wallet_batch(
        Account.from_key(owner),
        wallet=EvmAddress(wallet),
        calls=[theirs],
        nonce=str(nonce),
        deadline=str(until),
        chain_id=137,
    )
    assert "0x" + signed.signature.hex() == expected


def test_revoking_is_the_official_clients_call() -> None:
    wallet, signer = checksum_address("0x" + "ab" * 20), checksum_address("0x" + "cd" * 20)
    theirs = revoke_session_signer_call(wallet_address=EvmAddress(wallet), session_signer=EvmAddress(signer))
    assert grants.revoke_call(wallet=wallet, session_signer=signer).data == theirs.data


def test_the_request_asks_for_trading_and_nothing_else() -> None:
    asked = grants.authorization_request(
        wallet="0x" + "ab" * 20,
        session_signer="0x" + "cd" * 20,
        valid_until_s=1_800_000_000,
        nonce=3,
        deadline_s=1_790_000_600,
        signature="0x00",
    )
    assert asked["scopes"] == ["CLOB"]
    assert (asked["validUntil"], asked["nonce"], asked["deadline"]) == ("1800000000", "3", "1790000600")
    assert (grants.AUTHORIZATIONS, grants.REVOCATIONS) == (_AUTHORIZATIONS_PATH, _REVOCATIONS_PATH)
