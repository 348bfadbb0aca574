"""The sandbox as a process, and who may command it."""

import json
import signal
import subprocess
import sys
import urllib.request
from typing import Any
from unittest.mock import Mock

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from django.conf import settings
from django.core.management import CommandError, call_command

from markets.venue.sandbox.control import loopback_only
from markets.venue.sandbox.testing import running_sandbox


def test_the_command_serves_a_tape_and_stops_at_once_when_told() -> None:
    command = [sys.executable, "manage.py", "run_sandbox", "--port", "0", "--tape", "demo"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=settings.BASE_DIR)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("Local Polymarket ready on http://127.0.0.1:")
        assert "tape demo" in line
        url = line.split(" on ")[1].split(",")[0]
        with urllib.request.urlopen(f"{url}/gamma/markets/keyset?limit=1", timeout=5) as answer:
            assert len(json.load(answer)["markets"]) == 1
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=5) == 0
    finally:
        process.kill()
        process.communicate()


def test_a_taken_port_is_named() -> None:
    with running_sandbox() as running, pytest.raises(CommandError, match=str(running.port)):
        call_command("run_sandbox", port=running.port)


@pytest.mark.parametrize(("option", "value", "words"), [("tape", "nowhere", "No tape"), ("speed", -1.0, "--speed")])
def test_absurd_options_are_explained(option: str, value: object, words: str) -> None:
    with pytest.raises(CommandError, match=words):
        call_command("run_sandbox", port=0, **{option: value})


async def answered(request: web.Request) -> web.StreamResponse:
    return web.Response(status=200)


@pytest.mark.parametrize(
    ("path", "remote", "status"),
    [
        ("/_sandbox/state", "127.0.0.1", 200),
        ("/_sandbox/state", "::1", 200),
        ("/_sandbox/state", "192.168.1.7", 403),
        ("/_sandbox/wallets", "", 403),
        ("/clob/ok", "192.168.1.7", 200),
    ],
)
async def test_only_this_machine_reaches_the_controls(path: str, remote: str, status: int) -> None:
    # A connection from another machine cannot be made here, so the transport alone is made up.
    transport: Any = Mock()
    transport.get_extra_info.side_effect = lambda name, default=None: (remote, 1) if name == "peername" else default
    answer = await loopback_only(make_mocked_request("GET", path, transport=transport), answered)
    assert answer.status == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "127.0.0.1:8788"}, 200),
        ({"Host": "localhost:8788"}, 200),
        ({"Host": "[::1]:8788"}, 200),
        ({"Host": "rebound.example:8788"}, 403),
        ({"Host": "127.0.0.1:8788", "Origin": "http://evil.example"}, 403),
        ({"Host": "127.0.0.1:8788", "X-Forwarded-For": "203.0.113.9"}, 403),
        ({"Host": "127.0.0.1:8788", "Forwarded": "for=203.0.113.9"}, 403),
    ],
)
async def test_no_page_and_no_proxy_of_this_machine_reaches_them_for_others(
    headers: dict[str, str], status: int
) -> None:
    transport: Any = Mock()
    transport.get_extra_info.side_effect = lambda name, default=None: (
        ("127.0.0.1", 1) if name == "peername" else default
    )
    request = make_mocked_request("POST", "/_sandbox/faults", headers=headers, transport=transport)
    assert (await loopback_only(request, answered)).status == status
