"""Markets and wallets the sandbox knows, and how the Data API and RTDS describe what wallets did."""

from itertools import count

from markets.venue.sandbox import wire
from markets.venue.sandbox.events import MarketDef
from markets.venue.sandbox.record import PublicPosition, PublicRecord, PublicTrade
from markets.venue.sandbox.wallets import Wallet
from polyhub.lib import money


class Catalogue:
    def __init__(self, record: PublicRecord) -> None:
        self.by_condition: dict[str, MarketDef] = {}
        self.by_token: dict[str, MarketDef] = {}
        self.by_slug: dict[str, MarketDef] = {}
        self.wallets: dict[str, Wallet] = {}
        self.closed: dict[str, str] = {}
        self.payouts: dict[str, tuple[int, int]] = {}
        self.closed_ms: dict[str, int] = {}
        self.listed_ms: dict[str, int] = {}
        self.opens_ms: dict[str, int] = {}
        self.oracle: dict[str, list[str]] = {}
        self._record = record
        self._ids: dict[str, str] = {}
        self._event_ids: dict[str, str] = {}
        self._serial = count(1)

    def add(self, market: MarketDef, *, now_ms: int = 0) -> None:
        self.by_condition[market.condition_id] = market
        self.listed_ms.setdefault(market.condition_id, now_ms)
        self.by_slug[market.slug] = market
        self._ids.setdefault(market.condition_id, str(500_000 + len(self._ids)))
        for token in market.token_ids:
            self.by_token[token] = market

    def close(self, condition_id: str, winning_token: str, payouts: tuple[int, int], *, now_ms: int) -> None:
        """A market is decided. Nobody wins (an empty token) where both outcomes are paid."""
        self.closed[condition_id] = winning_token
        self.payouts[condition_id] = payouts
        self.closed_ms[condition_id] = now_ms

    def event_id(self, market: MarketDef) -> str:
        """Markets with the same event slug are one event, named by its first market."""
        if market.event_id:
            return market.event_id
        return self._event_ids.setdefault(market.event_slug or market.slug, self.gamma_id(market.condition_id))

    def add_wallet(self, wallet: Wallet) -> Wallet:
        """Remember a wallet; of a known one the name is kept up to date."""
        known = self.wallets.setdefault(wallet.key, wallet)
        if wallet.name:
            known.name, known.pseudonym = wallet.name, wallet.pseudonym
        return known

    def address(self, key: str) -> str:
        known = self.wallets.get(key)
        return known.address if known else key

    def serial(self) -> int:
        return next(self._serial)

    def gamma_id(self, condition_id: str) -> str:
        return self._ids[condition_id]

    def by_gamma_id(self, gamma_id: str) -> MarketDef | None:
        return next((self.by_condition[c] for c, one in self._ids.items() if one == gamma_id), None)

    # -- everybody's trades --------------------------------------------------------------------------------------

    def rtds_payload(self, trade: PublicTrade) -> wire.Json:
        market, wallet = self.by_token[trade.token_id], self._profile(trade.wallet)
        return {
            "asset": trade.token_id,
            "bio": "",
            "conditionId": trade.condition_id,
            "eventSlug": market.event_slug,
            "icon": "",
            "name": wallet.name,
            "outcome": wire.outcome(market, trade.token_id),
            "outcomeIndex": market.token_ids.index(trade.token_id),
            "price": trade.price,
            "profileImage": "",
            "proxyWallet": wallet.address.lower(),
            "pseudonym": wallet.pseudonym,
            "side": str(trade.side),
            "size": wire.number(trade.share_units),
            "slug": market.slug,
            "timestamp": trade.traded_s,
            "title": market.question,
            "transactionHash": trade.transaction_hash,
        }

    def trade_row(self, trade: PublicTrade) -> wire.Json:
        """A row of /v2/trades."""
        market, wallet = self.by_token[trade.token_id], self._profile(trade.wallet)
        return {
            "proxy_wallet": wallet.address.lower(),
            "token_id": trade.token_id,
            "condition_id": trade.condition_id,
            "side": str(trade.side),
            "size": wire.number(trade.share_units),
            "price": trade.price,
            "timestamp": trade.traded_s,
            "transaction_hash": trade.transaction_hash,
            "title": market.question,
            "slug": market.slug,
            "event_slug": market.event_slug,
            "icon": "",
            "outcome": wire.outcome(market, trade.token_id),
            "outcome_index": market.token_ids.index(trade.token_id),
            "name": wallet.name,
            "pseudonym": wallet.pseudonym,
            "bio": "",
            "profile_image": "",
        }

    def activity_row(self, trade: PublicTrade) -> wire.Json:
        """A row of /v2/activity."""
        told = {"type": trade.kind, "usdc_size": wire.number(trade.cost_units), "is_combo": False}
        if trade.kind == "TRADE":
            return {**self.trade_row(trade), **told}
        nowhere = {"side": "", "token_id": "", "outcome": "", "outcome_index": 999, "price": 0}
        if trade.token_id:
            return {**self.trade_row(trade), **told, **nowhere}
        wallet = self._profile(trade.wallet)
        return {
            "proxy_wallet": wallet.address.lower(),
            "condition_id": "",
            "size": wire.number(trade.share_units),
            "timestamp": trade.traded_s,
            "transaction_hash": trade.transaction_hash,
            **dict.fromkeys(("title", "slug", "event_slug", "icon", "bio", "profile_image"), ""),
            "name": wallet.name,
            "pseudonym": wallet.pseudonym,
            **told,
            **nowhere,
        }

    def position_row(self, position: PublicPosition) -> wire.Json:
        """A row of /v2/positions."""
        market, wallet = self.by_token[position.token_id], self._profile(position.wallet)
        value = self._record.value_units(position)
        unrealized = self._record.unrealized_units(position)
        index = market.token_ids.index(position.token_id)
        closed = market.condition_id in self.closed
        total = unrealized + position.realized_units
        mergeable = not closed and self._record.held(position.wallet, market.token_ids[1 - index]) > 0
        cost = position.cost_units
        return {
            "proxy_wallet": wallet.address.lower(),
            "token_id": position.token_id,
            "opposite_token_id": market.token_ids[1 - index],
            "condition_id": position.condition_id,
            "current_size": wire.number(position.share_units),
            "avg_price": cost / position.share_units if position.share_units else 0.0,
            "entry_cost_usdc": wire.number(cost),
            "entry_fees_usdc": wire.number(position.fee_units),
            "total_cost_usdc": wire.number(cost + position.fee_units),
            "current_price": wire.number(self._record.last_price.get(position.token_id, 0), money.PRICE_UNITS),
            "current_value": wire.number(value),
            "total_size": wire.number(position.bought_units),
            "realized_pnl": wire.number(position.realized_units),
            "unrealized_pnl": wire.number(unrealized),
            "total_pnl": wire.number(total),
            "percent_pnl": 100 * total / cost if cost else 0.0,
            "percent_realized_pnl": 100 * position.realized_units / cost if cost else 0.0,
            "status": self._status(position),
            "redeemable": closed and position.share_units > 0,
            "mergeable": mergeable,
            "negative_risk": market.neg_risk,
            "archived": False,
            "verified": False,
            "title": market.question,
            "slug": market.slug,
            "icon": "",
            "event_slug": market.event_slug,
            "event_id": self.event_id(market),
            "outcome": market.outcomes[index],
            "outcome_index": index,
            "opposite_outcome": market.outcomes[1 - index],
            "name": wallet.name,
            "profile_image": "",
            "end_date": market.end_date[:10] or None,
            "first_entry_at": position.first_s,
            "last_event_at": position.last_s,
        }

    def _status(self, position: PublicPosition) -> str:
        """The venue's word for a position; lost ones stay until redeemed for nothing."""
        if not position.share_units:
            return "CLOSED"
        if position.condition_id in self.closed:
            return "REDEEMABLE" if self._record.last_price.get(position.token_id) else "REDEEMABLE_LOST"
        return "OPEN"

    def profile(self, address: str) -> wire.Json | None:
        known = self.wallets.get(address.lower())
        if known is None:
            return None
        return {
            "proxyWallet": known.address.lower(),
            "name": known.name,
            "pseudonym": known.pseudonym,
            "bio": "",
            "profileImage": "",
            "displayUsernamePublic": True,
            "xUsername": "",
            "verifiedBadge": False,
            "createdAt": "2026-01-01T00:00:00Z",
            "users": [{"id": "1", "creator": False, "mod": False}],
        }

    def _profile(self, key: str) -> Wallet:
        return self.wallets.get(key) or Wallet(key)
