"""How the Data API refuses."""

import uuid


def too_many() -> dict[str, object]:
    """What a caller over the limit is told."""
    return {"error": "too many requests", "code": "rate_limited", "retryable": True, "trace_id": _trace("rate_limited")}


def _trace(text: str) -> str:
    return uuid.uuid5(uuid.NAMESPACE_URL, text).hex


class BadParameter(Exception):
    """Answered with 400 in the Data API's own shape."""

    def __init__(self, parameter: str, text: str) -> None:
        super().__init__(text)
        self.parameter = parameter

    def payload(self) -> dict[str, object]:
        return {
            "error": str(self),
            "code": "invalid_parameter",
            "retryable": False,
            "trace_id": _trace(str(self)),
            "parameter": self.parameter,
        }
