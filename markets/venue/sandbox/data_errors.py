"""How the Data API refuses."""

import uuid


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
            "trace_id": uuid.uuid5(uuid.NAMESPACE_URL, str(self)).hex,
            "parameter": self.parameter,
        }
