"""Statements of the hot path, planned by PostgreSQL once per connection instead of at every call.

Django's cursors bind values on the client, so the server sees a new text each time and plans it anew: half of what a
statement with several joins costs. Where speed does not matter, use the ORM or `connection.cursor()`.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import connection
from psycopg.rows import tuple_row

Values = Sequence[Any] | Mapping[str, Any]
_PREPARE_AFTER = 5
Cursor = psycopg.Cursor[tuple[Any, ...]]


def rows(statement: str, values: Values = ()) -> list[tuple[Any, ...]]:
    """All rows of one statement, in the transaction Django has open. Raises Django's database errors."""
    with connection.wrap_database_errors:
        return _execute(statement, values).fetchall()


def run(statement: str, values: Values = ()) -> int:
    """The number of rows a statement changed."""
    with connection.wrap_database_errors:
        return _execute(statement, values).rowcount


def send(statement: str, values: Values = ()) -> Cursor:
    """A statement whose rows are fetched later: inside `pipeline` many of these are one round trip."""
    return _execute(statement, values)


@contextmanager
def pipeline() -> Iterator[None]:
    """Statements in this block do not wait for each other's answers; an error surfaces at the next fetch or the end."""
    connection.ensure_connection()
    with connection.wrap_database_errors, connection.connection.pipeline():
        yield


def _execute(statement: str, values: Values) -> Cursor:
    connection.ensure_connection()
    connection.validate_no_broken_transaction()
    if connection.queries_logged:
        connection.queries_log.append({"sql": statement, "time": "0"})
    raw = connection.connection
    if raw.prepare_threshold is None:
        # Django's default, which turns preparing off altogether. Its own cursors do not prepare anyway.
        raw.prepare_threshold = _PREPARE_AFTER
    return psycopg.Cursor(raw, row_factory=tuple_row).execute(statement, values, prepare=True)
