"""The periodic tasks, as one list. `sync` makes django-q2's table equal to it at each start."""

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django_q.models import Schedule
from django_q.tasks import async_task

# Rows with this prefix are ours to change and delete.
PREFIX = "polyhub:"
JOBS, ENGINES = "jobs", "engines"


@dataclass(frozen=True, slots=True)
class Periodic:
    """A task that runs every so many minutes on one cluster. Each is safe to run twice and to miss."""

    name: str
    function: str
    minutes: int
    cluster: str = JOBS


GUARD = "polyhub.tasks.guard_services"
BEGIN = "polyhub.tasks.begin_services"

PERIODIC = (
    # The last net below the services' own watch over each other.
    Periodic("guard-services", GUARD, minutes=1, cluster=ENGINES),
    Periodic("tidy", "polyhub.housekeeping.tidy", minutes=60),
)


@transaction.atomic
def sync(*, now: datetime) -> None:
    """Create, correct and remove rows until the table says what PERIODIC says. Next runs already planned are kept.

    What was missed while nothing ran is due now: nobody was late with it.
    """
    wanted = {f"{PREFIX}{task.name}": task for task in PERIODIC}
    Schedule.objects.filter(name__startswith=PREFIX).exclude(name__in=wanted).delete()
    for name, task in wanted.items():
        # django-q2 reads "no cluster" as its default one.
        Schedule.objects.update_or_create(
            name=name,
            defaults={
                "func": task.function,
                "schedule_type": Schedule.MINUTES,
                "minutes": task.minutes,
                "repeats": -1,
                "cluster": None if task.cluster == JOBS else task.cluster,
            },
        )
    Schedule.objects.filter(name__in=wanted, next_run__lt=now).update(next_run=now)


def start_services() -> None:
    """Have the services looked after as soon as the engines are up, without waiting for the guard's schedule."""
    async_task(BEGIN, cluster=ENGINES)
