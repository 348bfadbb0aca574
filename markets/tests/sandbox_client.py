"""A plain client of the venue's protocol for tests: standard library HMAC, eth-account typed data, nothing of ours."""

import base64
import hashlib
import hmac
import json
from itertools import count
from typing import Any

import aiohttp
from aiohttp.client import _RequestContextManager
from eth_account import Account

from markets.venue.sandbox import server
from markets.venue.sandbox.testing import RunningSandbox

ORDER_FIELDS = [
    {"name": "salt", "type": "uint256"},
    {"name": "maker", "type": "address"},
    {"name": "signer", "type": "address"},
    {"name": "tokenId", "type": "uint256"},
    {"name": "makerAmount", "type": "uint256"},
    {"name": "takerAmount", "type": "uint256"},
    {"name": "side", "type": "uint8"},
    {"name": "signatureType", "type": "uint8"},
    {"name": "timestamp", "type": "uint256"},
    {"name": "metadata", "type": "bytes32"},
    {"name": "builder", "type": "bytes32"},
]
ZERO = "0x" + "0" * 64
EXCHANGE = "0xE111180000d2663C0091e4f400237545B87B996B"
NEG_RISK_EXCHANGE = "0xe2222d279d744050d28e00520010520000310F59"
_salts = count(1)


def order_fields(**values: Any) -> dict[str, Any]:
    """An order as signed, with everything that is usually zero filled in."""
    return {"timestamp": 1_790_000_000_000, "metadata": ZERO, "builder": ZERO, "signatureType": 0, **values}


def sign_order(private_key: str, order: dict[str, Any], *, exchange: str = EXCHANGE) -> str:
    """EOA, proxy and safe signature of an order."""
    domain = {"name": "Polymarket CTF Exchange", "version": "2", "chainId": 137, "verifyingContract": exchange}
    message = {**order, "tokenId": int(order["tokenId"]), "side": 0 if order["side"] == "BUY" else 1}
    for name in ("metadata", "builder"):
        message[name] = bytes.fromhex(order[name][2:])
    signed = Account.sign_typed_data(private_key, domain, {"Order": ORDER_FIELDS}, message)
    return f"0x{signed.signature.hex()}"


class Trader:
    """One EOA wallet with credentials. Amounts are dollars and shares."""

    def __init__(self, sandbox: RunningSandbox, session: aiohttp.ClientSession, private_key: str) -> None:
        self._sandbox = sandbox
        self._session = session
        self.private_key = private_key
        self.address: str = Account.from_key(private_key).address
        self.credentials: dict[str, str] = {}

    async def log_in(self) -> "Trader":
        now = str(server.system_ms() // 1000)
        message = {
            "address": self.address,
            "timestamp": now,
            "nonce": 0,
            "message": "This message attests that I control the given wallet",
        }
        types = {
            "ClobAuth": [
                {"name": "address", "type": "address"},
                {"name": "timestamp", "type": "string"},
                {"name": "nonce", "type": "uint256"},
                {"name": "message", "type": "string"},
            ]
        }
        domain = {"name": "ClobAuthDomain", "version": "1", "chainId": 137}
        signature = "0x" + Account.sign_typed_data(self.private_key, domain, types, message).signature.hex()
        headers = {
            "POLY_ADDRESS": self.address,
            "POLY_SIGNATURE": signature,
            "POLY_TIMESTAMP": now,
            "POLY_NONCE": "0",
        }
        async with self._session.get(f"{self._sandbox.url}/clob/auth/derive-api-key", headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            self.credentials = await answer.json()
        return self

    def headers(self, method: str, path: str, body: str = "", *, skew_s: int = 0) -> dict[str, str]:
        """As a clock that is `skew_s` ahead would send them."""
        now = str(server.system_ms() // 1000 + skew_s)
        key = base64.urlsafe_b64decode(self.credentials["secret"])
        digest = hmac.new(key, f"{now}{method}{path}{body}".encode(), hashlib.sha256).digest()
        return {
            "POLY_ADDRESS": self.address,
            "POLY_API_KEY": self.credentials["apiKey"],
            "POLY_PASSPHRASE": self.credentials["passphrase"],
            "POLY_SIGNATURE": base64.urlsafe_b64encode(digest).decode(),
            "POLY_TIMESTAMP": now,
            "Content-Type": "application/json",
        }

    def sign_transaction(self, *, to: str, data: str, nonce: int, chain_id: int = 137) -> str:
        """A transaction of the wallet's own, as hex."""
        fields = {
            "to": to,
            "data": data,
            "nonce": nonce,
            "chainId": chain_id,
            "gas": 200_000,
            "gasPrice": 1,
            "value": 0,
        }
        signed = Account.sign_transaction(fields, self.private_key)
        return f"0x{signed.raw_transaction.hex()}"

    def request(self, method: str, path: str, body: Any = None, query: str = "") -> _RequestContextManager:
        """A signed request, to be entered."""
        text = "" if body is None else json.dumps(body, separators=(",", ":"))
        url = f"{self._sandbox.url}/clob{path}{query}"
        return self._session.request(method, url, data=text or None, headers=self.headers(method, path, text))

    async def call(self, method: str, path: str, body: Any = None, query: str = "") -> tuple[int, Any]:
        async with self.request(method, path, body, query) as answer:
            return answer.status, await answer.json()

    def payload(
        self, side: str, token_id: str, price: str, shares: str, kind: str = "GTC", **more: Any
    ) -> dict[str, Any]:
        """A signed POST /order body. `order` overrides fields before signing, `post` fields of the wrapper."""
        units = round(float(shares) * 1_000_000)
        cash = round(float(price) * float(shares) * 1_000_000)
        maker, taker = (cash, units) if side == "BUY" else (units, cash)
        fields = {
            "salt": next(_salts),
            "maker": self.address,
            "signer": self.address,
            "tokenId": token_id,
            "makerAmount": maker,
            "takerAmount": taker,
            "side": side,
            **more.get("order", {}),
        }
        order = order_fields(**fields)
        exchange = more.get("exchange", EXCHANGE)
        wire = {name: str(value) if name.endswith(("Amount", "timestamp")) else value for name, value in order.items()}
        wire |= {"signature": sign_order(self.private_key, order, exchange=exchange), "expiration": "0"}
        wire |= more.get("wire", {})
        return {
            "deferExec": False,
            "order": wire,
            "owner": self.credentials["apiKey"],
            "orderType": kind,
            **more.get("post", {}),
        }

    async def order(
        self, side: str, token_id: str, price: str, shares: str, kind: str = "GTC", **more: Any
    ) -> tuple[int, Any]:
        return await self.call("POST", "/order", self.payload(side, token_id, price, shares, kind, **more))
