"""Logging for every process: one readable line per event, secrets masked, chatty libraries pinned."""

import logging
from typing import Any

from polyhub import env
from polyhub.lib.masking import MaskSecrets

__all__ = ["LOGGING", "MaskSecrets", "NotReadyIsNews"]

# `hub up` writes the time before each line itself.
TIMES = "%(asctime)s " if env.flag("LOG_TIMES", default=True) else ""


class NotReadyIsNews(logging.Filter):
    """Drops the error Django logs for each 503 of /ready: that answer is what the asker wants to know."""

    def filter(self, record: logging.LogRecord) -> bool:
        return getattr(getattr(record, "request", None), "path", "") != "/ready"


LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"mask": {"()": "polyhub.logs.MaskSecrets"}, "not_ready": {"()": "polyhub.logs.NotReadyIsNews"}},
    "formatters": {
        "line": {"()": "polyhub.lib.masking.MaskingFormatter", "fmt": f"{TIMES}%(levelname)s %(name)s: %(message)s"}
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["mask"]}},
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
