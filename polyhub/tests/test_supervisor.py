import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from polyhub import processes
from polyhub.tests.eventually import eventually

# Runs the programs named by its arguments under a supervisor and notes each start in starts.txt.
SUPERVISE = """
import sys
from pathlib import Path
from polyhub import processes, supervisor

supervisor.DRAIN_S, supervisor.KILL_S, supervisor.RESTART_AFTER_S = 1.0, 1.0, 0.05
folder = Path(sys.argv[1])

def note(name, pid):
    with (folder / "starts.txt").open("a") as file:
        file.write(f"{name} {pid}\\n")

programs = [
    processes.Program(name, (sys.executable, "-u", "-c", code)) for name, code in zip(sys.argv[2::2], sys.argv[3::2])
]
watch = supervisor.Supervisor(
    programs, env={"PATH": "/usr/bin:/bin"}, cwd=str(folder), output=sys.stdout, on_start=note
)
watch.on_restart("venue", lambda: watch.without("engines", lambda: note("work", 0)))
watch.run()
sys.exit(f"gave up on {watch.failed}" if watch.failed else 0)
"""

WAITS = "import time; print('here'); time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf'); time.sleep(600)"
# A main process that leaves a child behind when it is told to end.
PARENT = (
    "import subprocess, sys, time;"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
    "open('child.txt', 'w').write(str(child.pid)); time.sleep(600)"
)

# As a cluster does: the main process waits for its task, which knows of the signal only when told itself.
CLUSTER = (
    "import multiprocessing, signal, sys, threading;"
    "context = multiprocessing.get_context('fork');"
    "stop = lambda *_: (open('drained.txt', 'w').close(), sys.exit(0));"
    "task = context.Process(target=lambda: (signal.signal(15, stop), open('busy.txt', 'w').close(), signal.pause()));"
    "idle = context.Process(target=lambda: (signal.signal(15, signal.SIG_DFL), signal.pause()), daemon=True);"
    "task.start(); idle.start();"
    "signal.signal(15, lambda *_: (task.join(), open('idle.txt', 'w').write(str(idle.is_alive())), sys.exit(0)));"
    "threading.Event().wait()"
)

Run = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    started: list[subprocess.Popen[str]] = []

    def start(**programs: str) -> "subprocess.Popen[str]":
        arguments = [part for pair in programs.items() for part in pair]
        command = [sys.executable, "-c", SUPERVISE, str(tmp_path), *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=Path.cwd())
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    for _, pid in starts(tmp_path):
        if pid:
            processes.end_session(pid)


def starts(folder: Path) -> list[tuple[str, int]]:
    noted = folder / "starts.txt"
    rows = [line.split() for line in noted.read_text().splitlines()] if noted.exists() else []
    return [(name, int(pid)) for name, pid in rows]


def test_a_program_that_ends_is_started_again(run: Run, tmp_path: Path) -> None:
    run(web=WAITS)
    eventually(lambda: len(starts(tmp_path)) == 1)
    os.kill(starts(tmp_path)[0][1], signal.SIGKILL)
    eventually(lambda: len(starts(tmp_path)) == 2)
    assert psutil.pid_exists(starts(tmp_path)[1][1])


def test_after_a_restart_work_is_done_while_another_program_is_stopped(run: Run, tmp_path: Path) -> None:
    run(venue=WAITS, engines=WAITS)
    eventually(lambda: len(starts(tmp_path)) == 2)
    first = dict(starts(tmp_path))
    os.kill(first["venue"], signal.SIGKILL)
    eventually(lambda: len(starts(tmp_path)) == 5)
    assert [name for name, _ in starts(tmp_path)[2:]] == ["venue", "work", "engines"]
    assert not _runs(first["engines"])


def test_a_program_that_keeps_failing_ends_everything_and_is_named(run: Run, tmp_path: Path) -> None:
    watch = run(web=WAITS, jobs="raise SystemExit('no such table')")
    output, _ = watch.communicate(timeout=20)
    assert watch.returncode == 1
    assert "no such table" in output
    assert "gave up on jobs" in output
    assert not any(psutil.pid_exists(pid) for name, pid in starts(tmp_path) if name == "web")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_stops_every_program_even_a_deaf_one(run: Run, tmp_path: Path, number: signal.Signals) -> None:
    watch = run(web=WAITS, engines=STUBBORN, signer=WAITS)
    eventually(lambda: len(starts(tmp_path)) == 3)
    watch.send_signal(number)
    watch.communicate(timeout=10)
    assert watch.returncode == 0
    assert not any(psutil.pid_exists(pid) for _, pid in starts(tmp_path))


def test_children_of_a_program_do_not_outlive_it(run: Run, tmp_path: Path) -> None:
    run(engines=PARENT)
    eventually(lambda: (tmp_path / "child.txt").exists() and (tmp_path / "child.txt").read_text())
    child = int((tmp_path / "child.txt").read_text())
    os.kill(starts(tmp_path)[0][1], signal.SIGKILL)
    eventually(lambda: not _runs(child))


def test_a_running_task_is_told_to_drain_and_an_idle_worker_is_left_alone(run: Run, tmp_path: Path) -> None:
    watch = run(engines=CLUSTER)
    eventually((tmp_path / "busy.txt").exists)
    watch.send_signal(signal.SIGTERM)
    watch.communicate(timeout=10)
    assert (tmp_path / "drained.txt").exists()
    assert (tmp_path / "idle.txt").read_text() == "True"


def test_lines_carry_the_name_of_their_program(run: Run, tmp_path: Path) -> None:
    watch = run(web=WAITS, jobs=WAITS)
    assert watch.stdout is not None
    seen = {line.split("|")[0].split()[1] for line in (watch.stdout.readline(), watch.stdout.readline())}
    assert seen == {"web", "jobs"}


def _runs(pid: int) -> bool:
    return processes.is_alive(pid)


def test_nothing_of_a_killed_supervisor_keeps_its_files_open(run: Run, tmp_path: Path) -> None:
    watch = run(web=WAITS)
    eventually(lambda: starts(tmp_path))
    readers = [process.pid for process in psutil.Process(watch.pid).children()]
    assert readers
    watch.kill()
    eventually(lambda: not any(processes.is_alive(pid) for pid in readers))
