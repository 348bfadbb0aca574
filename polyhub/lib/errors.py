"""The one parent of every expected failure."""

from collections.abc import Mapping


class AppError(Exception):
    """An expected failure: a stable `code`, a sentence for people, and numbers that explain it.

    Doors translate it once: `http_status` is what REST and pages answer with.
    """

    code = "ERROR"
    http_status = 400

    def __init__(self, message: str, *, code: str = "", details: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.details: dict[str, object] = dict(details or {})
