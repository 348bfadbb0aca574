"""The system's Chromium under Playwright, for the browser tests and the pictures of the README."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, sync_playwright

# Quiet and local: a test must not reach another machine, and root has no sandbox to enter.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
)


def chromium() -> str | None:
    """Where Chromium lies, or None."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def opened(executable: str) -> Iterator[Browser]:
    """A headless browser; everything it opened ends with it."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


def sign_in(page: Page, url: str, email: str, password: str) -> None:
    """As a person does it; leaves the page at the cockpit."""
    page.goto(f"{url}/auth/login/")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(password)
    page.locator("main form").filter(has=page.get_by_label("Email")).get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/cockpit/")
