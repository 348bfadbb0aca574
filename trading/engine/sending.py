"""Sending one order: sign, remember, send, remember the answer. Pure asyncio.

Hot path. Budget per order: two journal writes (shared by all accounts of the moment) and one POST.
"""

import asyncio
import logging
from datetime import datetime, timedelta
from uuid import UUID

from markets.venue.errors import OutcomeUnknown, Refused, Unavailable
from markets.venue.ports import ApprovedOrder, PreparedOrder, SubmitReport, Venue
from polyhub.lib.clock import Clock
from polyhub.lib.failpoints import fp
from trading.domain.reports import Answer, AnswerKind, LeaseLost, PendingOrder, SentOrder
from trading.engine.ports import Journal, LeaseView, Policy

logger = logging.getLogger(__name__)


class Sender:
    """The way of one account's orders to its venue."""

    def __init__(
        self, *, account_id: UUID, venue: Venue, journal: Journal, clock: Clock, lease: LeaseView, policy: Policy
    ) -> None:
        self._account_id = account_id
        self._venue = venue
        self._journal = journal
        self._clock = clock
        self._lease = lease
        self._policy = policy

    async def send(self, order: PendingOrder) -> SentOrder | None:
        """Take one order to the venue; what is returned has no answer and must be looked up by its hash."""
        prepared = await self._prepare(order)
        if prepared is None or not await self._journal.claim(order, prepared):
            return None
        fp("F5")
        sent_at = self._clock.now()
        answer, report = await self._submit(order.order_id, prepared, self._deadline(order))
        await self._journal.answered(answer)
        fp("F8")
        if report is not None and report.trades:
            await self._journal.trades(self._account_id, report.trades)
        fp("F9")
        if answer.kind is not AnswerKind.UNKNOWN:
            return None
        return SentOrder(
            order_id=order.order_id,
            order_hash=prepared.order_hash,
            terms=order.terms,
            sent_at=sent_at,
            attempts=1,
            cancel_requested=False,
            wire=prepared.wire,
        )

    async def resend(self, order: SentOrder) -> Answer | None:
        """Send the same bytes once more, after the horizon. None when the journal does not allow it."""
        if not await self._journal.allow_resend(order.order_id):
            return None
        prepared = PreparedOrder(order.terms, order.order_hash, order.wire)
        answer, report = await self._submit(order.order_id, prepared, self._clock.now())
        if answer.kind is AnswerKind.REFUSED:
            # An earlier sending may have been accepted, and be the very reason for this refusal.
            answer = Answer(order.order_id, AnswerKind.UNKNOWN, code=answer.code, message=answer.message)
        if answer.kind is not AnswerKind.NOT_SENT:
            await self._journal.answered(answer)
        if report is not None and report.trades:
            await self._journal.trades(self._account_id, report.trades)
        return answer

    async def _prepare(self, order: PendingOrder) -> PreparedOrder | None:
        """Signed bytes; None when the order is denied. While the signer is away it is asked again, until too late."""
        approved = ApprovedOrder(order.terms, order.verdict, self._lease.token, self._lease.name)
        attempt = 0
        while True:
            try:
                async with asyncio.timeout(self._policy.venue_timeout_s):
                    return await self._venue.prepare(approved)
            except Refused as refused:
                await self._journal.deny(order, code=refused.code, message=refused.message)
                return None
            except (Unavailable, TimeoutError) as error:
                wait = self._policy.send_wait(attempt)
                if self._clock.now() + timedelta(seconds=wait) > self._deadline(order):
                    await self._journal.deny(order, code="SIGNER_UNAVAILABLE", message=str(error))
                    return None
                attempt += 1
                await asyncio.sleep(wait)

    async def _submit(
        self, order_id: int, prepared: PreparedOrder, deadline: datetime
    ) -> tuple[Answer, SubmitReport | None]:
        """Send the bytes, and again while it is certain that they did not arrive and there is time left."""
        attempt = 0
        while True:
            if not self._lease.alive():
                raise LeaseLost("The lease may have ended before the order was sent.")
            try:
                async with asyncio.timeout(self._policy.venue_timeout_s):
                    report = await self._venue.send(prepared)
            except Refused as refused:
                return Answer(order_id, AnswerKind.REFUSED, code=refused.code, message=refused.message), None
            except Unavailable as away:
                wait = max(self._policy.send_wait(attempt), away.retry_after_s or 0)
                if self._clock.now() + timedelta(seconds=wait) > deadline:
                    return Answer(order_id, AnswerKind.NOT_SENT, code=away.code, message=away.message), None
                attempt += 1
                await asyncio.sleep(wait)
            except (OutcomeUnknown, TimeoutError) as unknown:
                code = getattr(unknown, "code", "TIMEOUT")
                logger.warning("An order has no answer", extra={"order": order_id, "code": code})
                return Answer(order_id, AnswerKind.UNKNOWN, code=code, message=str(unknown)), None
            else:
                return Answer(
                    order_id, AnswerKind.ACCEPTED, report.status, report.trade_ids, message=report.note
                ), report

    def _deadline(self, order: PendingOrder) -> datetime:
        immediate = order.terms.order_type in ("FOK", "FAK")
        return order.created_at + (self._policy.immediate_patience if immediate else self._policy.resting_patience)
