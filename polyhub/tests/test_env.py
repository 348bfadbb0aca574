"""A setting that is not as it must be is named, with what it must be, and nothing starts."""

import os
import subprocess
import sys

import pytest
from django.core.exceptions import ImproperlyConfigured

from polyhub import env, settings


@pytest.mark.parametrize(
    ("raw", "said"),
    [("many", "a whole number, not 'many'"), ("0", "from 3 to 120, not 0"), ("-1", "from 3"), ("121", "to 120")],
)
def test_a_number_out_of_bounds_is_named(monkeypatch: pytest.MonkeyPatch, raw: str, said: str) -> None:
    monkeypatch.setenv("SOME_NUMBER", raw)
    with pytest.raises(ImproperlyConfigured, match=f"SOME_NUMBER must be .*{said}"):
        env.number("SOME_NUMBER", 8, least=3, most=120)


@pytest.mark.parametrize("raw", ["nonsense", "127.0.0.1:8788", "http://127.0.0.1", "http://h:99999", "http://h:1/path"])
def test_an_address_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch, raw: str) -> None:
    monkeypatch.setenv("SOME_URL", raw)
    with pytest.raises(ImproperlyConfigured, match=r"SOME_URL must look like http://127\.0\.0\.1:8788"):
        env.address("SOME_URL", "http://127.0.0.1:8788")


def test_an_address_is_taken_without_its_last_slash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_URL", "http://127.0.0.1:8799/")
    assert env.address("SOME_URL", "http://127.0.0.1:8788") == "http://127.0.0.1:8799"


@pytest.mark.parametrize(
    ("name", "value"),
    [("ENGINE_SHARDS", "none"), ("DATABASE_URL", "mysql://here/hub"), ("SANDBOX_URL", "here"), ("LIVE_TRADING", "so")],
)
def test_hub_names_a_wrong_setting_without_a_traceback(name: str, value: str) -> None:
    refused = subprocess.run(
        [sys.executable, "manage.py", "up"],
        cwd=settings.BASE_DIR,
        env={**os.environ, "SECRET_KEY": "k" * 60, "FIELD_SECRET": "f" * 60, name: value},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert refused.returncode != 0
    assert f"A setting is not as it must be. {name} must" in refused.stderr
    assert "Traceback" not in refused.stderr
