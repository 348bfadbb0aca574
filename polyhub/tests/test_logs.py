import logging
import secrets

from polyhub import logs


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
