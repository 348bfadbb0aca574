"""Reading contracts: what `eth_call` and `eth_getCode` answer."""

from collections.abc import Callable
from typing import Any

from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_abi.exceptions import DecodingError
from eth_utils.crypto import keccak

from markets.venue.sandbox import contracts, wallets
from markets.venue.sandbox.core import Sandbox

_TOKENS = frozenset(one.lower() for one in (contracts.CONDITIONAL_TOKENS, contracts.POSITION_MANAGER))
_KNOWN_CODE = frozenset(
    one.lower()
    for one in (
        *(contracts.PUSD, contracts.CONDITIONAL_TOKENS, contracts.EXCHANGE, contracts.NEG_RISK_EXCHANGE),
        *(contracts.EXCHANGE_V3, contracts.POSITION_MANAGER, contracts.ROUTER, contracts.ADAPTER),
        *(contracts.NEG_RISK_ADAPTER, wallets.PROXY_FACTORY, wallets.SAFE_FACTORY, wallets.DEPOSIT_FACTORY),
    )
)


class RpcError(ValueError):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


Read = Callable[[str, list[Any]], bytes]


class Reader:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._reads: dict[bytes, tuple[list[str], Read]] = {
            keccak(f"{name}({','.join(types)})".encode())[:4]: (types, read)
            for name, types, read in (
                ("beacon", [], self._beacon),
                ("balanceOf", ["address"], self._cash),
                ("allowance", ["address", "address"], self._allowance),
                ("decimals", [], lambda target, values: _word(6)),
                ("balanceOf", ["address", "uint256"], self._shares),
                ("balanceOfBatch", ["address[]", "uint256[]"], self._shares_of_many),
                ("isApprovedForAll", ["address", "address"], self._is_approved),
                ("payoutDenominator", ["bytes32"], self._payout_denominator),
                ("payoutNumerators", ["bytes32", "uint256"], self._payout_numerator),
                ("userPausedBlockAt", ["address"], self._paused_at),
                ("isSessionSigner", ["address"], self._is_session_signer),
                ("sessionSignerValidUntil", ["address"], self._session_until),
            )
        }

    def code(self, params: list[Any]) -> object:
        address = str(params[0]).lower() if params else ""
        known = self._sandbox.catalogue.wallets.get(address)
        deployed = known is not None and known.signature_type != wallets.EOA
        return "0x01" if deployed or address in _KNOWN_CODE else "0x"

    def call(self, params: list[Any]) -> object:
        if not params or not isinstance(params[0], dict):
            raise RpcError(-32602, "missing value for required argument 0")
        target = str(params[0].get("to", "")).lower()
        data = bytes.fromhex(str(params[0].get("data") or params[0].get("input") or "0x")[2:])
        known = self._reads.get(data[:4])
        if known is None:
            raise RpcError(3, "execution reverted")
        types, read = known
        try:
            return f"0x{read(target, list(abi_decode(types, data[4:]))).hex()}"
        except (DecodingError, KeyError) as error:
            raise RpcError(3, "execution reverted") from error

    def _beacon(self, target: str, values: list[Any]) -> bytes:
        _expect(target, {wallets.DEPOSIT_FACTORY.lower()})
        return _word(int(wallets.DEPOSIT_BEACON, 16))

    def _cash(self, target: str, values: list[Any]) -> bytes:
        _expect(target, {contracts.PUSD.lower()})
        holdings = self._sandbox.exchange.ledger.wallets.get(values[0].lower())
        return _word(holdings.cash if holdings is not None else 0)

    def _allowance(self, target: str, values: list[Any]) -> bytes:
        _expect(target, {contracts.PUSD.lower()})
        return _word(self._sandbox.approvals.cash_allowance(values[0].lower(), values[1]))

    def _shares(self, target: str, values: list[Any]) -> bytes:
        _expect(target, _TOKENS | {contracts.OLD_NEG_RISK_ADAPTER.lower(), contracts.NEG_RISK_ADAPTER.lower()})
        return _word(self._held(values[0], values[1]))

    def _shares_of_many(self, target: str, values: list[Any]) -> bytes:
        _expect(target, _TOKENS | {contracts.OLD_NEG_RISK_ADAPTER.lower(), contracts.NEG_RISK_ADAPTER.lower()})
        held = [self._held(owner, token) for owner, token in zip(*values, strict=True)]
        return abi_encode(["uint256[]"], [held])

    def _is_approved(self, target: str, values: list[Any]) -> bytes:
        _expect(target, _TOKENS)
        return _word(int(self._sandbox.approvals.is_operator(values[0].lower(), target, values[1])))

    def _payout_denominator(self, target: str, values: list[Any]) -> bytes:
        return _word(sum(self._sandbox.catalogue.payouts.get(f"0x{values[0].hex()}", (0, 0))))

    def _payout_numerator(self, target: str, values: list[Any]) -> bytes:
        return _word(self._sandbox.catalogue.payouts.get(f"0x{values[0].hex()}", (0, 0))[values[1]])

    def _paused_at(self, target: str, values: list[Any]) -> bytes:
        paused = values[0].lower() in self._sandbox.standings.paused
        return _word(self._sandbox.chain.block() if paused else 0)

    def _is_session_signer(self, target: str, values: list[Any]) -> bytes:
        return _word(int(self._session(target, values[0]) > 0))

    def _session_until(self, target: str, values: list[Any]) -> bytes:
        return _word(self._session(target, values[0]))

    def _session(self, wallet: str, address: str) -> int:
        active = self._sandbox.sessions.active(wallet, now_s=self._sandbox.now_ms() // 1000)
        return next((one.valid_until_s for one in active if one.address.lower() == address.lower()), 0)

    def _held(self, owner: str, token: int) -> int:
        holdings = self._sandbox.exchange.ledger.wallets.get(owner.lower())
        return holdings.shares.get(str(token), 0) if holdings is not None else 0


def _expect(target: str, allowed: frozenset[str] | set[str]) -> None:
    if target not in allowed:
        raise RpcError(3, "execution reverted")


def _word(value: int) -> bytes:
    return value.to_bytes(32, "big")
