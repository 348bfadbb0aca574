"""What the venue refuses and how it says so: accounts, signatures, delays, markets that change."""

import time
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from markets.tests.sandbox_client import EXCHANGE, Trader, order_fields
from markets.venue.sandbox.standing import REGION_TEXT
from markets.venue.sandbox.testing import RunningSandbox, SandboxMarket, running_sandbox
from polyhub.tests.eventually import eventually_async

ALICE, BOB = "0x" + "a1" * 32, "0x" + "b0" * 32


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture
def market(sandbox: RunningSandbox) -> SandboxMarket:
    return sandbox.create_market(bids=[("0.48", "100")], asks=[("0.50", "100")])


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
async def alice(sandbox: RunningSandbox, session: aiohttp.ClientSession) -> Trader:
    sandbox.register_wallet(private_key=ALICE, usdc=1_000, signature_type=0)
    return await Trader(sandbox, session, ALICE).log_in()


# -- accounts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mark", "side", "words"),
    [
        ("banned", "BUY", "address banned"),
        ("closed_only", "BUY", "in closed only mode"),
        ("paused", "BUY", "order canceled in the CTF exchange contract"),
        ("paused", "SELL", "order canceled in the CTF exchange contract"),
    ],
)
async def test_accounts_the_venue_holds_something_against_are_told_so(
    sandbox: RunningSandbox, alice: Trader, market: SandboxMarket, mark: str, side: str, words: str
) -> None:
    await alice.order("BUY", market.yes, "0.50", "20", "FAK")
    sandbox.call("POST", "accounts", {"address": alice.address, mark: True})
    status, answer = await alice.order(side, market.yes, "0.40", "10")
    assert (status, words in answer["error"]) == (400, True)
    sandbox.call("POST", "accounts", {"address": alice.address, mark: False})
    assert (await alice.order("BUY", market.yes, "0.40", "10"))[0] == 200


async def test_closed_only_accounts_may_still_sell(
    sandbox: RunningSandbox, alice: Trader, market: SandboxMarket
) -> None:
    await alice.order("BUY", market.yes, "0.50", "20", "FAK")

    async def sold() -> bool:
        return (await alice.order("SELL", market.yes, "0.48", "10", "FAK"))[0] == 200

    sandbox.call("POST", "accounts", {"address": alice.address, "closed_only": True})
    assert (await alice.call("GET", "/auth/ban-status/closed-only"))[1] == {"closed_only": True}
    await eventually_async(sold)


async def test_a_barred_region_is_refused_with_403_and_the_website_says_so_too(
    sandbox: RunningSandbox, alice: Trader, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    sandbox.call("POST", "venue", {"blocked": True})
    assert await alice.order("BUY", market.yes, "0.40", "10") == (403, {"error": REGION_TEXT})
    async with session.get(f"{sandbox.url}/api/geoblock") as answer:
        assert (await answer.json())["blocked"] is True


async def test_v12_orders_of_another_version_are_told_so(
    sandbox: RunningSandbox, alice: Trader, market: SandboxMarket
) -> None:
    second = sandbox.create_market("second", version="v2")
    status, answer = await alice.order("BUY", second.yes, "0.40", "10", exchange=EXCHANGE)
    assert (status, answer["error"]) == (400, "order_version_mismatch")
    old = alice.payload("BUY", market.yes, "0.40", "10")
    del old["order"]["timestamp"]
    old["order"] |= {"taker": "0x" + "0" * 40, "nonce": "0", "feeRateBps": "0"}
    assert await alice.call("POST", "/order", old) == (400, {"error": "order_version_mismatch"})


async def test_proxies_and_safes_of_somebody_else_are_refused(
    sandbox: RunningSandbox, alice: Trader, market: SandboxMarket
) -> None:
    for signature_type in (1, 2):
        other = sandbox.register_wallet(private_key=BOB, usdc=100, signature_type=signature_type)
        order = {"maker": other.address, "signatureType": signature_type}
        status, answer = await alice.order("BUY", market.yes, "0.40", "10", order=order)
        assert (status, answer["error"]) == (400, "the order signer address has to be the address of the API KEY")


@pytest.mark.parametrize("signature_type", [1, 2])
async def test_proxies_and_safes_trade_by_their_signers_key(
    sandbox: RunningSandbox, alice: Trader, market: SandboxMarket, signature_type: int
) -> None:
    wallet = sandbox.register_wallet(private_key=ALICE, usdc=100, signature_type=signature_type)
    order = {"maker": wallet.address, "signatureType": signature_type}
    status, answer = await alice.order("BUY", market.yes, "0.50", "10", order=order)
    assert (status, answer["status"]) == (200, "matched")
    (state,) = sandbox.state(wallet=wallet.address)["wallets"]
    assert int(state["cash_units"]) < 100_000_000


async def test_deposits_show_once_the_cached_balance_is_updated(
    sandbox: RunningSandbox, alice: Trader, market: SandboxMarket
) -> None:
    query = "?asset_type=COLLATERAL&signature_type=0"
    sandbox.call("POST", "deposits", {"address": alice.address, "usdc": "500"})
    assert (await alice.call("GET", "/balance-allowance", query=query))[1]["balance"] == "1000000000"
    status, answer = await alice.order("BUY", market.yes, "0.40", "3000")
    assert (status, "not enough balance / allowance" in answer["error"]) == (400, True)
    await alice.call("GET", "/balance-allowance/update", query=query)
    assert (await alice.call("GET", "/balance-allowance", query=query))[1]["balance"] == "1500000000"
    assert (await alice.order("BUY", market.yes, "0.40", "3000"))[0] == 200


async def test_a_missing_approval_is_missing_for_its_exchange_alone(
    sandbox: RunningSandbox, alice: Trader, market: SandboxMarket
) -> None:
    sandbox.call("POST", "accounts", {"address": alice.address, "approved": False})
    await alice.call("GET", "/balance-allowance/update", query="?asset_type=COLLATERAL&signature_type=0")
    _, known = await alice.call("GET", "/balance-allowance", query="?asset_type=COLLATERAL&signature_type=0")
    assert (known["balance"], set(known["allowances"].values())) == ("1000000000", {"0"})
    status, answer = await alice.order("BUY", market.yes, "0.40", "10")
    assert (status, "allowance: 0" in answer["error"]) == (400, True)


async def test_notifications_tell_of_fills_and_cancels_until_dropped(
    sandbox: RunningSandbox, alice: Trader, market: SandboxMarket
) -> None:
    await alice.order("BUY", market.yes, "0.50", "20", "FAK")
    _, resting = await alice.order("BUY", market.yes, "0.40", "10")
    await alice.call("DELETE", "/order", {"orderID": resting["orderID"]})
    _, notes = await alice.call("GET", "/notifications", query="?signature_type=0")
    assert sorted(note["type"] for note in notes) == [1, 2]
    assert {note["owner"] for note in notes} == {alice.credentials["apiKey"]}
    fill = next(note for note in notes if note["type"] == 2)
    assert (fill["payload"]["matched_size"], fill["payload"]["outcome"]) == ("20", "Yes")
    await alice.call("DELETE", "/notifications", query=f"?ids={fill['id']}&signature_type=0")
    _, left = await alice.call("GET", "/notifications", query="?signature_type=0")
    assert [note["type"] for note in left] == [1]


# -- delays --------------------------------------------------------------------------------------------------------


async def test_sports_orders_that_would_take_are_delayed_and_cannot_be_canceled(
    sandbox: RunningSandbox, alice: Trader
) -> None:
    game = sandbox.create_market("game", bids=[("0.48", "100")], asks=[("0.50", "100")], seconds_delay=1)
    _, placed = await alice.order("BUY", game.yes, "0.50", "10")
    assert (placed["success"], placed["status"], placed["tradeIDs"]) == (True, "delayed", [])
    order_id = placed["orderID"]
    assert (await alice.call("GET", f"/data/order/{order_id}"))[1]["status"] == "DELAYED"
    _, refused = await alice.call("DELETE", "/order", {"orderID": order_id})
    assert refused == {"canceled": [], "not_canceled": {order_id: "order is delayed and can't be canceled"}}

    async def matched() -> bool:
        return bool((await alice.call("GET", f"/data/order/{order_id}"))[1]["status"] == "MATCHED")

    await eventually_async(matched)
    _, resting = await alice.order("BUY", game.yes, "0.40", "10")
    assert resting["status"] == "live"


async def test_the_short_delay_makes_the_post_take_longer_for_takers_alone(
    sandbox: RunningSandbox, alice: Trader, session: aiohttp.ClientSession
) -> None:
    fast = sandbox.create_market("fast", bids=[("0.48", "100")], asks=[("0.50", "100")], taker_delay_ms=150)
    async with session.get(f"{sandbox.url}/clob/clob-markets/{fast.condition_id}") as answer:
        assert (await answer.json())["itode"] is True
    started = time.monotonic()
    assert (await alice.order("BUY", fast.yes, "0.50", "10"))[1]["status"] == "matched"
    assert time.monotonic() - started >= 0.15


# -- markets that change -------------------------------------------------------------------------------------------


async def test_v16_orders_meet_a_new_tick_and_a_decided_market_with_words_for_it(
    sandbox: RunningSandbox, alice: Trader, market: SandboxMarket
) -> None:
    _, resting = await alice.order("BUY", market.yes, "0.40", "10")
    status, answer = await alice.order("BUY", market.yes, "0.405", "10")
    assert (status, "breaks minimum tick size rule" in answer["error"]) == (400, True)
    sandbox.change_tick(market.condition_id, "0.001")
    assert (await alice.order("BUY", market.yes, "0.405", "10"))[0] == 200
    sandbox.resolve(market.condition_id, market.yes)
    _, row = await alice.call("GET", f"/data/order/{resting['orderID']}")
    assert row["status"] == "CANCELED_MARKET_RESOLVED"
    status, answer = await alice.order("BUY", market.yes, "0.40", "10")
    assert (status, answer["error"]) == (400, "the market is not yet ready to process new orders")


async def test_orders_for_a_book_that_is_not_open_yet_are_refused(sandbox: RunningSandbox, alice: Trader) -> None:
    early = sandbox.create_market("early", opens_after_seconds=60)
    status, answer = await alice.order("BUY", early.yes, "0.40", "10")
    assert (status, answer["error"]) == (400, "the market is not yet ready to process new orders")


async def test_c01_a_clock_a_minute_wrong_opens_nothing(
    sandbox: RunningSandbox, alice: Trader, session: aiohttp.ClientSession
) -> None:
    for skew_s, expected in ((-30, 200), (30, 200), (-90, 401), (90, 401), (3_600, 401)):
        headers = alice.headers("GET", "/data/orders", skew_s=skew_s)
        async with session.get(f"{sandbox.url}/clob/data/orders", headers=headers) as answer:
            assert answer.status == expected


async def test_v10_each_order_of_a_batch_is_found_by_its_own_id(
    sandbox: RunningSandbox, alice: Trader, market: SandboxMarket
) -> None:
    good, bad = alice.payload("BUY", market.yes, "0.40", "10"), alice.payload("BUY", market.yes, "0.405", "10")
    sandbox.fault("drop_reply", route="/clob/orders", count=1)
    with pytest.raises(aiohttp.ClientError):
        await alice.call("POST", "/orders", [good, bad])
    _, listed = await alice.call("GET", "/data/orders")
    (only,) = listed["data"]
    assert (await alice.call("GET", f"/data/order/{only['id']}"))[0] == 200
    status, again = await alice.call("POST", "/orders", [good, bad])
    assert (status, [one["success"] for one in again]) == (200, [False, False])
    assert f"{only['id']} is invalid. Duplicated." in again[0]["errorMsg"]
    assert len((await alice.call("GET", "/data/orders"))[1]["data"]) == 1


# -- reading and canceling -----------------------------------------------------------------------------------------


async def test_an_order_is_found_by_id_whatever_became_of_it(alice: Trader, market: SandboxMarket) -> None:
    _, placed = await alice.order("BUY", market.yes, "0.40", "10")
    await alice.call("DELETE", "/order", {"orderID": placed["orderID"]})
    assert (await alice.call("GET", "/data/orders"))[1]["data"] == []
    _, listed = await alice.call("GET", "/data/orders", query=f"?id={placed['orderID']}")
    assert [row["status"] for row in listed["data"]] == ["CANCELED"]
    assert (await alice.call("GET", "/data/order/0x" + "0" * 64))[0] == 404


async def test_states_have_rarer_spellings_over_rest(
    sandbox: RunningSandbox, alice: Trader, market: SandboxMarket
) -> None:
    sandbox.set_venue(odd_statuses=True)
    _, placed = await alice.order("BUY", market.yes, "0.40", "10")
    assert (await alice.call("GET", f"/data/order/{placed['orderID']}"))[1]["status"] == "ORDER_STATUS_LIVE"
    await alice.order("BUY", market.yes, "0.50", "20", "FAK")
    (trade,) = (await alice.call("GET", "/data/trades"))[1]["data"]
    assert trade["status"] in ("TRADE_STATUS_MATCHED_NOT_BROADCASTED", "TRADE_STATUS_MINED")


async def test_too_many_cancels_are_refused_whole(alice: Trader, market: SandboxMarket) -> None:
    _, placed = await alice.order("BUY", market.yes, "0.40", "10")
    names = [placed["orderID"], *(f"0x{n:064x}" for n in range(1_000))]
    assert (await alice.call("DELETE", "/orders", names))[0] == 400
    _, answer = await alice.call("DELETE", "/orders", names[:2])
    assert (answer["canceled"], answer["not_canceled"]) == ([placed["orderID"]], {names[1]: "order not found"})


async def test_keys_for_other_purposes_come_and_go(alice: Trader) -> None:
    _, made = await alice.call("POST", "/auth/readonly-api-key")
    assert (await alice.call("GET", "/auth/readonly-api-keys"))[1] == {"readonlyApiKeys": [made["apiKey"]]}
    assert (await alice.call("DELETE", "/auth/readonly-api-key", {"key": made["apiKey"]}))[0] == 200
    assert (await alice.call("DELETE", "/auth/readonly-api-key", {"key": made["apiKey"]}))[0] == 404
    _, builder = await alice.call("POST", "/auth/builder-api-key")
    assert set(builder) == {"key", "secret", "passphrase"}
    assert (await alice.call("GET", "/auth/builder-api-key"))[1] == [{"key": builder["key"]}]


async def test_a_builders_code_is_attributed_and_has_its_fees(
    sandbox: RunningSandbox, alice: Trader, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    code = "0x" + "bb" * 32
    fees = f"{sandbox.url}/clob/fees/builder-fees/{code}"
    async with session.get(fees) as answer:
        assert answer.status == 404
    sandbox.call("POST", "venue", {"builder_fees": {code: [10, 20]}})
    async with session.get(fees) as answer:
        assert await answer.json() == {"builder_maker_fee_rate_bps": 10, "builder_taker_fee_rate_bps": 20}
    _, placed = await alice.order("BUY", market.yes, "0.50", "20", "FAK", order=order_fields(builder=code))
    async with session.get(f"{sandbox.url}/clob/builder/trades?builder_code={code}") as answer:
        (row,) = (await answer.json())["data"]
    (wallet,) = sandbox.state(wallet=alice.address)["wallets"]
    assert int(wallet["cash_units"]) == 1_000_000_000 - 10_000_000 - 20_000
    assert (row["id"], row["tradeType"], row["builder"], row["sizeUsdc"]) == (
        placed["tradeIDs"][0],
        "TAKER",
        code,
        "10",
    )
