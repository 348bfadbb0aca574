"""Recorded payloads of the venue, where somebody has them: the folder RECORDED_DATA, `../shared/data` by default.

They are public answers of the venue and third-party test data (LGPL), and are not part of this repository.
"""

import gzip
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars
import pytest
from django.conf import settings

FOLDER = Path(os.environ.get("RECORDED_DATA", settings.BASE_DIR.parent / "shared" / "data"))
needed = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no recorded payloads in {FOLDER}")

_STATUS = re.compile(r"(?:HTTP |status_code=)(\d{3})")
_TEXT = re.compile(r"'error': ['\"](.*?)['\"]\}")


def fixtures(*names: str) -> Iterator[tuple[str, bytes]]:
    """Single messages whose file names begin so."""
    found = sorted(
        path
        for path in (FOLDER / "g_nautilus_fixtures").rglob("*.json")
        if any(path.name.startswith(name) for name in names)
    )
    for path in found:
        yield path.name, path.read_bytes()


def content(name: str) -> bytes:
    """A recorded file, unpacked."""
    path = FOLDER / name
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def lines(name: str) -> list[Any]:
    return [json.loads(line) for line in content(name).splitlines() if line.strip()]


def rejections() -> set[tuple[int, str]]:
    """(status, text) of every refusal whose words are the venue's own."""
    frame = polars.read_parquet(FOLDER / "f_orders" / "live_orders_with_rejections.parquet")
    found: set[tuple[int, str]] = set()
    for reason in set(frame["rejection_reason"].drop_nulls().to_list()):
        status, text = _STATUS.search(reason), _TEXT.search(reason)
        if status and text:
            found.add((int(status[1]), text[1]))
    return found
