"""One batch of requests from judgement to signature: check, record, commit, and only then sign."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from markets.venue import signing
from markets.venue.ports import Side
from markets.venue.signers import SignRequest
from polyhub.lib.crypto import SealBroken
from polyhub.lib.failpoints import fp
from trading.signer import policy, records
from trading.signer.protocol import MAX_ORDERS, NotSigned, Result, SignAuth, Signed, SignedAuth
from trading.signer.vault import KeyMissing, Vault

AUTH_CLOCK_S = 300
# Services whose leases are for sending orders; the feed has a lease too.
ENGINES = "engine-"
_UNKNOWN = NotSigned("UNKNOWN_ACCOUNT", "No such account, or it has no signing policy.")


@dataclass(slots=True)
class _Case:
    """One order on its way: either `refusal` is set, or everything that signing needs."""

    item: SignRequest
    refusal: NotSigned | None = None
    account: records.AccountRow | None = None
    private: bytes = b""
    order_hash: str = ""
    notional_units: int = 0
    is_new: bool = False


def sign_orders(connection: records.Connection, vault: Vault, items: Sequence[SignRequest]) -> list[Result]:
    """Answers in the order of `items`. Raises psycopg.Error when nothing could be recorded, and then signs nothing."""
    if len(items) > MAX_ORDERS:
        return [NotSigned("TOO_MANY", f"At most {MAX_ORDERS} orders at once.")] * len(items)
    cases = [_Case(item) for item in items]
    # Errors of the commit surface when the pipeline ends: nothing is signed before that.
    with connection.pipeline(), connection.transaction():
        _judge(connection, vault, cases)
        _record(connection, cases)
    fp("F3")
    results = [_signature(case) for case in cases]
    fp("F4")
    return results


def sign_auth(connection: records.Connection, vault: Vault, request: SignAuth) -> Result:
    """The venue's own sign-in message and nothing else: it moves no money."""
    with connection.transaction():
        account = records.account(connection, request.account_id)
        row = connection.execute("SELECT abs(extract(epoch FROM now()) - %s)", [request.timestamp_s]).fetchone()
    if row is None or row[0] > AUTH_CLOCK_S:
        return NotSigned("BAD_REQUEST", "The timestamp is not now.")
    usable = _usable(vault, account)
    if isinstance(usable, NotSigned):
        return usable
    assert account is not None
    digest = signing.clob_auth_digest(account.signer_address, request.timestamp_s, request.nonce)
    return SignedAuth(address=account.signer_address, signature=signing.sign_digest(digest, usable))


def _judge(connection: records.Connection, vault: Vault, cases: Sequence[_Case]) -> None:
    facts = records.read(
        connection,
        account_ids={case.item.account_id for case in cases},
        services={case.item.service for case in cases},
        intent_ids={case.item.terms.client_order_id for case in cases},
        sold_token_ids={case.item.terms.token_id for case in cases if case.item.terms.side is Side.SELL},
    )
    fp("F1")
    for case in cases:
        case.account = facts.accounts.get(case.item.account_id)
        case.refusal = (
            _stale(case, facts.tokens)
            or _unsignable(case)
            or _open_key(case, vault)
            or _hash(case, facts.known)
            or (_over_limits(case, facts.spent, facts.bids) if case.is_new else None)
        )
        if case.refusal is None and case.is_new:
            facts.known[case.item.terms.client_order_id] = (case.order_hash, case.item.account_id)
            facts.spent[case.item.account_id] = facts.spent.get(case.item.account_id, 0) + case.notional_units
    fp("F2")


def _stale(case: _Case, tokens: dict[str, int]) -> NotSigned | None:
    if not case.item.service.startswith(ENGINES) or tokens.get(case.item.service) != case.item.fencing_token:
        return NotSigned("STALE_FENCING_TOKEN", "Another engine has taken over this account.")
    return None


def _unsignable(case: _Case) -> NotSigned | None:
    fault = policy.terms_fault(case.item.terms)
    if fault:
        return NotSigned(fault.code, fault.message)
    if case.item.exchange.lower() != signing.exchange_of(case.item.terms).lower():
        return NotSigned("UNKNOWN_EXCHANGE", "Not the exchange of this token.")
    return None


def _open_key(case: _Case, vault: Vault) -> NotSigned | None:
    usable = _usable(vault, case.account)
    if isinstance(usable, NotSigned):
        return usable
    case.private = usable
    return None


def _usable(vault: Vault, account: records.AccountRow | None) -> bytes | NotSigned:
    """The account's key, or why nothing is signed for it."""
    refusal = _unfit(account)
    if refusal is not None or account is None:
        return refusal or _UNKNOWN
    try:
        return vault.key_for(account)
    except KeyMissing:
        return NotSigned("KEY_MISSING", "No key was imported for this account.")
    except SealBroken as error:
        return NotSigned(error.code, error.message)


def _unfit(account: records.AccountRow | None) -> NotSigned | None:
    if account is None:
        return _UNKNOWN
    if account.mode != "live" or account.signature_type is None:
        return NotSigned("NOT_LIVE", "Only live accounts sign.")
    if not account.user_active:
        return NotSigned("USER_DISABLED", "The owner is disabled.")
    if account.status == "STOPPED":
        return NotSigned("ACCOUNT_STOPPED", "The account is stopped.")
    if account.key is not None and account.key.has_expired:
        return NotSigned("KEY_EXPIRED", "The account's session key has expired.")
    return None


def _live(case: _Case) -> tuple[records.AccountRow, int]:
    assert case.account is not None
    assert case.account.signature_type is not None
    return case.account, case.account.signature_type


def _hash(case: _Case, known: dict[UUID, tuple[str, UUID]]) -> NotSigned | None:
    """One hash for each intent, for ever: the same bytes may be signed again, other bytes never."""
    account, signature_type = _live(case)
    maker, signer = parties(account)
    case.order_hash = signing.order_hash(case.item.terms, maker=maker, signer=signer, signature_type=signature_type)
    before = known.get(case.item.terms.client_order_id)
    if before is not None and before != (case.order_hash, case.item.account_id):
        return NotSigned("INTENT_ALREADY_SIGNED", "This intent was signed with other terms.")
    case.is_new = before is None
    return None


def _over_limits(case: _Case, spent: dict[UUID, int], bids: dict[str, int]) -> NotSigned | None:
    account, terms = case.account, case.item.terms
    assert account is not None
    bid = bids.get(terms.token_id)
    refusal = policy.check(
        terms, policy=account.policy, spent_today_units=spent.get(account.account_id, 0), best_bid_units=bid
    )
    case.notional_units = policy.worst_notional_units(terms, best_bid_units=bid)
    return NotSigned(refusal.code, refusal.message) if refusal else None


def _record(connection: records.Connection, cases: Sequence[_Case]) -> None:
    fresh = [case for case in cases if case.refusal is None and case.is_new]
    ours = records.insert(
        connection,
        [
            records.NewRecord(
                intent_id=case.item.terms.client_order_id,
                order_hash=case.order_hash,
                account_id=case.item.account_id,
                service=case.item.service,
                fencing_token=case.item.fencing_token,
                notional_units=case.notional_units,
            )
            for case in fresh
        ],
    )
    for case in fresh:
        if case.item.terms.client_order_id not in ours:
            case.refusal = NotSigned("INTENT_ALREADY_SIGNED", "Another record has this intent or hash.")


def _signature(case: _Case) -> Result:
    if case.refusal is not None:
        return case.refusal
    account, signature_type = _live(case)
    maker, signer = parties(account)
    by_session = account.key is not None and account.key.is_session
    return Signed(
        order_hash=case.order_hash,
        signature=signing.sign_order(
            case.item.terms,
            key=case.private,
            maker=maker,
            signer=signer,
            signature_type=signature_type,
            session_signer=account.signer_address if by_session else "",
        ),
    )


def parties(account: records.AccountRow) -> tuple[str, str]:
    """Who the order names: (maker, signer), from the account's own row."""
    assert account.signature_type is not None
    return signing.order_parties(
        signature_type=account.signature_type,
        signer_address=account.signer_address,
        trading_address=account.trading_address,
    )
