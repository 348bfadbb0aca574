"""`hub manage screenshots`: the pictures of the README, taken of the demo as it runs."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from playwright.sync_api import Browser, Error, Page

from markets.venue.sandbox import tape
from polyhub import browser, demo

FOLDER = settings.BASE_DIR / "docs" / "screenshots"
DESK = (1280, 860)
PHONE = (390, 844)
BIGGEST_KB = 250
# What one page may take, and how long charts and pushes need to settle before the picture.
STEP_MS = 20_000
SETTLE_MS = 2_500


class Command(BaseCommand):
    help = "Take the README's pictures of a running demo (start it first, and let it copy for a few minutes)."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--url", default="http://127.0.0.1:8000", help="where PolyHub runs")
        parser.add_argument("--folder", type=Path, default=FOLDER, help="where the pictures go (docs/screenshots)")

    def handle(self, *args: Any, url: str, folder: Path, **options: Any) -> None:
        executable = browser.chromium()
        if executable is None:
            raise CommandError("Chromium is missing. Debian: apt-get install chromium")
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with browser.opened(executable) as opened:
                _take(opened, url.rstrip("/"), folder)
        except Error as error:
            raise CommandError(
                f"No picture could be taken at {url}: {error.message.splitlines()[0]}\n"
                "Is the demo running there? Start it with ./hub up."
            ) from error
        for picture in sorted(folder.glob("*.png")):
            kilobytes = picture.stat().st_size / 1024
            self.stdout.write(f"{picture.name:<20} {kilobytes:6.0f} kB")
            if kilobytes > BIGGEST_KB:
                raise CommandError(f"{picture.name} is above {BIGGEST_KB} kB.")


def _take(opened: Browser, url: str, folder: Path) -> None:
    page = _window(opened, url, DESK)
    leader = tape.header(demo.TAPE).featured[0]
    for name, path in (
        ("cockpit", "/cockpit/"),
        ("leaders", "/leaders/"),
        ("wallet", f"/leaders/{leader}/"),
        ("desk", "/copy/"),
        ("activity", "/activity/"),
    ):
        page.goto(url + path)
        _picture(page, folder / f"{name}.png")
    page.goto(f"{url}/orders/?status=FILLED")
    page.locator("main a[href^='/orders/']").first.click()
    _picture(page, folder / "order.png")
    _picture(_window(opened, url, PHONE), folder / "phone-cockpit.png")
    _picture(_window(opened, url, DESK, dark=True), folder / "dark-cockpit.png")


def _window(opened: Browser, url: str, size: tuple[int, int], *, dark: bool = False) -> Page:
    """A window of alice's, at the cockpit."""
    width, height = size
    context = opened.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light", reduced_motion="reduce"
    )
    context.set_default_timeout(STEP_MS)
    page = context.new_page()
    alice = demo.CAST[0]
    browser.sign_in(page, url, alice.email, alice.password)
    return page


def _picture(page: Page, path: Path) -> None:
    page.reload()  # without the notes of the step before
    page.wait_for_timeout(SETTLE_MS)
    page.screenshot(path=path)
