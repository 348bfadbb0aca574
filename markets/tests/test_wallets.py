"""Derived wallets equal the official client's, and the published vectors."""

from hypothesis import given, settings
from polymarket._internal import wallet as sdk
from polymarket._internal.environment import PRODUCTION_CONFIG

from markets.tests import venue_strategies as some
from markets.venue import signing, wallets

OWNER = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
CONFIG = PRODUCTION_CONFIG.wallet_derivation


def test_the_published_vectors() -> None:
    assert wallets.wallets_of(OWNER) == {
        OWNER: 0,
        "0x6Cd089333445c89b55B7693c6009DCc229613738": 1,
        "0x75F00B003FBBBA193FABEB06284c3187a4C1232E": 2,
        "0x7a57144fAfde87F5cE4a880D570BAe58eeBC83f2": 3,
        "0x8154deDBDAAA46c07453E47b5b6C0Ff60B8542b9": 3,
    }


@given(key=some.keys)
@settings(max_examples=30, deadline=None)
def test_every_wallet_equals_the_official_clients(key: bytes) -> None:
    signer = signing.address_of(key)
    assert wallets.wallets_of(signer) == {
        signer: 0,
        sdk.derive_proxy_wallet_address(signer, CONFIG): 1,
        sdk.derive_safe_wallet_address(signer, CONFIG): 2,
        sdk.derive_beacon_deposit_wallet_address(signer, CONFIG): 3,
        sdk.derive_uups_deposit_wallet_address(signer, CONFIG): 3,
    }


def test_a_wallet_of_another_key_is_nobodys_here() -> None:
    assert wallets.kind_of(signer=OWNER, wallet="0x" + "ab" * 20) is None
    assert wallets.kind_of(signer=OWNER, wallet="0x75f00b003fbbba193fabeb06284c3187a4c1232e") == 2
