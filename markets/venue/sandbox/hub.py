"""Open sockets of the three channels and what each wants to hear. Sending never waits for a slow reader."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf

_KEPT = 500

MARKET, USER, RTDS = "market", "user", "rtds"
CHANNELS = (MARKET, USER, RTDS)

# Close codes as a client sees them.
GOING_AWAY, REFUSED, SLOW = 1001, 1008, 1013


@dataclass(slots=True)
class SocketRules:
    """What the venue does to sockets that do not behave.

    How long the market and user channels wait for a PING beyond the ten seconds they ask for, the code they close
    with, and how many bytes a slow reader may be behind, are (unverified): leave a socket without PING, and one unread.
    """

    ping_within_s: float = 25.0
    rtds_deaf_after_s: float = 360.0
    slow_bytes: int = 8 << 20


def ws_frame(text: str) -> bytes:
    """A whole server-to-client text message. It is the same for every socket, so it is built once for all of them."""
    payload = text.encode()
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 1 << 16:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


class Connection:
    """One socket. What is pushed within one turn of the loop leaves in one write."""

    def __init__(self, channel: str, transport: asyncio.WriteTransport, rules: SocketRules) -> None:
        self.channel = channel
        self.signer = ""
        self.markets: set[str] = set()
        self.tokens: set[str] = set()
        self.custom = False
        self.topics: dict[tuple[str, str], Mapping[str, str]] = {}
        self.recent: deque[bytes] = deque(maxlen=_KEPT)
        self.pinged_at = self._now()
        self.ending: tuple[int, str] | None = None
        self.ended = asyncio.Event()
        self._transport = transport
        self._rules = rules
        self._waiting: list[bytes] = []

    @property
    def backlog(self) -> int:
        """Bytes the reader has not taken from us yet."""
        return self._transport.get_write_buffer_size()

    @property
    def is_deaf(self) -> bool:
        """RTDS forgets a socket that stopped saying PING, and leaves it open."""
        return self.channel == RTDS and self._now() - self.pinged_at > self._rules.rtds_deaf_after_s

    @property
    def patience_s(self) -> float:
        """How long the market and user channels still wait for a PING before they close the socket."""
        return inf if self.channel == RTDS else self._rules.ping_within_s - (self._now() - self.pinged_at)

    def heard_ping(self) -> None:
        self.pinged_at = self._now()

    def push(self, text: str) -> None:
        self.write(ws_frame(text))

    def write(self, frame: bytes) -> None:
        """Queue a whole message."""
        if self.ending is not None:
            return
        self.recent.append(frame)
        self._waiting.append(frame)
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        if not waiting or self._transport.is_closing():
            return
        self._transport.write(b"".join(waiting))
        if self.backlog > self._rules.slow_bytes:
            self.close(SLOW, "slow consumer")

    def close(self, code: int = REFUSED, reason: str = "") -> None:
        """Ask for the end of the socket; nothing is sent after this."""
        if self.ending is None:
            self.flush()
            self.ending = self.ending or (code, reason)
            self.ended.set()

    def abort(self) -> None:
        """Cut the connection with whatever is unsent."""
        self._transport.abort()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


class Hub:
    def __init__(self) -> None:
        self.rules = SocketRules()
        self._by_channel: dict[str, set[Connection]] = {channel: set() for channel in CHANNELS}
        self._by_signer: dict[str, set[Connection]] = defaultdict(set)
        self._by_token: dict[str, set[Connection]] = defaultdict(set)

    def add(self, connection: Connection) -> None:
        self._by_channel[connection.channel].add(connection)

    def remove(self, connection: Connection) -> None:
        self._by_channel[connection.channel].discard(connection)
        self._by_signer[connection.signer].discard(connection)
        self.unsubscribe(connection, list(connection.tokens))

    def identify(self, connection: Connection, signer: str) -> None:
        """The user socket proved whose it is."""
        connection.signer = signer
        self._by_signer[signer].add(connection)

    def subscribe(self, connection: Connection, tokens: Iterable[str]) -> list[str]:
        """Adds tokens; returns those that are new to the connection."""
        fresh = [token for token in dict.fromkeys(tokens) if token not in connection.tokens]
        connection.tokens.update(fresh)
        for token in fresh:
            self._by_token[token].add(connection)
        return fresh

    def unsubscribe(self, connection: Connection, tokens: Iterable[str]) -> None:
        for token in tokens:
            connection.tokens.discard(token)
            self._by_token[token].discard(connection)

    def market(self, tokens: Iterable[str]) -> set[Connection]:
        """Connections that want any of these tokens."""
        found: set[Connection] = set()
        for token in tokens:
            found |= self._by_token.get(token, set())
        return found

    def custom(self) -> list[Connection]:
        """Connections of the market channel that asked for its extra events."""
        return [one for one in self._by_channel[MARKET] if one.custom]

    def user(self, signer: str, condition_id: str) -> list[Connection]:
        mine = self._by_signer.get(signer, ())
        return [one for one in mine if not one.markets or condition_id in one.markets]

    def rtds(self, kind: str, payload: Mapping[str, object]) -> list[Connection]:
        """Connections that asked for this type of the activity topic ("*" is every type) and still say PING."""
        return [one for one in self._by_channel[RTDS] if _wants(one, kind, payload) and not one.is_deaf]

    def of_channel(self, channel: str) -> list[Connection]:
        return [one for name, ones in self._by_channel.items() if channel in ("", name) for one in ones]


def _wants(connection: Connection, kind: str, payload: Mapping[str, object]) -> bool:
    for name in (kind, "*"):
        filters = connection.topics.get(("activity", name))
        if filters is not None and all(payload.get(field) == value for field, value in filters.items()):
            return True
    return False
