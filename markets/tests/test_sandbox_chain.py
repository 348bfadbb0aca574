"""The chain's logs and calls, decoded by eth-abi from the contracts' own signatures."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest
from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak

from markets.tests.sandbox_client import Trader, order_fields
from markets.venue.sandbox import contracts
from markets.venue.sandbox.testing import RunningSandbox, SandboxMarket, running_sandbox
from polyhub.tests.eventually import eventually_async

ALICE, LEADER = "0x" + "a1" * 32, "0x" + "1e" * 20
ORDER_FILLED = "0xd543adfd945773f1a62f74f0ee55a5e3b9b1a28262980ba90b1a89f2ea84d8ee"
ORDERS_MATCHED = "0x174b3811690657c217184f89418266767c87e4805d09680c39fc9c031c0cab7c"
SPLIT = "0x2e6bb91f8cbcda0c93623c54d0403a43514fabc40084ec96b6d5379a74786298"
REDEEMED = "0x2682012a4a4f1973119f1c9b90745d1bd91fa2bab387344f044cb3586864d18d"
RESOLVED = "0xb44d84d3289691f71497564b85d4233648d9dbae8cbdbb4329f301c3a0185894"
MAKER = "0x" + "5a" * 20
USD = 1_000_000


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture
def market(sandbox: RunningSandbox) -> SandboxMarket:
    return sandbox.create_market(bids=[("0.48", "100")], asks=[("0.50", "100")], fee_rate="0.05")


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
async def alice(sandbox: RunningSandbox, session: aiohttp.ClientSession) -> Trader:
    sandbox.register_wallet(private_key=ALICE, usdc=1_000, signature_type=0)
    return await Trader(sandbox, session, ALICE).log_in()


class Chain:
    def __init__(self, sandbox: RunningSandbox, session: aiohttp.ClientSession) -> None:
        self._url, self._session = f"{sandbox.url}/rpc", session

    async def ask(self, method: str, *params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        async with self._session.post(self._url, json=body) as answer:
            return await answer.json()

    async def logs(self, **asked: Any) -> list[dict[str, Any]]:
        """Once there are some."""

        async def found() -> list[dict[str, Any]]:
            logs: list[dict[str, Any]] = (await self.ask("eth_getLogs", {"fromBlock": "earliest", **asked}))["result"]
            return logs

        return await eventually_async(found)

    async def read(self, to: str, signature: str, *values: Any) -> int:
        types = [one for one in signature[signature.index("(") + 1 : -1].split(",") if one]
        data = keccak(signature.encode())[:4] + encode(types, list(values))
        answer = await self.ask("eth_call", {"to": to, "data": f"0x{data.hex()}"}, "latest")
        return int(answer["result"], 16) if "result" in answer else -answer["error"]["code"]


@pytest.fixture
def chain(sandbox: RunningSandbox, session: aiohttp.ClientSession) -> Chain:
    return Chain(sandbox, session)


def padded(address: str) -> str:
    return f"0x{address[2:].lower():0>64}"


def filled(log: dict[str, Any]) -> tuple[Any, ...]:
    """side, tokenId, makerAmountFilled, takerAmountFilled, fee, builder, metadata"""
    types = ["uint8", "uint256", "uint256", "uint256", "uint256", "bytes32", "bytes32"]
    return decode(types, bytes.fromhex(log["data"][2:]))


async def test_a_fill_is_told_once_for_its_taker_and_once_for_each_maker(
    alice: Trader, market: SandboxMarket, chain: Chain
) -> None:
    code = "0x" + "bb" * 32
    _, placed = await alice.order("BUY", market.yes, "0.50", "20", "FAK", order=order_fields(builder=code))
    (taker,) = await chain.logs(topics=[ORDER_FILLED, None, padded(alice.address)])
    assert taker["topics"][1:] == [placed["orderID"], padded(alice.address), padded(contracts.EXCHANGE)]
    assert filled(taker) == (0, int(market.yes), 10 * USD, 20 * USD, 250_000, b"\xbb" * 32, bytes(32))
    (maker,) = await chain.logs(topics=[ORDER_FILLED, None, padded(MAKER)])
    assert maker["topics"][3] == padded(alice.address)
    assert filled(maker)[:5] == (0, int(market.no), 10 * USD, 20 * USD, 0)
    assert maker["transactionHash"] == taker["transactionHash"]
    assert maker["address"] == taker["address"] == contracts.EXCHANGE
    (matched,) = await chain.logs(topics=[ORDERS_MATCHED])
    assert int(matched["logIndex"], 16) > int(taker["logIndex"], 16) > int(maker["logIndex"], 16)
    receipt = (await chain.ask("eth_getTransactionReceipt", taker["transactionHash"]))["result"]
    assert (receipt["status"], receipt["blockNumber"]) == ("0x1", taker["blockNumber"])
    assert taker in receipt["logs"]


async def test_sells_give_shares_and_get_cash(sandbox: RunningSandbox, market: SandboxMarket, chain: Chain) -> None:
    sandbox.leader_trade(wallet=LEADER, token_id=market.yes, side="SELL", price="0.48", size="10")
    (log,) = await chain.logs(topics=[ORDER_FILLED, None, padded(LEADER)])
    assert filled(log)[:4] == (1, int(market.yes), 10 * USD, 4_800_000)


@pytest.mark.parametrize(
    ("fields", "exchange"),
    [
        ({"neg_risk": True}, contracts.NEG_RISK_EXCHANGE),
        ({"version": "v2"}, contracts.EXCHANGE_V3),
        ({"version": "v2", "neg_risk": True}, contracts.EXCHANGE_V3),
    ],
)
async def test_each_exchange_tells_its_own_fills(
    sandbox: RunningSandbox, chain: Chain, fields: dict[str, Any], exchange: str
) -> None:
    market = sandbox.create_market("other", **fields)
    sandbox.leader_trade(wallet=LEADER, token_id=market.yes, side="BUY", price="0.50", size="10")
    (log,) = await chain.logs(
        address=[exchange], topics=[ORDER_FILLED, None, [padded(LEADER), padded(MAKER[:-1] + "b")]]
    )
    assert log["address"] == exchange


async def test_filters_by_block_address_and_topic(sandbox: RunningSandbox, market: SandboxMarket, chain: Chain) -> None:
    sandbox.leader_trade(wallet=LEADER, token_id=market.yes, side="BUY", price="0.50", size="10")
    (log,) = await chain.logs(topics=[ORDER_FILLED, None, padded(LEADER)])
    block, before = log["blockNumber"], hex(int(log["blockNumber"], 16) - 1)

    async def count(**asked: Any) -> int:
        return len((await chain.ask("eth_getLogs", asked))["result"])

    mine: dict[str, Any] = {"topics": [ORDER_FILLED, None, [padded(LEADER)]]}
    assert await count(fromBlock=block, toBlock=block, **mine) == 1
    assert await count(blockHash=log["blockHash"], **mine) == 1
    assert await count(fromBlock="earliest", toBlock=before, **mine) == 0
    assert await count(fromBlock=block, toBlock=block, address=contracts.NEG_RISK_EXCHANGE, **mine) == 0
    assert await count(fromBlock=block, topics=[None, None, None, None, None]) == 0
    refused = await chain.ask("eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest"})
    assert "maximum block range" in refused["error"]["message"]


async def test_a_failed_settlement_leaves_no_log(
    sandbox: RunningSandbox, alice: Trader, market: SandboxMarket, chain: Chain
) -> None:
    sandbox.fault("failed_settlement", count=1)
    _, doomed = await alice.order("BUY", market.yes, "0.50", "10", "FAK")
    _, good = await alice.order("BUY", market.yes, "0.50", "20", "FAK")
    (log,) = await chain.logs(topics=[ORDER_FILLED, None, padded(alice.address)])
    assert log["topics"][1] == good["orderID"] != doomed["orderID"]


async def test_a_subscriber_is_told_of_matching_logs_and_of_blocks(
    sandbox: RunningSandbox, market: SandboxMarket, session: aiohttp.ClientSession
) -> None:
    async with session.ws_connect(f"{sandbox.ws_url}/rpc") as socket:
        asked = {"address": [contracts.EXCHANGE], "topics": [ORDER_FILLED, None, [padded(LEADER)]]}
        await socket.send_json({"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["logs", asked]})
        name = (await socket.receive_json())["result"]
        sandbox.leader_trade(wallet=LEADER, token_id=market.yes, side="BUY", price="0.50", size="10")
        told = (await socket.receive_json())["params"]
        assert (told["subscription"], told["result"]["topics"][2]) == (name, padded(LEADER))
        await socket.send_json({"jsonrpc": "2.0", "id": 2, "method": "eth_unsubscribe", "params": [name]})
        assert (await socket.receive_json())["result"] is True
        await socket.send_json({"jsonrpc": "2.0", "id": 3, "method": "eth_subscribe", "params": ["newHeads"]})
        await socket.receive_json()
        head = (await socket.receive_json(timeout=5))["params"]["result"]
        assert int(head["number"], 16) > 80_000_000
        await socket.send_json({"jsonrpc": "2.0", "id": 4, "method": "eth_subscribe", "params": ["syncing"]})
        while "error" not in (answer := await socket.receive_json()):
            pass
        assert answer["error"]["code"] == -32602


async def test_calls_read_balances_allowances_and_payouts(
    sandbox: RunningSandbox, alice: Trader, market: SandboxMarket, chain: Chain
) -> None:
    await alice.order("BUY", market.yes, "0.50", "20", "FAK")
    await chain.logs(topics=[ORDER_FILLED, None, padded(alice.address)])
    me, token, condition = alice.address, int(market.yes), bytes.fromhex(market.condition_id[2:])
    balance, ctf = "balanceOf(address,uint256)", contracts.CONDITIONAL_TOKENS
    assert await chain.read(contracts.PUSD, "balanceOf(address)", me) == 989_750_000
    assert await chain.read(ctf, balance, me, token) == 20 * USD
    assert await chain.read(contracts.PUSD, "allowance(address,address)", me, contracts.EXCHANGE) == 2**256 - 1
    assert await chain.read(contracts.PUSD, "allowance(address,address)", me, contracts.USDC_E) == 0
    assert await chain.read(ctf, "isApprovedForAll(address,address)", me, contracts.EXCHANGE) == 1
    assert await chain.read(ctf, "payoutDenominator(bytes32)", condition) == 0
    sandbox.resolve(market.condition_id, market.yes)
    assert await chain.read(ctf, "payoutDenominator(bytes32)", condition) == 1
    assert await chain.read(ctf, "payoutNumerators(bytes32,uint256)", condition, 0) == 1
    assert await chain.read(ctf, balance, me, token) == 0
    (log,) = await chain.logs(topics=[REDEEMED, padded(me)])
    assert log["address"] == ctf
    (ended,) = await chain.logs(topics=[RESOLVED, market.condition_id])
    assert decode(["uint256", "uint256[]"], bytes.fromhex(ended["data"][2:])) == (2, (1, 0))
    assert await chain.read(contracts.PUSD, "totalSupply()") == -3
    assert await chain.read(contracts.USDC_E, "balanceOf(address)", me) == -3


async def test_no_of_one_outcome_converts_to_yes_of_the_others(
    sandbox: RunningSandbox, session: aiohttp.ClientSession, chain: Chain
) -> None:
    group = "0x" + "9e" * 32
    markets = [
        sandbox.create_market(f"candidate-{name}", neg_risk=True, neg_risk_market_id=group, event_slug="election")
        for name in "abc"
    ]
    trader = await Trader(sandbox, session, ALICE).log_in()
    sandbox.register_wallet(private_key=ALICE, usdc=1_000, signature_type=0)
    split = "splitPosition(address,bytes32,bytes32,uint256[],uint256)"
    for market in markets[:2]:
        condition = bytes.fromhex(market.condition_id[2:])
        values = [contracts.PUSD, bytes(32), condition, [1, 2], 100 * USD]
        await send(chain, trader, contracts.NEG_RISK_ADAPTER, split, *values)
    group_bytes = bytes.fromhex(group[2:])
    await send(
        chain, trader, contracts.NEG_RISK_ADAPTER, "convertPositions(bytes32,uint256,uint256)", group_bytes, 3, USD
    )
    (wallet,) = sandbox.state(wallet=trader.address)["wallets"]
    assert int(wallet["cash_units"]) == 801 * USD
    held = {token: int(units) for token, units in wallet["shares"].items()}
    assert (held[markets[0].no], held[markets[1].no], held[markets[2].yes]) == (99 * USD, 99 * USD, USD)
    assert sandbox.state(everything=True)["conserved"]
    for market in markets:
        sandbox.resolve(market.condition_id, market.yes if market is markets[2] else market.no)
    (wallet,) = sandbox.state(wallet=trader.address)["wallets"]
    assert int(wallet["cash_units"]) == 1_000 * USD
    assert sandbox.state(everything=True)["conserved"]
    splits = await chain.logs(topics=[SPLIT, padded(trader.address)])
    assert len(splits) == 2


async def send(chain: Chain, trader: Trader, to: str, signature: str, *values: Any) -> None:
    """An EOA's own transaction, which must succeed."""
    types = signature[signature.index("(") + 1 : -1].split(",")
    data = keccak(signature.encode())[:4] + encode(types, list(values))
    nonce = int((await chain.ask("eth_getTransactionCount", trader.address, "pending"))["result"], 16)
    signed = trader.sign_transaction(to=to, data=f"0x{data.hex()}", nonce=nonce)
    sent = await chain.ask("eth_sendRawTransaction", signed)
    receipt = (await chain.ask("eth_getTransactionReceipt", sent["result"]))["result"]
    assert receipt["status"] == "0x1"


async def test_raw_transactions_need_the_right_nonce_and_chain(
    sandbox: RunningSandbox, alice: Trader, chain: Chain
) -> None:
    call: dict[str, Any] = {"to": contracts.PUSD, "data": "0x"}
    changes: tuple[tuple[dict[str, int], str], ...] = (({"nonce": 5}, "nonce too high"), ({"chain_id": 1}, "chain id"))
    for change, words in changes:
        answer = await chain.ask("eth_sendRawTransaction", alice.sign_transaction(**{**call, "nonce": 0, **change}))
        assert words in answer["error"]["message"]
    reverted = await chain.ask("eth_sendRawTransaction", alice.sign_transaction(**call, nonce=0))
    receipt = (await chain.ask("eth_getTransactionReceipt", reverted["result"]))["result"]
    assert (receipt["status"], receipt["logs"]) == ("0x0", [])
    assert "error" in await chain.ask("eth_sendRawTransaction", "0x1234")
