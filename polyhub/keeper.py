"""Keeps the embedded PostgreSQL running beside `hub up`: nobody else would start a server that died."""

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from polyhub import postgres

LOOK_EVERY_S = 1.0
# After a failed start, so that the reason is not told each second.
AFTER_FAILURE_S = 10.0


@contextmanager
def kept(var_dir: Path, *, say: Callable[[str], None]) -> Iterator[None]:
    """Until the block ends, start the server whenever it is gone. Everything else waits for it by itself."""
    leaving = threading.Event()
    thread = threading.Thread(target=_keep, args=(var_dir, say, leaving), name="keep-database", daemon=True)
    thread.start()
    try:
        yield
    finally:
        leaving.set()
        thread.join()


def _keep(var_dir: Path, say: Callable[[str], None], leaving: threading.Event) -> None:
    pause_s = LOOK_EVERY_S
    while not leaving.wait(pause_s):
        pause_s = LOOK_EVERY_S
        if not postgres.is_gone(var_dir):
            continue
        say("The database has ended; starting it again. Nothing is lost: what is under way waits for it.")
        try:
            postgres.ensure_running(var_dir)
            say("The database runs again.")
        except (postgres.PostgresFailed, OSError, psycopg.Error, subprocess.SubprocessError) as error:
            pause_s = AFTER_FAILURE_S
            say(f"The database did not start; next try in {pause_s:.0f} s. {error}")
