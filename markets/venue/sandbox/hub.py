"""Open sockets of the three channels and what each wants to hear. Sending never waits for a slow reader."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable

_QUEUE = 8_192

MARKET, USER, RTDS = "market", "user", "rtds"


class Connection:
    """One socket: a queue its writer drains. A reader too slow for the queue is closed with 1013."""

    def __init__(self, channel: str) -> None:
        self.channel = channel
        self.signer = ""
        self.markets: set[str] = set()
        self.tokens: set[str] = set()
        self.custom = False
        self.topics: set[tuple[str, str]] = set()
        self.queue: asyncio.Queue[str | None] = asyncio.Queue(_QUEUE)
        self.overrun = False

    def push(self, text: str) -> None:
        try:
            self.queue.put_nowait(text)
        except asyncio.QueueFull:
            self.overrun = True

    def close(self) -> None:
        """Ask the writer to end the socket, ahead of whatever still waits."""
        while not self.queue.empty():
            self.queue.get_nowait()
        self.queue.put_nowait(None)


class Hub:
    def __init__(self) -> None:
        self._by_channel: dict[str, set[Connection]] = {MARKET: set(), USER: set(), RTDS: set()}
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
        fresh = [token for token in tokens if token not in connection.tokens]
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

    def user(self, signer: str, condition_id: str) -> list[Connection]:
        mine = self._by_signer.get(signer, ())
        return [one for one in mine if not one.markets or condition_id in one.markets]

    def rtds(self, kind: str) -> list[Connection]:
        """Connections subscribed to this type of the activity topic ("*" is every type)."""
        wanted = {("activity", kind), ("activity", "*")}
        return [one for one in self._by_channel[RTDS] if wanted & one.topics]

    def of_channel(self, channel: str) -> list[Connection]:
        return [one for name, ones in self._by_channel.items() if channel in ("", name) for one in ones]
