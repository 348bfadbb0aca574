"""The lease as the engine's loop sees it: alive only while it certainly is."""

import time


class HeldLease:
    """Alive until `ttl_s` after the last renewal was asked for, by a clock that also runs while we are stopped.

    The database grants the lease from the moment it answers, so counting from the asking is always the safe side.
    """

    def __init__(self, *, name: str, token: int, ttl_s: float, asked_at: float) -> None:
        self.name = name
        self.token = token
        self._ttl_s = ttl_s
        self._until = asked_at + ttl_s
        self._lost = False

    def alive(self) -> bool:
        return not self._lost and boot_clock() < self._until

    def renewed(self, *, asked_at: float) -> None:
        self._until = max(self._until, asked_at + self._ttl_s)

    def lose(self) -> None:
        self._lost = True


def boot_clock() -> float:
    """Seconds since boot, counted through suspension too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
