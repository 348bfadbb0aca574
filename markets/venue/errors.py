"""What can go wrong at the venue, named by what the caller may do next."""

from polyhub.lib.errors import AppError


class VenueError(AppError):
    """Parent of the three outcomes below; `code` is stable, `message` is the venue's own text."""

    code = "VENUE_ERROR"
    http_status = 502


class Refused(VenueError):
    """The venue answered and proved that nothing was accepted: final for these bytes."""

    code = "REFUSED"


class Unavailable(VenueError):
    """The request never arrived (or a pause was announced): the same bytes may be sent again later."""

    code = "UNAVAILABLE"

    def __init__(self, message: str, *, code: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message, code=code)
        self.retry_after_s = retry_after_s


class OutcomeUnknown(VenueError):
    """The request may have arrived: never sign again, reconcile by order hash. Unlisted errors are this one."""

    code = "OUTCOME_UNKNOWN"
