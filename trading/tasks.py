"""Work of the engines' cluster that is no service. Arguments are ids, never secrets."""

import asyncio
import logging
import random
from uuid import UUID

from django.conf import settings

from accounts.models import AccountMode, TradingAccount
from markets.venue import registry
from markets.venue.errors import Unavailable, VenueError
from markets.venue.signers import VenueAccount
from markets.venue.simulator.paper import RestoredState
from polyhub.lib.clock import SystemClock
from trading.services import connection
from trading.services.connection import Examined
from trading.signer import launch
from trading.signer.client import SignerClient

logger = logging.getLogger(__name__)

CHECK_TIMEOUT_S = 25.0


def check_connection(account_id: str) -> None:
    """Open the account's venue as its engine would and write what was found. Harmless to repeat."""
    account = TradingAccount.objects.get(pk=UUID(account_id))
    try:
        examined = asyncio.run(_examine(account))
    except Exception:
        logger.exception("Connection not checked", extra={"account_id": account_id})
        examined = Examined(Unavailable("The check itself failed; the log of the engines says why."))
    now = SystemClock().now()
    found = connection.report(examined, now=now, is_paper=account.mode == AccountMode.PAPER)
    connection.store(account=account, found=found, now=now)


async def _examine_paper(transport: registry.Transport) -> Examined:
    """Play money needs no key and no wallet: all there is to look at is whether the venue answers, and its clock."""
    try:
        await transport.venue_clock.measure(older_than_s=0.0)
        await transport.venue_clock.trusted()
    except VenueError as fault:
        return Examined(fault)
    return Examined(None)


async def _examine(account: TradingAccount) -> Examined:
    transport = registry.open_transport(urls=settings.VENUE_URLS, clock=SystemClock(), scale=settings.VENUE_LIMIT_SCALE)
    signer = SignerClient(launch.socket_path())
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            if account.mode == AccountMode.PAPER:
                return await _examine_paper(transport)
            public = registry.open_public_client(transport=transport)
            chance = random.Random()  # noqa: S311  jitter only
            venue = registry.open_venue(
                mode=account.mode,
                account=VenueAccount(
                    account_id=account.id,
                    signature_type=account.signature_type or 0,
                    signer_address=account.signer_address,
                    trading_address=account.trading_address,
                ),
                restored=RestoredState(cash_units=0),
                transport=transport,
                public=public,
                books=registry.open_books(transport=transport, public=public, chance=chance),
                signer=signer,
                chance=chance,
            )
            return await connection.examine(venue)
    except TimeoutError:
        return Examined(Unavailable(f"No answer within {CHECK_TIMEOUT_S:.0f} seconds.", code="UNAVAILABLE"))
    finally:
        await signer.close()
        await transport.close()
