"""Pages of wallets: public facts with the sample they were measured on, the same for every user."""

from typing import Any

from markets import selectors as markets
from polyhub.mixins import Page, kept, page_of
from scanner import selectors

RECENT = 30
COLUMNS = (
    ("name", "Leader"),
    ("volume", "Volume"),
    ("trades", "Trades"),
    ("markets", "Markets"),
    ("median", "Median trade"),
    ("pnl", "Closed P&L"),
    ("recent", "Last trade"),
)
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


class Leaders(Page):
    template_name = "scanner/leaders.html"
    parts = {"table": "scanner/_leaders.html"}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        chosen, search = self.request.GET.get("sort", "volume"), self.request.GET.get("q", "")[:60]
        order_by = chosen if chosen in selectors.ORDER_NAMES else "volume"
        rows = selectors.leaders(order_by=order_by, search=search)
        return super().get_context_data(
            page=page_of(self.request, rows, size=25),
            sample=selectors.sample(),
            columns=COLUMNS,
            sort=order_by,
            q=search,
            keep=kept(self.request),
            **kwargs,
        )


class WalletPage(Page):
    """One wallet: what its recorded trades measure, and its newest ones."""

    template_name = "scanner/wallet.html"
    parts = {"live": "scanner/_wallet_live.html"}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        address = kwargs["address"].lower()
        if self.request.GET.get("part") == "live":
            return super().get_context_data(seen=markets.trades_of(wallet=address)[:RECENT], **kwargs)
        profile = selectors.wallet_profile(address=address)
        return super().get_context_data(
            profile=profile,
            wallet=profile.wallet,
            seen=markets.trades_of(wallet=address)[:RECENT],
            markets=selectors.markets_of(wallet=profile.wallet)[:RECENT],
            trades=selectors.trades_of(wallet=profile.wallet)[:RECENT],
            curve=[[int(at.timestamp()), f"{total:.2f}"] for at, total in profile.equity],
            heat=_heat(profile.hours),
            bins=_bins(profile.entry_prices),
            **kwargs,
        )


def _heat(hours: list[list[int]]) -> list[tuple[str, list[tuple[int, int]]]]:
    """Rows of (count, shade 0 to 4)."""
    most = max((count for row in hours for count in row), default=0) or 1
    return [(day, [(count, -(-count * 4 // most)) for count in row]) for day, row in zip(DAYS, hours, strict=True)]


def _bins(prices: list[int]) -> list[tuple[str, int, int]]:
    """(label in cents, count, height in percent)."""
    most = max(prices, default=0) or 1
    return [(f"{number * 10}–{number * 10 + 10}", count, count * 100 // most) for number, count in enumerate(prices)]
