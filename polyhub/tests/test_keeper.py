"""A database that dies beside the running product comes back, and stays away once it is meant to."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from polyhub import keeper, postgres
from polyhub.tests.eventually import eventually
from polyhub.tests.test_postgres import folder_anyone_may_enter, server_pid


@pytest.fixture
def folder() -> Iterator[Path]:
    with folder_anyone_may_enter("kept") as made:
        yield made


def test_a_server_that_died_is_started_again_with_its_data(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "LOOK_EVERY_S", 0.05)
    with psycopg.connect(postgres.ensure_running(folder), autocommit=True) as before:
        before.execute("CREATE TABLE kept (n int)")
        before.execute("INSERT INTO kept VALUES (7)")
    said: list[str] = []
    with keeper.kept(folder, say=said.append):
        os.kill(server_pid(folder), signal.SIGQUIT)
        eventually(lambda: said and "runs again" in said[-1], timeout_s=30)
        with psycopg.connect(postgres.dsn(folder)) as after:
            assert after.execute("SELECT n FROM kept").fetchone() == (7,)
    postgres.stop(folder)
    assert postgres.is_gone(folder)
    assert len(said) == 2
