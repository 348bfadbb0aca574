"""Hints to browsers over the Channels layer, sent by one background thread of the process.

A hint only says "read on from your last number": it may be late, merged or lost, and the consumer's own
poll makes up for it. So nothing that trades ever waits for the layer.
"""

import asyncio
import logging
import queue
import threading
from collections.abc import Sequence

from channels.layers import get_channel_layer

logger = logging.getLogger(__name__)

SEND_TIMEOUT_S = 5.0


def group_name(user_id: int) -> str:
    """The Channels group that is told when a user has new events."""
    return f"user.{user_id}"


class _Announcer:
    """Merges waiting user ids and sends one hint to each group."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def put(self, user_ids: Sequence[int]) -> None:
        for user_id in user_ids:
            self._queue.put(user_id)
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="push-hints", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        asyncio.run(self._loop())

    async def _loop(self) -> None:
        while True:
            waiting = {await asyncio.to_thread(self._queue.get)}
            while not self._queue.empty():
                waiting.add(self._queue.get_nowait())
            layer = get_channel_layer()
            if layer is None:
                continue
            for user_id in sorted(waiting):
                try:
                    async with asyncio.timeout(SEND_TIMEOUT_S):
                        await layer.group_send(group_name(user_id), {"type": "events.available"})
                except Exception:
                    logger.exception("Push hint not sent", extra={"user_id": user_id})


_announcer = _Announcer()


def announce(user_ids: Sequence[int]) -> None:
    """Queue a hint for each user; returns at once."""
    _announcer.put(user_ids)
