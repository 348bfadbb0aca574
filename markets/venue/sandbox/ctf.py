"""Outcome token ids from a condition id, by the Conditional Tokens formula.

A collection is the condition and an index set hashed onto the curve alt_bn128; a token id is the hash of the
collateral's address and that collection. Which collateral reproduces a recorded id tells whether the market was
neg-risk.
"""

from Crypto.Hash import keccak

_FIELD = 21888242871839275222246405745257275088696311157297823662689037894645226208583
_USDC_E = bytes.fromhex("2791bca1f2de4661ed88a30c99a7a9449aa84174")
_NEG_RISK_WRAPPED = bytes.fromhex("3a3bd7bb9528e159577f7c2e685cc81a765002e2")


def token_ids(condition_id: str, *, neg_risk: bool) -> tuple[str, str]:
    """Both token ids, in outcome order, as decimal text."""
    collateral = _NEG_RISK_WRAPPED if neg_risk else _USDC_E
    condition = bytes.fromhex(condition_id.removeprefix("0x"))
    return _token(collateral, condition, 0), _token(collateral, condition, 1)


def _token(collateral: bytes, condition: bytes, outcome: int) -> str:
    return str(int.from_bytes(_keccak(collateral + _collection(condition, 1 << outcome)), "big"))


def _collection(condition: bytes, index_set: int) -> bytes:
    x = int.from_bytes(_keccak(condition + index_set.to_bytes(32, "big")), "big")
    odd = x >> 255
    while True:
        x = (x + 1) % _FIELD
        square = (x * x * x + 3) % _FIELD
        y = pow(square, (_FIELD + 1) // 4, _FIELD)
        if y * y % _FIELD == square:
            break
    if y % 2 != odd:
        y = _FIELD - y
    if y % 2:
        x ^= 1 << 254
    return x.to_bytes(32, "big")


def _keccak(raw: bytes) -> bytes:
    digest = keccak.new(digest_bits=256)
    digest.update(raw)
    return bytes(digest.digest())
