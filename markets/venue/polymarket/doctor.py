"""What stands between an account and its first order, looked at one by one, whatever the others say."""

from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal

import msgspec

from markets.venue import signing, wallets
from markets.venue.errors import Refused, VenueError
from markets.venue.polymarket import account_wire, chain
from markets.venue.polymarket.private import Balance, PrivateClient
from markets.venue.polymarket.transport import Transport
from markets.venue.ports import VenueCheck
from markets.venue.signers import VenueAccount

_GEOBLOCK = msgspec.json.Decoder(account_wire.Geoblock)
CONDITIONAL_TOKENS = "0x4D97DCd97eC945f40cF65F87097ACe5EA0476045"
_KINDS = {0: "a plain wallet", 1: "a proxy wallet", 2: "a Safe", 3: "a deposit wallet"}


async def examine(
    *, transport: Transport, client: PrivateClient, account: VenueAccount, spenders: Mapping[str, str]
) -> tuple[VenueCheck, ...]:
    """`spenders`: address (lower case) to name of each contract that must be allowed to move pUSD.

    A check that could not be made because an earlier one failed has `ok` None.
    """
    doctor = _Doctor(transport, client, account, spenders)
    checks = [await doctor.reaches_venue(), doctor.clock(), await doctor.region(), doctor.wallet(), await doctor.key()]
    signed_in = checks[-1].ok is True
    for look in (doctor.standing, doctor.balance, doctor.allowance):
        checks.append(await look() if signed_in else VenueCheck(look.__name__, None))
    return (*checks, await doctor.sales())


class _Doctor:
    def __init__(
        self, transport: Transport, client: PrivateClient, account: VenueAccount, spenders: Mapping[str, str]
    ) -> None:
        self._transport = transport
        self._client = client
        self._account = account
        self._spenders = spenders
        self._cash: Balance | None = None

    async def reaches_venue(self) -> VenueCheck:
        return await _look("venue", self._transport.venue_clock.measure)

    def clock(self) -> VenueCheck:
        clock = self._transport.venue_clock
        if clock.age_s is None:
            return VenueCheck("clock", None)
        try:
            clock.check()
        except Refused as fault:
            return VenueCheck("clock", False, fault.code, fault.message)
        return VenueCheck("clock", True, message=f"{abs(clock.offset_s()):.1f} s apart")

    async def region(self) -> VenueCheck:
        """By this machine's own address; the person's counts too, and only the person can answer for that."""
        url = self._transport.urls.geoblock
        if not url:
            return VenueCheck("region", None, message="Not asked for this venue.")
        try:
            found = _GEOBLOCK.decode((await self._transport.read(url)).body)
        except (VenueError, msgspec.MsgspecError) as fault:
            return VenueCheck("region", None, message=f"Not answered ({getattr(fault, 'code', 'BAD_ANSWER')}).")
        where = f"{found.country} {found.region}".strip()
        if found.blocked:
            return VenueCheck("region", False, "GEOBLOCKED", f"This machine's address is in {where}.")
        return VenueCheck("region", True, message=where)

    def wallet(self) -> VenueCheck:
        """Does the key own this wallet in the way the account says? A session key derives none of its wallets."""
        account = self._account
        found = wallets.kind_of(signer=account.signer_address, wallet=account.trading_address)
        if found == account.signature_type:
            return VenueCheck("wallet", True, message=f"The key owns it as {_KINDS[found]}.")
        if found is not None:
            return VenueCheck("wallet", False, "WALLET_KIND", f"For this key the address is {_KINDS[found]}.")
        if account.signature_type == signing.DEPOSIT_WALLET:
            return VenueCheck(
                "wallet", True, message="A session key of this deposit wallet, or a wallet made elsewhere."
            )
        return VenueCheck("wallet", False, "WALLET_NOT_OF_KEY", "This key derives no such wallet.")

    async def key(self) -> VenueCheck:
        return await _look("key", self._client.sign_in)

    async def standing(self) -> VenueCheck:
        try:
            is_closed_only = await self._client.closed_only()
        except VenueError as fault:
            return VenueCheck("standing", False, fault.code, fault.message)
        if is_closed_only:
            return VenueCheck("standing", False, "CLOSED_ONLY", "The venue lets this account only reduce positions.")
        return VenueCheck("standing", True)

    async def balance(self) -> VenueCheck:
        try:
            self._cash = await self._client.balance(refresh=True)
            is_in_use = self._cash.units == 0 and (
                bool(await self._client.open_orders()) or bool(await self._client.trades(after_s=0))
            )
        except VenueError as fault:
            return VenueCheck("balance", False, fault.code, fault.message)
        if is_in_use:
            return VenueCheck("balance", True, message="No pUSD left: it is in positions.")
        if self._cash.units == 0:
            return VenueCheck("balance", False, "BALANCE_ZERO", "The trading wallet holds no pUSD.")
        return VenueCheck("balance", True, message=f"{Decimal(self._cash.units).scaleb(-6):.2f} pUSD")

    async def allowance(self) -> VenueCheck:
        if self._cash is None:
            return VenueCheck("allowance", None)
        missing = [name for spender, name in self._spenders.items() if self._cash.allowances.get(spender, 0) <= 0]
        if missing:
            return VenueCheck("allowance", False, "ALLOWANCE_MISSING", f"Not allowed: {', '.join(missing)}.")
        return VenueCheck("allowance", True, message=", ".join(self._spenders.values()))

    async def sales(self) -> VenueCheck:
        """On the chain itself: may the exchanges take the shares that are sold?"""
        node = self._transport.urls.rpc.split(",")[0].strip()
        if not node:
            return VenueCheck("sales", None, message="No node of the chain is configured.")
        missing = []
        try:
            for spender, name in self._spenders.items():
                asked = {"to": CONDITIONAL_TOKENS, "data": _approved(self._account.trading_address, spender)}
                told = await chain.question(self._transport, node, "eth_call", [asked, "latest"], str)
                if not int(told, 16):
                    missing.append(name)
        except (VenueError, ValueError) as fault:
            return VenueCheck("sales", None, message=f"Not answered ({getattr(fault, 'code', 'BAD_ANSWER')}).")
        if missing:
            return VenueCheck("sales", False, "SALES_NOT_APPROVED", f"Not allowed: {', '.join(missing)}.")
        return VenueCheck("sales", True, message=", ".join(self._spenders.values()))


def _approved(owner: str, operator: str) -> str:
    """Call of isApprovedForAll(owner, operator)."""
    words = "".join(address.lower().removeprefix("0x").rjust(64, "0") for address in (owner, operator))
    return f"0xe985e9c5{words}"


async def _look(name: str, ask: Callable[[], Awaitable[None]]) -> VenueCheck:
    try:
        await ask()
    except VenueError as fault:
        return VenueCheck(name, False, fault.code, fault.message)
    return VenueCheck(name, True)
