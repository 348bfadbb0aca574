"""Which wallets belong to a key: the addresses the venue's factories derive from it (CREATE2 on Polygon). Pure.

Source: docs.polymarket.com (wallets), the official client's derivations. A session key derives none of its wallets.
"""

from typing import Final

from markets.venue.signing import DEPOSIT_WALLET, EOA, PROXY, SAFE, checksum_address, keccak256

PROXY_FACTORY: Final = "0xaB45c5A4B0c941a2F231C04C3f49182e1A254052"
PROXY_IMPLEMENTATION: Final = "0x44e999d5c2F66Ef0861317f9A4805AC2e90aEB4f"
SAFE_FACTORY: Final = "0xaacFeEa03eb1561C4e67d661e40682Bd20E3541b"
SAFE_CODE_HASH: Final = "2bce2127ff07fb632d16c8347c4ebf501f4841168bed00d9e6ef715ddb6fcecf"
DEPOSIT_FACTORY: Final = "0x00000000000Fb5C9ADea0298D729A0CB3823Cc07"
DEPOSIT_IMPLEMENTATION: Final = "0x58CA52ebe0DadfdF531Cde7062e76746de4Db1eB"
DEPOSIT_BEACON: Final = "0x7A18EDfe055488A3128f01F563e5B479D92ffc3a"

_PROXY_CODE = (
    "3d3d606380380380913d393d73{factory}5af4602a57600080fd5b602d8060366000396000f3363d3d373d3d3d363d73{target}"
    "5af43d82803e903d91602b57fd5bf352e831dd" + f"{32:064x}{0:064x}"
)
_UUPS = (
    0x61003D3D8160233D3973,
    "60095155f3363d3d373d3d363d7f360894a13ba1a3210667c828492db98dca3e2076"
    "cc3735a920a3ca505d382bbc545af43d6000803e6038573d6000fd5b3d6000f3",
)
_BEACON = (
    0x6100523D8160233D3973,
    "60195155f3363d3d373d3d363d602036600436635c60da"
    "1b60e01b36527fa3f0ad74e5423aebfd80d3ef4346578335a9a72aeaee59ff6c"
    "b3582b35133d50545afa5036515af43d6000803e604d573d6000fd5b3d6000f3",
)


def wallets_of(signer: str) -> dict[str, int]:
    """Every wallet this key can own, with its signature type; deposit wallets in their present and earlier form."""
    raw = _raw(signer)
    arguments = _raw(DEPOSIT_FACTORY).rjust(32, b"\0") + raw.rjust(32, b"\0")
    code = bytes.fromhex(_PROXY_CODE.format(factory=_raw(PROXY_FACTORY).hex(), target=_raw(PROXY_IMPLEMENTATION).hex()))
    return {
        checksum_address(signer): EOA,
        _create2(PROXY_FACTORY, keccak256(raw), keccak256(code)): PROXY,
        _create2(SAFE_FACTORY, keccak256(raw.rjust(32, b"\0")), bytes.fromhex(SAFE_CODE_HASH)): SAFE,
        _deposit(arguments, DEPOSIT_BEACON, *_BEACON): DEPOSIT_WALLET,
        _deposit(arguments, DEPOSIT_IMPLEMENTATION, *_UUPS): DEPOSIT_WALLET,
    }


def kind_of(*, signer: str, wallet: str) -> int | None:
    """Signature type by which this key owns the wallet; None when it does not (a session key, or a mistake)."""
    return wallets_of(signer).get(checksum_address(wallet))


def _deposit(arguments: bytes, target: str, prefix: int, tail: str) -> str:
    head = (prefix + (len(arguments) << 56)).to_bytes(10, "big")
    code = head + _raw(target) + bytes.fromhex(tail) + arguments
    return _create2(DEPOSIT_FACTORY, keccak256(arguments), keccak256(code))


def _create2(factory: str, salt: bytes, code_hash: bytes) -> str:
    return checksum_address(keccak256(b"\xff" + _raw(factory) + salt + code_hash)[12:].hex())


def _raw(address: str) -> bytes:
    return bytes.fromhex(address.removeprefix("0x"))
