"""Controls of what the venue holds against accounts, when it takes orders, and how strict it is."""

from decimal import Decimal
from typing import Any, Literal

import msgspec
from aiohttp import web
from eth_utils.address import to_checksum_address

from markets.venue.sandbox.core import Sandbox
from markets.venue.sandbox.http import error, reply
from markets.venue.sandbox.limits import TIERS
from markets.venue.sandbox.session_keys import CLOB, SessionKey
from markets.venue.sandbox.windows import Mode
from polyhub.lib import money


class VenueRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Only what is given changes. `cdn` gives seconds by path, `builder_fees` (maker, taker) bps by builder code.

    `blocked` bars the caller's region; `odd_statuses` shows the rarer spellings of states over REST.
    """

    rate_limits: bool | None = None
    limits_warn_only: bool | None = None
    limits_scale: int | None = None
    stale_balances: bool | None = None
    cdn: dict[str, float] | None = None
    blocked: bool | None = None
    tell_wait: bool | None = None
    relayer_quota: int | None = None
    odd_statuses: bool | None = None
    builder_fees: dict[str, tuple[int, int]] | None = None


class AccountRequest(msgspec.Struct, frozen=True, kw_only=True):
    """An address of a signer or a wallet. `approved` gives or takes every approval, on chain alone."""

    address: str
    banned: bool | None = None
    closed_only: bool | None = None
    paused: bool | None = None
    approved: bool | None = None
    tier: str | None = None


class RestartRequest(msgspec.Struct, frozen=True, kw_only=True):
    down_seconds: float = 90
    post_only_seconds: float = 120


class WindowRequest(msgspec.Struct, frozen=True, kw_only=True):
    mode: Mode
    seconds: float


class DepositRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Cash that reaches a wallet on chain; the order book learns of it when asked to update."""

    address: str
    usdc: Decimal


class ActivityRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Something a wallet got outside of trading, as the Data API tells it; its money is not moved."""

    wallet: str
    type: Literal["REWARD", "YIELD", "MAKER_REBATE", "TAKER_REBATE", "REFERRAL_REWARD", "DEPOSIT", "WITHDRAWAL", "TIP"]
    usdc: Decimal


class SessionKeyRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`wallet` lets `address` trade for it. `scopes` empty takes the key away."""

    wallet: str
    address: str
    scopes: tuple[str, ...] = (CLOB,)
    valid_for_seconds: int = 3_600


class VenueControl:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/_sandbox/venue", self.venue),
            web.post("/_sandbox/accounts", self.account),
            web.post("/_sandbox/restart", self.restart),
            web.post("/_sandbox/windows", self.window),
            web.delete("/_sandbox/windows", self.clear_windows),
            web.post("/_sandbox/deposits", self.deposit),
            web.post("/_sandbox/activity", self.activity),
            web.post("/_sandbox/session_keys", self.session_key),
            web.post("/_sandbox/relayer_keys", self.relayer_key),
        ]

    async def venue(self, request: web.Request) -> web.Response:
        asked = msgspec.json.decode(await request.read(), type=VenueRequest)
        sandbox = self._sandbox
        if asked.limits_scale is not None and asked.limits_scale < 1:
            raise ValueError("limits_scale must be at least 1")
        if asked.rate_limits is not None:
            sandbox.limits.enabled = asked.rate_limits
            sandbox.limits.clear()
        if asked.limits_warn_only is not None:
            sandbox.limits.warn_only = asked.limits_warn_only
        if asked.limits_scale is not None:
            sandbox.limits.scale = asked.limits_scale
        if asked.stale_balances is not None:
            sandbox.view.stale = asked.stale_balances
        if asked.cdn is not None:
            sandbox.cdn.seconds = asked.cdn
            sandbox.cdn.clear()
        if asked.blocked is not None:
            sandbox.standings.blocked = asked.blocked
        if asked.relayer_quota is not None:
            sandbox.relayer_quota = asked.relayer_quota
        if asked.builder_fees is not None:
            sandbox.builder_fees = {code.lower(): bps for code, bps in asked.builder_fees.items()}
        if asked.odd_statuses is not None:
            sandbox.odd_statuses = asked.odd_statuses
        if asked.tell_wait is not None:
            sandbox.windows.tell_wait = asked.tell_wait
        return reply("OK")

    async def account(self, request: web.Request) -> web.Response:
        asked = msgspec.json.decode(await request.read(), type=AccountRequest)
        key, standings = asked.address.lower(), self._sandbox.standings
        marks = (
            (standings.banned, asked.banned),
            (standings.closed_only, asked.closed_only),
            (standings.paused, asked.paused),
        )
        for members, wanted in marks:
            if wanted is not None:
                _mark(members, key, wanted)
        if asked.approved is not None:
            change = self._sandbox.approvals.grant_all if asked.approved else self._sandbox.approvals.revoke_all
            change(key)
        if asked.tier is not None:
            if asked.tier not in TIERS:
                raise ValueError(f"unknown tier: one of {', '.join(TIERS)}")
            self._sandbox.limits.tiers[key] = asked.tier
        return reply("OK")

    async def restart(self, request: web.Request) -> web.Response:
        asked = msgspec.json.decode(await request.read() or b"{}", type=RestartRequest)
        self._sandbox.windows.restart(down_s=asked.down_seconds, post_only_s=asked.post_only_seconds)
        return reply("OK")

    async def window(self, request: web.Request) -> web.Response:
        asked = msgspec.json.decode(await request.read(), type=WindowRequest)
        self._sandbox.windows.add(asked.mode, seconds=asked.seconds)
        return reply("OK")

    async def clear_windows(self, request: web.Request) -> web.Response:
        self._sandbox.windows.clear()
        return reply("OK")

    async def deposit(self, request: web.Request) -> web.Response:
        asked = msgspec.json.decode(await request.read(), type=DepositRequest)
        key, units = asked.address.lower(), money.to_units(asked.usdc)
        self._sandbox.exchange.ledger.deposit(key, units)
        self._sandbox.view.moved(key, units)
        self._note(key, "DEPOSIT", units)
        return reply("OK")

    async def activity(self, request: web.Request) -> web.Response:
        asked = msgspec.json.decode(await request.read(), type=ActivityRequest)
        self._note(asked.wallet.lower(), asked.type, money.to_units(asked.usdc))
        return reply("OK")

    def _note(self, wallet: str, kind: str, units: int) -> None:
        sandbox = self._sandbox
        transaction = sandbox.contracts.new_transaction()
        sandbox.record.note_cash(wallet, kind, units, at_s=sandbox.now_ms() // 1000, transaction_hash=transaction)

    async def session_key(self, request: web.Request) -> web.Response:
        asked = msgspec.json.decode(await request.read(), type=SessionKeyRequest)
        wallet = self._sandbox.catalogue.wallets.get(asked.wallet.lower())
        if wallet is None:
            return error("wallet not found", status=404)
        address, sessions = to_checksum_address(asked.address), self._sandbox.sessions
        if not asked.scopes:
            sessions.revoke(wallet.key, address)
            return reply("OK")
        until = self._sandbox.now_ms() // 1000 + asked.valid_for_seconds
        sessions.authorize(SessionKey(address, wallet.key, asked.scopes, until))
        return reply({"address": address, "valid_until": until})

    async def relayer_key(self, request: web.Request) -> web.Response:
        """A personal relayer key for the signer with this address."""
        asked = msgspec.json.decode(await request.read(), type=dict[str, str])
        return reply({"key": self._sandbox.keys.make_relayer(asked["address"]), "address": asked["address"]})


def _mark(members: set[Any], key: str, wanted: bool) -> None:
    if wanted:
        members.add(key)
    else:
        members.discard(key)
