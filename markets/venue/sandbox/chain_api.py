"""The few relayer and JSON-RPC calls that clients make: is it deployed, what does it own, what has it approved."""

from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import web

from markets.venue.sandbox import eip712, wallets
from markets.venue.sandbox.contracts import CONDITIONAL_TOKENS, PUSD
from markets.venue.sandbox.core import Sandbox
from markets.venue.sandbox.http import reply
from markets.venue.simulator.ledger import UNLIMITED, Holdings

_BEACON, _BALANCE, _ALLOWANCE = "0x49493a4d", "0x70a08231", "0xdd62ed3e"
_SHARES, _APPROVED = "0x00fdd58e", "0xe985e9c5"
_FIRST_BLOCK, _BLOCK_MS = 80_000_000, 2_000


class RpcError(ValueError):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class ChainApi:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._started_ms = sandbox.now_ms()
        self._calls: dict[str, Callable[[list[Any]], object]] = {
            "eth_chainId": lambda params: hex(eip712.CHAIN_ID),
            "net_version": lambda params: str(eip712.CHAIN_ID),
            "eth_blockNumber": lambda params: hex(self._block()),
            "eth_gasPrice": lambda params: hex(30 * 10**9),
            "eth_getBlockByNumber": self._block_by_number,
            "eth_getCode": self._code,
            "eth_getBalance": lambda params: hex(0),
            "eth_call": self._call,
        }

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/relayer/deployed", self.deployed),
            web.get("/relayer/v1/account/transactions/params", self.params),
            web.get("/relayer/relay-payload", self.params),
            web.post("/rpc", self.rpc),
            web.post("/rpc/", self.rpc),
        ]

    async def deployed(self, request: web.Request) -> web.Response:
        known = self._sandbox.catalogue.wallets.get(request.query.get("address", "").lower())
        return reply({"deployed": known is not None and known.signature_type != wallets.EOA})

    async def params(self, request: web.Request) -> web.Response:
        return reply({"address": request.query.get("address", ""), "nonce": "0"})

    async def rpc(self, request: web.Request) -> web.Response:
        asked = msgspec.json.decode(await request.read())
        if isinstance(asked, list):
            return reply([self._answer(one) for one in asked])
        return reply(self._answer(asked))

    def _answer(self, asked: dict[str, Any]) -> dict[str, object]:
        answer: dict[str, object] = {"jsonrpc": "2.0", "id": asked.get("id")}
        method = asked.get("method", "")
        try:
            if method not in self._calls:
                raise RpcError(-32601, f"the method {method} does not exist/is not available")
            return {**answer, "result": self._calls[method](asked.get("params") or [])}
        except RpcError as failed:
            return {**answer, "error": {"code": failed.code, "message": str(failed)}}

    def _block(self) -> int:
        return _FIRST_BLOCK + (self._sandbox.now_ms() - self._started_ms) // _BLOCK_MS

    def _block_by_number(self, params: list[Any]) -> object:
        return {"number": hex(self._block()), "timestamp": hex(self._sandbox.now_ms() // 1000), "transactions": []}

    def _code(self, params: list[Any]) -> object:
        known = self._sandbox.catalogue.wallets.get(str(params[0]).lower()) if params else None
        return "0x01" if known is not None and known.signature_type != wallets.EOA else "0x"

    def _call(self, params: list[Any]) -> object:
        if not params or not isinstance(params[0], dict):
            raise RpcError(-32602, "missing value for required argument 0")
        target = str(params[0].get("to", "")).lower()
        call = str(params[0].get("data") or params[0].get("input") or "")
        selector, arguments = call[:10], call[10:]
        if target == wallets.DEPOSIT_FACTORY.lower() and selector == _BEACON:
            return _word(int(wallets.DEPOSIT_BEACON, 16))
        words = [arguments[at : at + 64] for at in range(0, len(arguments), 64)]
        holdings = self._holdings(words)
        if target == PUSD.lower() and selector == _BALANCE:
            return _word(holdings.cash)
        if target == PUSD.lower() and selector == _ALLOWANCE:
            return _word(min(holdings.cash_allowance, UNLIMITED))
        if target == CONDITIONAL_TOKENS.lower() and selector == _SHARES and len(words) > 1:
            return _word(holdings.shares.get(str(int(words[1], 16)), 0))
        if target == CONDITIONAL_TOKENS.lower() and selector == _APPROVED:
            return _word(int(holdings.shares_approved))
        raise RpcError(3, "execution reverted")

    def _holdings(self, words: list[str]) -> Holdings:
        owner = "0x" + words[0][-40:].lower() if words else ""
        return self._sandbox.exchange.ledger.wallets.get(owner) or Holdings()


def _word(value: int) -> str:
    return f"0x{value:064x}"
