"""Reading keys and addresses as people paste them, and where a sealed key belongs. Messages never repeat a key."""

import re
from uuid import UUID

from Crypto.Hash import keccak

from polyhub.lib.crypto import Place
from polyhub.lib.errors import AppError

# The order of secp256k1: a private key lies between 0 and this, both excluded.
CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

_KEY = re.compile(r"(0[xX])?[0-9a-fA-F]{64}")
_ADDRESS = re.compile(r"0[xX][0-9a-fA-F]{40}")


class BadKey(AppError):
    """What was pasted is not a private key."""

    code = "BAD_KEY"


class BadAddress(AppError):
    """What was pasted is not a wallet address."""

    code = "BAD_ADDRESS"


def parse_private_key(text: str) -> bytes:
    """32 bytes from 64 hex digits with or without 0x; raises BadKey with what to do."""
    text = text.strip()
    if _ADDRESS.fullmatch(text):
        raise BadKey("This is an address. Paste the private key: 64 hex digits, with or without 0x.")
    if len(text.split()) >= 12:
        raise BadKey("This is a recovery phrase. Never paste it anywhere: export the private key of one account.")
    if not _KEY.fullmatch(text):
        raise BadKey("A private key is 64 hex digits, with or without 0x in front.")
    key = bytes.fromhex(text[-64:])
    if not 0 < int.from_bytes(key, "big") < CURVE_ORDER:
        raise BadKey("These 64 digits are outside the range of private keys.")
    return key


def parse_address(text: str) -> str:
    """The checksummed address; a mixed-case one must carry the right checksum. Raises BadAddress."""
    text = text.strip()
    if not _ADDRESS.fullmatch(text):
        raise BadAddress("A wallet address is 0x and 40 hex digits.")
    digits = text[2:]
    if not digits.strip("0"):
        raise BadAddress("This address belongs to nobody. Copy the one your Polymarket profile shows.")
    address = checksummed(digits)
    if digits not in {digits.lower(), digits.upper(), address[2:]}:
        raise BadAddress("The address has a typing error: its capital letters do not match (EIP-55).")
    return address


def checksummed(digits: str) -> str:
    """EIP-55: 40 hex digits to the mixed-case address with 0x."""
    lower = digits.lower()
    marks = keccak.new(digest_bits=256, data=lower.encode()).hexdigest()
    return "0x" + "".join(c.upper() if int(mark, 16) >= 8 else c for c, mark in zip(lower, marks, strict=False))


def trading_key_place(*, key_id: UUID, user_id: int, account_id: UUID) -> Place:
    """Where a trading key is sealed for; the signer opens it for the same."""
    return Place(
        table="accounts_tradingkey", row=str(key_id), user=str(user_id), field="sealed", account=str(account_id)
    )
