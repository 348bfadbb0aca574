"""The public record of what happened: who traded what, positions, prices. What Data API and Gamma answer from."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from markets.venue.ports import Side
from polyhub.lib import money

_PRICES_KEPT = 5_000


@dataclass(frozen=True, slots=True)
class PublicTrade:
    """One wallet's part of one transaction in one token. `kind` is one of the Data API's activity types.

    Cash that belongs to no market has neither token nor condition.
    """

    wallet: str
    token_id: str
    condition_id: str
    side: Side
    share_units: int
    cost_units: int
    fee_units: int
    traded_s: int
    transaction_hash: str
    taker: bool
    kind: str = "TRADE"

    @property
    def price(self) -> float:
        """Average dollars per share, to a millionth."""
        return round(self.cost_units / self.share_units, 6)


@dataclass(slots=True)
class PublicPosition:
    """Shares held and what they cost on average; realized against that average."""

    wallet: str
    token_id: str
    condition_id: str
    share_units: int = 0
    cost_units: int = 0
    fee_units: int = 0
    bought_units: int = 0
    realized_units: int = 0
    first_s: int = 0
    last_s: int = 0

    def apply(self, trade: PublicTrade) -> None:
        self.first_s = self.first_s or trade.traded_s
        self.last_s = trade.traded_s
        self.fee_units += trade.fee_units
        if trade.side is Side.BUY:
            self.share_units += trade.share_units
            self.bought_units += trade.share_units
            self.cost_units += trade.cost_units
            return
        sold = min(trade.share_units, self.share_units)
        if not sold:
            return
        basis = self.cost_units * sold // self.share_units
        self.realized_units += trade.cost_units * sold // trade.share_units - basis
        self.cost_units -= basis
        self.share_units -= sold


@dataclass(slots=True)
class Standing:
    """What a leaderboard says of a wallet. Volume is in shares, as the venue has it."""

    wallet: str
    pnl_units: int = 0
    volume_units: int = 0


@dataclass(slots=True)
class PublicRecord:
    trades: list[PublicTrade] = field(default_factory=list)
    last_price: dict[str, int] = field(default_factory=dict)
    last_side: dict[str, Side] = field(default_factory=dict)
    volume_units: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    by_wallet: dict[str, list[PublicTrade]] = field(default_factory=lambda: defaultdict(list))
    by_condition: dict[str, list[PublicTrade]] = field(default_factory=lambda: defaultdict(list))
    hour_volume_units: dict[str, dict[int, int]] = field(default_factory=lambda: defaultdict(dict))
    _positions: dict[str, dict[str, PublicPosition]] = field(default_factory=lambda: defaultdict(dict))
    _prices: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, trade: PublicTrade) -> None:
        self.note(trade)
        self._apply(trade)
        if trade.taker:
            self.volume_units[trade.condition_id] += trade.cost_units
            hours, hour = self.hour_volume_units[trade.condition_id], trade.traded_s // 3_600
            hours[hour] = hours.get(hour, 0) + trade.cost_units

    def note_cash(self, wallet: str, kind: str, units: int, *, at_s: int, transaction_hash: str) -> None:
        """Cash a wallet got or gave outside of any market: deposits, withdrawals, rewards, rebates."""
        self.note(PublicTrade(wallet, "", "", Side.BUY, units, units, 0, at_s, transaction_hash, False, kind))

    def note(self, trade: PublicTrade) -> None:
        """List what happened without changing positions."""
        self.trades.append(trade)
        self.by_wallet[trade.wallet].append(trade)
        self.by_condition[trade.condition_id].append(trade)

    def moved(self, parts: Iterable[PublicTrade]) -> None:
        """Change positions by what is not itself listed: the two sides of a split or a merge."""
        for part in parts:
            self._apply(part)

    def day_volume_units(self, condition_id: str, *, now_s: int) -> int:
        hours = self.hour_volume_units.get(condition_id, {})
        return sum(units for hour, units in hours.items() if hour > now_s // 3_600 - 24)

    def held(self, wallet: str, token_id: str) -> int:
        position = self._positions.get(wallet, {}).get(token_id)
        return position.share_units if position is not None else 0

    def holders(self, token_id: str) -> list[PublicPosition]:
        """Everybody who holds this token, most shares first."""
        found = [ones[token_id] for ones in self._positions.values() if token_id in ones]
        return sorted((one for one in found if one.share_units), key=lambda one: (-one.share_units, one.wallet))

    def price_at(self, token_id: str, at_s: int) -> int | None:
        """The last price seen at or before a time."""
        prices = self._prices.get(token_id, [])
        index = bisect_right(prices, at_s, key=lambda point: point[0])
        return prices[index - 1][1] if index else None

    def _apply(self, trade: PublicTrade) -> None:
        positions = self._positions[trade.wallet]
        if trade.token_id not in positions:
            positions[trade.token_id] = PublicPosition(trade.wallet, trade.token_id, trade.condition_id)
        positions[trade.token_id].apply(trade)

    def price_seen(self, token_ids: tuple[str, str], token_id: str, price_units: int, side: Side, *, at_s: int) -> None:
        """A taker traded at this price; the other token's price is its complement."""
        for token in token_ids:
            price = price_units if token == token_id else money.PRICE_UNITS - price_units
            self.last_price[token] = price
            self.last_side[token] = side if token == token_id else _other(side)
            prices = self._prices[token]
            prices.append((at_s, price))
            if len(prices) > _PRICES_KEPT:
                del prices[: _PRICES_KEPT // 2]

    def prices(self, token_id: str, *, since_s: int, until_s: int) -> list[tuple[int, int]]:
        return [(at, price) for at, price in self._prices[token_id] if since_s <= at <= until_s]

    def positions(self, wallet: str) -> list[PublicPosition]:
        return list(self._positions[wallet].values())

    def standings(self) -> list[Standing]:
        """Every wallet that traded, by profit (realized and at last prices)."""
        found: list[Standing] = []
        for wallet in list(self._positions):
            standing = Standing(wallet)
            for position in self.positions(wallet):
                standing.pnl_units += position.realized_units + self.unrealized_units(position)
            traded = (trade for trade in self.by_wallet[wallet] if trade.kind == "TRADE")
            standing.volume_units = sum(trade.share_units for trade in traded)
            found.append(standing)
        return sorted(found, key=lambda one: (-one.pnl_units, one.wallet))

    def unrealized_units(self, position: PublicPosition) -> int:
        return self.value_units(position) - position.cost_units

    def value_units(self, position: PublicPosition) -> int:
        return position.share_units * self.last_price.get(position.token_id, 0) // money.PRICE_UNITS


def _other(side: Side) -> Side:
    return Side.SELL if side is Side.BUY else Side.BUY
