"""What calls to the venue's contracts do to a wallet: approvals, transfers, splits, merges, redemptions, conversions.

A call either happens whole or reverts. The order book is not told: its cached balances stay old until asked to update.
"""

import copy
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_abi.exceptions import DecodingError
from eth_utils.crypto import keccak

from markets.venue.ports import Side, VenueOrderStatus
from markets.venue.sandbox import contracts, neg_risk
from markets.venue.sandbox.approvals import Approvals, ClobView
from markets.venue.sandbox.catalogue import Catalogue
from markets.venue.sandbox.chain import Chain, word_of
from markets.venue.sandbox.events import MarketDef
from markets.venue.sandbox.position_log import PositionLog
from markets.venue.sandbox.record import PublicRecord
from markets.venue.sandbox.session_keys import ALL, SessionKey, SessionKeys
from markets.venue.simulator.ledger import InsufficientFunds
from markets.venue.simulator.matching import Exchange

_TRANSFERRED = keccak(b"TransferSingle(address,address,address,uint256,uint256)")


class Reverted(ValueError):
    """The transaction changed nothing."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call a wallet makes. `target` in lower case, `data` with its selector."""

    target: str
    data: bytes


Effect = Callable[[str, str, list[Any]], None]


class Contracts:
    """`run` makes the calls of one transaction of a wallet (lower case)."""

    def __init__(
        self,
        *,
        exchange: Exchange,
        catalogue: Catalogue,
        approvals: Approvals,
        view: ClobView,
        sessions: SessionKeys,
        record: PublicRecord,
        chain: Chain,
        now_ms: Callable[[], int],
    ) -> None:
        self._exchange = exchange
        self._catalogue = catalogue
        self._approvals = approvals
        self._view = view
        self._sessions = sessions
        self._chain = chain
        self._serial = count(1)
        self._positions = PositionLog(catalogue, record, chain, now_ms)
        self._transaction = ""
        self._effects: dict[bytes, tuple[list[str], Effect]] = {
            keccak(f"{name}({','.join(types)})".encode())[:4]: (types, effect)
            for name, types, effect in (
                ("approve", ["address", "uint256"], self._approve),
                ("transfer", ["address", "uint256"], self._transfer),
                ("setApprovalForAll", ["address", "bool"], self._set_approval),
                ("safeTransferFrom", ["address", "address", "uint256", "uint256", "bytes"], self._transfer_shares),
                ("splitPosition", ["address", "bytes32", "bytes32", "uint256[]", "uint256"], self._split),
                ("mergePositions", ["address", "bytes32", "bytes32", "uint256[]", "uint256"], self._merge),
                ("redeemPositions", ["address", "bytes32", "bytes32", "uint256[]"], self._redeem),
                ("convertPositions", ["bytes32", "uint256", "uint256"], self._convert),
                ("split", ["bytes31", "uint256"], self._router_split),
                ("merge", ["bytes31", "uint256"], self._router_merge),
                ("redeem", ["bytes31", "uint256", "uint256"], self._router_redeem),
                ("authorizeSessionSigner", ["address", "uint256"], self._authorize_session),
                ("revokeSessionSigner", ["address"], self._revoke_session),
            )
        }

    def new_transaction(self) -> str:
        """The hash of a transaction to come."""
        return f"0x{hashlib.sha256(f'transaction/{next(self._serial)}'.encode()).hexdigest()}"

    def run(self, wallet: str, calls: Sequence[Call], *, transaction_hash: str) -> None:
        """Make these calls in order, all or none. Raises Reverted."""
        ledger = self._exchange.ledger
        holders = (self._approvals, self._sessions, self._view.unseen)
        before, owned = copy.deepcopy([vars(one) for one in holders]), ledger.snapshot()
        self._transaction = transaction_hash
        self._positions.begin(transaction_hash)
        try:
            for call in calls:
                self._one(wallet, call)
        except (Reverted, InsufficientFunds, KeyError) as failed:
            for part, state in zip(holders, before, strict=True):
                vars(part).update(state)
            ledger.restore(owned)
            self._chain.failed.add(transaction_hash)
            raise Reverted(f"execution reverted: {failed}") from failed
        self._positions.commit()

    def reported(self, condition_id: str) -> None:
        """The oracle told the chain how a market ended."""
        self._positions.begin(self.new_transaction())
        self._positions.resolved(self._catalogue.by_condition[condition_id], self._catalogue.payouts[condition_id])
        self._positions.commit()

    def redeem_winners(self, condition_id: str) -> None:
        """The venue's operator redeems for every wallet that holds something worth redeeming; losers stay."""
        market = self._catalogue.by_condition[condition_id]
        ledger, payouts = self._exchange.ledger, self._catalogue.payouts[condition_id]
        for wallet, holdings in list(ledger.wallets.items()):
            worth = sum(
                holdings.shares.get(token, 0) * part for token, part in zip(market.token_ids, payouts, strict=True)
            )
            if worth:
                self._positions.begin(self.new_transaction())
                self._redeem_market(wallet, market, known=True)
                self._positions.commit()

    def _one(self, wallet: str, call: Call) -> None:
        known = self._effects.get(call.data[:4])
        if known is None:
            raise Reverted("no such function")
        types, effect = known
        try:
            values = list(abi_decode(types, call.data[4:]))
        except DecodingError as error:
            raise Reverted(str(error)) from error
        effect(wallet, call.target, values)

    # -- approvals and transfers ---------------------------------------------------------------------------------

    def _approve(self, wallet: str, target: str, values: list[Any]) -> None:
        _expect(target, contracts.PUSD)
        self._approvals.approve_cash(wallet, values[0], values[1])

    def _set_approval(self, wallet: str, target: str, values: list[Any]) -> None:
        _expect(target, contracts.CONDITIONAL_TOKENS, contracts.POSITION_MANAGER)
        self._approvals.set_operator(wallet, target, values[0], approved=values[1])

    def _transfer(self, wallet: str, target: str, values: list[Any]) -> None:
        _expect(target, contracts.PUSD)
        to, units = values[0].lower(), values[1]
        self._set_free(wallet, units)
        self._exchange.ledger.move_cash(wallet, to, units)
        self._view.moved(wallet, -units)
        self._view.moved(to, units)
        self._positions.transferred(wallet, to, units)

    def _transfer_shares(self, wallet: str, target: str, values: list[Any]) -> None:
        _expect(target, contracts.CONDITIONAL_TOKENS, contracts.POSITION_MANAGER)
        owner, to, token, units = values[0].lower(), values[1].lower(), str(values[2]), values[3]
        if owner != wallet:
            raise Reverted("need operator approval for 3rd party transfers")
        self._set_free(wallet, units, token)
        self._exchange.ledger.move_shares(wallet, to, token, units)
        self._view.moved(wallet, -units, token_id=token)
        self._view.moved(to, units, token_id=token)
        topics = (_TRANSFERRED, word_of(wallet), word_of(wallet), word_of(to))
        data = abi_encode(["uint256", "uint256"], [int(token), units])
        self._chain.emit(contracts.token_contract(token), topics, data, transaction_hash=self._transaction)

    # -- positions -----------------------------------------------------------------------------------------------

    def _split(self, wallet: str, target: str, values: list[Any]) -> None:
        self._split_market(wallet, target, self._market(target, values[2]), values[4])

    def _merge(self, wallet: str, target: str, values: list[Any]) -> None:
        self._merge_market(wallet, target, self._market(target, values[2]), values[4])

    def _redeem(self, wallet: str, target: str, values: list[Any]) -> None:
        self._redeem_market(wallet, self._market(target, values[2]))

    def _router_split(self, wallet: str, target: str, values: list[Any]) -> None:
        self._split_market(wallet, target, self._v2_market(target, values[0]), values[1])

    def _router_merge(self, wallet: str, target: str, values: list[Any]) -> None:
        self._merge_market(wallet, target, self._v2_market(target, values[0]), values[1])

    def _router_redeem(self, wallet: str, target: str, values: list[Any]) -> None:
        self._redeem_market(wallet, self._v2_market(target, values[0]))

    def _split_market(self, wallet: str, target: str, market: MarketDef, units: int) -> None:
        if self._approvals.cash_allowance(wallet, target) < units:
            raise Reverted("insufficient allowance")
        self._set_free(wallet, units)
        self._exchange.ledger.split(wallet, market.condition_id, market.token_ids, units)
        self._moved(wallet, market, -units, units)
        self._positions.split(wallet, market, units)

    def _merge_market(self, wallet: str, target: str, market: MarketDef, units: int) -> None:
        if not self._approvals.is_operator(wallet, contracts.token_contract(market.token_ids[0]), target):
            raise Reverted("need operator approval for 3rd party transfers")
        self._set_free(wallet, units, *market.token_ids)
        self._exchange.ledger.merge(wallet, market.condition_id, market.token_ids, units)
        self._moved(wallet, market, units, -units)
        self._positions.merge(wallet, market, units)

    def _redeem_market(self, wallet: str, market: MarketDef, *, known: bool = False) -> None:
        if market.condition_id not in self._catalogue.payouts:
            raise Reverted("result for condition not received yet")
        ledger = self._exchange.ledger
        held = {token: ledger.wallet(wallet).free_shares(token) for token in market.token_ids}
        payouts = self._catalogue.payouts[market.condition_id]
        paid = ledger.redeem_wallet(wallet, market.condition_id, market.token_ids)
        if not known:
            self._view.moved(wallet, paid)
        self._positions.redeem(wallet, market, held, payouts, paid, losers=not known)

    def _convert(self, wallet: str, target: str, values: list[Any]) -> None:
        _expect(target, contracts.NEG_RISK_ADAPTER, contracts.OLD_NEG_RISK_ADAPTER)
        if not self._approvals.is_operator(wallet, contracts.CONDITIONAL_TOKENS, target):
            raise Reverted("need operator approval for 3rd party transfers")
        group = f"0x{values[0].hex()}"
        members = [one for one in self._catalogue.by_condition.values() if one.neg_risk_market_id == group]
        given, made = neg_risk.chosen(members, values[1])
        cash = neg_risk.convert(self._exchange.ledger, wallet, given, made, values[2])
        self._view.moved(wallet, cash)
        for market in given:
            self._view.moved(wallet, -values[2], token_id=market.token_ids[1])
        for market in made:
            self._view.moved(wallet, values[2], token_id=market.token_ids[0])
        self._positions.convert(wallet, given, made, values[2], cash)

    def _set_free(self, wallet: str, units: int, *tokens: str) -> None:
        """The chain knows of no orders: those whose cover is taken away are canceled (their state is unverified).

        Without tokens it is cash that is needed. Raises InsufficientFunds before any order is canceled.
        """
        holdings = self._exchange.ledger.wallet(wallet)
        owned = [holdings.shares.get(token, 0) for token in tokens] or [holdings.cash]
        if min(owned) < units:
            raise InsufficientFunds(f"{min(owned)} units, {units} wanted")
        for order in reversed(list(self._exchange.orders.values())):
            new = order.new
            if new.wallet != wallet or order.status is not VenueOrderStatus.LIVE:
                continue
            if tokens and new.side is Side.SELL and new.token_id in tokens:
                enough = holdings.free_shares(new.token_id) >= units
            else:
                enough = bool(tokens) or new.side is Side.SELL or holdings.free_cash >= units
            if not enough:
                self._exchange.cancel(new.order_hash, reason="CANCELED")

    def _moved(self, wallet: str, market: MarketDef, cash: int, shares: int) -> None:
        self._view.moved(wallet, cash)
        for token in market.token_ids:
            self._view.moved(wallet, shares, token_id=token)

    def _market(self, target: str, condition: bytes) -> MarketDef:
        market = self._catalogue.by_condition[f"0x{condition.hex()}"]
        _expect(target, contracts.NEG_RISK_ADAPTER if market.neg_risk else contracts.ADAPTER)
        return market

    def _v2_market(self, target: str, condition: bytes) -> MarketDef:
        _expect(target, contracts.ROUTER)
        return self._catalogue.by_condition[f"0x{condition.hex()}00"]

    # -- session keys --------------------------------------------------------------------------------------------

    def _authorize_session(self, wallet: str, target: str, values: list[Any]) -> None:
        _expect(target, wallet)
        self._sessions.authorize(SessionKey(values[0], wallet, (ALL,), values[1]))

    def _revoke_session(self, wallet: str, target: str, values: list[Any]) -> None:
        _expect(target, wallet)
        self._sessions.revoke(wallet, values[0])


def _expect(target: str, *allowed: str) -> None:
    if target.lower() not in {one.lower() for one in allowed}:
        raise Reverted("no such function")
