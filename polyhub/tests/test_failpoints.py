"""Failpoints do nothing until armed, and then exactly what they were told."""

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from polyhub.lib import failpoints


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    failpoints.arm("")


def test_nothing_happens_unless_armed() -> None:
    for step in failpoints.STEPS:
        failpoints.fp(step)
    assert not failpoints.armed()


def test_an_armed_point_raises_and_the_others_do_not() -> None:
    failpoints.arm("F5:raise")
    failpoints.fp("F4")
    with pytest.raises(failpoints.FailpointHit):
        failpoints.fp("F5")


def test_chance_follows_the_seed() -> None:
    def hits(seed: int) -> list[bool]:
        failpoints.arm("F6:raise@0.5", seed=seed)
        found = []
        for _ in range(40):
            try:
                failpoints.fp("F6")
                found.append(False)
            except failpoints.FailpointHit:
                found.append(True)
        return found

    assert hits(1) == hits(1)
    assert hits(1) != hits(2)
    assert any(hits(1))
    assert not all(hits(1))


@pytest.mark.parametrize("text", ["F12:kill", "F5", "F5:explode", "F5:kill@often"])
def test_a_misspelt_point_is_refused(text: str) -> None:
    with pytest.raises(failpoints.BadFailpoints):
        failpoints.arm(text)


def test_kill_ends_the_process_as_kill_9_does() -> None:
    code = "from polyhub.lib.failpoints import fp; fp('F5'); print('still here')"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"FAILPOINTS": "F5:kill"}, capture_output=True, timeout=20, check=False
    )
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, b"")
