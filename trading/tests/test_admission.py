"""What the gate reads stays cheap however long an account's past is."""

import pytest
from django.db import connection

from trading.services import admission

pytestmark = pytest.mark.django_db


def test_the_gate_finds_unfinished_orders_by_their_own_index() -> None:
    """Planned once for all values, as the hot path's statements are: values given for statuses would hide the index."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"PREPARE gate(uuid[]) AS {admission.ACCOUNTS.replace('%s', '$1')}")
        cursor.execute("EXPLAIN EXECUTE gate(ARRAY[]::uuid[])")
        plan = "\n".join(row[0] for row in cursor.fetchall())
        cursor.execute("DEALLOCATE gate")
    assert "order_unfinished" in plan
