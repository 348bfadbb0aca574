"""Logging for every process: one readable line per event, secrets masked, chatty libraries pinned."""

import logging
import time
from collections.abc import Callable
from typing import Any

import psycopg
import redis

from polyhub import env
from polyhub.lib.masking import MaskSecrets

__all__ = ["LOGGING", "MaskSecrets", "NotReadyIsNews", "OutageInOneLine", "RepeatsAreRare"]

# `hub up` writes the time before each line itself.
TIMES = "%(asctime)s " if env.flag("LOG_TIMES", default=True) else ""


class NotReadyIsNews(logging.Filter):
    """Drops the error Django logs for each 503 of /ready: that answer is what the asker wants to know."""

    def filter(self, record: logging.LogRecord) -> bool:
        return getattr(getattr(record, "request", None), "path", "") != "/ready"


class OutageInOneLine(logging.Filter):
    """Database or Redis being away is said in a line: where in our code that was noticed tells nobody anything."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        for cause in (error, getattr(error, "__cause__", None)):
            if away := _away(cause):
                reason = " ".join(str(cause).split())[:200]
                record.msg, record.args = f"{record.getMessage()}: {away} is away ({reason})", ()
                record.exc_info = record.exc_text = None
                break
        return True


def _away(error: BaseException | None) -> str:
    """What cannot be reached: no connection, or one the server ended. Empty for a statement that failed or was slow."""
    if isinstance(error, redis.ConnectionError | redis.TimeoutError):
        return "Redis"
    if not isinstance(error, psycopg.Error):
        return ""
    if error.sqlstate is None:
        return "the database" if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) else ""
    return "the database" if error.sqlstate.startswith(("08", "57P")) else ""


class RepeatsAreRare(logging.Filter):
    """What a loop says at each try is printed once in `every_s` seconds, per logger and text."""

    def __init__(self, every_s: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._every_s, self._clock = every_s, clock
        self._said: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info:
            return True
        key, now = (record.name, record.getMessage()), self._clock()
        if now - self._said.get(key, -self._every_s) < self._every_s:
            return False
        if len(self._said) > _REMEMBERED:
            self._said.clear()
        self._said[key] = now
        return True


_REMEMBERED = 1000

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "mask": {"()": "polyhub.logs.MaskSecrets"},
        "not_ready": {"()": "polyhub.logs.NotReadyIsNews"},
        "outage": {"()": "polyhub.logs.OutageInOneLine"},
        "repeats": {"()": "polyhub.logs.RepeatsAreRare"},
    },
    "formatters": {
        "line": {"()": "polyhub.lib.masking.MaskingFormatter", "fmt": f"{TIMES}%(levelname)s %(name)s: %(message)s"}
    },
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["outage", "repeats", "mask"]}
    },
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {
        # These print headers, bodies and template contexts at DEBUG: credentials would follow.
        **{
            name: {"level": "WARNING"}
            for name in (
                "hpack",
                "httpx",
                "httpcore",
                "h2",
                "websockets",
                "aiohttp",
                "polymarket",
                "daphne",
                "django.template",
            )
        },
        # Says at INFO which nameless worker took which task, several lines for each.
        "django-q": {"level": "WARNING"},
        "django.request": {"filters": ["not_ready"]},
    },
}
