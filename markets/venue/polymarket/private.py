"""Requests of one account: credentials from an L1 signature, HMAC headers over the exact bytes sent."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar
from urllib.parse import quote, urlencode

import msgspec

from markets.venue import signing
from markets.venue.errors import OutcomeUnknown, Refused, Unavailable, VenueError
from markets.venue.polymarket import account_wire, endpoints, error_map, numbers, wire
from markets.venue.polymarket.transport import Answer, Transport
from markets.venue.polymarket.wire import BadAnswer
from markets.venue.signers import OrderSigner, VenueAccount

T = TypeVar("T")

_MAX_PAGES = 200
_NONCE = 0
BALANCE_CALLS = 8
RENEW_AFTER_S = 10.0

_KEY = msgspec.json.Decoder(wire.ApiKey)
_ORDER_ANSWER = msgspec.json.Decoder(wire.OrderAnswer)
_ORDER_ANSWERS = msgspec.json.Decoder(list[wire.OrderAnswer])
_HEARTBEAT = msgspec.json.Decoder(account_wire.Heartbeat)
_NOTIFICATIONS = msgspec.json.Decoder(list[account_wire.Notification] | None)
_CLOSED_ONLY = msgspec.json.Decoder(account_wire.ClosedOnly)
_CANCEL_ANSWER = msgspec.json.Decoder(wire.CancelAnswer)
_ORDER = msgspec.json.Decoder(wire.OrderRow)
_ORDERS = msgspec.json.Decoder(wire.Page[wire.OrderRow])
_TRADES = msgspec.json.Decoder(wire.Page[wire.TradeRow])
_BALANCE = msgspec.json.Decoder(wire.BalanceAnswer)


@dataclass(frozen=True, slots=True)
class Credentials:
    """API credentials. They live in this process's memory only and never show themselves."""

    api_key: str = field(repr=False)
    secret: bytes = field(repr=False)
    secret_text: str = field(repr=False)
    passphrase: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Balance:
    """Units owned and, by spender (lower case), units allowed."""

    units: int
    allowances: Mapping[str, int]


class PrivateClient:
    """Signed requests of one account; `sign_in` must come first.

    Credentials the venue does not know any more are renewed once in a while, and the request made again: a 401
    proves that nothing was accepted.
    """

    def __init__(self, transport: Transport, account: VenueAccount, signer: OrderSigner) -> None:
        self._transport = transport
        self._clob = transport.urls.clob
        self._account = account
        self._party = account.signer_address.lower()
        self._signer = signer
        self._credentials: Credentials | None = None
        self._signed_in_at: datetime | None = None
        self._renewing = asyncio.Lock()

    @property
    def credentials(self) -> Credentials:
        """Raises Refused before `sign_in`."""
        if self._credentials is None:
            raise Refused("The account has not signed in.", code="NOT_SIGNED_IN")
        return self._credentials

    async def measure_clock(self, *, older_than_s: float = 0.0) -> None:
        """Raises Refused when our clock is too far off to be believed."""
        await self._transport.venue_clock.measure(older_than_s=older_than_s)
        self._transport.venue_clock.check()

    async def sign_in(self) -> None:
        """Derive the account's API credentials, or create them. Raises Refused or Unavailable."""
        self._signed_in_at = self._transport.clock.now()
        timestamp = self._now_s()
        signed = await self._signer.sign_auth(account_id=self._account.account_id, timestamp_s=timestamp, nonce=_NONCE)
        headers = {
            "POLY_ADDRESS": signed.address,
            "POLY_SIGNATURE": signed.signature,
            "POLY_TIMESTAMP": str(timestamp),
            "POLY_NONCE": str(_NONCE),
        }
        try:
            answer = await self._transport.read(f"{self._clob}/auth/derive-api-key", headers=headers)
        except Refused as refused:
            if refused.code not in ("BAD_REQUEST", "NOT_FOUND"):
                raise
            answer = await self._create_key(headers)
        key = _decoded(_KEY, answer)
        try:
            secret = signing.decode_secret(key.secret)
        except ValueError as error:
            raise Unavailable("The venue's API secret cannot be read.", code="BAD_ANSWER") from error
        self._credentials = Credentials(key.api_key, secret, key.secret, key.passphrase)

    async def post_order(self, body: bytes, *, order_hash: str) -> wire.OrderAnswer:
        """Submit exactly these bytes, once. Raises Refused, Unavailable or OutcomeUnknown."""

        async def post() -> Answer:
            headers = self._headers("POST", "/order", body)
            return await self._transport.change(
                "POST",
                f"{self._clob}/order",
                headers=headers,
                body=body,
                order_hashes=(order_hash,),
                party=self._party,
            )

        return _change_decoded(_ORDER_ANSWER, await self._with_credentials(post))

    async def post_orders(self, bodies: Sequence[bytes], *, order_hashes: Sequence[str]) -> list[wire.OrderAnswer]:
        """Submit at most 15 orders at once, exactly once: a batch has no name the venue would know it by.

        Answers in the order of `bodies`, as many as the venue gave. Refused credentials are renewed, and then nothing
        was placed: Unavailable. Raises Refused, Unavailable or OutcomeUnknown for the batch as a whole.
        """
        body = b"[" + b",".join(bodies) + b"]"
        used = self.credentials
        try:
            answer = await self._transport.change(
                "POST",
                f"{self._clob}/orders",
                headers=self._headers("POST", "/orders", body),
                body=body,
                order_hashes=order_hashes,
                party=self._party,
                cost=len(bodies),
            )
        except Refused as refused:
            if refused.code != "CREDENTIALS_REFUSED":
                raise
            await self._renew(used, refused)
            raise Unavailable("The credentials were renewed; nothing was placed.", code="CREDENTIALS_RENEWED") from None
        return _change_decoded(_ORDER_ANSWERS, answer)

    async def cancel(self, order_hash: str) -> wire.CancelAnswer:
        return await self._cancel("/order", wire.encoder.encode(wire.CancelOrder(order_hash)))

    async def cancel_many(self, order_hashes: Sequence[str]) -> wire.CancelAnswer:
        """At most 1,000 at once."""
        return await self._cancel("/orders", wire.encoder.encode(list(order_hashes)), cost=len(order_hashes))

    async def cancel_all(self) -> wire.CancelAnswer:
        """The venue counts this as one request and one more for each order it ended."""
        answer = await self._cancel("/cancel-all", None)
        self._transport.budget.debit(party=self._party, kind=endpoints.CANCELS, cost=len(answer.canceled))
        return answer

    async def cancel_market(self, *, condition_id: str = "", token_id: str = "") -> wire.CancelAnswer:
        """Everything open in a market, or of one of its tokens."""
        wanted = {name: value for name, value in (("market", condition_id), ("asset_id", token_id)) if value}
        return await self._cancel("/cancel-market-orders", wire.encoder.encode(wanted))

    async def heartbeat(self, heartbeat_id: str) -> str:
        """Prolong the dead-man switch of these credentials; the id to send next, also when the one sent was wrong.

        Raises Refused, Unavailable or OutcomeUnknown; then the same id may be sent again.
        """
        body = wire.encoder.encode({"heartbeat_id": heartbeat_id})

        async def post() -> Answer:
            headers = self._headers("POST", "/v1/heartbeats", body)
            return await self._transport.change(
                "POST", f"{self._clob}/v1/heartbeats", headers=headers, body=body, party=self._party, expected=(400,)
            )

        answer = await self._with_credentials(post)
        beat = _change_decoded(_HEARTBEAT, answer)
        if not beat.heartbeat_id:
            raise error_map.from_answer(answer.status, answer.body, "", error_map.Asked.READ)
        return beat.heartbeat_id

    async def notifications(self) -> list[account_wire.Notification]:
        """What the venue keeps for the account: fills, cancels, resolutions."""
        query = {"signature_type": str(self._account.signature_type)}
        return _decoded(_NOTIFICATIONS, await self._get("/notifications", query)) or []

    async def drop_notifications(self, ids: Sequence[int]) -> None:
        """Forget them at the venue; doing it twice is the same."""
        query = urlencode({"ids": ",".join(str(each) for each in ids)})

        async def delete() -> Answer:
            headers = self._headers("DELETE", "/notifications", b"")
            url = f"{self._clob}/notifications?{query}"
            return await self._transport.change("DELETE", url, headers=headers, body=None, party=self._party)

        await self._with_credentials(delete)

    async def closed_only(self) -> bool:
        """Whether the account may only reduce what it holds."""
        return _decoded(_CLOSED_ONLY, await self._get("/auth/ban-status/closed-only")).closed_only

    async def order(self, order_hash: str) -> wire.OrderRow | None:
        """None only when the venue answered that it does not know the order."""
        try:
            answer = await self._get(f"/data/order/{quote(order_hash)}")
        except Refused as refused:
            if refused.code == "NOT_FOUND":
                return None
            raise
        # The venue has also been seen to answer null or an empty object for what it does not know.
        return None if answer.body.strip() in (b"", b"null", b"{}") else _decoded(_ORDER, answer)

    async def open_orders(self) -> list[wire.OrderRow]:
        return await self._pages("/data/orders", {}, _ORDERS)

    async def trades(self, *, after_s: int) -> list[wire.TradeRow]:
        """Own trades matched since then, all pages."""
        return await self._pages("/data/trades", {"after": str(after_s)}, _TRADES)

    async def balance(self, token_id: str = "", *, refresh: bool = False) -> Balance:
        """pUSD, or shares of a token. `refresh` makes the venue read the chain again before it answers."""
        query = {"asset_type": "COLLATERAL", "signature_type": str(self._account.signature_type)}
        if token_id:
            conditional = "CONDITIONAL-V2" if signing.is_v3_position(token_id) else "CONDITIONAL"
            query |= {"asset_type": conditional, "token_id": token_id}
        if refresh:
            await self._get("/balance-allowance/update", query)
        row = _decoded(_BALANCE, await self._get("/balance-allowance", query))
        try:
            allowances = {spender.lower(): numbers.integer(text) for spender, text in row.allowances.items()}
            return Balance(numbers.integer(row.balance), allowances)
        except BadAnswer as error:
            raise Unavailable(f"The venue's balance cannot be read: {error}", code="BAD_ANSWER") from error

    async def refresh_balance(self, token_id: str = "") -> None:
        """Make the venue forget its cached balance."""
        await self.balance(token_id, refresh=True)

    async def share_balances(self, token_ids: Sequence[str]) -> dict[str, int]:
        """Shares of each token, a few calls at a time."""
        gate = asyncio.Semaphore(BALANCE_CALLS)

        async def one(token_id: str) -> int:
            async with gate:
                return (await self.balance(token_id)).units

        found = await asyncio.gather(*(one(token_id) for token_id in token_ids))
        return dict(zip(token_ids, found, strict=True))

    async def _create_key(self, headers: Mapping[str, str]) -> Answer:
        try:
            return await self._transport.change("POST", f"{self._clob}/auth/api-key", headers=headers, body=None)
        except OutcomeUnknown as unknown:
            # A key made twice is the same key: trying again later is safe.
            raise Unavailable(unknown.message, code=unknown.code) from unknown

    async def _cancel(self, path: str, body: bytes | None, *, cost: int = 1) -> wire.CancelAnswer:

        async def delete() -> Answer:
            headers = self._headers("DELETE", path, body or b"")
            url = f"{self._clob}{path}"
            return await self._transport.change("DELETE", url, headers=headers, body=body, party=self._party, cost=cost)

        return _change_decoded(_CANCEL_ANSWER, await self._with_credentials(delete))

    async def _get(self, path: str, query: Mapping[str, str] | None = None) -> Answer:
        suffix = f"?{urlencode(query)}" if query else ""
        return await self._with_credentials(
            lambda: self._transport.read(
                f"{self._clob}{path}{suffix}", headers=self._headers("GET", path, b""), party=self._party
            )
        )

    async def _with_credentials(self, request: Callable[[], Awaitable[Answer]]) -> Answer:
        used = self.credentials
        try:
            return await request()
        except Refused as refused:
            if refused.code != "CREDENTIALS_REFUSED":
                raise
            await self._renew(used, refused)
        return await request()

    async def _renew(self, used: Credentials, refused: Refused) -> None:
        """Sign in again, unless somebody just did; raises the refusal when that was not long ago."""
        async with self._renewing:
            if self._credentials is not used:
                return
            last = self._signed_in_at
            if last is not None and (self._transport.clock.now() - last).total_seconds() < RENEW_AFTER_S:
                raise refused
            await self.measure_clock()
            await self.sign_in()

    async def _pages(
        self, path: str, query: Mapping[str, str], decoder: "msgspec.json.Decoder[wire.Page[T]]"
    ) -> list[T]:
        """Every page or an error: half a list would be read as orders or trades that do not exist."""
        rows: list[T] = []
        cursor = wire.FIRST_CURSOR
        for _ in range(_MAX_PAGES):
            page = _decoded(decoder, await self._get(path, {**query, "next_cursor": cursor}))
            rows += page.data
            if page.next_cursor in ("", wire.LAST_CURSOR):
                return rows
            cursor = page.next_cursor
        raise Unavailable("The venue's list does not end.", code="BAD_ANSWER")

    def _headers(self, method: str, path: str, body: bytes) -> dict[str, str]:
        credentials = self.credentials
        timestamp = self._now_s()
        return {
            "POLY_ADDRESS": self._account.signer_address,
            "POLY_API_KEY": credentials.api_key,
            "POLY_PASSPHRASE": credentials.passphrase,
            "POLY_TIMESTAMP": str(timestamp),
            "POLY_SIGNATURE": signing.l2_signature(
                secret=credentials.secret, timestamp_s=timestamp, method=method, path=path, body=body
            ),
        }

    def _now_s(self) -> int:
        return self._transport.venue_clock.now_s()


def _decoded(decoder: "msgspec.json.Decoder[T]", answer: Answer) -> T:
    return _read(decoder, answer, lambda text: Unavailable(text, code="BAD_ANSWER"))


def _change_decoded(decoder: "msgspec.json.Decoder[T]", answer: Answer) -> T:
    return _read(decoder, answer, lambda text: OutcomeUnknown(text, code="BAD_ANSWER"))


def _read(decoder: "msgspec.json.Decoder[T]", answer: Answer, failure: Callable[[str], VenueError]) -> T:
    try:
        return decoder.decode(answer.body)
    except msgspec.MsgspecError as error:
        raise failure(f"The venue's answer cannot be read: {error}") from error
