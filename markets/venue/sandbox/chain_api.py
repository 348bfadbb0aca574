"""JSON-RPC of the chain, over HTTP and as a socket: logs, balances, allowances, wallet probes, an EOA's own calls."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import WSMsgType, web

from markets.venue.sandbox import eip712, transactions, wire
from markets.venue.sandbox.chain import Log, block_hash
from markets.venue.sandbox.chain_calls import Reader, RpcError
from markets.venue.sandbox.contract_calls import Reverted
from markets.venue.sandbox.core import Sandbox
from markets.venue.sandbox.http import reply
from markets.venue.sandbox.log_filter import LogFilter, block_of, log_row

_MOST_BLOCKS = 10_000
_QUEUE = 4_096


class ChainApi:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._reader = Reader(sandbox)
        self._calls: dict[str, Callable[[list[Any]], object]] = {
            "eth_chainId": lambda params: hex(eip712.CHAIN_ID),
            "net_version": lambda params: str(eip712.CHAIN_ID),
            "eth_blockNumber": lambda params: hex(sandbox.chain.block()),
            "eth_gasPrice": lambda params: hex(30 * 10**9),
            "eth_estimateGas": lambda params: hex(200_000),
            "eth_maxPriorityFeePerGas": lambda params: hex(30 * 10**9),
            "eth_getBalance": lambda params: hex(10**18),
            "eth_getBlockByNumber": self._block_by_number,
            "eth_getCode": self._reader.code,
            "eth_call": self._reader.call,
            "eth_getLogs": self._logs,
            "eth_getTransactionReceipt": self._receipt,
            "eth_getTransactionCount": self._transaction_count,
            "eth_sendRawTransaction": self._send_raw,
        }

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/rpc", self.rpc),
            web.post("/rpc/", self.rpc),
            web.get("/rpc", self.socket),
            web.get("/rpc/", self.socket),
        ]

    async def rpc(self, request: web.Request) -> web.Response:
        return reply(self._answers(await request.read()))

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        """The same calls, and subscriptions to logs and new blocks."""
        socket = web.WebSocketResponse(compress=False, heartbeat=None)
        await socket.prepare(request)
        session = _Session(self._sandbox)
        writer = asyncio.create_task(session.write(socket))
        self._sandbox.chain.listeners.append(session.told)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    session.push(wire.encode(self._answers(message.data.encode(), session)))
        finally:
            self._sandbox.chain.listeners.remove(session.told)
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writer
        return socket

    def _answers(self, body: bytes, session: "_Session | None" = None) -> object:
        try:
            asked = msgspec.json.decode(body)
        except msgspec.MsgspecError:
            return {"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "parse error"}}
        if isinstance(asked, list):
            return [self._answer(one, session) for one in asked]
        return self._answer(asked, session)

    def _answer(self, asked: Any, session: "_Session | None") -> dict[str, object]:
        if not isinstance(asked, dict):
            return {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "invalid request"}}
        answer: dict[str, object] = {"jsonrpc": "2.0", "id": asked.get("id")}
        method, params = asked.get("method", ""), asked.get("params") or []
        try:
            if session is not None and method in ("eth_subscribe", "eth_unsubscribe"):
                return {**answer, "result": session.subscribe(method, params)}
            if method not in self._calls:
                raise RpcError(-32601, f"the method {method} does not exist/is not available")
            return {**answer, "result": self._calls[method](params)}
        except RpcError as failed:
            return {**answer, "error": {"code": failed.code, "message": str(failed)}}
        except (ValueError, IndexError, TypeError, KeyError) as bad:
            return {**answer, "error": {"code": -32602, "message": f"invalid argument: {bad}"}}

    # -- blocks and logs -----------------------------------------------------------------------------------------

    def _block_by_number(self, params: list[Any]) -> object:
        chain = self._sandbox.chain
        block = block_of(params[0] if params else "latest", chain.block())
        return _block_row(block, chain.block_time_s(block)) if block <= chain.block() else None

    def _logs(self, params: list[Any]) -> object:
        asked, chain = LogFilter.of(params[0]), self._sandbox.chain
        first = block_of(params[0].get("fromBlock", "latest"), chain.block())
        last = min(block_of(params[0].get("toBlock", "latest"), chain.block()), chain.block())
        if "blockHash" in params[0]:
            wanted = {log.block for log in chain.logs if block_hash(log.block) == params[0]["blockHash"]}
            first, last = (min(wanted), max(wanted)) if wanted else (1, 0)
        if last - first >= _MOST_BLOCKS:
            # The number is what public nodes allow; their words differ.
            raise RpcError(-32000, f"exceed maximum block range: {_MOST_BLOCKS}")
        return [log_row(log) for log in chain.between(first, last) if asked.wants(log)]

    def _receipt(self, params: list[Any]) -> object:
        chain, name = self._sandbox.chain, str(params[0])
        logs, failed = chain.of_transaction(name), name in chain.failed
        if not logs and not failed and name not in chain.sent:
            return None
        block = logs[0].block if logs else chain.sent.get(name, chain.block())
        return {
            "transactionHash": name,
            "transactionIndex": "0x0",
            "blockNumber": hex(block),
            "blockHash": block_hash(block),
            "status": "0x0" if failed else "0x1",
            "gasUsed": hex(200_000),
            "logs": [log_row(log) for log in logs],
        }

    # -- an EOA's own transactions -------------------------------------------------------------------------------

    def _transaction_count(self, params: list[Any]) -> object:
        return hex(self._sandbox.nonces.get(str(params[0]).lower(), 0))

    def _send_raw(self, params: list[Any]) -> object:
        sent = transactions.raw(str(params[0]))
        sandbox, sender = self._sandbox, sent.sender.lower()
        if sent.nonce != sandbox.nonces.get(sender, 0):
            raise RpcError(-32000, "nonce too low" if sent.nonce < sandbox.nonces.get(sender, 0) else "nonce too high")
        sandbox.nonces[sender] = sent.nonce + 1
        sandbox.chain.sent[sent.transaction_hash] = sandbox.chain.block()
        with contextlib.suppress(Reverted):  # told by the receipt
            sandbox.contracts.run(sender, [sent.call], transaction_hash=sent.transaction_hash)
        return sent.transaction_hash


class _Session:
    """One socket: its subscriptions, and a queue its writer drains. A reader too slow for it is cut off."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._serial = 0
        self._logs: dict[str, LogFilter] = {}
        self._heads: set[str] = set()
        self._queue: asyncio.Queue[str] = asyncio.Queue(_QUEUE)
        self._overrun = False
        self._block = sandbox.chain.block()

    def push(self, text: str) -> None:
        try:
            self._queue.put_nowait(text)
        except asyncio.QueueFull:
            self._overrun = True

    def subscribe(self, method: str, params: list[Any]) -> object:
        if method == "eth_unsubscribe":
            known = params[0] in self._logs or params[0] in self._heads
            self._logs.pop(params[0], None)
            self._heads.discard(params[0])
            return known
        self._serial += 1
        name = f"0x{self._serial:032x}"
        if params[0] == "logs":
            self._logs[name] = LogFilter.of(params[1] if len(params) > 1 else {})
        elif params[0] == "newHeads":
            self._heads.add(name)
        else:
            raise RpcError(-32602, f"no {params[0]!r} subscription in eth namespace")
        return name

    def told(self, log: Log) -> None:
        for name, asked in self._logs.items():
            if asked.wants(log):
                self._notify(name, log_row(log))

    async def write(self, socket: web.WebSocketResponse) -> None:
        while not self._overrun:
            self._new_heads()
            with contextlib.suppress(TimeoutError):
                text = await asyncio.wait_for(self._queue.get(), 0.2)
                await socket.send_str(text)
        await socket.close(code=1008, message=b"slow consumer")

    def _new_heads(self) -> None:
        chain, latest = self._sandbox.chain, self._sandbox.chain.block()
        for block in range(self._block + 1, latest + 1):
            for name in self._heads:
                self._notify(name, _block_row(block, chain.block_time_s(block)))
        self._block = latest

    def _notify(self, name: str, result: object) -> None:
        params = {"subscription": name, "result": result}
        self.push(wire.encode({"jsonrpc": "2.0", "method": "eth_subscription", "params": params}))


def _block_row(block: int, at_s: int) -> dict[str, object]:
    return {
        "number": hex(block),
        "hash": block_hash(block),
        "parentHash": block_hash(block - 1),
        "timestamp": hex(at_s),
        "baseFeePerGas": hex(10**9),
        "transactions": [],
    }
