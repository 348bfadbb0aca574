"""The cache in front of the Data API: one answer per exact URL for a while, whatever the request says about caching.

Observed at the venue: /v2/trades 300 s, /v2/activity 15 s. A parameter that changes gets past it.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

_MOST = 1_000


@dataclass(frozen=True, slots=True)
class _Kept:
    body: bytes
    at_ms: int
    until_ms: int


class Cdn:
    """`seconds` by beginning of path; empty turns the cache off."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self.seconds: dict[str, float] = {"/data/v2/trades": 300, "/data/v2/activity": 15}
        self._now_ms = now_ms
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def covers(self, path: str) -> bool:
        return path in self.seconds

    def find(self, url: str) -> tuple[bytes, int] | None:
        """(body, its age in seconds) of a kept answer."""
        kept, now = self._kept.get(url), self._now_ms()
        if kept is None or now >= kept.until_ms:
            return None
        return kept.body, (now - kept.at_ms) // 1000

    def keep(self, url: str, path: str, body: bytes) -> None:
        now = self._now_ms()
        self._kept[url] = _Kept(body, now, now + int(self.seconds[path] * 1000))
        self._kept.move_to_end(url)
        while len(self._kept) > _MOST:
            self._kept.popitem(last=False)

    def clear(self) -> None:
        self._kept.clear()
