"""Re-wrapping the vault to a new key. May be killed at any point and run again."""

import logging
from pathlib import Path

import psycopg

from accounts.domain.keys import trading_key_place
from polyhub.lib import crypto
from trading.signer import keys, records

logger = logging.getLogger(__name__)

# Sealed for the place of the first one: a waiting key keeps its seal when it takes over.
TABLES = ("accounts_tradingkey", "accounts_nextkey")
BATCH = 500
# The newest, and the one before it: a key may have been sealed to that one while we ran.
KEEP = 2


def rotate(*, dsn: str, private_file: Path, public_file: Path) -> int:
    """Make a new key, re-wrap every sealed secret to it, drop keys nothing is sealed to; the number re-wrapped.

    An interrupted run left rows of an older key behind: it is finished first, with the key it had already made.
    """
    ring = keys.load(private_file)
    with psycopg.connect(dsn, autocommit=True, connect_timeout=5) as connection:
        moved = _rewrap_all(connection, ring)
        if moved == 0 or len(ring.pairs) == 1:
            ring = keys.save([crypto.new_key_pair(), *ring.pairs], private_file=private_file, public_file=public_file)
            moved = _rewrap_all(connection, ring)
        used = {row[0] for table in TABLES for row in connection.execute(f"SELECT DISTINCT key_id FROM {table}")}
    kept = [pair for at, pair in enumerate(ring.pairs) if at < KEEP or pair.key_id in used]
    keys.save(kept, private_file=private_file, public_file=public_file)
    logger.info("Vault key %s is in force; %s secrets re-wrapped", ring.newest.key_id, moved)
    return moved


def _rewrap_all(connection: records.Connection, ring: keys.KeyRing) -> int:
    total = 0
    while True:
        with connection.transaction():
            moved = sum(_rewrap_some(connection, ring, table) for table in TABLES)
        total += moved
        if moved == 0:
            return total


def _rewrap_some(connection: records.Connection, ring: keys.KeyRing, table: str) -> int:
    rows = connection.execute(
        f"""SELECT k.id, k.sealed, a.user_id, a.id FROM {table} k
           JOIN accounts_tradingaccount a ON a.id = k.account_id
           WHERE k.key_id <> %s ORDER BY k.id LIMIT %s FOR UPDATE OF k""",
        [ring.newest.key_id, BATCH],
    ).fetchall()
    for row_id, sealed, user_id, account_id in rows:
        place = trading_key_place(key_id=row_id, user_id=user_id, account_id=account_id)
        wrapped = crypto.rewrap(
            bytes(sealed), private_keys=ring.private_keys, recipient=ring.newest.public, place=place
        )
        connection.execute(
            f"UPDATE {table} SET sealed = %s, key_id = %s WHERE id = %s",
            [wrapped, ring.newest.key_id, row_id],
        )
    return len(rows)
