"""CLOB routes about an account: credentials, bans, balances, notifications, heartbeats, session keys."""

import msgspec
from aiohttp import web

from markets.venue.sandbox import contracts, notifications
from markets.venue.sandbox.auth import Credentials
from markets.venue.sandbox.core import Sandbox, WrongHeartbeat
from markets.venue.sandbox.http import credentials, error, protocol_path, reply
from markets.venue.sandbox.messages import Heartbeat

_HEARTBEAT = msgspec.json.Decoder(Heartbeat)
_ASSETS = ("COLLATERAL", "CONDITIONAL", "CONDITIONAL-V2")


class ClobAccount:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/clob/auth/api-key", self.create_key),
            web.get("/clob/auth/derive-api-key", self.derive_key),
            web.get("/clob/auth/api-keys", self.list_keys),
            web.delete("/clob/auth/api-key", self.delete_key),
            web.post("/clob/auth/readonly-api-key", self.create_readonly_key),
            web.get("/clob/auth/readonly-api-keys", self.list_readonly_keys),
            web.delete("/clob/auth/readonly-api-key", self.delete_readonly_key),
            web.get("/clob/auth/ban-status/closed-only", self.closed_only),
            web.post("/clob/auth/builder-api-key", self.create_builder_key),
            web.get("/clob/auth/builder-api-key", self.list_builder_keys),
            web.delete("/clob/auth/builder-api-key", self.delete_builder_key),
            web.get("/clob/v1/user/session-signers", self.session_keys),
            web.get("/clob/balance-allowance", self.balance_allowance),
            web.get("/clob/balance-allowance/update", self.update_balance_allowance),
            web.get("/clob/notifications", self.notifications),
            web.delete("/clob/notifications", self.drop_notifications),
            web.post("/clob/v1/heartbeats", self.heartbeat),
        ]

    # -- credentials ---------------------------------------------------------------------------------------------

    async def create_key(self, request: web.Request) -> web.Response:
        made = self._sandbox.keys.create(request.headers, now_s=self._now_s())
        return reply(made.as_wire())

    async def derive_key(self, request: web.Request) -> web.Response:
        made = self._sandbox.keys.derive(request.headers, now_s=self._now_s())
        return reply(made.as_wire())

    async def list_keys(self, request: web.Request) -> web.Response:
        owner = await self._owner(request)
        return reply({"apiKeys": self._sandbox.keys.keys_of(owner.signer)})

    async def delete_key(self, request: web.Request) -> web.Response:
        self._sandbox.keys.revoke(await self._owner(request))
        return reply("OK")

    async def create_readonly_key(self, request: web.Request) -> web.Response:
        """Shapes of the three routes for read-only keys are (unverified); nothing here accepts such a key."""
        return reply({"apiKey": self._sandbox.keys.make_readonly(await self._owner(request))})

    async def list_readonly_keys(self, request: web.Request) -> web.Response:
        owner = await self._owner(request)
        return reply({"readonlyApiKeys": self._sandbox.keys.readonly_of(owner.signer)})

    async def delete_readonly_key(self, request: web.Request) -> web.Response:
        owner = await self._owner(request)
        asked = msgspec.json.decode(await request.read() or b"{}", type=dict[str, str])
        if not self._sandbox.keys.revoke_readonly(owner.signer, asked.get("key", "")):
            return error("readonly api key not found", status=404)
        return reply("OK")

    async def create_builder_key(self, request: web.Request) -> web.Response:
        made = self._sandbox.keys.make_builder(await self._owner(request))
        return reply({"key": made.api_key, "secret": made.secret, "passphrase": made.passphrase})

    async def list_builder_keys(self, request: web.Request) -> web.Response:
        owner = await self._owner(request)
        return reply([{"key": key} for key in self._sandbox.keys.builder_keys_of(owner.signer)])

    async def delete_builder_key(self, request: web.Request) -> web.Response:
        """Signed by the builder key itself."""
        body = await request.read()
        self._sandbox.keys.revoke_builder(
            request.headers, method=request.method, path=protocol_path(request), body=body, now_s=self._now_s()
        )
        return reply("OK")

    async def closed_only(self, request: web.Request) -> web.Response:
        owner = await self._owner(request)
        names = self._sandbox.wallets_of(owner.signer)
        return reply({"closed_only": self._sandbox.standings.is_closed_only(*names)})

    async def session_keys(self, request: web.Request) -> web.Response:
        """The active session keys of the caller's deposit wallet."""
        owner = await self._owner(request)
        wallet = self._sandbox.deposit_wallet_of(owner.signer)
        if wallet is None:
            return error("wallet not found", status=404)
        active = self._sandbox.sessions.active(wallet.key, now_s=self._now_s())
        signers = [
            {"address": key.address, "scopes": list(key.scopes), "valid_until": key.valid_until_s} for key in active
        ]
        return reply({"wallet": wallet.address, "signers": signers})

    # -- money ---------------------------------------------------------------------------------------------------

    async def balance_allowance(self, request: web.Request) -> web.Response:
        key, token = await self._asset(request)
        if key is None:
            spenders = [*contracts.CASH_SPENDERS] if not token else [one for _, one in contracts.SHARE_OPERATORS]
            return reply({"balance": "0", "allowances": dict.fromkeys(spenders, "0")})
        view = self._sandbox.view
        allowances = {spender: str(units) for spender, units in view.allowances(key, token_id=token).items()}
        return reply({"balance": str(view.balance(key, token_id=token)), "allowances": allowances})

    async def update_balance_allowance(self, request: web.Request) -> web.Response:
        """Reads the chain anew; the answer's body means nothing."""
        key, _ = await self._asset(request)
        if key is not None:
            self._sandbox.view.update(key)
        return await self.balance_allowance(request)

    async def _asset(self, request: web.Request) -> tuple[str | None, str]:
        """(wallet or None, token or "" for cash) that the query means."""
        owner, query = await self._owner(request), request.query
        kind, token = query.get("asset_type", "COLLATERAL"), query.get("token_id", "")
        if kind not in _ASSETS:
            raise ValueError("invalid asset type")
        if kind == "COLLATERAL":
            token = ""
        elif not token.isdecimal() or contracts.is_v2_position(token) is not (kind == "CONDITIONAL-V2"):
            raise ValueError("invalid token id")
        signature_type = query.get("signature_type")
        wallet = self._sandbox.wallet_of(owner.signer, int(signature_type) if signature_type else None)
        return (wallet.key if wallet is not None else None), token

    # -- telling -------------------------------------------------------------------------------------------------

    async def notifications(self, request: web.Request) -> web.Response:
        return reply(notifications.of(self._sandbox, await self._owner(request)))

    async def drop_notifications(self, request: web.Request) -> web.Response:
        owner = await self._owner(request)
        ids = request.query.get("ids", "")
        self._sandbox.dropped_notifications[owner.signer].update(filter(None, ids.split(",")))
        return reply("OK")

    async def heartbeat(self, request: web.Request) -> web.Response:
        owner = await self._owner(request)
        sent = _HEARTBEAT.decode(await request.read() or b"{}").heartbeat_id or ""
        try:
            return reply({"heartbeat_id": self._sandbox.heartbeat(owner, sent)})
        except WrongHeartbeat as wrong:
            return reply({"error_msg": str(wrong), "heartbeat_id": wrong.expected}, status=400)

    def _now_s(self) -> int:
        return self._sandbox.now_ms() // 1000

    async def _owner(self, request: web.Request) -> Credentials:
        return await credentials(request, self._sandbox)
