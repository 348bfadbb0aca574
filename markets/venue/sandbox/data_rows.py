"""What the Data API's routes share: filters, the envelope, its errors."""

from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import web

from markets.venue.ports import Side
from markets.venue.sandbox import wire
from markets.venue.sandbox.catalogue import Catalogue
from markets.venue.sandbox.core import Sandbox
from markets.venue.sandbox.data_errors import BadParameter
from markets.venue.sandbox.http import cursor_of, offset_of, query_int, reply
from markets.venue.sandbox.record import PublicTrade
from polyhub.lib import money

_MOST_CONDITIONS = 20
_MOST_ROWS = 1_000


def user_of(request: web.Request, *, required: bool = True) -> str:
    user = request.query.get("user", "").lower()
    if required and not user:
        raise BadParameter("user", "user is required")
    return user


def conditions_of(request: web.Request) -> set[str]:
    """Conditions as CLOB names them, from any of the spellings clients use."""
    text = ",".join(part for name in ("condition", "condition_id") for part in request.query.getall(name, []) if part)
    found = [one for one in text.split(",") if one]
    if len(found) > _MOST_CONDITIONS:
        raise BadParameter("condition", f"at most {_MOST_CONDITIONS} conditions")
    return {one if len(one) != 64 else f"{one}00" for one in found}


def trades_of(request: web.Request, sandbox: Sandbox) -> list[PublicTrade]:
    """Newest first, of a user, some conditions, an event, a side, a time, a smallest amount."""
    query, record = request.query, sandbox.record
    user, conditions = user_of(request, required=False), conditions_of(request)
    if ("start" in query or "end" in query) and not user:
        raise BadParameter("start", "start and end need a user")
    rows: Sequence[PublicTrade] = record.by_wallet.get(user, [])
    if not user:
        rows = record.by_condition.get(next(iter(conditions)), []) if len(conditions) == 1 else record.trades
    side, event_id = query.get("side", ""), query.get("event_id", "")
    start, end = query_int(request, "start", 0), query_int(request, "end", 2**62)
    events = sandbox.catalogue
    return [
        trade
        for trade in reversed(rows)
        if (not conditions or trade.condition_id in conditions)
        and (not side or trade.side is Side(side))
        and start <= trade.traded_s <= end
        and (not event_id or _event_of(trade, events) == event_id)
    ]


def _event_of(trade: PublicTrade, catalogue: Catalogue) -> str:
    market = catalogue.by_condition.get(trade.condition_id)
    return catalogue.event_id(market) if market is not None else ""


def large_enough(request: web.Request, default: float) -> Callable[[PublicTrade], bool]:
    """The filter that hides small trades even when nobody asks for it."""
    least = float(request.query.get("filter_amount") or default) * money.UNITS
    if request.query.get("filter_type", "CASH") == "TOKENS":
        return lambda trade: trade.share_units >= least
    return lambda trade: trade.cost_units >= least


def data_page(
    request: web.Request,
    rows: Sequence[Any],
    as_row: Callable[[Any], wire.Json],
    *,
    default: int = 100,
    most: int = _MOST_ROWS,
) -> web.Response:
    """A page in the Data API's envelope. Pages are followed by cursor only."""
    if query_int(request, "offset", 0):
        raise BadParameter("offset", "offset is not supported; use cursor")
    limit = query_int(request, "limit", default)
    if not 1 <= limit <= most:
        raise BadParameter("limit", f"limit must be between 1 and {most}")
    start = offset_of(request.query.get("cursor", ""))
    more = start + limit < len(rows)
    return reply(
        {
            "data": [as_row(row) for row in rows[start : start + limit]],
            "pagination": {
                "limit": limit,
                "offset": start,
                "has_more": more,
                "next_cursor": cursor_of(start + limit) if more else None,
            },
        }
    )


def one(payload: object) -> web.Response:
    return reply({"data": payload})
