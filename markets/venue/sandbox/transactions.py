"""Transactions as they reach the chain: whose they are, and the calls inside.

Deposit wallets sign a batch, safes a SafeTx, proxies the relay hub's text; EOAs send their own.
"""

from dataclasses import dataclass
from typing import Any

import msgspec
import rlp  # type: ignore[import-untyped]
from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_abi.exceptions import DecodingError
from eth_account import Account
from eth_utils.crypto import keccak

from markets.venue.sandbox import contracts, eip712, wallets
from markets.venue.sandbox.contract_calls import Call

_CALL_TYPE = b"Call(address target,uint256 value,bytes data)"
_BATCH_TYPE = b"Batch(address wallet,uint256 nonce,uint256 deadline,Call[] calls)" + _CALL_TYPE
_SAFE_TYPE = (
    b"SafeTx(address to,uint256 value,bytes data,uint8 operation,uint256 safeTxGas,uint256 baseGas,uint256 gasPrice,"
    b"address gasToken,address refundReceiver,uint256 nonce)"
)
_DOMAIN = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
_SAFE_DOMAIN = b"EIP712Domain(uint256 chainId,address verifyingContract)"
_PROXY_CALLS = "(uint8,address,uint256,bytes)[]"
_ZERO = "0x" + "0" * 40
_MULTISEND = keccak(b"multiSend(bytes)")[:4]
_PROXY = keccak(f"proxy({_PROXY_CALLS})".encode())[:4]


class Unreadable(ValueError):
    """No transaction of this kind."""


class WalletCall(msgspec.Struct, frozen=True):
    target: str
    data: str
    value: str = "0"


class DepositParams(msgspec.Struct, frozen=True, rename="camel"):
    deposit_wallet: str
    deadline: str
    calls: list[WalletCall]


class SignatureParams(msgspec.Struct, frozen=True, rename="camel"):
    gas_limit: str = "0"
    gas_price: str = "0"
    operation: str = "0"
    relay: str = _ZERO
    relay_hub: str = _ZERO
    relayer_fee: str = "0"


class Submitted(msgspec.Struct, frozen=True, rename="camel"):
    """A POST /submit body. Wallet types use different parts of it."""

    type: str
    from_: str = msgspec.field(name="from")
    to: str = ""
    nonce: str = "0"
    signature: str = ""
    metadata: str = ""
    data: str = "0x"
    proxy_wallet: str = ""
    deposit_wallet_params: DepositParams | None = None
    signature_params: SignatureParams = SignatureParams()


@dataclass(frozen=True, slots=True)
class Sent:
    """An EOA's own transaction."""

    sender: str
    nonce: int
    call: Call
    transaction_hash: str


def batch_digest(wallet: str, nonce: str, deadline: str, calls: list[WalletCall]) -> bytes:
    """What the owner of a deposit wallet signs."""
    hashes = [
        keccak(
            abi_encode(
                ["bytes32", "address", "uint256", "bytes32"],
                [keccak(_CALL_TYPE), one.target.lower(), int(one.value), keccak(_bytes(one.data))],
            )
        )
        for one in calls
    ]
    message = abi_encode(
        ["bytes32", "address", "uint256", "uint256", "bytes32"],
        [keccak(_BATCH_TYPE), wallet.lower(), int(nonce), int(deadline), keccak(b"".join(hashes))],
    )
    values = [keccak(_DOMAIN), keccak(b"DepositWallet"), keccak(b"1"), eip712.CHAIN_ID, wallet.lower()]
    domain = keccak(abi_encode(["bytes32", "bytes32", "bytes32", "uint256", "address"], values))
    return keccak(b"\x19\x01" + domain + keccak(message))


def deposit_calls(calls: list[WalletCall]) -> list[Call]:
    return [Call(one.target.lower(), _bytes(one.data)) for one in calls]


def safe_signer(sent: Submitted, wallet: str) -> str:
    """Who signed a safe's transaction. Raises WrongSignature."""
    types = ["bytes32", "address", "uint256", "bytes32", "uint8", "uint256", "uint256", "uint256", "address", "address"]
    values: list[Any] = [keccak(_SAFE_TYPE), sent.to.lower(), 0, keccak(_bytes(sent.data))]
    values += [int(sent.signature_params.operation), 0, 0, 0, _ZERO, _ZERO, int(sent.nonce)]
    message = keccak(abi_encode([*types, "uint256"], values))
    domain = keccak(
        abi_encode(["bytes32", "uint256", "address"], [keccak(_SAFE_DOMAIN), eip712.CHAIN_ID, wallet.lower()])
    )
    signature = bytearray(_bytes(sent.signature))
    if len(signature) == 65 and signature[64] >= 31:
        signature[64] -= 4  # eth_sign, as the safe marks it
    return eip712.recover(_personal(keccak(b"\x19\x01" + domain + message)), bytes(signature))


def safe_calls(sent: Submitted) -> list[Call]:
    """One call, or the calls packed for the multisend contract. Raises Unreadable."""
    data = _bytes(sent.data)
    if sent.to.lower() != contracts.SAFE_MULTISEND.lower():
        return [Call(sent.to.lower(), data)]
    if data[:4] != _MULTISEND:
        raise Unreadable("no multisend call")
    packed, found = _decoded(["bytes"], data[4:])[0], list[Call]()
    while packed:
        size = int.from_bytes(packed[53:85])
        found.append(Call(f"0x{packed[1:21].hex()}", packed[85 : 85 + size]))
        packed = packed[85 + size :]
    return found


def proxy_signer(sent: Submitted) -> str:
    """Who signed a proxy wallet's transaction. Raises WrongSignature."""
    params = sent.signature_params
    numbers = (params.relayer_fee, params.gas_price, params.gas_limit, sent.nonce)
    text = b"rlx:" + _bytes(sent.from_) + _bytes(sent.to) + _bytes(sent.data)
    text += b"".join(int(one).to_bytes(32) for one in numbers) + _bytes(params.relay_hub) + _bytes(params.relay)
    return eip712.recover(_personal(keccak(text)), _bytes(sent.signature))


def proxy_calls(sent: Submitted) -> list[Call]:
    """Raises Unreadable."""
    data = _bytes(sent.data)
    if data[:4] != _PROXY or sent.to.lower() != wallets.PROXY_FACTORY.lower():
        raise Unreadable("no call of the proxy factory")
    return [Call(target.lower(), inner) for _, target, _, inner in _decoded([_PROXY_CALLS], data[4:])[0]]


def raw(signed: str) -> Sent:
    """An EOA's transaction in the legacy form with the chain's id. Raises Unreadable."""
    data = _bytes(signed)
    try:
        nonce, _, _, to, _, inner, v, _, _ = rlp.decode(data)
        sender = Account.recover_transaction(signed)
    except (ValueError, TypeError, rlp.exceptions.DecodingError) as error:
        raise Unreadable(f"rlp: {error}") from error
    if (int.from_bytes(v) - 35) // 2 != eip712.CHAIN_ID:
        raise Unreadable("invalid chain id for signer")
    return Sent(sender, int.from_bytes(nonce), Call(f"0x{to.hex()}", inner), f"0x{keccak(data).hex()}")


def _personal(digest: bytes) -> bytes:
    return keccak(b"\x19Ethereum Signed Message:\n32" + digest)


def _decoded(types: list[str], data: bytes) -> Any:
    try:
        return abi_decode(types, data)
    except DecodingError as error:
        raise Unreadable(str(error)) from error


def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text.removeprefix("0x"))
    except ValueError as error:
        raise Unreadable(str(error)) from error
