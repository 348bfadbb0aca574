"""The chain as far as traders see it: blocks of two seconds, logs of settled trades and of what wallets did.

Log layouts are the contracts' own (topic hashes: `reference` section 7 of the venue's fact sheet).
"""

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from eth_utils.crypto import keccak

from markets.venue.ports import Side
from markets.venue.sandbox import contracts
from markets.venue.sandbox.catalogue import Catalogue
from markets.venue.simulator.orders import Leg, Trade

FIRST_BLOCK: Final = 80_000_000
BLOCK_MS: Final = 2_000

ORDER_FILLED: Final = keccak(
    b"OrderFilled(bytes32,address,address,uint8,uint256,uint256,uint256,uint256,bytes32,bytes32)"
)
ORDERS_MATCHED: Final = keccak(b"OrdersMatched(bytes32,address,uint8,uint256,uint256,uint256)")
FEE_CHARGED: Final = keccak(b"FeeCharged(address,uint256)")
_MOST_LOGS, _FORGOTTEN_AT_ONCE = 200_000, 50_000
_ZERO32 = bytes(32)
_FEE_RECEIVER = bytes(12) + b"\xfe" * 20  # nobody the venue names


@dataclass(frozen=True, slots=True)
class Log:
    """`topics` are 32 bytes each, `index` counts within the block."""

    address: str
    topics: tuple[bytes, ...]
    data: bytes
    block: int
    transaction_hash: str
    index: int


class Chain:
    """Blocks follow the clock from the moment the sandbox started. `listeners` are told each log and each new block."""

    def __init__(self, catalogue: Catalogue, now_ms: Callable[[], int]) -> None:
        self.logs: list[Log] = []
        self.listeners: list[Callable[[Log], None]] = []
        self.signed_extras: dict[str, tuple[bytes, bytes]] = {}
        self.failed: set[str] = set()
        self.sent: dict[str, int] = {}
        self._catalogue = catalogue
        self._now_ms = now_ms
        self._started_ms = now_ms()
        self._by_transaction: dict[str, list[Log]] = {}

    def block(self) -> int:
        return self.block_at(self._now_ms())

    def block_at(self, ms: int) -> int:
        return FIRST_BLOCK + max(ms - self._started_ms, 0) // BLOCK_MS

    def block_time_s(self, block: int) -> int:
        return (self._started_ms + (block - FIRST_BLOCK) * BLOCK_MS) // 1000

    def emit(self, address: str, topics: Sequence[bytes], data: bytes, *, transaction_hash: str) -> Log:
        block = self.block()
        last = self.logs[-1] if self.logs else None
        index = last.index + 1 if last is not None and last.block == block else 0
        log = Log(address, tuple(topics), data, block, transaction_hash, index)
        self.logs.append(log)
        self._by_transaction.setdefault(transaction_hash, []).append(log)
        for told in self.listeners:
            told(log)
        if len(self.logs) > _MOST_LOGS:
            self._forget()
        return log

    def settled(self, trade: Trade, now_ms: int) -> None:
        """A trade was mined: the makers' fills, then the taker's."""
        market = self._catalogue.by_condition[trade.condition_id]
        exchange = contracts.exchange_of(trade.taker.token_id, neg_risk=market.neg_risk)
        for maker in trade.makers:
            self._filled(exchange, maker, trade.taker.wallet, trade.transaction_hash)
        self._filled(exchange, trade.taker, exchange, trade.transaction_hash)
        self._matched(exchange, trade.taker, trade.transaction_hash)

    def of_transaction(self, transaction_hash: str) -> list[Log]:
        return self._by_transaction.get(transaction_hash, [])

    def between(self, first: int, last: int) -> list[Log]:
        """Logs of these blocks, both included."""
        start = bisect_left(self.logs, first, key=lambda log: log.block)
        return self.logs[start : bisect_right(self.logs, last, key=lambda log: log.block)]

    def _forget(self) -> None:
        """Drop the oldest logs, as nodes that do not keep an archive."""
        for log in self.logs[:_FORGOTTEN_AT_ONCE]:
            self._by_transaction.pop(log.transaction_hash, None)
        del self.logs[:_FORGOTTEN_AT_ONCE]

    def _filled(self, exchange: str, leg: Leg, taker: str, transaction_hash: str) -> None:
        builder, metadata = self.signed_extras.get(leg.order_hash, (_ZERO32, _ZERO32))
        topics = (ORDER_FILLED, bytes.fromhex(leg.order_hash[2:]), word_of(leg.wallet), word_of(taker))
        data = _words(*_amounts(leg), leg.fee_units) + builder + metadata
        self.emit(exchange, topics, data, transaction_hash=transaction_hash)
        if leg.fee_units:
            fee = _words(leg.fee_units)
            self.emit(exchange, (FEE_CHARGED, _FEE_RECEIVER), fee, transaction_hash=transaction_hash)

    def _matched(self, exchange: str, leg: Leg, transaction_hash: str) -> None:
        topics = (ORDERS_MATCHED, bytes.fromhex(leg.order_hash[2:]), word_of(leg.wallet))
        self.emit(exchange, topics, _words(*_amounts(leg)), transaction_hash=transaction_hash)


def _amounts(leg: Leg) -> list[int]:
    """side, tokenId, makerAmountFilled, takerAmountFilled: what the order's maker gave, then what it got."""
    buying = leg.side is Side.BUY
    gave, got = (leg.cost_units, leg.share_units) if buying else (leg.share_units, leg.cost_units)
    return [0 if buying else 1, int(leg.token_id), gave, got]


def _words(*values: int) -> bytes:
    """Static values one after the other, as the ABI has them."""
    return b"".join(value.to_bytes(32) for value in values)


def word_of(address: str) -> bytes:
    return bytes.fromhex(address.removeprefix("0x")).rjust(32, b"\0")


def block_hash(block: int) -> str:
    return f"0x{hashlib.sha256(f'block/{block}'.encode()).hexdigest()}"
