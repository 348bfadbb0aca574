"""One trading account at Polymarket: the Venue port over the raw protocol."""

import logging
import random
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import datetime

from markets.venue import lifetimes, signing
from markets.venue.errors import OutcomeUnknown, Refused, Unavailable, VenueError
from markets.venue.polymarket import doctor, error_map, orders, parse, wire
from markets.venue.polymarket.heartbeat import EVERY_S, Heartbeat
from markets.venue.polymarket.parse import OwnTrade
from markets.venue.polymarket.private import Balance, PrivateClient
from markets.venue.polymarket.public import PublicClient
from markets.venue.polymarket.transport import Transport
from markets.venue.polymarket.user_stream import UserStream
from markets.venue.polymarket.wire import BadAnswer
from markets.venue.ports import (
    ApprovedOrder,
    Balances,
    CancelReport,
    PreparedOrder,
    Side,
    StreamStatus,
    SubmitReport,
    UserEvent,
    VenueCheck,
    VenueOrder,
    VenueTrade,
)
from markets.venue.signers import OrderSigner, SignRequest, VenueAccount

logger = logging.getLogger(__name__)

# Contracts that must be allowed to move the money of every account.
_SPENDERS = (signing.EXCHANGE.lower(), signing.NEG_RISK_EXCHANGE.lower())
_SPENDER_NAMES = ("the exchange", "the neg-risk exchange")
MAX_BATCH = 15
MAX_CANCELS = 1_000


class PolymarketVenue:
    """The engine's one way to the venue for one account. Keys stay with the signer, credentials in this object."""

    name = "polymarket"

    def __init__(
        self,
        *,
        account: VenueAccount,
        transport: Transport,
        public: PublicClient,
        signer: OrderSigner,
        chance: random.Random,
    ) -> None:
        self._account = account
        self._transport = transport
        self._public = public
        self._signer = signer
        self._chance = chance
        self._client = PrivateClient(transport, account, signer)
        self._maker, self._order_signer = signing.order_parties(
            signature_type=account.signature_type,
            signer_address=account.signer_address,
            trading_address=account.trading_address,
        )

    async def open(self) -> None:
        """Clock, credentials, balance, allowances, in this order; Refused names the first fault.

        Codes: CLOCK_OFFSET, KEY_MISSING and other codes of the signer, CREDENTIALS_REFUSED, BALANCE_ZERO,
        ALLOWANCE_MISSING. Raises Unavailable when the venue cannot be asked.
        """
        await self._client.measure_clock()
        await self._client.sign_in()
        cash = await self._client.balance()
        if not _can_trade(cash):
            # The venue may remember what was before a deposit; looking again is dear, 50 times in ten seconds for all.
            cash = await self._client.balance(refresh=True)
        if cash.units == 0 and not await self._has_traded():
            raise Refused("The trading wallet holds no pUSD.", code="BALANCE_ZERO")
        for spender in _SPENDERS:
            if cash.allowances.get(spender, 0) <= 0:
                raise Refused(
                    f"The exchange {signing.checksum_address(spender)} may not spend the wallet's pUSD.",
                    code="ALLOWANCE_MISSING",
                )

    async def examine(self) -> tuple[VenueCheck, ...]:
        """Everything `open` looks at and more, without stopping at the first fault. Changes nothing."""
        return await doctor.examine(
            transport=self._transport,
            client=self._client,
            account=self._account,
            spenders=dict(zip(_SPENDERS, _SPENDER_NAMES, strict=True)),
        )

    async def prepare(self, order: ApprovedOrder) -> PreparedOrder:
        """Hash it ourselves, have it signed, compare, and write the bytes. Raises Refused or Unavailable.

        Codes of its own: VENUE_UPGRADED, CLOCK_OFFSET, INVALID_EXPIRATION, POST_ONLY_TYPE, HASH_MISMATCH.
        """
        terms = order.terms
        self._check_not_upgraded()
        await self._transport.venue_clock.trusted()
        try:
            lifetimes.check(terms, venue_now_s=self._transport.venue_clock.now_s())
        except lifetimes.BadLifetime as error:
            raise Refused(error.message, code=error.code) from error
        expected = signing.order_hash(
            terms, maker=self._maker, signer=self._order_signer, signature_type=self._account.signature_type
        )
        signed = await self._signer.sign_order(
            SignRequest(
                account_id=self._account.account_id,
                terms=terms,
                exchange=signing.exchange_of(terms),
                service=order.service,
                fencing_token=order.fencing_token,
            )
        )
        if signed.order_hash != expected:
            raise Refused("The signer signed another order.", code="HASH_MISMATCH")
        body = orders.wire_body(
            terms,
            maker=self._maker,
            signer=self._order_signer,
            signature_type=self._account.signature_type,
            signature=signed.signature,
            owner=self._client.credentials.api_key,
        )
        return PreparedOrder(terms=terms, order_hash=expected, wire=body)

    async def send(self, prepared: PreparedOrder) -> SubmitReport:
        """Once; a second time only after a proven refusal for a balance that the venue may have cached."""
        self._check_not_upgraded()
        try:
            try:
                answer = await self._client.post_order(prepared.wire, order_hash=prepared.order_hash)
            except Refused as refused:
                self._notice_upgrade(refused)
                await self._refresh(prepared, refused)
                answer = await self._client.post_order(prepared.wire, order_hash=prepared.order_hash)
        except OutcomeUnknown as unknown:
            if unknown.code == "DUPLICATED":
                return await self._known(prepared, unknown)
            raise
        return await self._report(prepared, answer)

    async def send_many(self, batch: Sequence[PreparedOrder]) -> list[SubmitReport | VenueError]:
        """Submit in requests of 15 and answer for each order, in their order. Nothing is ever sent again as a batch.

        An order without an answer of its own is OutcomeUnknown and is looked up by its hash like any other.
        """
        found: list[SubmitReport | VenueError] = []
        for start in range(0, len(batch), MAX_BATCH):
            found += await self._send_batch(batch[start : start + MAX_BATCH])
        return found

    async def cancel(self, order_hash: str) -> CancelReport:
        return _cancel_report(await self._client.cancel(order_hash), order_hash)

    async def cancel_many(self, order_hashes: Sequence[str]) -> list[CancelReport]:
        """In requests of 1,000. Raises OutcomeUnknown when an answer leaves one out: then each must be looked up."""
        reports: list[CancelReport] = []
        for start in range(0, len(order_hashes), MAX_CANCELS):
            chunk = order_hashes[start : start + MAX_CANCELS]
            answer = await self._client.cancel_many(chunk)
            reports += [_cancel_report(answer, order_hash) for order_hash in chunk]
        return reports

    async def cancel_all(self) -> list[CancelReport]:
        """Everything these credentials have open; reports only what the venue names."""
        return _cancel_reports(await self._client.cancel_all())

    async def cancel_market(self, *, condition_id: str = "", token_id: str = "") -> list[CancelReport]:
        """Everything open in a market, or of one token of it."""
        if not condition_id and not token_id:
            raise Refused("Name a market or a token.", code="INVALID_PAYLOAD")
        return _cancel_reports(await self._client.cancel_market(condition_id=condition_id, token_id=token_id))

    def heartbeat(self, *, every_s: float = EVERY_S) -> Heartbeat:
        """The account's dead-man switch, not yet beating. One holder at a time."""
        return Heartbeat(self._client.heartbeat, monotonic=time.monotonic, every_s=every_s)

    async def order_by_hash(self, order_hash: str) -> VenueOrder | None:
        row = await self._client.order(order_hash)
        return None if row is None else _read(row)

    async def open_orders(self) -> Sequence[VenueOrder]:
        return [_read(row) for row in await self._client.open_orders()]

    async def trades(self, *, after: datetime) -> Sequence[VenueTrade]:
        rows = await self._client.trades(after_s=int(after.timestamp()))
        try:
            found = [own for row in rows for own in parse.own_trades(row, is_mine=self._is_mine)]
        except BadAnswer as error:
            raise Unavailable(f"The venue's trades cannot be read: {error}", code="BAD_ANSWER") from error
        return [await self._with_fee(own) for own in found]

    async def balances(self, token_ids: Sequence[str]) -> Balances:
        cash = await self._client.balance()
        shares = await self._client.share_balances(token_ids)
        allowance = min(cash.allowances.get(spender, 0) for spender in _SPENDERS)
        return Balances(cash_units=cash.units, allowance_units=allowance, shares=shares)

    async def user_events(self) -> AsyncGenerator[UserEvent, None]:
        stream = UserStream(
            self._transport, credentials=lambda: self._client.credentials, is_mine=self._is_mine, chance=self._chance
        )
        async with aclosing(stream.events()) as events:
            async for event in events:
                yield await self._told(event) if isinstance(event, OwnTrade) else event

    async def close(self) -> None:
        """Nothing of its own to close: the pool belongs to the process."""

    async def _has_traded(self) -> bool:
        """An account whose cash is all in positions holds no pUSD and must still be able to sell."""
        return bool(await self._client.open_orders()) or bool(await self._client.trades(after_s=0))

    async def _refresh(self, prepared: PreparedOrder, refused: Refused) -> None:
        """Make the venue look at the chain again when a stale balance may be the reason; else raise the refusal."""
        if refused.code != "NOT_ENOUGH_BALANCE":
            raise refused
        is_sale = prepared.terms.side is Side.SELL
        try:
            await self._client.refresh_balance(prepared.terms.token_id if is_sale else "")
        except VenueError as failed:
            raise refused from failed

    async def _known(self, prepared: PreparedOrder, unknown: OutcomeUnknown) -> SubmitReport:
        """The venue has these bytes already: what became of them is its to say."""
        try:
            found = await self.order_by_hash(prepared.order_hash)
        except VenueError as failed:
            raise unknown from failed
        if found is None:
            raise unknown
        return SubmitReport(found.order_hash, found.status, found.trade_ids, note="duplicate")

    async def _send_batch(self, batch: Sequence[PreparedOrder]) -> list[SubmitReport | VenueError]:
        try:
            self._check_not_upgraded()
            answers = await self._client.post_orders(
                [prepared.wire for prepared in batch], order_hashes=[prepared.order_hash for prepared in batch]
            )
        except VenueError as failed:
            self._notice_upgrade(failed)
            return [failed] * len(batch)
        if len(answers) != len(batch):
            # Which answer is whose is told by the order's own name, where there is one.
            by_hash = {answer.orderID: answer for answer in answers if answer.orderID}
            answers = [by_hash.get(prepared.order_hash, _NO_ENTRY) for prepared in batch]
        return [await self._one_of_batch(prepared, answer) for prepared, answer in zip(batch, answers, strict=True)]

    async def _one_of_batch(self, prepared: PreparedOrder, answer: wire.OrderAnswer) -> SubmitReport | VenueError:
        if answer is _NO_ENTRY:
            return OutcomeUnknown("The venue's answer leaves this order out.", code="BAD_ANSWER")
        try:
            return await self._report(prepared, answer)
        except VenueError as failed:
            return failed

    def _check_not_upgraded(self) -> None:
        if self._transport.standstill:
            raise Refused(self._transport.standstill, code="VENUE_UPGRADED")

    def _notice_upgrade(self, failed: VenueError) -> None:
        """The venue wants another order struct: nothing leaves this process any more until a person has looked."""
        if failed.code == "ORDER_VERSION_MISMATCH" and not self._transport.standstill:
            self._transport.standstill = (
                "The venue has changed how orders are signed. Nothing is sent before an update."
            )
            logger.critical("The venue refused the version of an order: all orders are stopped")

    async def _report(self, prepared: PreparedOrder, answer: wire.OrderAnswer) -> SubmitReport:
        if not answer.success or answer.errorMsg:
            failure = error_map.from_order_text(answer.errorMsg or "No reason given.")
            self._notice_upgrade(failure)
            if isinstance(failure, OutcomeUnknown) and failure.code == "DUPLICATED":
                return await self._known(prepared, failure)
            raise failure
        if answer.orderID != prepared.order_hash:
            raise OutcomeUnknown(
                f"The venue named the order {(answer.orderID or 'nothing')[:80]}.", code="HASH_MISMATCH"
            )
        try:
            status = parse.order_status(answer.status or "", prepared.order_hash)
        except BadAnswer as error:
            raise OutcomeUnknown(str(error), code="BAD_ANSWER") from error
        return SubmitReport(prepared.order_hash, status, tuple(answer.tradeIDs or ()))

    def _is_mine(self, maker: wire.MakerRow) -> bool:
        if maker.owner:
            return maker.owner == self._client.credentials.api_key
        return maker.maker_address.lower() == self._maker.lower()

    async def _told(self, own: OwnTrade) -> UserEvent:
        """The fill with its fee; while the fee cannot be had, only that there is something to reconcile."""
        try:
            return await self._with_fee(own)
        except VenueError as failed:
            return StreamStatus(connected=True, reason=f"fee of {own.condition_id} unknown ({failed.code})")

    async def _with_fee(self, own: OwnTrade) -> VenueTrade:
        trade = own.trade
        terms = await self._public.terms(token_id=trade.token_id, condition_id=own.condition_id)
        fee = terms.fee_units(price_units=trade.price_units, share_units=trade.share_units, is_maker=trade.is_maker)
        return parse.with_fee(trade, fee)


_NO_ENTRY = wire.OrderAnswer()


def _can_trade(cash: Balance) -> bool:
    return cash.units > 0 and all(cash.allowances.get(spender, 0) > 0 for spender in _SPENDERS)


def _cancel_report(answer: wire.CancelAnswer, order_hash: str) -> CancelReport:
    if order_hash in answer.canceled:
        return CancelReport(order_hash, canceled=True)
    reason = (answer.not_canceled or {}).get(order_hash)
    if reason is None:
        raise OutcomeUnknown("The venue's answer does not name the order.", code="BAD_ANSWER")
    return CancelReport(order_hash, canceled=False, reason=reason)


def _cancel_reports(answer: wire.CancelAnswer) -> list[CancelReport]:
    named = [CancelReport(order_hash, canceled=True) for order_hash in answer.canceled]
    return named + [
        CancelReport(order_hash, canceled=False, reason=reason)
        for order_hash, reason in (answer.not_canceled or {}).items()
    ]


def _read(row: wire.OrderRow) -> VenueOrder:
    try:
        return parse.order(row)
    except BadAnswer as error:
        raise Unavailable(f"The venue's order cannot be read: {error}", code="BAD_ANSWER") from error
