"""The REST side of the local venue, as a plain client meets it."""

import json
import urllib.error
from collections.abc import AsyncIterator, Iterator
from itertools import count
from typing import Any

import aiohttp
import pytest

from markets.tests.sandbox_client import Trader
from markets.venue.sandbox.testing import RunningSandbox, SandboxMarket, running_sandbox
from polyhub.tests.eventually import eventually, eventually_async

ALICE, BOB = "0x" + "a1" * 32, "0x" + "b0" * 32


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture
def market(sandbox: RunningSandbox) -> SandboxMarket:
    return sandbox.create_market(
        bids=[("0.48", "100"), ("0.47", "50")], asks=[("0.50", "100"), ("0.52", "200")], fee_rate="0.05"
    )


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
async def alice(sandbox: RunningSandbox, session: aiohttp.ClientSession) -> Trader:
    sandbox.register_wallet(private_key=ALICE, usdc=1_000, signature_type=0)
    return await Trader(sandbox, session, ALICE).log_in()


@pytest.fixture
async def bob(sandbox: RunningSandbox, session: aiohttp.ClientSession) -> Trader:
    sandbox.register_wallet(private_key=BOB, usdc=1_000, signature_type=0)
    return await Trader(sandbox, session, BOB).log_in()


async def get(session: aiohttp.ClientSession, url: str) -> tuple[int, object]:
    async with session.get(url) as answer:
        return answer.status, json.loads(await answer.text())


async def test_the_book_ends_with_its_best_levels_and_mirrors_the_other_token(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    status, yes = await get(session, f"{sandbox.url}/clob/book?token_id={market.yes}")
    _, no = await get(session, f"{sandbox.url}/clob/book?token_id={market.no}")
    assert status == 200
    assert isinstance(yes, dict)
    assert isinstance(no, dict)
    assert [level["price"] for level in yes["bids"]] == ["0.47", "0.48"]
    assert [level["price"] for level in yes["asks"]] == ["0.52", "0.5"]
    assert no["bids"][-1] == {"price": "0.5", "size": "100"}
    assert no["asks"][-1] == {"price": "0.52", "size": "100"}
    assert (yes["tick_size"], yes["min_order_size"], yes["neg_risk"]) == ("0.01", "5", False)
    assert yes["timestamp"].isdecimal()


async def test_unknown_paths_and_books_are_404_as_json(sandbox: RunningSandbox, session: aiohttp.ClientSession) -> None:
    for path in ("/nothing", "/clob/nothing", "/gamma/nothing/at/all", "/_sandbox/nothing", "/clob/book?token_id=7"):
        status, body = await get(session, sandbox.url + path)
        assert status == 404
        assert isinstance(body, dict)
        assert set(body) == {"error"}


async def test_public_prices_are_sent_as_the_venue_types_them(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    token = f"token_id={market.yes}"
    expected = {
        f"/price?{token}&side=BUY": {"price": "0.48"},
        f"/price?{token}&side=SELL": {"price": "0.5"},
        f"/midpoint?{token}": {"mid": "0.49"},
        f"/spread?{token}": {"spread": "0.02"},
        f"/tick-size?{token}": {"minimum_tick_size": 0.01},
        f"/neg-risk?{token}": {"neg_risk": False},
        f"/fee-rate?{token}": {"base_fee": 1_000},
        "/version": {"version": 2},
        "/ok": "OK",
    }
    for path, answer in expected.items():
        assert await get(session, f"{sandbox.url}/clob{path}") == (200, answer)
    _, meta = await get(session, f"{sandbox.url}/clob/clob-markets/{market.condition_id}")
    assert isinstance(meta, dict)
    assert (meta["mos"], meta["mts"], meta["fd"]) == (5.0, 0.01, {"r": 0.05, "e": 1, "to": True})


async def test_a_side_without_orders_counts_as_nothing_or_a_dollar(
    sandbox: RunningSandbox, session: aiohttp.ClientSession
) -> None:
    bids, asks = (
        sandbox.create_market("bids", bids=[("0.40", "10")]),
        sandbox.create_market("asks", asks=[("0.60", "10")]),
    )
    for market, side, price, middle in ((bids, "SELL", "1", "0.7"), (asks, "BUY", "0", "0.3")):
        token = f"token_id={market.yes}"
        assert await get(session, f"{sandbox.url}/clob/price?{token}&side={side}") == (200, {"price": price})
        assert await get(session, f"{sandbox.url}/clob/midpoint?{token}") == (200, {"mid": middle})
    nothing = sandbox.create_market("nothing", bids=[], asks=[])
    assert (await get(session, f"{sandbox.url}/clob/midpoint?token_id={nothing.yes}"))[0] == 404


async def test_a_limit_order_rests_is_found_by_its_hash_and_cancels(alice: Trader, market: SandboxMarket) -> None:
    status, placed = await alice.order("BUY", market.yes, "0.40", "10")
    assert (status, placed["status"], placed["success"], placed["errorMsg"]) == (200, "live", True, "")
    order_id = placed["orderID"]
    _, row = await alice.call("GET", f"/data/order/{order_id}")
    assert (row["status"], row["price"], row["original_size"], row["size_matched"]) == ("LIVE", "0.4", "10", "0")
    _, listed = await alice.call("GET", "/data/orders", query="?next_cursor=MA==")
    assert [one["id"] for one in listed["data"]] == [order_id]
    assert listed["next_cursor"] == "LTE="
    assert (await alice.call("DELETE", "/order", {"orderID": order_id}))[1]["canceled"] == [order_id]
    _, again = await alice.call("DELETE", "/order", {"orderID": order_id})
    assert again == {"canceled": [], "not_canceled": {order_id: "order already canceled"}}


async def test_a_market_buy_matches_settles_and_pays_the_fee(
    sandbox: RunningSandbox, alice: Trader, market: SandboxMarket
) -> None:
    _, placed = await alice.order("BUY", market.yes, "0.50", "20", "FAK")
    assert (placed["status"], placed["makingAmount"], placed["takingAmount"]) == ("matched", "10", "20")
    (trade_id,) = placed["tradeIDs"]

    async def confirmed() -> bool:
        _, trades = await alice.call("GET", "/data/trades")
        return [t["status"] for t in trades["data"]] == ["TRADE_STATUS_CONFIRMED"]

    await eventually_async(confirmed)
    _, trades = await alice.call("GET", "/data/trades", query=f"?id={trade_id}")
    (trade,) = trades["data"]
    assert (trade["trader_side"], trade["price"], trade["size"]) == ("TAKER", "0.5", "20")
    state = sandbox.state()
    (wallet,) = state["wallets"]
    assert wallet["cash_units"] == str(1_000_000_000 - 10_000_000 - 250_000)
    assert wallet["shares"] == {market.yes: "20000000"}
    assert state["conserved"] is True
    _, balance = await alice.call(
        "GET", "/balance-allowance", query=f"?asset_type=CONDITIONAL&token_id={market.yes}&signature_type=0"
    )
    assert balance["balance"] == "20000000"


async def test_the_same_bytes_twice_are_duplicated(alice: Trader, market: SandboxMarket) -> None:
    body = alice.payload("BUY", market.yes, "0.40", "10")
    assert (await alice.call("POST", "/order", body))[0] == 200
    status, again = await alice.call("POST", "/order", body)
    assert status == 400
    assert "Duplicated" in again["error"]
    assert len((await alice.call("GET", "/data/orders"))[1]["data"]) == 1


REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "owner": ({"post": {"owner": "somebody"}}, "the order owner has to be the owner of the API KEY"),
    "signer": (
        {"wire": {"signer": "0x" + "12" * 20}},
        "the order signer address has to be the address of the API KEY",
    ),
    "changed after signing": ({"wire": {"takerAmount": "11000000"}}, "invalid signature"),
    "other exchange": ({"exchange": "0xe2222d279d744050d28e00520010520000310F59"}, "invalid signature"),
    "post only crossing": (
        {"post": {"postOnly": True}, "price": "0.50"},
        "invalid post-only order: order crosses book",
    ),
    "off the tick": ({"price": "0.405"}, "breaks minimum tick size rule"),
    "too small": ({"shares": "4"}, "lower than the minimum"),
    "too dear": ({"shares": "9000"}, "not enough balance / allowance"),
    "fok": ({"kind": "FOK", "price": "0.50", "shares": "1000"}, "FOK orders are fully filled or killed"),
    "fak": ({"kind": "FAK", "price": "0.40"}, "no orders found to match with FAK order"),
    "gtd": ({"kind": "GTD", "wire": {"expiration": "1"}}, "invalid expiration"),
    "no such type": ({"post": {"orderType": "XYZ"}}, "Invalid order payload"),
}


@pytest.mark.parametrize("case", list(REFUSALS))
async def test_refusals_carry_the_venues_words(
    sandbox: RunningSandbox, alice: Trader, market: SandboxMarket, case: str
) -> None:
    change, words = REFUSALS[case]
    price, shares, kind = (str(change.get(k, d)) for k, d in (("price", "0.40"), ("shares", "10"), ("kind", "GTC")))
    more = {key: value for key, value in change.items() if key in ("post", "wire", "exchange")}
    status, answer = await alice.order("BUY", market.yes, price, shares, kind, **more)
    assert status == 400
    assert words in answer["error"]
    assert sandbox.state()["orders"] == []


async def test_an_eoa_nobody_listed_is_sent_to_the_deposit_wallet_flow(
    sandbox: RunningSandbox, session: aiohttp.ClientSession, market: SandboxMarket
) -> None:
    stranger = await Trader(sandbox, session, "0x" + "cc" * 32).log_in()
    _, answer = await stranger.order("BUY", market.yes, "0.40", "10")
    assert answer["error"] == "maker address not allowed, please use the deposit wallet flow"


async def test_a_batch_is_answered_order_by_order(alice: Trader, market: SandboxMarket) -> None:
    good, bad = alice.payload("BUY", market.yes, "0.40", "10"), alice.payload("BUY", market.yes, "0.405", "10")
    status, answers = await alice.call("POST", "/orders", [good, bad])
    assert status == 200
    assert [one["success"] for one in answers] == [True, False]
    assert "tick size" in answers[1]["errorMsg"]
    status, refused = await alice.call("POST", "/orders", [good] * 16)
    assert (status, refused["error"]) == (400, "Too many orders in payload: 16, max allowed: 15")


async def test_nobody_sees_or_cancels_the_orders_of_another(alice: Trader, bob: Trader, market: SandboxMarket) -> None:
    _, placed = await alice.order("BUY", market.yes, "0.40", "10")
    order_id = placed["orderID"]
    assert (await bob.call("GET", f"/data/order/{order_id}"))[0] == 404
    assert (await bob.call("GET", "/data/orders"))[1]["data"] == []
    _, answer = await bob.call("DELETE", "/order", {"orderID": order_id})
    assert answer == {"canceled": [], "not_canceled": {order_id: "order not found"}}


async def test_cancel_all_and_by_market_cancel_only_what_they_name(
    sandbox: RunningSandbox, alice: Trader, market: SandboxMarket
) -> None:
    other = sandbox.create_market("another")
    ids = [
        (await alice.order("BUY", token, "0.40", "10"))[1]["orderID"] for token in (market.yes, market.no, other.yes)
    ]
    _, by_token = await alice.call("DELETE", "/cancel-market-orders", {"asset_id": market.no})
    assert by_token["canceled"] == [ids[1]]
    _, by_market = await alice.call("DELETE", "/cancel-market-orders", {"market": market.condition_id})
    assert by_market["canceled"] == [ids[0]]
    assert (await alice.call("DELETE", "/cancel-all"))[1]["canceled"] == [ids[2]]


async def test_requests_are_signed_over_the_exact_bytes(
    sandbox: RunningSandbox, alice: Trader, session: aiohttp.ClientSession
) -> None:
    headers = alice.headers("DELETE", "/order", '{"orderID":"0x1"}')
    url = f"{sandbox.url}/clob/order"
    async with session.delete(url, data='{"orderID":"0x1"}', headers=headers) as answer:
        assert answer.status == 200
    async with session.delete(url, data='{"orderID": "0x1"}', headers=headers) as answer:
        assert answer.status == 401
    async with session.delete(url, data='{"orderID":"0x1"}', headers={**headers, "POLY_TIMESTAMP": "1"}) as answer:
        assert (answer.status, (await answer.json())["error"]) == (401, "Unauthorized/Invalid api key")


async def test_a_deleted_key_opens_nothing(sandbox: RunningSandbox, alice: Trader) -> None:
    assert (await alice.call("GET", "/auth/api-keys"))[1] == {"apiKeys": [alice.credentials["apiKey"]]}
    assert (await alice.call("DELETE", "/auth/api-key"))[1] == "OK"
    assert (await alice.call("GET", "/auth/api-keys"))[0] == 401


async def test_a_wrong_heartbeat_is_answered_with_the_right_one(alice: Trader, market: SandboxMarket) -> None:
    status, first = await alice.call("POST", "/v1/heartbeats", {"heartbeat_id": ""})
    assert status == 200
    status, wrong = await alice.call("POST", "/v1/heartbeats", {"heartbeat_id": "not-it"})
    assert (status, wrong) == (400, {"error_msg": "Invalid Heartbeat ID", "heartbeat_id": first["heartbeat_id"]})
    assert (await alice.call("POST", "/v1/heartbeats", first))[0] == 200


async def test_long_lists_are_paged(alice: Trader, market: SandboxMarket) -> None:
    for _ in range(7):
        batch = [alice.payload("BUY", market.yes, "0.01", "5") for _ in range(15)]
        assert (await alice.call("POST", "/orders", batch))[0] == 200
    seen: list[str] = []
    cursor = "MA=="
    while cursor != "LTE=":
        _, listed = await alice.call("GET", "/data/orders", query=f"?next_cursor={cursor}")
        seen += [row["id"] for row in listed["data"]]
        cursor = listed["next_cursor"]
    assert len(seen) == len(set(seen)) == 105


async def test_a_leader_trades_at_the_asked_price_and_shows_in_the_data_api(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    leader = "0x" + "1e" * 20
    made = sandbox.leader_trade(wallet=leader, token_id=market.yes, side="BUY", price="0.613", size="123.4", name="Ann")
    url = f"{sandbox.url}/data/v2"

    serial = count()

    async def listed() -> list[dict[str, Any]]:
        _, body = await get(session, f"{url}/trades?user={leader}&past_the_cache={next(serial)}")
        assert isinstance(body, dict)
        found: list[dict[str, Any]] = body["data"]
        return found

    (row,) = await eventually_async(listed)
    assert (row["price"], row["size"], row["side"]) == (0.613, 123.4, "BUY")
    assert (row["transaction_hash"], row["name"]) == (made["transaction_hash"], "Ann")
    _, positions = await get(session, f"{url}/positions?user={leader}")
    assert isinstance(positions, dict)
    assert [(p["current_size"], p["token_id"]) for p in positions["data"]] == [(123.4, market.yes)]
    assert sandbox.state()["conserved"] is True
    assert (await get(session, f"{url}/activity"))[0] == 400


async def test_gamma_lists_markets_with_json_in_strings(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    sandbox.create_market("second")
    _, first = await get(session, f"{sandbox.url}/gamma/markets/keyset?limit=1")
    assert isinstance(first, dict)
    (row,) = first["markets"]
    assert json.loads(row["clobTokenIds"]) == list(market.token_ids)
    assert row["feeSchedule"]["rate"] == 0.05
    _, second = await get(session, f"{sandbox.url}/gamma/markets/keyset?limit=1&after_cursor={first['next_cursor']}")
    assert isinstance(second, dict)
    assert second["markets"][0]["slug"] == "second"
    assert "next_cursor" not in second
    _, chosen = await get(session, f"{sandbox.url}/gamma/markets/keyset?clob_token_ids={market.no}")
    assert isinstance(chosen, dict)
    assert [one["slug"] for one in chosen["markets"]] == [market.slug]
    assert (await get(session, f"{sandbox.url}/gamma/markets/keyset?order=volume_24hr"))[0] == 422


async def test_resolution_closes_the_market_and_pays(
    sandbox: RunningSandbox, alice: Trader, market: SandboxMarket
) -> None:
    await alice.order("BUY", market.yes, "0.50", "20", "FAK")
    eventually(lambda: sandbox.state()["wallets"][0]["shares"] == {market.yes: "20000000"})
    sandbox.resolve(market.condition_id, market.yes)
    (wallet,) = sandbox.state()["wallets"]
    assert wallet["cash_units"] == str(1_000_000_000 - 10_000_000 - 250_000 + 20_000_000)
    status, answer = await alice.order("BUY", market.yes, "0.40", "10")
    assert (status, answer["error"]) == (400, "the market is not yet ready to process new orders")


async def test_the_chain_answers_for_registered_wallets(
    sandbox: RunningSandbox, session: aiohttp.ClientSession
) -> None:
    wallet = sandbox.register_wallet(private_key=ALICE, usdc=12)
    owner = wallet.address[2:].lower().rjust(64, "0")
    calls = [
        {"id": 1, "method": "eth_chainId"},
        {
            "id": 2,
            "method": "eth_call",
            "params": [{"to": "0xC011a7E12a19f7B1f670d46F03B03f3342E82DFB", "data": f"0x70a08231{owner}"}, "latest"],
        },
        {"id": 3, "method": "eth_nothing"},
    ]
    async with session.post(f"{sandbox.url}/rpc", json=calls) as answer:
        chain, balance, unknown = await answer.json()
    assert int(chain["result"], 16) == 137
    assert int(balance["result"], 16) == 12_000_000
    assert unknown["error"]["code"] == -32601
    deployed = f"{sandbox.url}/relayer/deployed?address={wallet.address}&type=WALLET"
    assert await get(session, deployed) == (200, {"deployed": True})


def test_controls_say_what_is_wrong(sandbox: RunningSandbox) -> None:
    for path, body in (("wallets", {}), ("faults", {"name": "no such"}), ("tape", {"speed": 0})):
        with pytest.raises(urllib.error.HTTPError) as refused:
            sandbox.call("POST", path, body)
        assert refused.value.code == 400
        assert json.loads(refused.value.read())["error"]
        refused.value.close()


def test_a_second_sandbox_on_the_same_port_says_which(sandbox: RunningSandbox) -> None:
    with pytest.raises(OSError, match=str(sandbox.port)):
        running_sandbox(port=sandbox.port)
