"""Recorded order-book days, replayed through the decoder and the cache, give the venue's own snapshots."""

import random

import pytest

from markets.tests import recorded_books
from markets.tests.venue_fixtures import connected
from markets.tests.venue_fixtures import sandbox as sandbox  # noqa: PLC0414
from markets.venue.registry import open_market_stream
from markets.venue.sandbox.testing import RunningSandbox
from polyhub.lib.clock import ReplayClock, from_ms

# What the changes of this recording explain at best: a traded level changes without one, and comes with the book.
OF_THIS_GAME = 0.925
OF_ALL = 0.925


async def replayed(sandbox: RunningSandbox, frames: list[str]) -> recorded_books.Agreement:
    async with connected(sandbox) as (transport, _):
        stream = open_market_stream(transport=transport, chance=random.Random(1))
        found = recorded_books.replay(frames, stream, ReplayClock(from_ms(0)))
    assert stream.bad_frames == 0
    return found


async def test_a_recorded_game_gives_the_venues_own_books_and_never_a_crossed_one(sandbox: RunningSandbox) -> None:
    found = await replayed(sandbox, recorded_books.game())
    assert found.snapshots > 50
    assert found.share >= OF_THIS_GAME
    assert found.looks > 2_000
    assert found.crossed_while_trusted == 0


async def test_a_replay_that_loses_frames_agrees_less(sandbox: RunningSandbox) -> None:
    """The figure above is worth something: it falls when changes are lost."""
    chance = random.Random(5)
    lossy = [frame for frame in recorded_books.game() if '"book"' in frame or chance.random() < 0.5]
    assert (await replayed(sandbox, lossy)).share < OF_THIS_GAME - 0.02


@pytest.mark.skipif(not list(recorded_books.all_games()), reason="POLYHUB_RECORDINGS names no recordings")
async def test_every_recorded_day_gives_the_venues_own_books(sandbox: RunningSandbox) -> None:
    whole = recorded_books.Agreement()
    for _, frames in recorded_books.all_games():
        found = await replayed(sandbox, frames)
        assert found.crossed_while_trusted == 0
        whole.levels += found.levels
        whole.equal += found.equal
    assert whole.share >= OF_ALL
