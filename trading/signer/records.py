"""The signer's SQL: what it reads to judge a request, and the record it writes before it signs.

Plain psycopg: the signer knows the tables by name and imports no Django.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg

from accounts.domain.keys import trading_key_place
from polyhub.lib.crypto import Place
from polyhub.lib.money import PRICE_UNITS, UNITS
from trading.signer.policy import Policy

Connection = psycopg.Connection[tuple[Any, ...]]

# A bid older than this says nothing about what a sale gives away.
FRESH_QUOTE_S = 60

_ACCOUNTS = """SELECT a.id, a.mode, a.status, u.is_active, a.signature_type, a.signer_address, a.trading_address,
       p.max_order_usdc, p.max_day_usdc, p.min_price, p.max_price, a.user_id, k.id, k.sealed, k.kind = 'SESSION',
       k.expires_at <= now() + make_interval(secs => 60)
FROM accounts_tradingaccount a
JOIN accounts_user u ON u.id = a.user_id
JOIN accounts_signingpolicy p ON p.account_id = a.id
LEFT JOIN accounts_tradingkey k ON k.account_id = a.id
WHERE a.id = ANY(%s) ORDER BY a.id FOR UPDATE OF p"""


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A sealed key and the place it is sealed for. A session key that `has_expired` signs nothing any more."""

    key_id: UUID
    place: Place
    sealed: bytes = field(repr=False)
    is_session: bool = False
    has_expired: bool = False


@dataclass(frozen=True, slots=True)
class AccountRow:
    """What the signer knows of an account, from its own reading and never from a request."""

    account_id: UUID
    mode: str
    status: str
    user_active: bool
    signature_type: int | None
    signer_address: str
    trading_address: str
    policy: Policy
    key: KeyRow | None


@dataclass(frozen=True, slots=True)
class NewRecord:
    intent_id: UUID
    order_hash: str
    account_id: UUID
    service: str
    fencing_token: int
    notional_units: int


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a batch is judged by."""

    accounts: dict[UUID, AccountRow]
    # The current fencing token of each service whose lease has not ended, by the database's clock.
    tokens: dict[str, int]
    # Intents signed before: their one hash and the account it was for.
    known: dict[UUID, tuple[str, UUID]]
    # Base units signed so far on this UTC day.
    spent: dict[UUID, int]
    # Fresh best bids in 1/10,000.
    bids: dict[str, int]


def read(
    connection: Connection,
    *,
    account_ids: Collection[UUID],
    services: Collection[str],
    intent_ids: Collection[UUID],
    sold_token_ids: Collection[str],
) -> Facts:
    """Five questions, asked before the first answer is awaited: inside a pipeline they are one round trip.

    The first locks the accounts' policies in id order, so that two batches never spend the same room.
    """
    ids = sorted(account_ids)
    accounts = connection.execute(_ACCOUNTS, [ids])
    tokens = connection.execute(
        "SELECT name, token FROM lib_service WHERE name = ANY(%s) AND expires_at > now()", [sorted(services)]
    )
    known = connection.execute(
        "SELECT intent_id, order_hash, account_id FROM trading_signaturerecord WHERE intent_id = ANY(%s)",
        [list(intent_ids)],
    )
    spent = connection.execute(
        """SELECT account_id, sum(notional_units)::bigint FROM trading_signaturerecord
           WHERE account_id = ANY(%s) AND signed_on = (now() AT TIME ZONE 'UTC')::date GROUP BY account_id""",
        [ids],
    )
    bids = connection.execute(
        """SELECT t.token_id, q.best_bid FROM markets_quote q JOIN markets_token t ON t.id = q.token_id
           WHERE t.token_id = ANY(%s) AND q.best_bid IS NOT NULL
                 AND q.received_at > now() - make_interval(secs => %s)""",
        [sorted(sold_token_ids), FRESH_QUOTE_S],
    )
    return Facts(
        accounts={row[0]: _account(row) for row in accounts},
        tokens=dict(tokens),
        known={intent_id: (order_hash, account_id) for intent_id, order_hash, account_id in known},
        spent=dict(spent),
        bids={token_id: int(bid * PRICE_UNITS) for token_id, bid in bids},
    )


def account(connection: Connection, account_id: UUID) -> AccountRow | None:
    row = connection.execute(_ACCOUNTS, [[account_id]]).fetchone()
    return _account(row) if row else None


def insert(connection: Connection, records: Sequence[NewRecord]) -> set[UUID]:
    """Write the records and return the intents that are ours now; another hash or intent in the way leaves one out."""
    rows = connection.execute(
        """INSERT INTO trading_signaturerecord
                  (intent_id, order_hash, account_id, service, fencing_token, notional_units, signed_on, created_at)
           SELECT i, h, a, s, f, n, (now() AT TIME ZONE 'UTC')::date, now()
           FROM unnest(%s::uuid[], %s::text[], %s::uuid[], %s::text[], %s::bigint[], %s::bigint[])
                AS t(i, h, a, s, f, n)
           ON CONFLICT DO NOTHING RETURNING intent_id""",
        [
            [record.intent_id for record in records],
            [record.order_hash for record in records],
            [record.account_id for record in records],
            [record.service for record in records],
            [record.fencing_token for record in records],
            [record.notional_units for record in records],
        ],
    )
    return {row[0] for row in rows}


def _account(row: tuple[Any, ...]) -> AccountRow:
    max_order, max_day, min_price, max_price, user_id, key_id, sealed, is_session, has_expired = row[7:]
    key = None
    if key_id is not None:
        place = trading_key_place(key_id=key_id, user_id=user_id, account_id=row[0])
        key = KeyRow(
            key_id=key_id, place=place, sealed=bytes(sealed), is_session=is_session, has_expired=bool(has_expired)
        )
    return AccountRow(
        account_id=row[0],
        mode=row[1],
        status=row[2],
        user_active=row[3],
        signature_type=row[4],
        signer_address=row[5],
        trading_address=row[6],
        policy=Policy(
            max_order_units=_units(max_order, UNITS),
            max_day_units=_units(max_day, UNITS),
            min_price_units=_units(min_price, PRICE_UNITS),
            max_price_units=_units(max_price, PRICE_UNITS),
        ),
        key=key,
    )


def _units(amount: Decimal, scale: int) -> int:
    return int(amount * scale)
