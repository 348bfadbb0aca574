"""What the local chain keeps of its past."""

import pytest

from markets.venue.sandbox import chain
from markets.venue.sandbox.catalogue import Catalogue
from markets.venue.sandbox.record import PublicRecord


def test_old_logs_are_forgotten_and_the_newest_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "_MOST_LOGS", 10)
    monkeypatch.setattr(chain, "_FORGOTTEN_AT_ONCE", 4)
    kept = chain.Chain(Catalogue(PublicRecord()), lambda: 0)
    for number in range(12):
        kept.emit("0x1", (), b"", transaction_hash=f"0x{number}")
    assert [log.transaction_hash for log in kept.logs] == [f"0x{number}" for number in range(4, 12)]
    assert (kept.of_transaction("0x3"), len(kept.of_transaction("0x4"))) == ([], 1)


def test_blocks_follow_the_clock_and_count_their_logs() -> None:
    now = [0]
    followed = chain.Chain(Catalogue(PublicRecord()), lambda: now[0])
    seen: list[tuple[int, int]] = []
    followed.listeners.append(lambda log: seen.append((log.block - chain.FIRST_BLOCK, log.index)))
    for at_ms in (0, 1_999, 2_000, 6_000, 6_001):
        now[0] = at_ms
        followed.emit("0x1", (), b"", transaction_hash="0x1")
    assert seen == [(0, 0), (0, 1), (1, 0), (3, 0), (3, 1)]
    first = chain.FIRST_BLOCK
    assert [len(followed.between(first, first + last)) for last in (0, 1, 2, 3)] == [2, 3, 3, 5]
    assert followed.block_time_s(first + 3) == 6
