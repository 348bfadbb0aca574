"""The relayer: pays for the transactions of wallets, once their owner has signed them, and registers session keys."""

import hashlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from aiohttp import web
from eth_abi.abi import encode as abi_encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from markets.venue.sandbox import transactions, wallets, wire
from markets.venue.sandbox.contract_calls import Call, Reverted
from markets.venue.sandbox.core import Sandbox
from markets.venue.sandbox.eip712 import WrongSignature, recover
from markets.venue.sandbox.http import error, protocol_path, reply
from markets.venue.sandbox.session_keys import SessionKey
from markets.venue.sandbox.transactions import Submitted, WalletCall

_RELAY = "0x" + "4e" * 20
_CREATES = {"WALLET-CREATE": wallets.DEPOSIT, "SAFE-CREATE": wallets.SAFE}
_KINDS = {"WALLET": wallets.DEPOSIT, "PROXY": wallets.PROXY, "SAFE": wallets.SAFE}
_SUBMITTED = msgspec.json.Decoder(Submitted)
_AUTHORIZE = keccak(b"authorizeSessionSigner(address,uint256)")[:4]
_REVOKE = keccak(b"revokeSessionSigner(address)")[:4]
_DAY_MS = 86_400_000


class Declined(ValueError):
    """A transaction the relayer does not take."""


class _Authorization(msgspec.Struct, frozen=True, rename="camel"):
    wallet_address: str
    session_signer_address: str
    nonce: str
    deadline: str
    signature: str
    valid_until: str = "0"
    scopes: list[str] = []


@dataclass(slots=True)
class _Transaction:
    name: str
    kind: str
    sender: str
    transaction_hash: str
    at_ms: int
    error: str = ""


class Relayer:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._known: dict[str, _Transaction] = {}
        self._answered: dict[str, wire.Json] = {}
        self._submitted_ms: dict[str, list[int]] = defaultdict(list)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/relayer/deployed", self.deployed),
            web.get("/relayer/v1/account/transactions/params", self.params),
            web.get("/relayer/relay-payload", self.relay_payload),
            web.post("/relayer/submit", self.submit),
            web.get("/relayer/v1/account/transactions/{transaction_id}", self.transaction),
            web.post("/relayer/v1/session-signers/authorizations", self.authorize),
            web.post("/relayer/v1/session-signers/revocations", self.revoke),
        ]

    async def deployed(self, request: web.Request) -> web.Response:
        known = self._sandbox.catalogue.wallets.get(request.query.get("address", "").lower())
        return reply({"deployed": known is not None and bool(known.signer) and known.signature_type != wallets.EOA})

    async def params(self, request: web.Request) -> web.Response:
        address = request.query.get("address", "")
        return reply({"address": address, "nonce": str(self._nonce(address, request.query.get("type", "WALLET")))})

    async def relay_payload(self, request: web.Request) -> web.Response:
        address = request.query.get("address", "")
        return reply({"address": _RELAY, "nonce": str(self._nonce(address, request.query.get("type", "PROXY")))})

    async def submit(self, request: web.Request) -> web.Response:
        caller = await self._caller(request)
        sent = _SUBMITTED.decode(await request.read())
        if self._over_quota(caller):
            return reply({"error": "quota exceeded"}, status=429, headers={"Retry-After": "60"})
        try:
            if sent.type in _CREATES:
                self._sandbox.deploy(sent.from_, _CREATES[sent.type])
                return reply(_accepted(self._note(sent.type, sent.from_, self._sandbox.contracts.new_transaction())))
            wallet, calls = self._signed(sent)
        except (Declined, WrongSignature, transactions.Unreadable) as declined:
            return error(str(declined))
        return reply(_accepted(self._execute(sent.type, sent.from_, wallet, calls)))

    async def transaction(self, request: web.Request) -> web.Response:
        await self._caller(request)
        known = self._known.get(request.match_info["transaction_id"])
        if known is None:
            return error("transaction not found", status=404)
        return reply(
            {
                "transaction_id": known.name,
                "transaction_hash": known.transaction_hash,
                "state": self._state(known),
                "error_msg": known.error or None,
                "type": known.kind,
                "from": known.sender,
            }
        )

    # -- session keys --------------------------------------------------------------------------------------------

    async def authorize(self, request: web.Request) -> web.Response:
        """Needs a builder's key: a personal relayer key may only revoke."""
        if request.headers.get("RELAYER_API_KEY"):
            return error("builder api key required", status=403)
        await self._caller(request)
        asked = msgspec.json.decode(await request.read(), type=_Authorization)
        address, until = asked.session_signer_address, int(asked.valid_until)
        data = _AUTHORIZE + abi_encode(["address", "uint256"], [address.lower(), until])

        def told(known: _Transaction) -> wire.Json:
            if not known.error:
                key = SessionKey(address, asked.wallet_address.lower(), tuple(asked.scopes), until)
                self._sandbox.sessions.authorize(key)
            status = "FAILED" if known.error else "SUBMITTED"
            return {"status": status, "transactionId": known.name, "transactionHash": known.transaction_hash}

        return self._session_operation(request, asked, data, told)

    async def revoke(self, request: web.Request) -> web.Response:
        """The key trades no more from now on, and its open orders are swept (when exactly is unverified)."""
        await self._caller(request)
        asked = msgspec.json.decode(await request.read(), type=_Authorization)
        data = _REVOKE + abi_encode(["address"], [asked.session_signer_address.lower()])

        def told(known: _Transaction) -> wire.Json:
            if not known.error:
                self._sandbox.cancel_all_of(to_checksum_address(asked.session_signer_address))
            return {"status": "FAILED" if known.error else "FENCED", "fenced": True, "transactionId": known.name}

        return self._session_operation(request, asked, data, told)

    def _session_operation(
        self, request: web.Request, asked: _Authorization, data: bytes, told: Callable[[_Transaction], wire.Json]
    ) -> web.Response:
        name = request.headers.get("Idempotency-Key", "")
        if name in self._answered:
            return reply(self._answered[name])
        call = WalletCall(asked.wallet_address, f"0x{data.hex()}")
        try:
            wallet = self._owned_batch(asked.wallet_address, asked.nonce, asked.deadline, [call], asked.signature)
        except (Declined, WrongSignature, transactions.Unreadable) as declined:
            return error(str(declined))
        answer = told(self._execute("WALLET", wallet.signer, wallet.key, transactions.deposit_calls([call])))
        if name:
            self._answered[name] = answer
        return reply(answer)

    # -- checking and doing --------------------------------------------------------------------------------------

    def _signed(self, sent: Submitted) -> tuple[str, list[Call]]:
        """(wallet, its calls), after signature, nonce and wallet were checked."""
        kind = _KINDS.get(sent.type)
        if kind is None:
            raise Declined(f"unknown transaction type {sent.type}")
        if kind == wallets.DEPOSIT:
            params = sent.deposit_wallet_params
            if params is None:
                raise Declined("depositWalletParams is required")
            wallet = self._owned_batch(params.deposit_wallet, sent.nonce, params.deadline, params.calls, sent.signature)
            return wallet.key, transactions.deposit_calls(params.calls)
        known = self._sandbox.catalogue.wallets.get(sent.proxy_wallet.lower())
        if known is None or known.signature_type != kind:
            raise Declined("wallet not deployed")
        proxy = kind == wallets.PROXY
        signer = transactions.proxy_signer(sent) if proxy else transactions.safe_signer(sent, known.key)
        if signer != known.signer:
            raise Declined("invalid signature")
        self._use_nonce(known.signer, sent.type, sent.nonce)
        return known.key, transactions.proxy_calls(sent) if proxy else transactions.safe_calls(sent)

    def _owned_batch(
        self, address: str, nonce: str, deadline: str, calls: list[WalletCall], signature: str
    ) -> wallets.Wallet:
        """The deposit wallet whose owner signed this batch. A session key's signature opens no wallet (unverified)."""
        wallet = self._sandbox.catalogue.wallets.get(address.lower())
        if wallet is None or wallet.signature_type != wallets.DEPOSIT:
            raise Declined("wallet not deployed")
        digest = transactions.batch_digest(wallet.address, nonce, deadline, calls)
        if recover(digest, bytes.fromhex(signature.removeprefix("0x"))) != wallet.signer:
            raise Declined("invalid signature")
        if int(deadline) <= self._sandbox.now_ms() // 1000:
            raise Declined("batch deadline expired")
        self._use_nonce(wallet.signer, "WALLET", nonce)
        return wallet

    def _nonce(self, signer: str, kind: str) -> int:
        return self._sandbox.nonces.get(f"{kind}/{signer.lower()}", 0)

    def _use_nonce(self, signer: str, kind: str, nonce: str) -> None:
        right = self._nonce(signer, kind)
        if int(nonce) != right:
            raise Declined(f"batch nonce {nonce} does not match on-chain nonce {right}")
        self._sandbox.nonces[f"{kind}/{signer.lower()}"] = right + 1

    def _execute(self, kind: str, sender: str, wallet: str, calls: list[Call]) -> _Transaction:
        known = self._note(kind, sender, self._sandbox.contracts.new_transaction())
        try:
            self._sandbox.contracts.run(wallet, calls, transaction_hash=known.transaction_hash)
        except Reverted as failed:
            known.error = str(failed)
        return known

    def _note(self, kind: str, sender: str, transaction_hash: str) -> _Transaction:
        name = hashlib.sha256(f"relayer/{transaction_hash}".encode()).hexdigest()[:32]
        known = _Transaction(name, kind, sender, transaction_hash, self._sandbox.now_ms())
        self._known[name] = known
        self._sandbox.chain.sent[transaction_hash] = self._sandbox.chain.block()
        return known

    def _state(self, known: _Transaction) -> str:
        """Time makes it so; what reverted fails when it would be mined."""
        exchange, age_ms = self._sandbox.exchange, self._sandbox.now_ms() - known.at_ms
        if age_ms < exchange.mined_after_ms:
            return "STATE_NEW" if age_ms < exchange.mined_after_ms // 2 else "STATE_EXECUTED"
        if known.error:
            return "STATE_FAILED"
        return "STATE_MINED" if age_ms < exchange.confirmed_after_ms else "STATE_CONFIRMED"

    def _over_quota(self, caller: str) -> bool:
        """A builder's tier allows so many transactions a day."""
        quota, now, seen = self._sandbox.relayer_quota, self._sandbox.now_ms(), self._submitted_ms[caller]
        seen[:] = [at for at in seen if now - at < _DAY_MS]
        if quota is not None and len(seen) >= quota:
            return True
        seen.append(now)
        return False

    async def _caller(self, request: web.Request) -> str:
        """Raises Unauthorized."""
        return self._sandbox.keys.check_relayer(
            request.headers,
            method=request.method,
            path=protocol_path(request),
            body=await request.read(),
            now_s=self._sandbox.now_ms() // 1000,
        )


def _accepted(known: _Transaction) -> wire.Json:
    return {"transactionID": known.name, "transactionHash": known.transaction_hash, "state": "STATE_NEW"}
