"""How fast the local venue is: it must never be what other benchmarks measure.

Orders: signed beforehand (deposit wallets, ERC-7739), posted over keep-alive connections; the venue checks each HMAC
and recovers each signature before it matches. Frames: a recorded game of the market socket, repeated to 200,000
frames, sent to 20 subscribers as fast as they take it; the figure counts what they received whole, all together.

The venue, the listeners and we who post run in three processes.

    python benchmarks/sandbox.py [--quick]

Prints a table, then one JSON line.
"""

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import UUID

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from markets.venue import signing  # noqa: E402
from markets.venue.ports import OrderTerms, OrderType, Side  # noqa: E402
from markets.venue.sandbox import frame_replay, server  # noqa: E402

HOST = "127.0.0.1"
GAME = ROOT / "markets" / "tests" / "recordings" / "mlb-laa-nyy-2025-06-19.jsonl.gz"
LISTENERS = 20
WALLETS = 20
CONNECTIONS = 16
PRICES = range(30, 45)
SHARES = 10
NOBODY = UUID(int=0)
DONE_S = 300.0


@dataclass(frozen=True, slots=True)
class Plan:
    orders: int
    frames: int


FULL = Plan(orders=10_000, frames=200_000)
QUICK = Plan(orders=2_000, frames=40_000)


# -- the venue ---------------------------------------------------------------------------------------------------------


def serve() -> None:
    """The venue's process: prints its port and runs until it is told to end."""
    server.run(host=HOST, port=0, ready=lambda text: print(text.split(",")[0].rsplit(":", 1)[1], flush=True))


class Child:
    """This script again, as another process, until the block ends."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True)

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()


def call(port: int, path: str, body: object = None, headers: dict[str, str] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{HOST}:{port}{path}", data=data, headers=headers or {})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


# -- orders ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Trader:
    key: bytes
    signer: str
    wallet: str
    api_key: str
    secret: bytes
    passphrase: str

    def post(self, order: bytes) -> bytes:
        """The bytes of one POST, authenticated now."""
        now = int(time.time())
        proof = signing.l2_signature(secret=self.secret, timestamp_s=now, method="POST", path="/order", body=order)
        head = (
            f"POST /clob/order HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
            f"POLY_ADDRESS: {self.signer}\r\nPOLY_API_KEY: {self.api_key}\r\nPOLY_PASSPHRASE: {self.passphrase}\r\n"
            f"POLY_SIGNATURE: {proof}\r\nPOLY_TIMESTAMP: {now}\r\nContent-Length: {len(order)}\r\n\r\n"
        )
        return head.encode() + order


def trader(port: int, number: int) -> Trader:
    key = number.to_bytes(32, "big")
    signer, now = signing.address_of(key), int(time.time())
    wallet = call(port, "/_sandbox/wallets", {"private_key": f"0x{key.hex()}", "usdc": "10000000"})["address"]
    headers = {
        "POLY_ADDRESS": signer,
        "POLY_TIMESTAMP": str(now),
        "POLY_NONCE": "0",
        "POLY_SIGNATURE": signing.sign_digest(signing.clob_auth_digest(signer, now, 0), key),
    }
    made = call(port, "/clob/auth/derive-api-key", headers=headers)
    secret = signing.decode_secret(made["secret"])
    return Trader(key, signer, wallet, made["apiKey"], secret, made["passphrase"])


def signed_order(owner: Trader, token_id: str, number: int) -> bytes:
    cents = PRICES[number % len(PRICES)]
    units, cash = SHARES * 1_000_000, SHARES * cents * 10_000
    terms = OrderTerms(
        client_order_id=NOBODY,
        token_id=token_id,
        side=Side.BUY,
        order_type=OrderType.GTC,
        price_units=cents * 100,
        share_units=units,
        maker_units=cash,
        taker_units=units,
        salt=number + 1,
        timestamp_ms=1_790_000_000_000 + number,
    )
    kind = signing.DEPOSIT_WALLET
    proof = signing.sign_order(terms, key=owner.key, maker=owner.wallet, signer=owner.wallet, signature_type=kind)
    order = {
        "salt": terms.salt,
        "maker": owner.wallet,
        "signer": owner.wallet,
        "tokenId": token_id,
        "makerAmount": str(cash),
        "takerAmount": str(units),
        "side": "BUY",
        "signatureType": kind,
        "timestamp": str(terms.timestamp_ms),
        "expiration": "0",
        "metadata": "0x" + "0" * 64,
        "builder": "0x" + "0" * 64,
        "signature": proof,
    }
    body = {"deferExec": False, "order": order, "owner": owner.api_key, "orderType": "GTC"}
    return json.dumps(body, separators=(",", ":")).encode()


async def post_all(port: int, orders: list[tuple[Trader, bytes]]) -> tuple[float, Counter[int]]:
    """(seconds, answers by status) for all orders over a few connections."""
    waiting, statuses = iter(orders), Counter[int]()

    async def connection() -> None:
        reader, writer = await asyncio.open_connection(HOST, port)
        for owner, order in waiting:
            writer.write(owner.post(order))
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(size)
            statuses[int(head[9:12])] += 1
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
    return time.perf_counter() - started, statuses


def measure_orders(port: int, count: int) -> float:
    market = call(port, "/_sandbox/markets", {"slug": "bench"})
    traders = [trader(port, number) for number in range(1, WALLETS + 1)]
    orders = [
        (owner, signed_order(owner, market["token_ids"][0], number))
        for number, owner in ((number, traders[number % WALLETS]) for number in range(count + count // 10))
    ]
    warm_up = count // 10
    asyncio.run(post_all(port, orders[:warm_up]))
    seconds, statuses = asyncio.run(post_all(port, orders[warm_up:]))
    assert statuses == {200: count}, statuses
    return count / seconds


# -- frames ------------------------------------------------------------------------------------------------------------


class Listener(asyncio.Protocol):
    """A subscriber that counts whole text frames and reads no further than their heads."""

    def __init__(self, hello: bytes, wanted: int) -> None:
        self.frames = 0
        self.finished = asyncio.get_running_loop().create_future()
        self.answered = asyncio.Event()
        self.began = 0.0
        self._hello = hello
        self._wanted = wanted
        self._rest = b""
        self._open = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        lines = (f"GET /ws/market HTTP/1.1\r\nHost: {HOST}", "Upgrade: websocket", "Connection: Upgrade")
        keys = ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        transport.write("\r\n".join((*lines, *keys)).encode())

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        if not self._open:
            head, found, data = data.partition(b"\r\n\r\n")
            if not found:
                self._rest = head
                return
            assert self._transport is not None
            self._transport.write(masked(self._hello) + masked(b"PING"))
            self._open = True
        position, end = 0, len(data)
        while end - position >= 2:
            size, start = data[position + 1], position + 2
            if size == 126:
                start += 2
                size = int.from_bytes(data[position + 2 : start], "big")
            elif size == 127:
                start += 8
                size = int.from_bytes(data[position + 2 : start], "big")
            if start > end or start + size > end:
                break
            position = start + size
            if size == len(b"PONG"):
                self.answered.set()
            else:
                self.frames += 1
        self._rest = data[position:]
        if self.frames and not self.began:
            self.began = time.perf_counter()
        if self.frames >= self._wanted and not self.finished.done():
            self.finished.set_result(None)

    def ping(self) -> None:
        assert self._transport is not None
        self._transport.write(masked(b"PING"))

    def connection_lost(self, error: Exception | None) -> None:
        if not self.finished.done():
            self.finished.set_exception(ConnectionError(f"closed after {self.frames} frames"))


def masked(payload: bytes) -> bytes:
    """A client's text frame; a mask of zeros changes nothing."""
    size = len(payload)
    head = bytes((0x81, 0x80 | size)) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
    return head + bytes(4) + payload


async def listen(port: int, tokens: list[str], frames: int) -> None:
    """The listeners' process: says when all are subscribed, then how many seconds the frames took to come."""
    hello = json.dumps({"type": "market", "assets_ids": tokens}).encode()
    loop = asyncio.get_running_loop()
    made = [(await loop.create_connection(lambda: Listener(hello, frames), HOST, port))[1] for _ in range(LISTENERS)]
    await asyncio.gather(*(one.answered.wait() for one in made))
    print("ready", flush=True)
    finished = asyncio.gather(*(one.finished for one in made))
    while not finished.done():
        await asyncio.wait([finished], timeout=5)
        for one in made:
            one.ping()
    await finished
    print(time.perf_counter() - min(one.began for one in made), flush=True)


def measure_frames(port: int, count: int) -> float:
    """Frames all listeners together received each second."""
    frames = list(frame_replay.read(GAME))
    tokens = sorted({token for frame in frames for token in frame.tokens})
    times = -(-count // len(frames))
    with Child("--listen", str(port), "--frames", str(len(frames) * times), "--tokens", *tokens) as listeners:
        assert listeners.line() == "ready"
        call(port, "/_sandbox/frames", {"path": str(GAME), "times": times})
        seconds = float(listeners.line())
    return len(frames) * times * LISTENERS / seconds


# -- the whole ---------------------------------------------------------------------------------------------------------


def show(found: dict[str, float], plan: Plan) -> None:
    print(f"{'':62}{'a second':>12}")
    print(f"{'orders accepted, HMAC and ERC-7739 signature checked':62}{found['orders_per_s']:12,.0f}")
    print(f"{f'frames received by {LISTENERS} subscribers, all together':62}{found['frames_per_s']:12,.0f}")
    print(f"{f'  recorded frames replayed to all {LISTENERS} of them':62}{found['frames_per_s'] / LISTENERS:12,.0f}")
    print(
        f"{plan.orders:,} orders of {WALLETS} wallets over {CONNECTIONS} connections, {plan.frames:,} frames, "
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under a minute")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--listen", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--frames", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--tokens", nargs="*", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve()
        return
    if arguments.listen:
        asyncio.run(asyncio.wait_for(listen(arguments.listen, arguments.tokens, arguments.frames), DONE_S))
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    plan = QUICK if arguments.quick else FULL
    with Child("--serve") as venue:
        port = int(venue.line())
        frames_per_s = measure_frames(port, plan.frames)
        orders_per_s = measure_orders(port, plan.orders)
    found = {"orders_per_s": round(orders_per_s, 1), "frames_per_s": round(frames_per_s, 1)}
    show(found, plan)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
