"""Hints to browsers over the Channels layer, sent by one background thread of the process.

A hint only says "read on from your last number": it may be late, merged or lost, and the consumer's own
poll makes up for it. So nothing that trades ever waits for the layer.
"""

import asyncio
import logging
import threading
from collections.abc import Sequence

from channels.layers import get_channel_layer

logger = logging.getLogger(__name__)

SEND_TIMEOUT_S = 5.0


def group_name(user_id: int) -> str:
    """The Channels group that is told when a user has new events."""
    return f"user.{user_id}"


class _Announcer:
    """Merges waiting user ids and sends one hint to each group, on a loop of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: set[int] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    def put(self, user_ids: Sequence[int]) -> None:
        with self._lock:
            self._waiting.update(user_ids)
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="push-hints", daemon=True).start()
            loop = self._loop
        loop.call_soon_threadsafe(self._flush)

    def _flush(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, set()
        if waiting:
            task = asyncio.ensure_future(_send(sorted(waiting)))
            _running.add(task)
            task.add_done_callback(_running.discard)


_running: set[asyncio.Future[None]] = set()


async def _send(user_ids: Sequence[int]) -> None:
    layer = get_channel_layer()
    if layer is None:
        return
    for user_id in user_ids:
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await layer.group_send(group_name(user_id), {"type": "events.available"})
        except Exception:
            logger.exception("Push hint not sent", extra={"user_id": user_id})


_announcer = _Announcer()


def announce(user_ids: Sequence[int]) -> None:
    """Queue a hint for each user; returns at once."""
    _announcer.put(user_ids)
