"""What the venue holds against an account or a caller: bans, closed-only mode, a pause on chain, a barred region."""

from dataclasses import dataclass, field

from markets.venue.simulator.orders import OrderRejected

REGION_TEXT = (
    "Trading restricted in your region, please refer to available regions - "
    "https://docs.polymarket.com/developers/CLOB/geoblock"
)


class RegionBarred(Exception):
    """Answered with 403 and the venue's text."""


@dataclass(slots=True)
class Standings:
    """Addresses in lower case, of signers or wallets. `allowed` EOAs may trade without a deposit wallet."""

    banned: set[str] = field(default_factory=set)
    closed_only: set[str] = field(default_factory=set)
    paused: set[str] = field(default_factory=set)
    blocked: bool = False
    country: str = "IE"

    def check_order(self, *, maker: str, signer: str, buying: bool) -> None:
        """Raises OrderRejected with the venue's words."""
        who = {maker.lower(), signer.lower()}
        if who & self.banned:
            raise OrderRejected(f"'{maker}' address banned")
        if buying and who & self.closed_only:
            raise OrderRejected(f"'{maker}' address in closed only mode")
        if who & self.paused:
            raise OrderRejected("order canceled in the CTF exchange contract")

    def is_closed_only(self, *addresses: str) -> bool:
        return bool({one.lower() for one in addresses} & self.closed_only)
