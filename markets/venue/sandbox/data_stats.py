"""Data API v2, what is counted: standings, holders, open interest, volume, profit over time, resolutions."""

from datetime import UTC, datetime

from aiohttp import web

from markets.venue.sandbox import contracts, market_rows, wire
from markets.venue.sandbox.core import Sandbox
from markets.venue.sandbox.data_errors import BadParameter
from markets.venue.sandbox.data_rows import conditions_of, data_page, one, user_of
from markets.venue.sandbox.events import MarketDef
from markets.venue.sandbox.http import query_int
from markets.venue.sandbox.record import PublicPosition, PublicTrade, Standing
from polyhub.lib import money

_INTERVALS_S = {"1h": 3_600, "6h": 21_600, "12h": 43_200, "1d": 86_400, "1w": 604_800, "1m": 2_592_000}
_STEPS_S = {"1h": 3_600, "3h": 10_800, "12h": 43_200, "18h": 64_800, "1d": 86_400}
_WINDOWS_S = {"day": 86_400, "week": 604_800, "month": 2_592_000, "all": 2**40}
_MOST_TOKENS = 50
_MOST_SPAN_S = 15 * 86_400
_MOST_HOLDERS = 20


class DataStats:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/data/v2/leaderboard", self.leaderboard),
            web.get("/data/v2/biggest-winners", self.nothing),
            web.get("/data/v2/builders/leaderboard", self.nothing),
            web.get("/data/v2/builders/volume", self.nothing),
            web.get("/data/v2/user-stats", self.user_stats),
            web.get("/data/v2/user-volume", self.user_volume),
            web.get("/data/v2/user-pnl", self.user_pnl),
            web.get("/data/v2/holders", self.holders),
            web.get("/data/v2/oi", self.open_interest),
            web.get("/data/v2/live-volume", self.live_volume),
            web.get("/data/v2/tokens", self.tokens),
            web.get("/data/v2/prices-history", self.prices_history),
            web.get("/data/v2/resolutions", self.resolutions),
        ]

    async def leaderboard(self, request: web.Request) -> web.Response:
        by_profit = self._standings(request)
        by_volume = sorted(by_profit, key=lambda each: (-each.volume_units, each.wallet))
        user = user_of(request, required=False)
        if user:
            ranks = [
                next((rank for rank, each in enumerate(ranked, start=1) if each.wallet == user), None)
                for ranked in (by_profit, by_volume)
            ]
            found = next((each for each in by_profit if each.wallet == user), None)
            if found is None:
                return one(None)
            return one({**self._standing(found), "rank_pnl": ranks[0], "rank_volume": ranks[1], "rank": ranks[0]})
        chosen = by_volume if request.query.get("sort_by") == "VOLUME" else by_profit
        rows = [{"rank": rank, **self._standing(each)} for rank, each in enumerate(chosen, start=1)]
        return data_page(request, rows, lambda row: row)

    async def nothing(self, request: web.Request) -> web.Response:
        """Lists about builders and records, of which a local venue has none."""
        return data_page(request, [], lambda row: row)

    async def user_stats(self, request: web.Request) -> web.Response:
        user, record = user_of(request), self._sandbox.record
        trades = [each for each in record.by_wallet.get(user, []) if each.kind == "TRADE"]
        if not trades:
            return one(None)
        best = max((each.realized_units for each in record.positions(user)), default=0)
        now_s = self._sandbox.now_ms() // 1000
        return one(
            {
                "proxy_wallet": user,
                "trades": len({each.condition_id for each in trades}),
                "biggest_win": wire.number(max(best, 0)),
                "views": 0,
                "join_date": trades[0].traded_s,
                "all_time_pnl": self._point(record.by_wallet[user], now_s),
            }
        )

    async def user_volume(self, request: web.Request) -> web.Response:
        user = user_of(request)
        start, end = query_int(request, "start", 0), query_int(request, "end", 2**62)
        trades = [
            each
            for each in self._sandbox.record.by_wallet.get(user, [])
            if each.kind == "TRADE" and start <= each.traded_s <= end
        ]
        shares = sum(each.share_units for each in trades)
        cash = sum(each.cost_units for each in trades)
        totals = {"volume": wire.number(shares), "volume_usdc": wire.number(cash), "trade_count": len(trades)}
        return one({"proxy_wallet": user, **totals})

    async def user_pnl(self, request: web.Request) -> web.Response:
        """Profit at the prices of each moment."""
        user, now_s = user_of(request), self._sandbox.now_ms() // 1000
        interval, fidelity = request.query.get("interval", "1d"), request.query.get("fidelity", "1h")
        step = _STEPS_S.get(fidelity)
        if step is None:
            raise BadParameter("fidelity", f"unknown fidelity {fidelity}")
        trades = self._sandbox.record.by_wallet.get(user, [])
        first = trades[0].traded_s if trades else now_s
        start = max(first, now_s - _INTERVALS_S.get(interval, now_s))
        moments = [*range(start, now_s, step), now_s]
        points = [self._point(trades, at) for at in moments]
        kind = {"interval": interval, "fidelity": fidelity, "source_fidelity": fidelity}
        return one({"proxy_wallet": user, **kind, "points": points})

    async def holders(self, request: web.Request) -> web.Response:
        least = float(request.query.get("min_balance") or 1)
        rows: list[wire.Json] = []
        for market in self._markets(request):
            for token in market.token_ids:
                found = [
                    each for each in self._sandbox.record.holders(token) if each.share_units >= least * money.UNITS
                ]
                rows.append({"token_id": token, "holders": [self._holder(each) for each in found[:_MOST_HOLDERS]]})
        return data_page(request, rows, lambda row: row)

    async def open_interest(self, request: web.Request) -> web.Response:
        collateral = self._sandbox.exchange.ledger.collateral
        rows = [
            {"condition_id": each.condition_id, "value": wire.number(collateral.get(each.condition_id, 0))}
            for each in self._markets(request)
        ]
        return one(rows)

    async def live_volume(self, request: web.Request) -> web.Response:
        events, catalogue = set(request.query.get("event_id", "").split(",")), self._sandbox.catalogue
        if events == {""}:
            raise BadParameter("event_id", "event_id is required")
        markets = [each for each in catalogue.by_condition.values() if catalogue.event_id(each) in events]
        volumes = [self._sandbox.record.volume_units.get(each.condition_id, 0) for each in markets]
        rows = [
            {"condition_id": each.condition_id, "taker_volume": wire.number(units)}
            for each, units in zip(markets, volumes, strict=True)
        ]
        return one({"taker_volume_total": wire.number(sum(volumes)), "conditions": rows})

    async def tokens(self, request: web.Request) -> web.Response:
        asked = [token for text in request.query.getall("token_id", []) for token in text.split(",") if token]
        asked = asked or [token for market in self._markets(request) for token in market.token_ids]
        if not 0 < len(asked) <= _MOST_TOKENS:
            raise BadParameter("token_id", f"between 1 and {_MOST_TOKENS} tokens")
        known = self._sandbox.catalogue.by_token
        return one([self._token(known[token], token) for token in asked if token in known])

    async def prices_history(self, request: web.Request) -> web.Response:
        query, now_s = request.query, self._sandbox.now_ms() // 1000
        token = query.get("token_id", "")
        if not token:
            raise BadParameter("token_id", "token_id is required")
        bucket = query_int(request, "bucket_seconds", 60)
        if bucket < 60:
            raise BadParameter("bucket_seconds", "bucket_seconds must be at least 60")
        end = query_int(request, "end", now_s)
        end = query_int(request, "as_of", end)
        start = query_int(request, "start", end - _INTERVALS_S.get(query.get("interval", ""), _MOST_SPAN_S))
        if end - start > _MOST_SPAN_S and "start" in query:
            raise BadParameter("start", "the range must be at most 15 days")
        points = self._sandbox.record.prices(token, since_s=start, until_s=end)
        last = {at // bucket: (at, price) for at, price in points}
        rows = [
            {"timestamp": at, "price": wire.number(price, money.PRICE_UNITS), "resolution_seconds": bucket}
            for at, price in last.values()
        ]
        return data_page(request, rows, lambda row: row, default=1_000, most=10_000)

    async def resolutions(self, request: web.Request) -> web.Response:
        question = request.query.get("question_id", "")
        event_id = {each for each in request.query.get("event_id", "").split(",") if each}
        catalogue, conditions = self._sandbox.catalogue, conditions_of(request)
        if not (question or event_id or conditions):
            raise BadParameter("condition", "one of question_id, condition, event_id is required")
        chosen = [
            each
            for each in catalogue.by_condition.values()
            if (not conditions or each.condition_id in conditions)
            and (not question or market_rows.question_id(each) == question)
            and (not event_id or catalogue.event_id(each) in event_id)
        ]
        return data_page(request, chosen, self._resolution)

    def _standings(self, request: web.Request) -> list[Standing]:
        """By profit; of one category's markets and of what happened in a window, where these are asked for."""
        record, query = self._sandbox.record, request.query
        category, window = query.get("category", "").lower(), query.get("time_period", "all").lower()
        if window not in _WINDOWS_S:
            raise BadParameter("time_period", f"unknown time_period {window}")
        if category in ("", "overall") and window == "all":
            return record.standings()
        known, now_s = self._sandbox.catalogue.by_condition, self._sandbox.now_ms() // 1000
        start_s = now_s - _WINDOWS_S[window]
        found: list[Standing] = []
        for wallet, rows in list(record.by_wallet.items()):
            trades = [
                each
                for each in rows
                if each.condition_id
                and (category in ("", "overall") or known[each.condition_id].category.lower() == category)
            ]
            inside = [each for each in trades if each.kind == "TRADE" and each.traded_s >= start_s]
            if not inside:
                continue
            profit = self._profit(trades, now_s) - self._profit(trades, start_s)
            found.append(Standing(wallet, profit, sum(each.share_units for each in inside)))
        return sorted(found, key=lambda each: (-each.pnl_units, each.wallet))

    def _profit(self, trades: list[PublicTrade], at_s: int) -> int:
        point = self._point(trades, at_s)
        made: float = point["realized_pnl"] + point["unrealized_pnl"]
        return round(made * money.UNITS)

    def _markets(self, request: web.Request) -> list[MarketDef]:
        known, conditions = self._sandbox.catalogue.by_condition, conditions_of(request)
        return [known[each] for each in conditions if each in known] if conditions else list(known.values())

    def _standing(self, standing: Standing) -> wire.Json:
        return {
            "user_id": standing.wallet,
            "user_name": (self._sandbox.catalogue.profile(standing.wallet) or {}).get("name", ""),
            "pnl": wire.number(standing.pnl_units),
            "volume": wire.number(standing.volume_units),
            "profile_image": "",
            "x_username": "",
            "verified": False,
        }

    def _holder(self, position: PublicPosition) -> wire.Json:
        row = self._sandbox.catalogue.position_row(position)
        profile = self._sandbox.catalogue.profile(position.wallet) or {}
        return {
            "proxy_wallet": row["proxy_wallet"],
            "token_id": position.token_id,
            "amount": row["current_size"],
            "outcome_index": row["outcome_index"],
            "display_username_public": True,
            "verified": False,
            "name": profile.get("name", ""),
            "pseudonym": profile.get("pseudonym", ""),
            "bio": "",
            "profile_image": "",
        }

    def _token(self, market: MarketDef, token: str) -> wire.Json:
        index, facts = market.token_ids.index(token), self._sandbox.facts_of(market)
        second = contracts.is_v2_position(token)
        module = {1: "binary", 2: "neg_risk", 3: "combo"}[int(token) >> 248] if second else "v1_ctf"
        prices = market_rows.outcome_prices(facts)
        return {
            "token_id": token,
            "condition_id": market.condition_id,
            "structural_condition_id": market.condition_id if second else None,
            "module": module,
            "outcome_index": index,
            "clob_index": index,
            "outcome": market.outcomes[index],
            "opposite_token_id": market.token_ids[1 - index],
            "resolved": facts.closed,
            "final_price": float(prices[index]) if facts.closed else None,
            "title": market.question,
            "market_slug": market.slug,
            "closed": facts.closed,
            "neg_risk": market.neg_risk,
            "neg_risk_market_id": market.neg_risk_market_id or None,
            "question_index": None,
            "event_id": int(self._sandbox.catalogue.event_id(market)),
            "event_slug": market.event_slug,
        }

    def _resolution(self, market: MarketDef) -> wire.Json:
        """Payouts are told in millionths of a dollar."""
        facts = self._sandbox.facts_of(market)
        parts = facts.payouts or (0, 0)
        at_s = (facts.closed_ms or facts.listed_ms) // 1000
        row: wire.Json = {
            "question_id": market_rows.question_id(market),
            "condition_id": market.condition_id,
            "status": "resolved" if facts.closed else (facts.oracle[-1] if facts.oracle else "initialized"),
            "extended_review": False,
            "was_disputed": "disputed" in facts.oracle,
            "new_version_q": False,
            "last_update_timestamp": at_s,
            "reporter": "UMA_OO",
            "payouts": None,
        }
        if facts.closed:
            payouts = [part * money.UNITS // sum(parts) for part in parts]
            resolved_at = datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            row |= {"payouts": payouts, "price": payouts[0], "resolved_at": resolved_at}
        return row

    def _point(self, trades: list[PublicTrade], at_s: int) -> wire.Json:
        """What a wallet had made by a moment, at the prices of that moment."""
        record, held = self._sandbox.record, dict[str, PublicPosition]()
        done = [each for each in trades if each.traded_s <= at_s and each.kind in ("TRADE", "REDEEM")]
        for each in done:
            position = held.setdefault(each.token_id, PublicPosition(each.wallet, each.token_id, each.condition_id))
            position.apply(each)
        worth = {token: record.price_at(token, at_s) or record.last_price.get(token, 0) for token in held}
        realized = sum(each.realized_units for each in held.values())
        unrealized = sum(
            each.share_units * worth[token] // money.PRICE_UNITS - each.cost_units for token, each in held.items()
        )
        traded = [each for each in done if each.kind == "TRADE"]
        return {
            "timestamp": at_s,
            "source_block": self._sandbox.chain.block_at(at_s * 1000),
            "trade_count": len(traded),
            "realized_market_pnl": wire.number(realized),
            "realized_lp_pnl": 0.0,
            "realized_combo_pnl": 0.0,
            "realized_pnl": wire.number(realized),
            "unrealized_pnl": wire.number(unrealized),
            "volume": wire.number(sum(each.share_units for each in traded)),
            "volume_usdc": wire.number(sum(each.cost_units for each in traded)),
            "fees_paid": wire.number(sum(each.fee_units for each in traded)),
        }
