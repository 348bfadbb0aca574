"""The continuity ledger: what the feed noted, added up per day and subject, with the newest incidents in words."""

from datetime import datetime

from django.db import connection, transaction

from markets.domain.continuity import Told, Trouble
from markets.models import Incident
from polyhub.lib import clock

_COLUMNS = {
    Trouble.RECONNECT: "reconnects",
    Trouble.GAP: "gaps",
    Trouble.UNREADABLE: "unreadable",
    Trouble.DISAGREEMENT: "disagreements",
    Trouble.CHECKSUM: "checksums",
    Trouble.RESUBSCRIBED: "resubscribed",
}
_SUMS = ["needed_ms", "trusted_ms", *_COLUMNS.values()]
_ADD = f"""
INSERT INTO markets_continuityday (day, subject, name, {", ".join(_SUMS)})
SELECT %s, * FROM unnest(%s::text[], %s::text[], {", ".join(["%s::bigint[]"] * len(_SUMS))})
ON CONFLICT (day, subject, name) DO UPDATE SET
    {", ".join(f"{name} = markets_continuityday.{name} + EXCLUDED.{name}" for name in _SUMS)}
"""


@transaction.atomic
def store(*, told: Told, now: datetime) -> int:
    """Add what was told to the day's sums; the number of subjects."""
    subjects = sorted({*told.watched, *((subject, name) for subject, name, _ in told.counts)})
    if not subjects:
        return 0
    sums: dict[str, list[int]] = {
        "needed_ms": [told.watched[key].needed_ms if key in told.watched else 0 for key in subjects],
        "trusted_ms": [told.watched[key].trusted_ms if key in told.watched else 0 for key in subjects],
        **{column: [told.counts[(*key, trouble)] for key in subjects] for trouble, column in _COLUMNS.items()},
    }
    with connection.cursor() as cursor:
        cursor.execute(
            _ADD,
            [
                now.date(),
                [subject.value for subject, _ in subjects],
                [name[:80] for _, name in subjects],
                *(sums[column] for column in _SUMS),
            ],
        )
    Incident.objects.bulk_create(
        Incident(
            at=clock.from_ms(one.at_ms),
            subject=one.subject,
            name=one.name[:80],
            trouble=one.trouble,
            detail=one.detail[:200],
        )
        for one in told.incidents
    )
    return len(subjects)


def forget(*, before: datetime) -> int:
    """Delete incidents in words; the sums stay."""
    return Incident.objects.filter(at__lt=before).delete()[0]
