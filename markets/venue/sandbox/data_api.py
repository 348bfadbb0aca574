"""Data API v2, what wallets did and own: trades, activity, positions, value."""

from aiohttp import web

from markets.venue.sandbox import contracts, data_rows, wire
from markets.venue.sandbox.core import Sandbox
from markets.venue.sandbox.data_errors import BadParameter
from markets.venue.sandbox.data_rows import conditions_of, data_page, one, user_of
from markets.venue.sandbox.eip712 import CHAIN_ID
from markets.venue.simulator.ledger import UNLIMITED

_DUST_DEFAULT = 0.1
_TRADE_DEFAULT = 0.01
_STATUSES = frozenset({"OPEN", "REDEEMABLE", "REDEEMABLE_LOST", "MERGEABLE", "CLOSED"})
_TRANSFERS = frozenset({"DEPOSIT", "WITHDRAWAL"})
_SORTS = {
    "CURRENT_VALUE": "current_value",
    "PRICE": "current_price",
    "TOKENS": "current_size",
    "UNREALIZED_PNL": "unrealized_pnl",
    "REALIZED_PNL": "realized_pnl",
    "TOTAL_PNL": "total_pnl",
    "TIMESTAMP": "last_event_at",
}


class DataApi:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/data/v2/trades", self.trades),
            web.get("/data/v2/activity", self.activity),
            web.get("/data/v2/activity/combos", self.no_combos),
            web.get("/data/v2/positions", self.positions),
            web.get("/data/v2/positions/combos", self.no_combos),
            web.get("/data/v2/value", self.value),
            web.get("/data/v2/approvals", self.approvals),
            web.get("/data/v2/status", self.status),
        ]

    async def trades(self, request: web.Request) -> web.Response:
        """Without `taker_only=false` a wallet's resting orders that were hit do not show."""
        taker_only = request.query.get("taker_only", "true") != "false"
        large = data_rows.large_enough(request, _TRADE_DEFAULT)
        rows = [
            trade
            for trade in data_rows.trades_of(request, self._sandbox)
            if trade.kind == "TRADE" and (trade.taker or not taker_only) and large(trade)
        ]
        return data_page(request, rows, self._sandbox.catalogue.trade_row)

    async def activity(self, request: web.Request) -> web.Response:
        """Deposits and withdrawals are told only when asked for."""
        user_of(request)
        kinds = {kind for text in request.query.getall("type", []) for kind in text.split(",") if kind}
        hidden = _TRANSFERS if request.query.get("exclude_deposits_withdrawals", "true") != "false" else frozenset()
        rows = [
            did
            for did in data_rows.trades_of(request, self._sandbox)
            if did.kind not in hidden and (not kinds or did.kind in kinds)
        ]
        if request.query.get("sort_direction") == "ASC":
            rows.reverse()
        return data_page(request, rows, self._sandbox.catalogue.activity_row)

    async def no_combos(self, request: web.Request) -> web.Response:
        """Combinations are traded by request for quotes, which this venue does not have."""
        user_of(request)
        return data_page(request, [], lambda row: row)

    async def positions(self, request: web.Request) -> web.Response:
        query, conditions = request.query, conditions_of(request)
        user = user_of(request, required=len(conditions) != 1)
        statuses = {status for text in query.getall("status", []) for status in text.split(",") if status}
        if statuses - _STATUSES:
            raise BadParameter("status", f"unknown status {min(statuses - _STATUSES)}")
        sort_by = query.get("sort_by", "CURRENT_VALUE")
        if sort_by not in _SORTS:
            raise BadParameter("sort_by", f"unknown sort {sort_by}")
        dust = float(query.get("filter_amount") or _DUST_DEFAULT)
        chosen = [
            row
            for row in self._position_rows(user, conditions)
            if _has_status(row, statuses)
            and (row["status"] == "CLOSED" or row["current_size"] >= dust)
            and (not conditions or row["condition_id"] in conditions)
            and query.get("event_id", "") in ("", row["event_id"])
        ]
        chosen.sort(
            key=lambda row: (row[_SORTS[sort_by]], row["token_id"]), reverse=query.get("sort_direction") != "ASC"
        )
        return data_page(request, chosen, lambda row: row)

    async def value(self, request: web.Request) -> web.Response:
        user, conditions, record = user_of(request), conditions_of(request), self._sandbox.record
        total = sum(
            record.value_units(position)
            for position in record.positions(user)
            if not conditions or position.condition_id in conditions
        )
        return one({"proxy_wallet": user, "value": wire.number(total)})

    async def approvals(self, request: web.Request) -> web.Response:
        user, known = user_of(request), self._sandbox.approvals
        rows: list[wire.Json] = []
        for spender in contracts.CASH_SPENDERS:
            units = known.cash_allowance(user, spender)
            rows.append(
                {
                    "token": contracts.PUSD,
                    "spender": spender,
                    "standard": "ERC20",
                    "approved": units > 0,
                    "amount": "max" if units == UNLIMITED else str(units),
                }
            )
        for contract, operator in contracts.SHARE_OPERATORS:
            approved = known.is_operator(user, contract, operator)
            rows.append({"token": contract, "spender": operator, "standard": "ERC1155", "approved": approved})
        return one({"address": user, "chain_id": CHAIN_ID, "contracts": rows})

    async def status(self, request: web.Request) -> web.Response:
        return one({"status": "ok", "timestamp": self._sandbox.now_ms() // 1000})

    def _position_rows(self, user: str, conditions: set[str]) -> list[wire.Json]:
        """Of a wallet, or of everybody in one market."""
        record, catalogue = self._sandbox.record, self._sandbox.catalogue
        if user:
            return [catalogue.position_row(position) for position in record.positions(user)]
        tokens = [token for one in conditions for token in catalogue.by_condition[one].token_ids]
        return [catalogue.position_row(position) for token in tokens for position in record.holders(token)]


def _has_status(row: wire.Json, statuses: set[str]) -> bool:
    """Closed ones are told only when asked for."""
    if not statuses:
        return bool(row["status"] != "CLOSED")
    return row["status"] in statuses or ("MERGEABLE" in statuses and bool(row["mergeable"]))
