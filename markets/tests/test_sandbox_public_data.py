"""Gamma and the Data API of the local venue; the official client's own parsers judge the shapes."""

from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from polymarket import AsyncPublicClient

from markets.tests.sandbox_sdk import environment_of
from markets.venue.sandbox.testing import RunningSandbox, SandboxMarket, running_sandbox
from polyhub.tests.eventually import eventually_async

LEADER, OTHER = "0x" + "1e" * 20, "0x" + "2e" * 20


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture
def market(sandbox: RunningSandbox) -> SandboxMarket:
    return sandbox.create_market(
        "will-it-rain",
        bids=[("0.48", "100")],
        asks=[("0.50", "100")],
        question="Will it rain in Paris?",
        category="weather",
        series="paris-weather",
        fee_rate="0.05",
        end_date="2027-01-01T00:00:00Z",
    )


@pytest.fixture
async def public(sandbox: RunningSandbox) -> AsyncIterator[AsyncPublicClient]:
    async with AsyncPublicClient(environment=environment_of(sandbox)) as client:
        yield client


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


async def traded(sandbox: RunningSandbox, market: SandboxMarket, public: AsyncPublicClient) -> None:
    """The leader buys 100 YES at 0.60, and everybody may read it."""
    sandbox.leader_trade(wallet=LEADER, token_id=market.yes, side="BUY", price="0.6", size="100", name="Ann")

    async def listed() -> bool:
        return bool((await public.list_positions(user=LEADER).first_page()).items)

    await eventually_async(listed)


async def json_of(session: aiohttp.ClientSession, url: str) -> tuple[int, Any]:
    async with session.get(url) as answer:
        return answer.status, await answer.json()


async def test_the_official_client_reads_what_a_wallet_did(
    sandbox: RunningSandbox, market: SandboxMarket, public: AsyncPublicClient
) -> None:
    await traded(sandbox, market, public)
    (trade,) = (await public.list_trades(user=LEADER).first_page()).items
    (did,) = (await public.list_activity(user=LEADER).first_page()).items
    (position,) = (await public.list_positions(user=LEADER).first_page()).items
    assert (trade.price, trade.size, str(did.type)) == (Decimal("0.6"), Decimal(100), "TRADE")
    assert (position.current_size, position.avg_price) == (Decimal(100), Decimal("0.6"))
    assert (await public.get_portfolio_value(user=LEADER)).value == Decimal(60)
    stats = await public.get_user_stats(user=LEADER)
    assert stats is not None
    assert stats.traded_market_count == 1
    assert await public.get_user_stats(user=OTHER) is None
    volume = await public.get_user_volume(user=LEADER)
    assert (volume.volume, volume.volume_usdc, volume.trade_count) == (Decimal(100), Decimal(60), 1)
    pnl = await public.get_user_pnl(user=LEADER, interval="1d", fidelity="1h")
    assert pnl.points[-1].trade_count == 1


async def test_the_official_client_reads_what_is_counted_of_markets(
    sandbox: RunningSandbox, market: SandboxMarket, public: AsyncPublicClient
) -> None:
    await traded(sandbox, market, public)
    holders = (await public.list_market_holders(condition_ids=market.condition_id).first_page()).items
    assert {holder.wallet.lower(): holder.amount for one in holders for holder in one.holders}[LEADER] == Decimal(100)
    (interest,) = await public.get_open_interests(condition_ids=[market.condition_id])
    assert interest.value == Decimal(100)
    token, opposite = await public.get_token_references(asset_ids=[market.yes, market.no])
    assert (token.outcome, token.opposite_asset_id, opposite.outcome_index) == ("Yes", market.no, 1)
    (resolution,) = await public.get_resolutions(condition_ids=[market.condition_id])
    assert (resolution.status, resolution.payouts) == ("initialized", None)
    (point,) = (await public.list_price_history(asset_id=market.yes, interval="1d").first_page()).items
    assert point.price == Decimal("0.6")
    standings = (await public.list_trader_leaderboard().first_page()).items
    assert LEADER in {one.wallet.lower() for one in standings}
    standing = await public.get_trader_leaderboard_standing(user=LEADER)
    assert standing is not None
    assert standing.volume == Decimal(100)
    event = (await public.list_events().first_page()).items[0]
    live = await public.get_event_live_volume(event_ids=[int(event.id)])
    assert live.taker_volume_total == Decimal(60)


async def test_the_official_client_reads_gamma(
    sandbox: RunningSandbox, market: SandboxMarket, public: AsyncPublicClient
) -> None:
    found = (await public.search(q="rain paris").first_page()).items[0]
    assert [event.slug for event in found.events] == [market.slug]
    assert (await public.search(q="snow").first_page()).items[0].events == ()
    event = await public.get_event(slug=market.slug)
    assert [one.slug for one in event.markets or ()] == [market.slug]
    assert (await public.get_event(id=str(event.id))).slug == market.slug
    assert [tag.slug for tag in await public.get_event_tags(str(event.id))] == ["weather"]
    assert (await public.get_tag(slug="weather")).label == "Weather"
    (series,) = (await public.list_series().first_page()).items
    assert series.slug == "paris-weather"
    assert (await public.list_teams().first_page()).items == ()
    profile = await public.get_public_profile(LEADER)
    assert profile is None


async def test_markets_of_the_second_protocol_are_named_by_their_positions(
    sandbox: RunningSandbox, public: AsyncPublicClient
) -> None:
    second = sandbox.create_market("second", version="v2", question="A newer one?")
    listed = await public.get_market(slug="second")
    assert str(listed.version) == "v2"
    assert str(listed.outcomes.yes.position_id) == second.yes
    assert len(str(listed.condition_id)) == 2 + 62
    (reference,) = await public.get_token_references(asset_ids=[second.yes])
    assert (reference.module, reference.condition_id) == ("binary", f"{listed.condition_id}00")
    book = await public.get_order_book(token_id=second.yes)
    assert book.bids


async def test_trades_come_from_the_cache_unless_the_url_changes(
    sandbox: RunningSandbox, market: SandboxMarket, public: AsyncPublicClient, session: aiohttp.ClientSession
) -> None:
    url = f"{sandbox.url}/data/v2/trades?user={LEADER}"
    async with session.get(url) as first:
        assert (first.headers["X-Cache"], (await first.json())["data"]) == ("Miss from cloudfront", [])
    await traded(sandbox, market, public)
    async with session.get(url, headers={"Cache-Control": "no-cache"}) as again:
        assert (again.headers["X-Cache"], (await again.json())["data"]) == ("Hit from cloudfront", [])
        assert int(again.headers["Age"]) >= 0
    _, fresh = await json_of(session, f"{url}&_=1")
    assert len(fresh["data"]) == 1
    sandbox.call("POST", "venue", {"cdn": {}})
    _, uncached = await json_of(session, url)
    assert len(uncached["data"]) == 1


async def test_defaults_hide_rows(
    sandbox: RunningSandbox, market: SandboxMarket, public: AsyncPublicClient, session: aiohttp.ClientSession
) -> None:
    await traded(sandbox, market, public)
    sandbox.leader_trade(wallet=OTHER, token_id=market.yes, side="BUY", price="0.5", size="0.09")
    sandbox.leader_trade(wallet=OTHER, token_id=market.yes, side="BUY", price="0.5", size="0.01")
    data = f"{sandbox.url}/data/v2"

    async def all_of_them() -> bool:
        _, body = await json_of(session, f"{data}/positions?user={OTHER}&filter_amount=0.001")
        return bool(body["data"]) and body["data"][0]["current_size"] == 0.1

    await eventually_async(all_of_them)
    sandbox.leader_trade(wallet=OTHER, token_id=market.yes, side="SELL", price="0.5", size="0.05")

    async def dust_is_hidden() -> bool:
        return not (await json_of(session, f"{data}/positions?user={OTHER}"))[1]["data"]

    await eventually_async(dust_is_hidden)
    sandbox.call("POST", "venue", {"cdn": {}})
    _, shown = await json_of(session, f"{data}/trades?user={OTHER}")
    _, everything = await json_of(session, f"{data}/trades?user={OTHER}&filter_amount=0.000001")
    assert (len(shown["data"]), len(everything["data"])) == (2, 3)
    maker = "0x" + "5a" * 20
    _, hidden = await json_of(session, f"{data}/trades?user={maker}")
    _, resting = await json_of(session, f"{data}/trades?user={maker}&taker_only=false")
    assert (hidden["data"], bool(resting["data"])) == ([], True)


async def test_redeemed_winners_vanish_and_losers_stay(
    sandbox: RunningSandbox, market: SandboxMarket, public: AsyncPublicClient, session: aiohttp.ClientSession
) -> None:
    await traded(sandbox, market, public)
    sandbox.leader_trade(wallet=OTHER, token_id=market.no, side="BUY", price="0.4", size="10")
    data = f"{sandbox.url}/data/v2"

    async def both() -> bool:
        return bool((await json_of(session, f"{data}/positions?user={OTHER}"))[1]["data"])

    await eventually_async(both)
    sandbox.call("POST", f"markets/{market.condition_id}/resolve", {"winning_token_id": market.yes, "redeem": False})
    _, winner = await json_of(session, f"{data}/positions?user={LEADER}")
    assert [(row["status"], row["current_price"], row["redeemable"]) for row in winner["data"]] == [
        ("REDEEMABLE", 1.0, True)
    ]
    _, loser = await json_of(session, f"{data}/positions?user={OTHER}")
    assert [(row["status"], row["current_value"]) for row in loser["data"]] == [("REDEEMABLE_LOST", 0.0)]
    (resolution,) = await public.get_resolutions(condition_ids=[market.condition_id])
    assert (resolution.status, resolution.payouts) == ("resolved", (Decimal(1), Decimal(0)))
    assert sandbox.state(everything=True)["conserved"]


async def test_winners_that_were_redeemed_for_them_are_only_among_the_closed(
    sandbox: RunningSandbox, market: SandboxMarket, public: AsyncPublicClient, session: aiohttp.ClientSession
) -> None:
    await traded(sandbox, market, public)
    sandbox.resolve(market.condition_id, market.yes)
    data = f"{sandbox.url}/data/v2"
    assert (await json_of(session, f"{data}/positions?user={LEADER}"))[1]["data"] == []
    _, closed = await json_of(session, f"{data}/positions?user={LEADER}&status=CLOSED")
    assert [row["realized_pnl"] for row in closed["data"]] == [40.0]
    _, did = await json_of(session, f"{data}/activity?user={LEADER}&type=REDEEM")
    assert [(row["type"], row["usdc_size"], row["outcome_index"]) for row in did["data"]] == [("REDEEM", 100.0, 999)]


async def test_an_event_that_ends_even_pays_half_to_both(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    sandbox.leader_trade(wallet=LEADER, token_id=market.yes, side="BUY", price="0.6", size="100")
    sandbox.call("POST", f"markets/{market.condition_id}/resolve", {"payouts": [1, 1]})
    _, row = await json_of(session, f"{sandbox.url}/clob/markets/{market.condition_id}")
    assert (row["is_50_50_outcome"], [token["price"] for token in row["tokens"]]) == (True, [0.5, 0.5])
    assert sandbox.state(everything=True)["conserved"]
    (wallet,) = sandbox.state(everything=True, wallet=LEADER)["wallets"]
    assert int(wallet["cash_units"]) >= 50_000_000


async def test_the_data_api_refuses_in_its_own_shape(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    data = f"{sandbox.url}/data/v2"
    for path, parameter in (
        ("/activity", "user"),
        ("/trades?offset=5", "offset"),
        ("/trades?start=1", "start"),
        ("/trades?limit=1001", "limit"),
        ("/positions?user=0x1&status=MAYBE", "status"),
        ("/positions?user=0x1&sort_by=LUCK", "sort_by"),
        ("/trades?condition=" + ",".join(f"0x{n:064x}" for n in range(21)), "condition"),
        ("/prices-history?token_id=1&bucket_seconds=1", "bucket_seconds"),
        ("/resolutions", "condition"),
    ):
        status, body = await json_of(session, data + path)
        assert (status, body["parameter"], body["retryable"], set(body)) == (
            400,
            parameter,
            False,
            {"error", "code", "retryable", "trace_id", "parameter"},
        )


async def test_gamma_filters_sorts_and_deprecates(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    other = sandbox.create_market("later", end_date="2028-01-01T00:00:00Z", event_slug="years", neg_risk=True)
    sandbox.create_market("latest", end_date="2029-01-01T00:00:00Z", event_slug="years", neg_risk=True)
    gamma = f"{sandbox.url}/gamma"

    async def slugs(query: str) -> list[str]:
        status, body = await json_of(session, f"{gamma}/markets/keyset?{query}")
        assert status == 200, body
        return [row["slug"] for row in body["markets"]]

    assert await slugs("order=endDate&ascending=true") == ["will-it-rain", "later", "latest"]
    assert await slugs("order=endDate&limit=1") == ["latest"]
    assert await slugs("end_date_min=2027-06-01T00:00:00Z&end_date_max=2028-06-01T00:00:00Z") == ["later"]
    assert await slugs("slug=later&slug=latest") == ["later", "latest"]
    assert await slugs(f"condition_ids={other.condition_id}") == ["later"]
    assert await slugs("slug[]=later") == ["will-it-rain", "later", "latest"]
    assert (await json_of(session, f"{gamma}/markets/keyset?offset=1"))[0] == 422
    assert (await json_of(session, f"{gamma}/events/keyset?order=luck"))[0] == 422
    _, events = await json_of(session, f"{gamma}/events/keyset?slug=years")
    assert [len(event["markets"]) for event in events["events"]] == [2]
    async with session.get(f"{gamma}/markets?limit=2&offset=1") as old:
        assert (old.headers["Deprecation"], len(await old.json())) == ("true", 2)
    sandbox.resolve(other.condition_id, other.yes)
    assert await slugs("slug=later") == []
    assert await slugs("slug=later&closed=true") == ["later"]


async def test_gamma_shows_a_market_before_its_book_opens(
    sandbox: RunningSandbox, session: aiohttp.ClientSession
) -> None:
    early = sandbox.create_market("early", opens_after_seconds=0.3)
    url = f"{sandbox.url}/clob/book?token_id={early.yes}"
    assert (await json_of(session, url))[0] == 404
    _, row = await json_of(session, f"{sandbox.url}/gamma/markets/slug/early")
    assert (row["active"], row["acceptingOrders"]) == (True, False)

    async def opened() -> bool:
        return (await json_of(session, url))[0] == 200

    await eventually_async(opened)
    assert (await json_of(session, f"{sandbox.url}/gamma/markets/slug/early"))[1]["acceptingOrders"] is True


async def test_a_resolution_passes_its_stations(
    sandbox: RunningSandbox, market: SandboxMarket, public: AsyncPublicClient, session: aiohttp.ClientSession
) -> None:
    for status in ("proposed", "disputed"):
        sandbox.call("POST", f"markets/{market.condition_id}/oracle", {"status": status})
        (resolution,) = await public.get_resolutions(condition_ids=[market.condition_id])
        assert (resolution.status, resolution.was_disputed) == (status, status == "disputed")
    _, row = await json_of(session, f"{sandbox.url}/gamma/markets/slug/{market.slug}")
    assert (row["umaResolutionStatus"], row["umaResolutionStatuses"]) == ("disputed", '["proposed","disputed"]')
    sandbox.resolve(market.condition_id, market.no)
    _, row = await json_of(session, f"{sandbox.url}/gamma/markets/slug/{market.slug}")
    assert (row["umaResolutionStatus"], row["outcomePrices"], row["closed"]) == ("resolved", '["0","1"]', True)


async def test_cash_that_belongs_to_no_market_is_activity_too(
    sandbox: RunningSandbox, market: SandboxMarket, public: AsyncPublicClient, session: aiohttp.ClientSession
) -> None:
    await traded(sandbox, market, public)
    sandbox.call("POST", "deposits", {"address": LEADER, "usdc": "250"})
    sandbox.call("POST", "activity", {"wallet": LEADER, "type": "REWARD", "usdc": "1.5"})
    url = f"{sandbox.url}/data/v2/activity?user={LEADER}"
    _, default = await json_of(session, url)
    assert [row["type"] for row in default["data"]] == ["REWARD", "TRADE"]
    told = {str(one.type) for one in (await public.list_activity(user=LEADER).first_page()).items}
    assert told == {"DEPOSIT", "REWARD", "TRADE"}
    _, deposits = await json_of(session, f"{url}&type=DEPOSIT&exclude_deposits_withdrawals=false")
    assert [(row["usdc_size"], row["outcome_index"]) for row in deposits["data"]] == [(250.0, 999)]
    standing = await public.get_trader_leaderboard_standing(user=LEADER)
    assert standing is not None
    assert standing.volume == Decimal(100)


async def test_standings_are_of_a_category_and_a_window(
    sandbox: RunningSandbox, market: SandboxMarket, public: AsyncPublicClient, session: aiohttp.ClientSession
) -> None:
    await traded(sandbox, market, public)
    game = sandbox.create_market("game", category="sports")
    sandbox.leader_trade(wallet=OTHER, token_id=game.yes, side="BUY", price="0.5", size="30")
    data = f"{sandbox.url}/data/v2/leaderboard"

    async def volumes(query: str) -> dict[str, float]:
        _, body = await json_of(session, f"{data}?{query}")
        return {row["user_id"]: row["volume"] for row in body["data"] if row["user_id"] in (LEADER, OTHER)}

    async def both() -> bool:
        return await volumes("time_period=day") == {LEADER: 100.0, OTHER: 30.0}

    await eventually_async(both)
    assert await volumes("category=sports&time_period=week") == {OTHER: 30.0}
    assert await volumes("category=weather") == {LEADER: 100.0}
    assert (await json_of(session, f"{data}?time_period=decade"))[0] == 400
    sandbox.resolve(market.condition_id, market.yes)
    _, body = await json_of(session, f"{data}?category=weather&time_period=day")
    assert {row["user_id"]: row["pnl"] for row in body["data"]}[LEADER] == 40.0
    _, everything = await json_of(session, data)
    assert {row["user_id"]: row["pnl"] for row in everything["data"]}[LEADER] == 40.0
