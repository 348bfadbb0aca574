"""Wallets the sandbox knows, and the addresses the venue derives from a signer's key (CREATE2 on Polygon)."""

from dataclasses import dataclass

from eth_abi.abi import encode as abi_encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

PROXY_FACTORY = "0xaB45c5A4B0c941a2F231C04C3f49182e1A254052"
PROXY_IMPLEMENTATION = "0x44e999d5c2F66Ef0861317f9A4805AC2e90aEB4f"
SAFE_FACTORY = "0xaacFeEa03eb1561C4e67d661e40682Bd20E3541b"
SAFE_INIT_CODE_HASH = "0x2bce2127ff07fb632d16c8347c4ebf501f4841168bed00d9e6ef715ddb6fcecf"
DEPOSIT_FACTORY = "0x00000000000Fb5C9ADea0298D729A0CB3823Cc07"
DEPOSIT_IMPLEMENTATION = "0x58CA52ebe0DadfdF531Cde7062e76746de4Db1eB"
DEPOSIT_BEACON = "0x7A18EDfe055488A3128f01F563e5B479D92ffc3a"

EOA, PROXY, SAFE, DEPOSIT = 0, 1, 2, 3

# Creation code of the minimal proxies the factories deploy, around the address each points to.
_PROXY_CODE = (
    "3d3d606380380380913d393d73{factory}5af4602a57600080fd5b602d8060366000396000f3363d3d373d3d3d363d73{target}"
    "5af43d82803e903d91602b57fd5bf352e831dd" + f"{32:064x}{0:064x}"
)
_UUPS_PREFIX = 0x61003D3D8160233D3973
_UUPS_TAIL = (
    "60095155f3363d3d373d3d363d7f360894a13ba1a3210667c828492db98dca3e2076"
    "cc3735a920a3ca505d382bbc545af43d6000803e6038573d6000fd5b3d6000f3"
)
_BEACON_PREFIX = 0x6100523D8160233D3973
_BEACON_TAIL = (
    "60195155f3363d3d373d3d363d602036600436635c60da"
    "1b60e01b36527fa3f0ad74e5423aebfd80d3ef4346578335a9a72aeaee59ff6c"
    "b3582b35133d50545afa5036515af43d6000803e604d573d6000fd5b3d6000f3"
)


@dataclass(slots=True)
class Wallet:
    """A wallet. `signer` is empty for wallets nobody signs for (replayed leaders, the market maker)."""

    address: str
    signer: str = ""
    signature_type: int = EOA
    name: str = ""
    pseudonym: str = ""

    @property
    def key(self) -> str:
        """How the ledger names it."""
        return self.address.lower()


def trading_address(signer: str, signature_type: int) -> str:
    """Address that holds the money of this signer under this signature type; deposit wallets in their current form."""
    if signature_type == PROXY:
        code = _PROXY_CODE.format(factory=_hex(PROXY_FACTORY), target=_hex(PROXY_IMPLEMENTATION))
        return _create2(PROXY_FACTORY, keccak(bytes.fromhex(_hex(signer))), keccak(bytes.fromhex(code)))
    if signature_type == SAFE:
        salt = keccak(abi_encode(["address"], [signer]))
        return _create2(SAFE_FACTORY, salt, bytes.fromhex(_hex(SAFE_INIT_CODE_HASH)))
    if signature_type == DEPOSIT:
        return _deposit_address(signer, _BEACON_PREFIX, DEPOSIT_BEACON, _BEACON_TAIL)
    return to_checksum_address(signer)


def old_deposit_address(signer: str) -> str:
    """Deposit wallets made before the factory used a beacon."""
    return _deposit_address(signer, _UUPS_PREFIX, DEPOSIT_IMPLEMENTATION, _UUPS_TAIL)


def addresses_of(signer: str, signature_type: int) -> frozenset[str]:
    """Every address (lower case) this signer may trade from under this signature type."""
    found = {trading_address(signer, signature_type).lower()}
    if signature_type == DEPOSIT:
        found.add(old_deposit_address(signer).lower())
    return frozenset(found)


def _deposit_address(signer: str, prefix: int, target: str, tail: str) -> str:
    args = abi_encode(["address", "bytes32"], [DEPOSIT_FACTORY, bytes.fromhex(_hex(signer)).rjust(32, b"\0")])
    head = (prefix + (len(args) << 56)).to_bytes(10, "big")
    code = head + bytes.fromhex(_hex(target)) + bytes.fromhex(tail) + args
    return _create2(DEPOSIT_FACTORY, keccak(args), keccak(code))


def _create2(factory: str, salt: bytes, code_hash: bytes) -> str:
    return to_checksum_address(keccak(b"\xff" + bytes.fromhex(_hex(factory)) + salt + code_hash)[12:])


def _hex(address: str) -> str:
    return address.removeprefix("0x").lower()
