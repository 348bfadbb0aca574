"""The recorded answers whose shapes `recorded_shapes.json` keeps, by endpoint."""

import json
import re
from collections.abc import Iterable
from typing import Any

from markets.tests import recorded, shapes

_SNAKE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
# Names that the second version of the Data API gave to what the first one already told.
_TRADE = {"asset": "token_id"}
_POSITION = {
    "asset": "token_id",
    "oppositeAsset": "opposite_token_id",
    "size": "current_size",
    "initialValue": "entry_cost_usdc",
    "cashPnl": "unrealized_pnl",
    "totalBought": "total_size",
    "curPrice": "current_price",
}
_LEADER = {"proxyWallet": "user_id", "vol": "volume", "verifiedBadge": "verified"}


def answers() -> dict[str, list[Any]]:
    fed = _json("c_quotes/negrisk_fed_june2026_gamma_event.json.gz")
    events = fed if isinstance(fed, list) else [fed]
    nobel = _json("d_markets/gamma_event_nobel_2026_negrisk_71markets.json.gz")
    events = [*events, *(nobel if isinstance(nobel, list) else [nobel])]
    weather = recorded.lines("c_quotes/negrisk_weather_gamma_clob_raw_2026-07-03.ndjson.gz")
    quotes = [quote for line in weather for quote in line["clob_quotes"].values()]
    posted = [line["response"].get("raw_response") for line in recorded.lines("f_orders/post_order_responses_23.jsonl")]
    return {
        "clob book": _json("c_quotes/negrisk_fed_june2026_clob_books.json.gz"),
        "clob clob-markets": _json("c_quotes/negrisk_fed_june2026_clob_markets.json.gz"),
        "clob markets": [_json("d_markets/clob_markets_page_1000.json.gz")],
        "clob market": [_json("d_markets/clob_market_trump2024.json")],
        "clob price": [quote["price_buy"] for quote in quotes],
        "clob midpoint": [quote["midpoint"] for quote in quotes],
        "clob order": [answer for answer in posted if answer],
        "gamma event": [{key: event[key] for key in event if key != "markets"} for event in events],
        "gamma market": [market for event in events for market in event["markets"]],
        "gamma resolved market": [
            line["raw"] for line in recorded.lines("d_markets/gamma_btc5m_resolved_292_2026-07-24.jsonl.gz")
        ],
        "data trades": _renamed("a_wallets/raw_payloads/trades.json", _TRADE),
        "data activity": _renamed("a_wallets/raw_payloads/activity_all.json", _TRADE),
        "data positions": _renamed("a_wallets/raw_payloads/positions.json", _POSITION),
        "data leaderboard": _renamed("a_wallets/raw_payloads/leaderboard.json", _LEADER),
    }


def _json(name: str) -> Any:
    return json.loads(recorded.content(name))


def _renamed(name: str, names: dict[str, str]) -> list[Any]:
    """Rows of the first version under the names of the second."""
    rows: Iterable[dict[str, Any]] = _json(name)
    return [{names.get(key) or _SNAKE.sub("_", key).lower(): value for key, value in row.items()} for row in rows]


if __name__ == "__main__":
    shapes.FILE.write_text(shapes.dump({name: shapes.shape_of(found) for name, found in answers().items()}))
