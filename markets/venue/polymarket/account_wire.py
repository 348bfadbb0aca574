"""Shapes of what the venue tells about an account beside its orders and trades."""

import msgspec


class Heartbeat(msgspec.Struct, frozen=True):
    """The id to send next; a refusal carries it too."""

    heartbeat_id: str = ""


class Notification(msgspec.Struct, frozen=True):
    """`payload` differs by type (1 cancel, 2 fill, 4 resolved; unverified) and is kept as sent."""

    id: int
    type: int = 0
    payload: msgspec.Raw = msgspec.Raw(b"null")


class ClosedOnly(msgspec.Struct, frozen=True):
    closed_only: bool


class Geoblock(msgspec.Struct, frozen=True):
    """By the address the request came from."""

    blocked: bool
    country: str = ""
    region: str = ""
