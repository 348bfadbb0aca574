"""What the owner of a deposit wallet signs so that a session key may trade for it. Pure; the owner keeps the key.

The owner's browser wallet signs `batch_typed_data` (eth_signTypedData_v4); whoever holds a builder key of the venue
posts `authorization_request`. Source: the official client (session keys, deposit-wallet batches); unverified live.
"""

from dataclasses import dataclass
from typing import Any, Final

from markets.venue.signing import CHAIN_ID, checksum_address, keccak256

SCOPE: Final = "CLOB"
AUTHORIZATIONS: Final = "/v1/session-signers/authorizations"
REVOCATIONS: Final = "/v1/session-signers/revocations"

_AUTHORIZE = keccak256(b"authorizeSessionSigner(address,uint256)")[:4]
_REVOKE = keccak256(b"revokeSessionSigner(address)")[:4]


@dataclass(frozen=True, slots=True)
class WalletCall:
    """One call a deposit wallet makes on its owner's signature."""

    target: str
    data: str


def authorize_call(*, wallet: str, session_signer: str, valid_until_s: int) -> WalletCall:
    """Let `session_signer` sign for the wallet until then. The contract knows no scopes: the venue keeps to them."""
    data = _AUTHORIZE + _word(session_signer) + valid_until_s.to_bytes(32, "big")
    return WalletCall(checksum_address(wallet), f"0x{data.hex()}")


def revoke_call(*, wallet: str, session_signer: str) -> WalletCall:
    return WalletCall(checksum_address(wallet), f"0x{(_REVOKE + _word(session_signer)).hex()}")


def batch_typed_data(*, wallet: str, nonce: int, deadline_s: int, calls: list[WalletCall]) -> dict[str, Any]:
    """EIP-712 of a batch; `nonce` is the relayer's for the owner, `deadline_s` a unix second soon."""
    return {
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            "Call": [
                {"name": "target", "type": "address"},
                {"name": "value", "type": "uint256"},
                {"name": "data", "type": "bytes"},
            ],
            "Batch": [
                {"name": "wallet", "type": "address"},
                {"name": "nonce", "type": "uint256"},
                {"name": "deadline", "type": "uint256"},
                {"name": "calls", "type": "Call[]"},
            ],
        },
        "primaryType": "Batch",
        "domain": {"name": "DepositWallet", "version": "1", "chainId": CHAIN_ID, "verifyingContract": wallet},
        "message": {
            "wallet": wallet,
            "nonce": nonce,
            "deadline": deadline_s,
            "calls": [{"target": call.target, "value": 0, "data": call.data} for call in calls],
        },
    }


def authorization_request(
    *, wallet: str, session_signer: str, valid_until_s: int, nonce: int, deadline_s: int, signature: str
) -> dict[str, Any]:
    """Body for AUTHORIZATIONS, with the scope for trading and no other."""
    return {
        "deadline": str(deadline_s),
        "nonce": str(nonce),
        "scopes": [SCOPE],
        "sessionSignerAddress": checksum_address(session_signer),
        "signature": signature,
        "validUntil": str(valid_until_s),
        "walletAddress": checksum_address(wallet),
    }


def _word(address: str) -> bytes:
    return bytes.fromhex(checksum_address(address)[2:]).rjust(32, b"\0")
