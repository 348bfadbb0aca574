"""Hints to browsers over the Channels layer, sent by one background thread of the process.

A hint only says "read on from your last number": it may be late, merged or lost, and the consumer's own
poll makes up for it. So nothing that trades ever waits for the layer.
"""

import asyncio
import logging
import threading
from collections import defaultdict
from collections.abc import Sequence

from channels.layers import get_channel_layer

logger = logging.getLogger(__name__)

SEND_TIMEOUT_S = 5.0
# Changes of a moment leave as one hint, and users share groups: a trade copied by hundreds costs a few messages.
GATHER_S = 0.1
GROUPS = 16


def group_name(user_id: int) -> str:
    """The Channels group that is told when a user has new events; its messages name the users they are for."""
    return f"hints.{user_id % GROUPS}"


class _Announcer:
    """Gathers user ids for a moment and sends one hint to each group, on a loop of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: set[int] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_due = False

    def put(self, user_ids: Sequence[int]) -> None:
        with self._lock:
            self._waiting.update(user_ids)
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="push-hints", daemon=True).start()
            if self._is_due:
                return
            self._is_due, loop = True, self._loop
        loop.call_soon_threadsafe(loop.call_later, GATHER_S, self._flush)

    def _flush(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, set()
            self._is_due = False
        if waiting:
            task = asyncio.ensure_future(_send(sorted(waiting)))
            _running.add(task)
            task.add_done_callback(_running.discard)


_running: set[asyncio.Future[None]] = set()


async def _send(user_ids: Sequence[int]) -> None:
    layer = get_channel_layer()
    if layer is None:
        return
    groups: dict[str, list[int]] = defaultdict(list)
    for user_id in user_ids:
        groups[group_name(user_id)].append(user_id)
    for group, members in groups.items():
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await layer.group_send(group, {"type": "events.available", "users": members})
        except Exception:
            logger.exception("Push hint not sent", extra={"group": group})


_announcer = _Announcer()


def announce(user_ids: Sequence[int]) -> None:
    """Queue a hint for each user; returns at once."""
    _announcer.put(user_ids)
