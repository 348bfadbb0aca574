"""Carries frames to sockets, and on request loses, doubles, mixes up, delays or spoils them on the way."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from markets.venue.sandbox.faults import FaultRequest, Faults
from markets.venue.sandbox.hub import GOING_AWAY, USER, Connection, Hub, ws_frame

_HUGE_BYTES = 10 << 20
_HUGE_LEVELS = 100_000
_DEPTH = 1_000
_TIMES = ("timestamp", "match_time", "matchtime", "last_update", "created_at", "match_time_nano")


class SocketFaults:
    """`wallets_of` names the trading addresses of a signer, so that a fault of a wallet finds its sockets."""

    def __init__(self, hub: Hub, faults: Faults, wallets_of: Callable[[str], list[str]]) -> None:
        self._hub = hub
        self._faults = faults
        self._wallets_of = wallets_of
        self._held: dict[tuple[Connection, str], list[bytes]] = {}

    def send(
        self,
        listeners: Iterable[Connection],
        text: str,
        *,
        event: str,
        now_ms: int,
        tokens: Iterable[str] = (),
        wallets: Iterable[str] = (),
    ) -> None:
        """One frame to every listener. `event`, `tokens` and `wallets` are what it tells of."""
        if not self._faults.on_frames:
            self._let_go()
            data = ws_frame(text)
            for one in listeners:
                one.write(data)
            return
        for one in listeners:
            about = self._wallets_of(one.signer) if one.channel == USER else list(wallets)
            self._send_one(one, text, event=event, now_ms=now_ms, tokens=list(tokens), wallets=about)

    def _let_go(self) -> None:
        """Frames kept for shuffling, once nothing is to be shuffled any more."""
        for (connection, _), frames in self._held.items():
            for data in frames:
                connection.write(data)
        self._held.clear()

    def answers_ping(self, connection: Connection, *, now_ms: int) -> bool:
        wallets = self._wallets_of(connection.signer) if connection.signer else []
        return not self._faults.withholds_pong(connection.channel, now_ms=now_ms, wallets=wallets)

    def at_once(self, request: FaultRequest) -> None:
        """A fault that happens once, to the sockets that are open now."""
        for connection in self._hub.of_channel(request.channel):
            mine = [*self._wallets_of(connection.signer)] if connection.signer else []
            if request.wallet and request.wallet.lower() not in {wallet.lower() for wallet in mine}:
                continue
            if request.token_id and request.token_id not in connection.tokens:
                continue
            if request.name == "close_socket":
                connection.close(GOING_AWAY)
            elif request.name == "replay_frames":
                for data in list(connection.recent):
                    connection.write(data)
            elif request.name == "huge_frame":
                connection.push(_huge(request.kind))

    def _send_one(
        self, connection: Connection, text: str, *, event: str, now_ms: int, tokens: list[str], wallets: list[str]
    ) -> None:
        def hit(name: str) -> FaultRequest | None:
            return self._faults.hit_frame(
                name, now_ms=now_ms, channel=connection.channel, event=event, tokens=tokens, wallets=wallets
            )

        if hit("silent_socket") or hit("drop_frames"):
            return
        old, broken = hit("old_data"), hit("broken_frame")
        if old or broken:
            payload = msgspec.json.decode(text)
            if old:
                _age(payload, old.seconds)
            if broken:
                _spoil(payload, broken.kind)
            text = msgspec.json.encode(payload).decode()
        frames = [ws_frame(text)] * (2 if hit("duplicate_frames") else 1)
        shuffled = hit("shuffle_frames")
        key = (connection, event)
        if shuffled:
            frames = [*self._held.pop(key, []), *frames]
            if len(frames) < shuffled.frames:
                self._held[key] = frames
                return
            self._faults.chance.shuffle(frames)
        elif key in self._held:
            frames = [*self._held.pop(key), *frames]
        late = hit("delay_frames")
        for data in frames:
            if late:
                asyncio.get_running_loop().call_later(late.seconds, connection.write, data)
            else:
                connection.write(data)


def _age(payload: Any, seconds: float) -> None:
    """Move every time in a frame back, in the unit it is in."""
    if isinstance(payload, list):
        for one in payload:
            _age(one, seconds)
    elif isinstance(payload, dict):
        for name, value in payload.items():
            if name in _TIMES and str(value).isdecimal():
                moved = int(value) - int(seconds * _per_second(int(value)))
                payload[name] = str(moved) if isinstance(value, str) else moved
            else:
                _age(value, seconds)


def _per_second(moment: int) -> int:
    """Whether a moment of this century is counted in seconds, thousandths or billionths."""
    return 1 if moment < 10**11 else 1_000 if moment < 10**14 else 1_000_000_000


_SPOILS: dict[str, tuple[str, str]] = {"negative": ("-0.5", "-100"), "nan": ("NaN", "NaN"), "huge": ("1e40", "1e40")}


def _spoil(payload: Any, kind: str) -> None:
    """Make the prices and sizes of a frame impossible."""
    for event in payload if isinstance(payload, list) else [payload]:
        rows = [*event.get("price_changes", []), *event.get("bids", []), *event.get("asks", [])]
        if kind == "crossed":
            _cross(event)
            continue
        price, size = _SPOILS[kind]
        for row in rows or [event]:
            row.update({name: price for name in ("price", "best_bid", "best_ask") if name in row})
            row.update({"size": size} if "size" in row else {})


def _cross(event: Any) -> None:
    if "bids" in event:
        event["bids"] = [*event["bids"], {"price": "0.99", "size": "100"}]
        event["asks"] = [*event["asks"], {"price": "0.01", "size": "100"}]
    for row in event.get("price_changes", ()):
        row |= {"price": "0.99" if row["side"] == "BUY" else "0.01", "best_bid": "0.99", "best_ask": "0.01"}
    if "best_bid" in event:
        event |= {"best_bid": "0.99", "best_ask": "0.01"}


def _huge(kind: str) -> str:
    if kind == "deep":
        return "[" * _DEPTH + "]" * _DEPTH
    if kind == "levels":
        levels = ",".join(f'{{"price":"0.{number:06d}","size":"1"}}' for number in range(1, _HUGE_LEVELS + 1))
        return f'{{"event_type":"book","market":"0x0","asset_id":"0","timestamp":"0","bids":[{levels}],"asks":[]}}'
    return f'{{"event_type":"book","padding":"{"x" * _HUGE_BYTES}"}}'
