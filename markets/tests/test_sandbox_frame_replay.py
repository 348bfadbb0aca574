"""Recorded frames of the market socket reach their subscribers as they were recorded."""

import gzip
import json
import time
import urllib.error
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from markets.tests.recorded_books import GAME
from markets.tests.socket_listener import TIMEOUT_S, market_socket
from markets.venue.sandbox import frame_replay
from markets.venue.sandbox.testing import RunningSandbox, running_sandbox

FIRST, SECOND = "111", "222"


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


def recording(folder: Path, *frames: object) -> str:
    path = folder / "frames.jsonl"
    path.write_text("".join(json.dumps(frame) + "\n" for frame in frames))
    return str(path)


def tick(token: str, at_ms: int) -> dict[str, str]:
    return {"event_type": "tick_size_change", "asset_id": token, "timestamp": str(at_ms), "new_tick_size": "0.001"}


async def test_a_recorded_game_arrives_byte_for_byte_and_in_order(
    sandbox: RunningSandbox, session: aiohttp.ClientSession
) -> None:
    with gzip.open(GAME, "rt") as lines:
        expected = lines.read().splitlines()
    tokens = sorted({token for text in expected for token in frame_replay.recorded(text).tokens})
    listener = await market_socket(session, sandbox, *tokens)
    assert await listener.hear_all() == []
    sandbox.call("POST", "frames", {"path": str(GAME)})
    assert [(await listener.socket.receive(TIMEOUT_S)).data for _ in expected] == expected
    assert sandbox.call("GET", "frames") == {"played": len(expected), "playing": False}


async def test_only_subscribers_of_a_token_hear_its_frames(
    sandbox: RunningSandbox, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    listener = await market_socket(session, sandbox, SECOND)
    both = {
        "event_type": "price_change",
        "timestamp": "3",
        "price_changes": [{"asset_id": FIRST, "price": "0.4"}, {"asset_id": SECOND, "price": "0.6"}],
    }
    path = recording(tmp_path, tick(FIRST, 1), tick(SECOND, 2), both, tick(FIRST, 4))
    assert await listener.hear_all() == []
    sandbox.call("POST", "frames", {"path": path, "times": 2})
    heard = [await listener.hear() for _ in range(4)]
    assert [event["event_type"] for event in heard] == ["tick_size_change", "price_change"] * 2
    assert await listener.hear_all() == []


async def test_frames_keep_their_pace_at_the_speed_asked_for(
    sandbox: RunningSandbox, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    listener = await market_socket(session, sandbox, FIRST)
    assert await listener.hear_all() == []
    path = recording(tmp_path, tick(FIRST, 1_000), tick(FIRST, 31_000))
    sandbox.call("POST", "frames", {"path": path, "speed": 100.0})
    await listener.hear()
    started = time.monotonic()
    await listener.hear()
    assert time.monotonic() - started >= 0.25


async def test_faults_strike_recorded_frames_too(
    sandbox: RunningSandbox, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    listener = await market_socket(session, sandbox, FIRST)
    assert await listener.hear_all() == []
    sandbox.fault("drop_frames", channel="market", event="tick_size_change", count=1)
    sandbox.call("POST", "frames", {"path": recording(tmp_path, tick(FIRST, 1), tick(FIRST, 2))})
    assert (await listener.hear())["timestamp"] == "2"


@pytest.mark.parametrize("content", [None, "no frame\n"])
def test_a_file_that_is_no_recording_is_refused(sandbox: RunningSandbox, tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "frames.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(urllib.error.HTTPError) as refused:
        sandbox.call("POST", "frames", {"path": str(path)})
    assert refused.value.code == 400
    refused.value.close()
