from datetime import UTC, datetime, timedelta
from importlib import import_module

import pytest
from django_q.models import OrmQ, Schedule

from polyhub import schedules, tasks

# Before any next run django-q2 plans by its own clock.
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("task", schedules.PERIODIC, ids=lambda task: task.name)
def test_every_declared_function_exists(task: schedules.Periodic) -> None:
    module, _, name = task.function.rpartition(".")
    assert callable(getattr(import_module(module), name))


@pytest.mark.django_db
def test_the_table_becomes_what_is_declared() -> None:
    schedules.sync(now=NOW)
    rows = {row.name: (row.func, row.minutes, row.cluster) for row in Schedule.objects.all()}
    assert rows == {
        f"polyhub:{task.name}": (task.function, task.minutes, None if task.cluster == "jobs" else task.cluster)
        for task in schedules.PERIODIC
    }


@pytest.mark.django_db
def test_a_second_start_changes_nothing_and_keeps_the_next_run() -> None:
    schedules.sync(now=NOW)
    before = list(Schedule.objects.order_by("id").values())
    schedules.sync(now=NOW)
    assert list(Schedule.objects.order_by("id").values()) == before


@pytest.mark.django_db
def test_what_was_missed_while_nothing_ran_is_due_at_the_start() -> None:
    schedules.sync(now=NOW)
    Schedule.objects.update(next_run=NOW - timedelta(days=1))
    schedules.sync(now=NOW)
    assert set(Schedule.objects.values_list("next_run", flat=True)) == {NOW}


@pytest.mark.django_db
def test_rows_no_longer_declared_go_and_those_of_others_stay() -> None:
    Schedule.objects.create(name="polyhub:old", func="polyhub.gone")
    Schedule.objects.create(name="somebody else's", func="their.task")
    schedules.sync(now=NOW)
    names = set(Schedule.objects.values_list("name", flat=True))
    assert "polyhub:old" not in names
    assert "somebody else's" in names


@pytest.mark.django_db
def test_an_edited_row_is_put_right() -> None:
    schedules.sync(now=NOW)
    Schedule.objects.filter(name="polyhub:tidy").update(func="os.system", minutes=1, cluster="engines")
    schedules.sync(now=NOW)
    row = Schedule.objects.get(name="polyhub:tidy")
    assert (row.func, row.minutes, row.cluster) == ("polyhub.housekeeping.tidy", 60, None)


@pytest.mark.django_db
def test_the_services_are_started_on_the_engines_cluster() -> None:
    schedules.start_services()
    (queued,) = OrmQ.objects.all()
    assert (queued.key, queued.task["func"]) == ("engines", schedules.BEGIN)
    assert callable(tasks.begin_services)
