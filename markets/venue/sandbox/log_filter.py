"""Which logs a JSON-RPC filter asks for, and how one is shown."""

from dataclasses import dataclass
from typing import Any, Self

from markets.venue.sandbox.chain import FIRST_BLOCK, Log, block_hash


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Empty sets and None match everything."""

    addresses: frozenset[str]
    topics: tuple[frozenset[str] | None, ...]

    @classmethod
    def of(cls, asked: dict[str, Any]) -> Self:
        address = asked.get("address") or []
        addresses = [address] if isinstance(address, str) else address
        return cls(
            frozenset(one.lower() for one in addresses), tuple(_choices(one) for one in asked.get("topics") or [])
        )

    def wants(self, log: Log) -> bool:
        if self.addresses and log.address.lower() not in self.addresses:
            return False
        if len(self.topics) > len(log.topics):
            return False
        pairs = zip(self.topics, log.topics, strict=False)
        return all(wanted is None or f"0x{topic.hex()}" in wanted for wanted, topic in pairs)


def _choices(topic: Any) -> frozenset[str] | None:
    if topic is None or topic == []:
        return None
    return frozenset(one.lower() for one in ([topic] if isinstance(topic, str) else topic))


def block_of(text: str, latest: int) -> int:
    """A block's number from its hex or its name."""
    if text in ("latest", "pending", "safe", "finalized"):
        return latest
    return FIRST_BLOCK if text == "earliest" else int(text, 16)


def log_row(log: Log) -> dict[str, object]:
    return {
        "address": log.address,
        "topics": [f"0x{topic.hex()}" for topic in log.topics],
        "data": f"0x{log.data.hex()}",
        "blockNumber": hex(log.block),
        "blockHash": block_hash(log.block),
        "transactionHash": log.transaction_hash,
        "transactionIndex": "0x0",
        "logIndex": hex(log.index),
        "removed": False,
    }
