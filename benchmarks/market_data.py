"""What hearing the market costs: recorded frames decoded and applied to books, beside the official client's parser.

The same bytes go through both. Ours decodes, applies each change and compares the best prices the venue tells; the
official client (`polymarket-client`) decodes and parses only, which favours it. NautilusTrader's adapter joins when it
is installed. Rounds of all take turns and are measured in CPU time, so that a busy machine disturbs none of them more.
Then a catalogue of 500 markets (1,000 tokens on five sockets) is told at 2,000 frames/s by another
process over real sockets, and the CPU time of this one is counted.

    python benchmarks/market_data.py [--quick]

Prints a table, then one JSON line.
"""

import argparse
import asyncio
import gzip
import json
import multiprocessing
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from aiohttp import WSMsgType, web  # noqa: E402
from polymarket._internal.streams.clob.market_protocol import parse_events  # noqa: E402

from markets.books import BookCache, TrustedBook  # noqa: E402
from markets.domain.book import Book  # noqa: E402
from markets.shards import ShardedStream  # noqa: E402
from markets.venue import registry  # noqa: E402
from markets.venue.polymarket import streams  # noqa: E402
from markets.venue.ports import BookSnapshot, FeedStatus  # noqa: E402
from polyhub.lib import money  # noqa: E402
from polyhub.lib.clock import SystemClock  # noqa: E402

GAME = ROOT / "markets" / "tests" / "recordings" / "mlb-laa-nyy-2025-06-19.jsonl.gz"
MARKETS, FRAMES_PER_S = 500, 2_000
# The goals: ten times the official client, and a third of a core for the whole catalogue.
RATIO_GOAL, CORE_GOAL = 10.0, 30.0
CONDITION = "0x" + "c" * 64


def recorded() -> list[str]:
    """The game's frames with what today's venue adds: the condition, and the best prices beside each change."""
    books: dict[str, Book] = {}
    with gzip.open(GAME, "rt") as lines:
        return [_as_today(json.loads(line), books) for line in lines]


def _as_today(frame: dict[str, Any], books: dict[str, Book]) -> str:
    frame["market"] = CONDITION
    if frame["event_type"] == "book":
        book = books.setdefault(frame["asset_id"], Book())
        book.replace(bids=_levels(frame["bids"]), asks=_levels(frame["asks"]))
        frame |= {"min_order_size": "5", "tick_size": "0.01", "neg_risk": False, "last_trade_price": "0.5"}
        return json.dumps(frame)
    for change in frame["price_changes"]:
        book = books.setdefault(change["asset_id"], Book())
        price, size = _levels([change])[0]
        book.apply_level(change["side"], price, size)
    for change in frame["price_changes"]:
        book = books[change["asset_id"]]
        change["best_bid"], change["best_ask"] = _told(book.best_bid), _told(book.best_ask)
    return json.dumps(frame)


def _levels(rows: Sequence[dict[str, str]]) -> list[tuple[int, int]]:
    return [(round(float(row["price"]) * money.PRICE_UNITS), round(float(row["size"]) * money.UNITS)) for row in rows]


def _told(units: int | None) -> str:
    return "0" if units is None else f"{units / money.PRICE_UNITS:g}"


async def nothing(token_id: str) -> BookSnapshot | None:
    return None


Round = Callable[[], None]


def decode_and_apply(frames: Sequence[str], stream: registry.MarketStream) -> Round:
    """A round through decoder and cache."""
    tokens = sorted({event["asset_id"] for event in map(json.loads, frames) if event["event_type"] == "book"})

    def once() -> None:
        cache = BookCache(stream=ShardedStream(lambda: stream), fetch=nothing, clock=SystemClock())
        cache.need(tokens)
        cache.apply(FeedStatus(connected=True))
        for text in frames:
            for event in stream.read(text):
                cache.apply(event)
        assert stream.bad_frames == 0
        assert any(isinstance(cache.view(token), TrustedBook) for token in tokens)

    return once


def decode(frames: Sequence[str]) -> Round:
    """A round through our parser alone: what the official client's figure covers."""

    def once() -> None:
        for text in frames:
            streams.FRAME.decode(text)

    return once


def official(frames: Sequence[str]) -> Round:
    """A round through the official client's decoding and parsing."""

    def once() -> None:
        for text in frames:
            _, dropped = parse_events(json.loads(text))
            assert not dropped

    return once


def nautilus(frames: Sequence[str]) -> Round | None:
    """The same for NautilusTrader's Python adapter, where it is installed."""
    try:
        import msgspec
        from nautilus_trader.adapters.polymarket.schemas import book as schemas  # type: ignore[import-not-found]
    except ImportError:
        return None
    decoders = {
        "book": msgspec.json.Decoder(schemas.PolymarketBookSnapshot),
        "price_change": msgspec.json.Decoder(schemas.PolymarketQuotes),
    }

    def once() -> None:
        for text in frames:
            decoders["book" if '"book"' in text[:40] else "price_change"].decode(text)

    return once


async def timed(frames: Sequence[str], rounds: int) -> dict[str, float]:
    """Microseconds of CPU per frame, the median of rounds that take turns."""
    transport = registry.open_transport(urls=_urls(0), clock=SystemClock())
    stream = registry.open_market_stream(transport=transport, chance=random.Random(1))
    contestants = {
        "ours": decode_and_apply(frames, stream),
        "parsed": decode(frames),
        "sdk": official(frames),
    }
    other = nautilus(frames)
    if other is not None:
        contestants["nautilus"] = other
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds + 1):
        for name, some in times.items():
            began = time.process_time()
            contestants[name]()
            some.append((time.process_time() - began) * 1e6 / len(frames))
    await transport.close()
    # The first round warms up.
    return {name: statistics.median(some[1:]) for name, some in times.items()}


# -- 500 markets over sockets ------------------------------------------------------------------------------------------


def _urls(port: int) -> dict[str, str]:
    address = f"127.0.0.1:{port}"
    names = ("clob", "gamma", "data")
    return {name: f"http://{address}/{name}" for name in names} | dict.fromkeys(
        ("ws_market", "ws_user", "ws_rtds"), f"ws://{address}/market"
    )


def token(market: int, outcome: int) -> str:
    return str(10**70 + market * 2 + outcome)


def opening(token_id: str) -> str:
    bids = [{"price": f"0.{cents:02d}", "size": "100"} for cents in range(10, 48)]
    asks = [{"price": f"0.{cents:02d}", "size": "100"} for cents in range(53, 90)]
    return json.dumps(
        {
            "event_type": "book",
            "asset_id": token_id,
            "market": CONDITION,
            "timestamp": str(int(time.time() * 1000)),
            "bids": bids,
            "asks": asks,
            "hash": "",
            "min_order_size": "5",
            "tick_size": "0.01",
        }
    )


def changes(token_ids: Sequence[str], chance: random.Random) -> Iterator[str]:
    """Endless changes inside the spread's edges, of both tokens of a market as the venue tells them."""
    while True:
        market = (int(chance.choice(token_ids)) - 10**70) // 2
        cents, size = chance.randint(20, 46), f"{chance.randint(1, 9_999)}.{chance.randint(10, 99)}"
        rows = [
            {"asset_id": token(market, outcome), "price": price, "size": size, "side": side, "hash": "",
             "best_bid": "0.47", "best_ask": "0.53"}
            for outcome, side, price in ((0, "BUY", f"0.{cents}"), (1, "SELL", f"0.{100 - cents}"))
        ]  # fmt: skip
        now = str(int(time.time() * 1000))
        yield json.dumps({"event_type": "price_change", "market": CONDITION, "timestamp": now, "price_changes": rows})


def serve(port: Any, frames_per_s: float) -> None:
    """Another process: a market socket that tells each connection its part of the frames, evenly paced."""

    async def market(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        asked: list[str] = []
        async for message in socket:
            if message.type is not WSMsgType.TEXT or message.data == "PING":
                continue
            asked += json.loads(message.data).get("assets_ids", [])
            break
        for token_id in asked:
            await socket.send_str(opening(token_id))
        per_s = frames_per_s * len(asked) / (2 * MARKETS)
        news, began, sent = changes(asked, random.Random(len(asked))), time.perf_counter(), 0
        with suppress(ConnectionError):
            while not socket.closed:
                for _ in range(int((time.perf_counter() - began) * per_s) - sent):
                    await socket.send_str(next(news))
                    sent += 1
                await asyncio.sleep(0.005)
        return socket

    async def run() -> None:
        app = web.Application()
        app.router.add_get("/market", market)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        assert site._server is not None
        port.value = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    asyncio.run(run())


async def hear(port: int, seconds: float) -> tuple[float, float, int, int]:
    """(part of one core in %, frames heard per second, sockets, books trusted at the end)."""
    transport = registry.open_transport(urls=_urls(port), clock=SystemClock())
    opened_streams: list[Any] = []

    def opened() -> Any:
        opened_streams.append(registry.open_market_stream(transport=transport, chance=random.Random(1)))
        return opened_streams[-1]

    sharded = ShardedStream(opened)
    cache = BookCache(stream=sharded, fetch=nothing, clock=transport.clock)
    tokens = [token(market, outcome) for market in range(MARKETS) for outcome in range(2)]
    heard = 0

    def changed() -> None:
        nonlocal heard
        heard += 1

    for token_id in tokens[::2]:
        cache.watch(token_id, changed)
    running = asyncio.create_task(cache.run())
    cache.need(tokens)
    while not all(isinstance(cache.view(token_id), TrustedBook) for token_id in tokens):  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    await asyncio.sleep(1)
    heard, began, cpu = 0, time.perf_counter(), time.process_time()
    await asyncio.sleep(seconds)
    took, spent, frames = time.perf_counter() - began, time.process_time() - cpu, heard
    trusted = sum(isinstance(cache.view(token_id), TrustedBook) for token_id in tokens)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    await transport.close()
    return 100 * spent / took, frames / took, sharded.shards, trusted


def catalogue(seconds: float) -> tuple[float, float, int, int]:
    context = multiprocessing.get_context("spawn")
    port = context.Value("i", 0)
    venue = context.Process(target=serve, args=(port, FRAMES_PER_S), daemon=True)
    venue.start()
    try:
        while not port.value:
            time.sleep(0.05)
        return asyncio.run(hear(port.value, seconds))
    finally:
        venue.terminate()
        venue.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds, under a minute")
    quick = parser.parse_args().quick
    frames = recorded()
    rounds = 5 if quick else 21
    figures = asyncio.run(timed(frames, rounds))
    ours, parsed, sdk = figures["ours"], figures["parsed"], figures["sdk"]
    core, rate, sockets, trusted = catalogue(5 if quick else 20)
    kinds = sum('"book"' in frame[:30] for frame in frames)
    print(f"{len(frames)} recorded frames ({kinds} whole books), median of {rounds} rounds, CPU time per frame")
    print(f"  decoded and applied by PolyHub   {ours:8.2f} us")
    print(f"  of which parsed                  {parsed:8.2f} us")
    print(f"  parsed by polymarket-client      {sdk:8.2f} us   {sdk / parsed:.1f} times our parsing,")
    print(f"{'':37}{sdk / ours:8.1f} times parsing, converting and applying (goal {RATIO_GOAL:g})")
    if "nautilus" not in figures:
        print("  NautilusTrader                        not installed")
    else:
        print(f"  decoded by NautilusTrader        {figures['nautilus']:8.2f} us")
    print(
        f"{MARKETS} markets on {sockets} sockets, {rate:.0f} frames/s heard, {trusted} of {2 * MARKETS} books trusted"
    )
    print(f"  {core:.1f} % of one core (goal {CORE_GOAL:g})")
    line = {"ours_us": round(ours, 2), "sdk_us": round(sdk, 2), "ratio": round(sdk / ours, 2)}
    line |= {"parsed_us": round(parsed, 2), "parsed_ratio": round(sdk / parsed, 2)}
    print(json.dumps(line | {"core_percent": round(core, 1), "frames_per_s": round(rate)}))


if __name__ == "__main__":
    main()
