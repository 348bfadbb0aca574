"""Logging for every process: one readable line per event, secrets masked, chatty libraries pinned."""

import logging
import re
from typing import Any

from polyhub import env

# `hub up` writes the time before each line itself.
TIMES = "%(asctime)s " if env.flag("LOG_TIMES", default=True) else ""
SECRET = re.compile(
    r"(?i)(0x[0-9a-f]{64}(?![0-9a-f])|(?:private[_-]?key|secret|passphrase|password|api[_-]?key|token)"
    r"[\"']?\s*[=:]\s*[\"']?[^\s\"',}]+)"
)


class MaskSecrets(logging.Filter):
    """The last wall: masks what looks like a key even when a caller logs it by mistake.

    Order hashes have a key's shape, so logs name orders by their id, never by hash.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        masked = SECRET.sub("[masked]", message)
        if masked != message:
            record.msg = masked
            record.args = ()
        return True


LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"mask": {"()": "polyhub.logs.MaskSecrets"}},
    "formatters": {"line": {"format": f"{TIMES}%(levelname)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["mask"]}},
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {
        # These print headers and bodies at DEBUG: credentials would follow.
        name: {"level": "WARNING"}
        for name in ("hpack", "httpx", "httpcore", "h2", "websockets", "aiohttp", "polymarket", "daphne.http_protocol")
    },
}
