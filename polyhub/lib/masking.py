"""The last wall between a secret and a log: what looks like a key is masked, in messages and in tracebacks."""

import logging
import re

SECRET = re.compile(
    r"(?i)(0x[0-9a-f]{64}(?![0-9a-f])|(?<![0-9a-z])[0-9a-f]{64}(?![0-9a-z])"
    r"|(?:private[_-]?key|secret|passphrase|password|api[_-]?key|token)[\"']?\s*[=:]\s*[\"']?[^\s\"',}]+)"
)
MASK = "[masked]"


def mask(text: str) -> str:
    return SECRET.sub(MASK, text)


class MaskSecrets(logging.Filter):
    """Masks the message of a record, for every handler behind it.

    Order hashes have a key's shape, so logs name orders by their id, never by hash.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        masked = mask(message)
        if masked != message:
            record.msg = masked
            record.args = ()
        return True


class MaskingFormatter(logging.Formatter):
    """Masks the finished text: an exception's own words come with the traceback, which no filter sees."""

    def format(self, record: logging.LogRecord) -> str:
        return mask(super().format(record))
