"""Recorded order-book days, replayed through the decoder and the cache, give the venue's own snapshots."""

import random

from markets.tests import recorded, recorded_books
from markets.venue.registry import open_market_stream, open_transport
from polyhub.lib.clock import ReplayClock, from_ms

# What the changes of this recording explain at best: a traded level changes without one, and comes with the book.
OF_THIS_GAME = 0.925
OF_ALL = 0.925


NOWHERE = dict.fromkeys(("clob", "gamma", "data", "ws_market", "ws_user", "ws_rtds"), "http://127.0.0.1:9")


async def replayed(frames: list[str]) -> recorded_books.Agreement:
    """Decoder and cache on the recording's own clock; nothing is connected."""
    clock = ReplayClock(from_ms(0))
    transport = open_transport(urls=NOWHERE, clock=clock)
    try:
        stream = open_market_stream(transport=transport, chance=random.Random(1))
        found = recorded_books.replay(frames, stream, clock)
    finally:
        await transport.close()
    assert stream.bad_frames == 0
    return found


async def test_a_recorded_game_gives_the_venues_own_books_and_never_a_crossed_one() -> None:
    found = await replayed(recorded_books.game())
    assert found.snapshots > 50
    assert found.share >= OF_THIS_GAME
    assert found.looks > 2_000
    assert found.crossed_while_trusted == 0


async def test_a_replay_that_loses_frames_agrees_less() -> None:
    """The figure above is worth something: it falls when changes are lost."""
    chance = random.Random(5)
    lossy = [frame for frame in recorded_books.game() if '"book"' in frame or chance.random() < 0.5]
    assert (await replayed(lossy)).share < OF_THIS_GAME - 0.02


@recorded.needed
async def test_every_recorded_day_gives_the_venues_own_books() -> None:
    whole = recorded_books.Agreement()
    for _, frames in recorded_books.all_games():
        found = await replayed(frames)
        assert found.crossed_while_trusted == 0
        whole.levels += found.levels
        whole.equal += found.equal
    assert whole.share >= OF_ALL
