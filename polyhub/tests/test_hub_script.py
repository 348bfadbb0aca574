"""The `hub` script in a folder of its own, with an environment that notes what it was asked to do."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from polyhub import settings

# Stands for .venv/bin/python: notes its arguments and the names the tests ask about.
PYTHON = """#!/bin/sh
[ "$1" != -c ] || exit 0
{ printf '%s|' "$@"; printf 'MODE=%s VENUE=%s\\n' "${LOG_MODE:-}" "${POLYHUB_VENUE:-}"; } >>"$NOTES"
"""
NPM = """#!/bin/sh
echo "npm|$1|" >>"$NOTES"
mkdir -p node_modules
"""


class Checkout:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notes = folder.parent / "notes.txt"
        (folder / ".venv" / "bin").mkdir(parents=True)
        for name in ("hub", "requirements.txt", "requirements-dev.txt", "package.json", "package-lock.json"):
            shutil.copy(settings.BASE_DIR / name, folder / name)
        tools = folder.parent / "tools"
        tools.mkdir()
        for path, text in ((folder / ".venv" / "bin" / "python", PYTHON), (tools / "npm", NPM)):
            path.write_text(text)
            path.chmod(0o755)
        self.env = {"PATH": f"{tools}:/usr/bin:/bin", "NOTES": str(self.notes), "CI": "true"}

    def hub(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [str(self.folder / "hub"), *arguments],
            cwd="/", env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip

    def asked(self) -> list[str]:
        lines = self.notes.read_text().splitlines() if self.notes.exists() else []
        self.notes.unlink(missing_ok=True)
        return [line.split("MODE=")[0].rstrip("|") for line in lines]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "a path with spaces")


def test_the_first_run_installs_and_the_second_does_not(checkout: Checkout) -> None:
    assert checkout.hub("manage", "version").returncode == 0
    first = checkout.asked()
    assert any("pip|install" in line and "requirements.txt" in line for line in first)
    assert not any("requirements-dev.txt" in line for line in first)
    assert "npm|ci" in first
    checkout.hub("manage", "version")
    assert checkout.asked() == ["manage.py|version"]


def test_tests_and_checks_install_the_development_packages_too(checkout: Checkout) -> None:
    checkout.hub("test", "-k", "two words")
    asked = checkout.asked()
    assert any("requirements-dev.txt" in line for line in asked)
    assert asked[-1] == "-m|pytest|-k|two words"
    checkout.hub("check")
    assert checkout.asked() == ["manage.py|quality"]


@pytest.mark.parametrize(("name", "sign"), [("requirements.txt", "pip|install"), ("package-lock.json", "npm|ci")])
def test_a_changed_list_is_installed_again(checkout: Checkout, name: str, sign: str) -> None:
    checkout.hub("manage", "version")
    checkout.asked()
    with (checkout.folder / name).open("a") as file:
        file.write("\n")
    checkout.hub("manage", "version")
    assert any(sign in line for line in checkout.asked())


def test_a_failed_installation_is_tried_again_next_time(checkout: Checkout) -> None:
    (checkout.folder / ".venv" / "bin" / "python").write_text(PYTHON + '[ "$2" != pip ] || exit 1\n')
    failed = checkout.hub("manage", "version")
    assert failed.returncode == 1
    assert "installing requirements.txt failed" in failed.stderr
    (checkout.folder / ".venv" / "bin" / "python").write_text(PYTHON)
    checkout.asked()
    checkout.hub("manage", "version")
    assert any("pip|install" in line for line in checkout.asked())


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        (["up", "--port", "9000"], "manage.py|up|--port|9000"),
        (["status"], "manage.py|status"),
        (["demo", "reset"], "manage.py|demo|reset"),
        (["manage", "shell", "-c", "a b"], "manage.py|shell|-c|a b"),
        (["token", "create", "--user", "a@b.c"], "manage.py|create_token|--user|a@b.c"),
    ],
)
def test_a_command_and_its_arguments_arrive_unchanged(checkout: Checkout, arguments: list[str], asked: str) -> None:
    assert checkout.hub(*arguments).returncode == 0
    assert checkout.asked()[-1] == asked


def test_env_file_sets_names_literally_and_the_environment_wins(checkout: Checkout) -> None:
    (checkout.folder / ".env").write_text("# note\nLOG_MODE=a $HOME `b` <c>\nPOLYHUB_VENUE=polymarket\nbad name=1")
    checkout.env["POLYHUB_VENUE"] = "sandbox"
    checkout.hub("manage", "version")
    assert checkout.notes.read_text().splitlines()[-1].endswith("MODE=a $HOME `b` <c> VENUE=sandbox")


@pytest.mark.parametrize("command", ["test", "check"])
def test_tests_and_checks_do_not_read_the_env_file(checkout: Checkout, command: str) -> None:
    (checkout.folder / ".env").write_text("POLYHUB_VENUE=polymarket\n")
    checkout.hub(command)
    assert checkout.notes.read_text().splitlines()[-1].endswith("VENUE=")


def test_without_python_311_it_says_what_to_install(checkout: Checkout, tmp_path: Path) -> None:
    shutil.rmtree(checkout.folder / ".venv")
    only = tmp_path / "only"
    only.mkdir()
    for tool in ("sh", "cat", "cksum", "dirname", "readlink", "mkdir", "rm", "flock"):
        found = shutil.which(tool)
        if found:
            (only / tool).symlink_to(found)
    checkout.env["PATH"] = str(only)
    refused = checkout.hub("up")
    assert refused.returncode == 1
    assert "Python 3.11 was not found" in refused.stderr


# Installs nothing and starts nothing of ours, but is a real Python beside that.
REAL_PYTHON = f"""#!/bin/sh
case "$2" in pip|version) exit 0;; esac
[ "$1" != manage.py ] || exit 0
exec {shlex.quote(sys.executable)} "$@"
"""


def test_without_npm_the_one_of_the_wheel_installs(checkout: Checkout, tmp_path: Path) -> None:
    (checkout.folder / ".venv" / "bin" / "python").write_text(REAL_PYTHON)
    nothing = {"name": "nothing", "version": "1.0.0"}
    lock = {**nothing, "lockfileVersion": 3, "requires": True, "packages": {"": nothing}}
    (checkout.folder / "package.json").write_text(json.dumps(nothing))
    (checkout.folder / "package-lock.json").write_text(json.dumps(lock))
    only = tmp_path / "only"
    only.mkdir()
    for tool in ("sh", "cat", "cksum", "dirname", "readlink", "mkdir", "rm", "flock", "env"):
        if found := shutil.which(tool):
            (only / tool).symlink_to(found)
    (checkout.folder / "node_modules").mkdir()
    checkout.env["PATH"] = str(only)
    done = checkout.hub("manage", "version")
    assert done.returncode == 0, done.stderr
    assert (checkout.folder / "node_modules" / ".polyhub.stamp").exists()


def test_an_unknown_command_fails_with_the_list(checkout: Checkout) -> None:
    refused = checkout.hub("upp")
    assert refused.returncode == 1
    assert "no command 'upp'" in refused.stderr
    assert "status" in refused.stderr


@pytest.mark.parametrize("arguments", [[], ["help"], ["--help"]])
def test_help_installs_nothing(checkout: Checkout, arguments: list[str]) -> None:
    shown = checkout.hub(*arguments)
    assert shown.returncode == 0
    assert "token create" in shown.stdout
    assert checkout.asked() == []


def test_it_works_through_a_link_from_elsewhere(checkout: Checkout, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(checkout.folder / "hub")
    done = subprocess.run(
        [str(tmp_path / "link"), "manage", "version"], cwd="/", env=checkout.env, check=False, timeout=30
    )
    assert done.returncode == 0
    assert checkout.asked()[-1] == "manage.py|version"


def test_the_lock_file_names_no_registry() -> None:
    assert "registry" not in (settings.BASE_DIR / "package-lock.json").read_text()
    assert os.access(settings.BASE_DIR / "hub", os.X_OK)
