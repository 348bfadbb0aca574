"""Waiting in tests for something another thread or process does: polls, never a fixed sleep."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

Value = TypeVar("Value")

POLL_S = 0.02


def eventually(check: Callable[[], Value], *, timeout_s: float = 10.0, poll_s: float = POLL_S) -> Value:
    """The first true value of `check()`; an AssertionError inside counts as "not yet" and is raised at the end."""
    deadline = time.monotonic() + timeout_s
    while True:
        last: AssertionError | None = None
        value: Value | None
        try:
            value = check()
        except AssertionError as error:
            last, value = error, None
        if value:
            return value
        if time.monotonic() > deadline:
            raise last or AssertionError(f"not true within {timeout_s} s")
        time.sleep(poll_s)


async def eventually_async(
    check: Callable[[], Awaitable[Value]], *, timeout_s: float = 10.0, poll_s: float = POLL_S
) -> Value:
    """As `eventually`, for checks that are awaited."""
    deadline = time.monotonic() + timeout_s
    while True:
        last: AssertionError | None = None
        value: Value | None
        try:
            value = await check()
        except AssertionError as error:
            last, value = error, None
        if value:
            return value
        if time.monotonic() > deadline:
            raise last or AssertionError(f"not true within {timeout_s} s")
        await asyncio.sleep(poll_s)
