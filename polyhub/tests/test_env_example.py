"""`.env.example` and the code that reads the environment name the same things."""

import re
from pathlib import Path

from polyhub import settings

CALL = re.compile(r"""env\.(?:text|flag|number|secret|address)\(\s*["']([A-Z0-9_]+)["']""")
LINE = re.compile(r"^([A-Z0-9_]+)=", re.MULTILINE)
APPS = ("accounts", "copytrade", "markets", "polyhub", "riskmgmt", "scanner", "trading")


def names_read() -> set[str]:
    files = (path for app in APPS for path in (settings.BASE_DIR / app).rglob("*.py") if "tests" not in path.parts)
    return {name for path in files for name in CALL.findall(path.read_text())}


def names_listed() -> list[str]:
    return LINE.findall((Path(settings.BASE_DIR) / ".env.example").read_text())


def test_every_name_the_settings_read_is_listed_and_no_other() -> None:
    assert set(names_listed()) == names_read()


def test_no_name_is_listed_twice() -> None:
    assert len(names_listed()) == len(set(names_listed()))
