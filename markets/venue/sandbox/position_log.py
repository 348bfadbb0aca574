"""What the chain and the Data API tell of splits, merges, redemptions and conversions, once a transaction holds."""

from collections.abc import Callable, Mapping, Sequence

from eth_abi.abi import encode as abi_encode
from eth_utils.crypto import keccak

from markets.venue.ports import Side
from markets.venue.sandbox import contracts, market_rows
from markets.venue.sandbox.catalogue import Catalogue
from markets.venue.sandbox.chain import Chain, word_of
from markets.venue.sandbox.events import MarketDef
from markets.venue.sandbox.record import PublicRecord, PublicTrade

_SPLIT = keccak(b"PositionSplit(address,address,bytes32,bytes32,uint256[],uint256)")
_MERGED = keccak(b"PositionsMerge(address,address,bytes32,bytes32,uint256[],uint256)")
_REDEEMED = keccak(b"PayoutRedemption(address,address,bytes32,bytes32,uint256[],uint256)")
_RESOLVED = keccak(b"ConditionResolution(bytes32,address,bytes32,uint256,uint256[])")
_ZERO32 = bytes(32)


class PositionLog:
    def __init__(self, catalogue: Catalogue, record: PublicRecord, chain: Chain, now_ms: Callable[[], int]) -> None:
        self._catalogue = catalogue
        self._record = record
        self._chain = chain
        self._now_ms = now_ms
        self._transaction = ""
        self._waiting: list[Callable[[], None]] = []

    def begin(self, transaction_hash: str) -> None:
        self._transaction, self._waiting = transaction_hash, []

    def commit(self) -> None:
        """Tell what was noted since `begin`."""
        for tell in self._waiting:
            tell()
        self._waiting = []

    def transferred(self, wallet: str, to: str, units: int) -> None:
        at_s, transaction = self._now_ms() // 1000, self._transaction
        for who, kind in ((wallet, "WITHDRAWAL"), (to, "DEPOSIT")):
            self._waiting.append(
                lambda who=who, kind=kind: self._record.note_cash(  # type: ignore[misc]
                    who, kind, units, at_s=at_s, transaction_hash=transaction
                )
            )

    def split(self, wallet: str, market: MarketDef, units: int) -> None:
        half = units // 2
        parts = [
            self._part(wallet, market, token, Side.BUY, units, cost)
            for token, cost in zip(market.token_ids, (units - half, half), strict=True)
        ]
        row = self._part(wallet, market, market.token_ids[0], Side.BUY, units, units, kind="SPLIT")
        self._tell(row, parts, _SPLIT, wallet, market, units)

    def merge(self, wallet: str, market: MarketDef, units: int) -> None:
        half = units // 2
        parts = [
            self._part(wallet, market, token, Side.SELL, units, got)
            for token, got in zip(market.token_ids, (units - half, half), strict=True)
        ]
        row = self._part(wallet, market, market.token_ids[0], Side.SELL, units, units, kind="MERGE")
        self._tell(row, parts, _MERGED, wallet, market, units)

    def redeem(
        self,
        wallet: str,
        market: MarketDef,
        held: Mapping[str, int],
        payouts: tuple[int, int],
        paid: int,
        *,
        losers: bool,
    ) -> None:
        """One row for each outcome that was redeemed; the worthless ones only where the owner redeemed them itself."""
        for token, part in zip(market.token_ids, payouts, strict=True):
            units = held[token]
            if units and (part or losers):
                got = units * part // sum(payouts)
                row = self._part(wallet, market, token, Side.SELL, units, got, kind="REDEEM")
                self._waiting.append(lambda row=row: self._redeemed(row))  # type: ignore[misc]
        topics = (_REDEEMED, word_of(wallet), word_of(contracts.PUSD), _ZERO32)
        data = abi_encode(["bytes32", "uint256[]", "uint256"], [_condition(market), [1, 2], paid])
        self._emit(market, topics, data)

    def convert(
        self, wallet: str, given: Sequence[MarketDef], made: Sequence[MarketDef], units: int, cash: int
    ) -> None:
        gone = [self._part(wallet, one, one.token_ids[1], Side.SELL, units, 0) for one in given]
        came = [self._part(wallet, one, one.token_ids[0], Side.BUY, units, 0) for one in made]
        first = given[0]
        row = self._part(wallet, first, first.token_ids[1], Side.SELL, units, cash, kind="CONVERSION")
        self._waiting.append(lambda: self._record.note(row))
        self._waiting.append(lambda: self._record.moved([*gone, *came]))

    def resolved(self, market: MarketDef, payouts: tuple[int, int]) -> None:
        question = bytes.fromhex(market_rows.question_id(market)[2:])
        topics = (_RESOLVED, _condition(market), word_of(contracts.ORACLE), question)
        self._emit(market, topics, abi_encode(["uint256", "uint256[]"], [2, list(payouts)]))

    def _redeemed(self, row: PublicTrade) -> None:
        self._record.note(row)
        self._record.moved([row])

    def _tell(
        self, row: PublicTrade, parts: list[PublicTrade], topic: bytes, wallet: str, market: MarketDef, units: int
    ) -> None:
        self._waiting.append(lambda: self._record.note(row))
        self._waiting.append(lambda: self._record.moved(parts))
        topics = (topic, word_of(wallet), _ZERO32, _condition(market))
        data = abi_encode(["address", "uint256[]", "uint256"], [contracts.PUSD, [1, 2], units])
        self._emit(market, topics, data)

    def _emit(self, market: MarketDef, topics: Sequence[bytes], data: bytes) -> None:
        address, transaction = contracts.token_contract(market.token_ids[0]), self._transaction
        self._waiting.append(lambda: _ignored(self._chain.emit(address, topics, data, transaction_hash=transaction)))

    def _part(
        self, wallet: str, market: MarketDef, token: str, side: Side, units: int, cost: int, *, kind: str = "TRADE"
    ) -> PublicTrade:
        now_s, condition = self._now_ms() // 1000, market.condition_id
        return PublicTrade(wallet, token, condition, side, units, cost, 0, now_s, self._transaction, False, kind)


def _condition(market: MarketDef) -> bytes:
    return bytes.fromhex(market.condition_id.removeprefix("0x").rjust(64, "0"))


def _ignored(_: object) -> None:
    return None
