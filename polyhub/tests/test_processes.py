import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from honcho.environ import parse_procfile

from polyhub import processes
from polyhub.management.commands import up
from polyhub.tests.eventually import eventually


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def test_the_sandbox_runs_only_when_it_is_the_venue() -> None:
    local = processes.programs(host="127.0.0.1", port=8000, sandbox_url="http://127.0.0.1:8788")
    real = processes.programs(host="127.0.0.1", port=8000, sandbox_url=None)
    assert [program.name for program in local] == ["web", "jobs", "engines", "signer", "sandbox"]
    assert [program.name for program in real] == ["web", "jobs", "engines", "signer"]
    assert "8788" in local[-1].command


def test_the_engines_cluster_is_named_before_its_settings_are_read() -> None:
    engines = processes.programs(host="127.0.0.1", port=8000, sandbox_url=None)[2]
    assert processes.shell_line(engines).startswith("exec env Q_CLUSTER_NAME=engines ")


def test_the_procfile_is_one_honcho_reads() -> None:
    found = processes.programs(host="127.0.0.1", port=8000, sandbox_url=None)
    parsed = parse_procfile(processes.procfile(found)).processes
    assert list(parsed) == [program.name for program in found]


def test_why_nobody_can_listen_is_told_in_words() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        assert processes.why_not("127.0.0.1", port) == f"Port {port} is taken by another program"
    assert processes.why_not("127.0.0.1", port) == ""
    assert processes.why_not("::1", port) == ""
    # An address for documentation, of no machine.
    assert processes.why_not("192.0.2.1", port) == "192.0.2.1 is not an address of this machine"


def test_only_one_may_run_and_the_second_is_told_where_the_first_is(tmp_path: Path) -> None:
    first, second = processes.Running(tmp_path), processes.Running(tmp_path)
    assert not second.is_claimed()
    with first.claim(address="http://127.0.0.1:8000"):
        assert second.is_claimed()
        with pytest.raises(processes.AlreadyRunning, match=f"{os.getpid()}.*8000"), second.claim(address="x"):
            pass
        assert first.read()["pid"] == os.getpid(), "the second must not have touched the record"
    assert not second.is_claimed()


def test_a_process_is_known_by_its_start_time_not_by_its_number_alone(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    running = processes.Running(tmp_path)
    with running.claim(address="x"):
        running.record("web", sleeper.pid)
        assert running.alive() == {"web": sleeper.pid}
        state = running.read()
        state["processes"]["web"]["started"] -= 100
        (tmp_path / "run" / "up.json").write_text(json.dumps(state))
        assert running.alive() == {}


def test_what_a_killed_run_left_behind_is_ended_by_the_next(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    killed = processes.Running(tmp_path)
    with killed.claim(address="x"):
        killed.record("web", sleeper.pid)
        left = killed.read()
    (tmp_path / "run" / "up.json").write_text(json.dumps(left))
    with processes.Running(tmp_path).claim(address="x"):
        eventually(lambda: psutil.Process(sleeper.pid).status() == psutil.STATUS_ZOMBIE)


def test_a_product_open_to_the_network_answers_to_this_machines_addresses() -> None:
    def known(host: str) -> set[str]:
        return set(up.child_env(host, demo=False)["ALLOWED_HOSTS"].split(","))

    assert "127.0.0.1" in processes.own_addresses()
    assert known("0.0.0.0") >= {*processes.own_addresses(), socket.gethostname()}
    assert not known("127.0.0.1") & ({*processes.own_addresses(), socket.gethostname()} - {"127.0.0.1", "[::1]"})
    assert "[fd00::7]" in known("fd00::7")
