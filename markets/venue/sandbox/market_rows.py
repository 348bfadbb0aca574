"""How Gamma and the CLOB describe markets and events: their keys, in their types.

What a local market has no counterpart for (icons, sponsors, review dates) has the value that most recorded rows have.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256

from markets.venue.sandbox import contracts, wire
from markets.venue.sandbox.events import MarketDef
from polyhub.lib import money

_ORACLE = "0x65070BE91477460D8A7AeEb94ef92fe056C2f2A7"
_CATEGORY_FEES = {"crypto": "crypto_fees", "sports": "sports_fees"}


@dataclass(frozen=True, slots=True)
class Facts:
    """What is true of a market now. Prices in 1/10,000 of the first outcome; `payouts` are set once it is decided.

    `oracle` are the stations of its resolution so far, such as proposed and disputed.
    """

    gamma_id: str
    tick: int
    bid: int | None
    ask: int | None
    last: int
    traded: bool
    volume_units: int
    day_volume_units: int
    liquidity_units: int
    listed_ms: int
    closed_ms: int = 0
    payouts: tuple[int, int] | None = None
    price_changes: tuple[int, int, int] = (0, 0, 0)
    oracle: tuple[str, ...] = ()
    accepting: bool = True

    @property
    def closed(self) -> bool:
        return self.payouts is not None


def plain(value: Decimal) -> int | float:
    """A JSON number as the venue writes it: without a fraction where there is none."""
    return int(value) if value == int(value) else float(value)


def iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def base_fee(market: MarketDef) -> int:
    """The legacy cap in basis points, as fee markets carry it; not the fee that is charged."""
    return 1_000 if market.fee_rate else 0


def question_id(market: MarketDef) -> str:
    return market.question_id or f"0x{sha256(f'question/{market.condition_id}'.encode()).hexdigest()}"


def version(market: MarketDef) -> str:
    return "v2" if contracts.is_v2_position(market.token_ids[0]) else "v1"


def outcome_prices(facts: Facts) -> list[str]:
    if facts.payouts is None:
        return [wire.price(facts.last), wire.price(money.PRICE_UNITS - facts.last)]
    whole = sum(facts.payouts)
    return [str(Decimal(part) / whole) for part in facts.payouts]


def gamma_market(market: MarketDef, facts: Facts) -> wire.Json:
    """A market of Gamma, without its event."""
    volume, day = wire.number(facts.volume_units), wire.number(facts.day_volume_units)
    liquidity, closed = wire.number(facts.liquidity_units), facts.closed
    bid, ask = facts.bid, facts.ask
    row: wire.Json = {
        "id": facts.gamma_id,
        "version": version(market),
        "question": market.question,
        "conditionId": gamma_condition(market),
        "slug": market.slug,
        "resolutionSource": "",
        "endDate": market.end_date or None,
        "startDate": market.start_date or iso(facts.listed_ms),
        "image": "",
        "icon": "",
        "description": market.description,
        "outcomes": wire.encode(market.outcomes),
        "outcomePrices": wire.encode(outcome_prices(facts)),
        "volume": str(volume),
        "active": True,
        "closed": closed,
        "marketMakerAddress": "",
        "createdAt": iso(facts.listed_ms),
        "updatedAt": iso(facts.closed_ms or facts.listed_ms),
        "new": False,
        "featured": False,
        "submitted_by": "",
        "archived": False,
        "resolvedBy": _ORACLE,
        "restricted": True,
        "groupItemTitle": market.group_item_title,
        "groupItemThreshold": "0",
        "questionID": question_id(market),
        "enableOrderBook": True,
        "orderPriceMinTickSize": wire.number(facts.tick, money.PRICE_UNITS),
        "orderMinSize": plain(market.min_order_size),
        "volumeNum": volume,
        "liquidity": str(liquidity),
        "liquidityNum": liquidity,
        "endDateIso": market.end_date[:10] or None,
        "startDateIso": (market.start_date or iso(facts.listed_ms))[:10],
        "hasReviewedDates": True,
        "volume24hr": day,
        "volume1wk": volume,
        "volume1mo": volume,
        "volume1yr": volume,
        "clobTokenIds": wire.encode(market.token_ids),
        "umaBond": "500",
        "umaReward": "5",
        "volume24hrClob": day,
        "volume1wkClob": volume,
        "volume1moClob": volume,
        "volume1yrClob": volume,
        "volumeClob": volume,
        "liquidityClob": liquidity,
        "makerBaseFee": base_fee(market),
        "takerBaseFee": base_fee(market),
        "customLiveness": 0,
        "acceptingOrders": facts.accepting,
        "negRisk": market.neg_risk,
        "negRiskMarketID": market.neg_risk_market_id,
        "negRiskRequestID": "",
        "ready": False,
        "funded": False,
        "acceptingOrdersTimestamp": iso(facts.listed_ms),
        "cyom": False,
        "competitive": 0.9,
        "pagerDutyNotificationEnabled": False,
        "approved": True,
        "clobRewards": [],
        "rewardsMinSize": 0,
        "rewardsMaxSpread": 0.0,
        "spread": wire.number((ask or money.PRICE_UNITS) - (bid or 0), money.PRICE_UNITS),
        "oneHourPriceChange": wire.number(facts.price_changes[0], money.PRICE_UNITS),
        "oneDayPriceChange": wire.number(facts.price_changes[1], money.PRICE_UNITS),
        "oneWeekPriceChange": wire.number(facts.price_changes[2], money.PRICE_UNITS),
        "oneMonthPriceChange": wire.number(facts.price_changes[2], money.PRICE_UNITS),
        "lastTradePrice": wire.number(facts.last, money.PRICE_UNITS),
        "bestBid": wire.number(bid or 0, money.PRICE_UNITS),
        "bestAsk": wire.number(ask or money.PRICE_UNITS, money.PRICE_UNITS),
        "automaticallyActive": True,
        "clearBookOnStart": True,
        "showGmpSeries": False,
        "showGmpOutcome": False,
        "manualActivation": False,
        "negRiskOther": False,
        "umaResolutionStatus": "resolved" if closed else (facts.oracle[-1] if facts.oracle else ""),
        "umaResolutionStatuses": wire.encode(facts.oracle),
        "pendingDeployment": False,
        "deploying": False,
        "rfqEnabled": False,
        "holdingRewardsEnabled": False,
        "feesEnabled": market.fee_rate > 0,
        "secondsDelay": market.seconds_delay,
        "requiresTranslation": False,
        "category": market.category,
    }
    if market.fee_rate:
        row["feeType"] = _CATEGORY_FEES.get(market.category, "general_fees")
        row["feeSchedule"] = {
            "exponent": market.fee_exponent,
            "rate": float(market.fee_rate),
            "takerOnly": True,
            "rebateRate": 0.25,
        }
    if closed:
        row |= {"closedTime": iso(facts.closed_ms), "umaEndDate": iso(facts.closed_ms), "automaticallyResolved": True}
    if version(market) == "v2":
        row |= {
            "positionIds": list(market.token_ids),
            "resolutionStatus": "resolved" if closed else "active",
            "onchainEventId": market.condition_id,
            "requestId": market.condition_id,
        }
    return row


def gamma_condition(market: MarketDef) -> str:
    """Gamma names a condition of the second protocol by its 31 bytes (unverified), the CLOB by 32."""
    return market.condition_id[:64] if version(market) == "v2" else market.condition_id


def gamma_event(event_id: str, markets: Sequence[tuple[MarketDef, Facts]]) -> wire.Json:
    """An event of Gamma, without its markets. `markets` are its markets."""
    first, facts = markets[0]
    every = [one for _, one in markets]
    volume = wire.number(sum(one.volume_units for one in every))
    liquidity = wire.number(sum(one.liquidity_units for one in every))
    listed = min(one.listed_ms for one in every)
    closed = all(one.closed for one in every)
    row: wire.Json = {
        "id": event_id,
        "ticker": first.event_slug,
        "slug": first.event_slug,
        "title": first.event_title or first.question,
        "description": first.description,
        "resolutionSource": "",
        "startDate": first.start_date or iso(listed),
        "creationDate": iso(listed),
        "endDate": first.end_date or None,
        "image": "",
        "icon": "",
        "active": True,
        "closed": closed,
        "archived": False,
        "new": False,
        "featured": False,
        "restricted": True,
        "liquidity": liquidity,
        "volume": volume,
        "openInterest": 0.0,
        "createdAt": iso(listed),
        "updatedAt": iso(max(one.closed_ms or one.listed_ms for one in every)),
        "competitive": 0.9,
        "volume24hr": wire.number(sum(one.day_volume_units for one in every)),
        "volume1wk": volume,
        "volume1mo": volume,
        "volume1yr": volume,
        "enableOrderBook": True,
        "liquidityClob": liquidity,
        "negRisk": first.neg_risk,
        "negRiskMarketID": first.neg_risk_market_id,
        "commentCount": 0,
        "tags": tags_of(first),
        "cyom": False,
        "showAllOutcomes": True,
        "showMarketImages": True,
        "enableNegRisk": first.neg_risk,
        "automaticallyActive": True,
        "gmpChartMode": "default",
        "negRiskAugmented": False,
        "estimateValue": False,
        "cumulativeMarkets": False,
        "pendingDeployment": False,
        "deploying": False,
        "requiresTranslation": False,
    }
    if first.series:
        row |= {"seriesSlug": first.series, "series": [series_row(first.series)]}
    if closed:
        row["closedTime"] = iso(facts.closed_ms)
    return row


def tag_id(slug: str) -> str:
    return str(100_000 + int.from_bytes(sha256(slug.encode()).digest()[:3]))


def tag_names(market: MarketDef) -> tuple[str, ...]:
    return market.tags or ((market.category.capitalize(),) if market.category else ())


def tag_row(label: str) -> wire.Json:
    slug = label.lower().replace(" ", "-")
    when = "2026-01-01T00:00:00Z"
    return {
        "id": tag_id(slug),
        "label": label,
        "slug": slug,
        "createdAt": when,
        "updatedAt": when,
        "requiresTranslation": False,
    }


def tags_of(market: MarketDef) -> list[wire.Json]:
    return [tag_row(label) for label in tag_names(market)]


def series_row(slug: str) -> wire.Json:
    return {
        "id": tag_id(f"series/{slug}"),
        "ticker": slug,
        "slug": slug,
        "title": slug.replace("-", " ").title(),
        "seriesType": "single",
        "recurrence": "daily",
        "image": "",
        "icon": "",
        "active": True,
        "closed": False,
        "archived": False,
        "featured": False,
        "restricted": True,
        "createdAt": "2026-01-01T00:00:00Z",
        "updatedAt": "2026-01-01T00:00:00Z",
        "volume24hr": 0.0,
        "volume": 0.0,
        "liquidity": 0.0,
        "commentCount": 0,
        "requiresTranslation": False,
    }


def clob_market(market: MarketDef, facts: Facts) -> wire.Json:
    """A market of the CLOB's listings."""
    prices = outcome_prices(facts)
    halves = facts.payouts is not None and 0 not in facts.payouts
    tokens = [
        {
            "token_id": token,
            "outcome": outcome,
            "price": plain(Decimal(price)),
            "winner": facts.closed and not halves and price == "1",
        }
        for token, outcome, price in zip(market.token_ids, market.outcomes, prices, strict=True)
    ]
    return {
        "enable_order_book": True,
        "active": True,
        "closed": facts.closed,
        "archived": False,
        "accepting_orders": facts.accepting,
        "accepting_order_timestamp": None,
        "minimum_order_size": plain(market.min_order_size),
        "minimum_tick_size": wire.number(facts.tick, money.PRICE_UNITS),
        "condition_id": market.condition_id,
        "question_id": question_id(market),
        "question": market.question,
        "description": market.description,
        "market_slug": market.slug,
        "end_date_iso": market.end_date or None,
        "game_start_time": None,
        "seconds_delay": market.seconds_delay,
        "fpmm": "",
        "maker_base_fee": base_fee(market),
        "taker_base_fee": base_fee(market),
        "notifications_enabled": True,
        "neg_risk": market.neg_risk,
        "neg_risk_market_id": market.neg_risk_market_id,
        "neg_risk_request_id": "",
        "icon": "",
        "image": "",
        "rewards": {"rates": None, "min_size": 0, "max_spread": 0},
        "is_50_50_outcome": halves,
        "tokens": tokens,
        "tags": [*tag_names(market), "All"],
    }


def simplified_market(market: MarketDef, facts: Facts) -> wire.Json:
    whole = clob_market(market, facts)
    names = ("condition_id", "rewards", "tokens", "active", "closed", "archived", "accepting_orders")
    return {name: whole[name] for name in names}


def clob_short(market: MarketDef, facts: Facts) -> wire.Json:
    """The short-key answer of /clob-markets."""
    row: wire.Json = {
        "r": {"mi": 0, "ma": 0.0, "moas": 0},
        "t": [{"t": token, "o": name} for token, name in zip(market.token_ids, market.outcomes, strict=True)],
        "c": market.condition_id,
        "mos": plain(market.min_order_size),
        "mts": wire.number(facts.tick, money.PRICE_UNITS),
        "mbf": base_fee(market),
        "tbf": base_fee(market),
        "ao": facts.accepting,
        "nr": market.neg_risk,
        "cbos": True,
        "aot": iso(facts.listed_ms)[:19] + "Z",
        "ibce": False,
    }
    if market.taker_delay_ms:
        row["itode"] = True
    if market.fee_rate:
        row["fd"] = {"r": float(market.fee_rate), "e": market.fee_exponent, "to": True}
    return row
