"""The local venue's answers have the keys and types of recorded ones of the same endpoint."""

import json
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from markets.tests import recorded, recorded_answers, shapes
from markets.tests.sandbox_client import Trader
from markets.venue.sandbox.testing import RunningSandbox, SandboxMarket, running_sandbox
from polyhub.tests.eventually import eventually_async

ALICE, LEADER = "0x" + "a1" * 32, "0x" + "1e" * 20

# Keys that came after the recordings, each from the venue's fact sheet or the official client's models.
NEWER = {
    "clob clob-markets": {"itode"},
    "clob order": {"tradeIDs"},
    "gamma market": {"version", "category", "secondsDelay", "tags", "events", "oneHourPriceChange", "clobRewards"}
    | {"umaResolutionStatus", "resolutionSource", "feeType", "feeSchedule"},
    "gamma resolved market": {"version", "category", "secondsDelay", "tags", "events", "clobRewards", "volumeNum"}
    | {
        "oneDayPriceChange",
        "oneMonthPriceChange",
        "oneWeekPriceChange",
        "groupItemTitle",
        "negRiskMarketID",
        "negRiskRequestID",
        "umaBond",
    }
    | {"umaReward", "customLiveness", "submitted_by", "resolvedBy"},
    "data activity": {"is_combo"},
    "data positions": {"status", "archived", "verified", "name", "profile_image", "entry_fees_usdc", "total_cost_usdc"}
    | {"total_pnl", "first_entry_at", "last_event_at", "opposite_outcome"},
}
# What a recorded answer has and a local market has nothing to say about, or what the venue dropped since.
ABSENT = {
    "clob order": {"transactionsHashes"},
    "clob markets": {"data[].rewards", "data[].tags"},
    "clob market": {"rewards"},
    "gamma event": {"series", "tags", "eventMetadata", "deployingTimestamp", "subcategory", "sortBy"},
    "gamma market": {"clobRewards", "deployingTimestamp", "series"},
    "gamma resolved market": {"comboStatus", "eventStartTime", "makerRebatesFeeShareBps", "liquidityAmm"},
    "data trades": {"profile_image_optimized"},
    "data activity": {"profile_image_optimized"},
    "data leaderboard": {"rank"},
}


class Venue:
    def __init__(self, sandbox: RunningSandbox, market: SandboxMarket, trader: Trader) -> None:
        self.sandbox, self.market, self.trader = sandbox, market, trader

    async def get(self, path: str) -> Any:
        async with aiohttp.ClientSession() as session, session.get(self.sandbox.url + path) as answer:
            assert answer.status == 200, await answer.text()
            return json.loads(await answer.text())

    async def answers(self) -> dict[str, list[Any]]:
        """One or more answers of each endpoint, as `recorded_answers` names them."""
        token, condition, data = self.market.yes, self.market.condition_id, "/data/v2"
        _, live = await self.trader.order("BUY", token, "0.40", "10")
        _, matched = await self.trader.order("BUY", token, "0.50", "10", "FAK")
        self.sandbox.leader_trade(wallet=LEADER, token_id=token, side="BUY", price="0.6", size="100", name="Ann")

        async def listed() -> bool:
            return bool((await self.get(f"{data}/positions?user={LEADER}"))["data"])

        await eventually_async(listed)
        (event,) = (await self.get("/gamma/events/keyset"))["events"]
        found = {
            "clob book": [await self.get(f"/clob/book?token_id={one}") for one in self.market.token_ids],
            "clob clob-markets": [await self.get(f"/clob/clob-markets/{condition}")],
            "clob markets": [await self.get("/clob/markets")],
            "clob market": [await self.get(f"/clob/markets/{condition}")],
            "clob price": [await self.get(f"/clob/price?token_id={token}&side={side}") for side in ("BUY", "SELL")],
            "clob midpoint": [await self.get(f"/clob/midpoint?token_id={token}")],
            "clob order": [live, matched],
            "gamma event": [{key: value for key, value in event.items() if key != "markets"}],
            "gamma market": (await self.get("/gamma/markets/keyset"))["markets"],
            "data trades": (await self.get(f"{data}/trades?user={LEADER}"))["data"],
            "data positions": (await self.get(f"{data}/positions?user={LEADER}"))["data"],
            "data leaderboard": (await self.get(f"{data}/leaderboard"))["data"],
        }
        self.sandbox.resolve(condition, token)
        found["gamma resolved market"] = (await self.get("/gamma/markets/keyset?closed=true"))["markets"]
        found["data activity"] = (await self.get(f"{data}/activity?user={LEADER}"))["data"]
        return found


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


async def test_answers_have_the_keys_and_types_of_recorded_ones(sandbox: RunningSandbox) -> None:
    market = sandbox.create_market(
        bids=[("0.48", "100")],
        asks=[("0.50", "100")],
        fee_rate="0.05",
        category="crypto",
        neg_risk=True,
        neg_risk_market_id="0x" + "9e" * 31 + "00",
        end_date="2027-01-01T00:00:00Z",
        tags=["Crypto"],
    )
    sandbox.register_wallet(private_key=ALICE, usdc=1_000, signature_type=0)
    async with aiohttp.ClientSession() as session:
        trader = await NegRiskTrader(sandbox, session, ALICE).log_in()
        ours = await Venue(sandbox, market, trader).answers()
    stored = shapes.load()
    assert ours.keys() == stored.keys()
    wrong = {
        name: shapes.differences(
            shapes.shape_of(found), stored[name], newer=NEWER.get(name, ()), absent=ABSENT.get(name, ())
        )
        for name, found in ours.items()
    }
    assert {name: found for name, found in wrong.items() if found} == {}


class NegRiskTrader(Trader):
    def payload(self, *args: Any, **more: Any) -> dict[str, Any]:
        return super().payload(*args, exchange="0xe2222d279d744050d28e00520010520000310F59", **more)


@recorded.needed
def test_the_stored_shapes_are_those_of_the_recordings() -> None:
    made = {name: shapes.shape_of(found) for name, found in recorded_answers.answers().items()}
    assert shapes.dump(made) == shapes.FILE.read_text()


def test_missing_retyped_and_unknown_keys_are_noticed() -> None:
    recorded_shape = shapes.shape_of([{"a": "1", "b": [{"c": 1}]}, {"a": "2", "b": [], "d": None}])
    assert shapes.differences(shapes.shape_of([{"a": "3", "b": [{"c": 2.5}]}]), recorded_shape) == []
    assert shapes.differences(shapes.shape_of([{"b": []}]), recorded_shape) == ["a is missing"]
    assert shapes.differences(shapes.shape_of([{"a": 1, "b": [{}]}]), recorded_shape) == [
        "a is ['number'] instead of ['string']",
        "b[].c is missing",
    ]
    ours = shapes.shape_of([{"a": "1", "b": [], "e": 1}])
    assert shapes.differences(ours, recorded_shape) == ["e is not in the recordings"]
    assert shapes.differences(ours, recorded_shape, newer={"e"}) == []
