import logging
import secrets
import sys

import psycopg
import redis
from django.db import OperationalError
from django.test import RequestFactory

from polyhub import logs
from polyhub.lib import masking


def render(message: str, *args: object) -> str:
    record = logging.LogRecord("t", logging.INFO, "f", 1, message, args, None)
    logs.MaskSecrets().filter(record)
    return record.getMessage()


def test_what_looks_like_a_key_is_masked_wherever_it_stands() -> None:
    key = "0x" + secrets.token_hex(32)
    password = secrets.token_urlsafe(12)
    assert key not in render("loaded %s", key)
    assert password not in render(f'{{"passphrase": "{password}"}}')
    assert password not in render("password=%s", password)


def test_ordinary_lines_pass_unchanged() -> None:
    assert render("order %s filled at %s", 12, "0.53") == "order 12 filled at 0.53"


def test_libraries_that_print_headers_stay_above_debug() -> None:
    for name in ("hpack", "httpx", "h2", "websockets", "aiohttp"):
        assert logs.LOGGING["loggers"][name]["level"] == "WARNING"


def test_a_key_in_an_exceptions_own_words_is_masked_with_its_traceback() -> None:
    key = secrets.token_hex(32)
    formatter = masking.MaskingFormatter("%(message)s")
    try:
        raise ValueError(f"cannot open {key}")
    except ValueError:
        record = logging.LogRecord("t", logging.ERROR, "f", 1, "Failed", (), sys.exc_info())
    assert "cannot open" in formatter.format(record)
    assert key not in formatter.format(record)


def test_the_formatter_of_every_line_is_the_masking_one() -> None:
    assert logs.LOGGING["formatters"]["line"]["()"] == "polyhub.lib.masking.MaskingFormatter"


def test_a_not_ready_answer_is_no_error_line_and_others_are() -> None:
    record = logging.LogRecord("django.request", logging.ERROR, "f", 1, "Service Unavailable", (), None)
    record.request = RequestFactory().get("/ready")
    assert not logs.NotReadyIsNews().filter(record)
    record.request = RequestFactory().get("/copy/")
    assert logs.NotReadyIsNews().filter(record)


def _failed(error: Exception, cause: Exception | None = None) -> logging.LogRecord:
    try:
        raise error from cause
    except Exception:
        return logging.LogRecord("t", logging.ERROR, "f", 1, "Failed to %s", ("pull",), sys.exc_info())


def test_what_is_away_is_one_line_and_other_failures_keep_their_traceback() -> None:
    filtering = logs.OutageInOneLine()
    ended = psycopg.errors.AdminShutdown("terminating\nconnection")
    for record in (_failed(psycopg.OperationalError("connection refused")), _failed(OperationalError("x"), ended)):
        assert filtering.filter(record)
        assert record.exc_info is None
        assert record.getMessage().startswith("Failed to pull: the database is away (")
        assert "\n" not in record.getMessage()
    record = _failed(redis.ConnectionError("refused"))
    assert filtering.filter(record)
    assert (record.exc_info, record.getMessage()) == (None, "Failed to pull: Redis is away (refused)")
    for error in (ValueError("no"), psycopg.errors.DeadlockDetected("circle"), psycopg.errors.QueryCanceled("slow")):
        record = _failed(error)
        assert filtering.filter(record)
        assert record.exc_info is not None


def test_what_a_loop_repeats_is_printed_rarely_and_nothing_else_is_held_back() -> None:
    now = [100.0]
    rare = logs.RepeatsAreRare(every_s=10, clock=lambda: now[0])

    def passes(text: str) -> bool:
        return rare.filter(logging.LogRecord("t", logging.INFO, "f", 1, text, (), None))

    assert [passes("away") for _ in range(3)] == [True, False, False]
    assert passes("other")
    now[0] += 10
    assert passes("away")
    assert rare.filter(_failed(ValueError("no")))
    assert rare.filter(_failed(ValueError("no")))


def test_both_stand_before_every_line() -> None:
    names = logs.LOGGING["handlers"]["console"]["filters"]
    assert [logs.LOGGING["filters"][name]["()"] for name in names[:2]] == [
        "polyhub.logs.OutageInOneLine",
        "polyhub.logs.RepeatsAreRare",
    ]
