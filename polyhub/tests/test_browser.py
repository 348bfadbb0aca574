"""The product as people meet it: real processes, a replayed recording, a real browser.

The product runs for this file only: Playwright keeps an event loop in the main thread, in which other tests could not
start theirs.
"""

import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from markets.venue.sandbox import tape
from markets.venue.sandbox.events import LeaderTradeEvent
from polyhub import browser, demo
from polyhub.tests.product import Product, chromium

STOPPED_WITHIN_S = 20.0
COPIED_WITHIN_S = 60.0
LIVE_MS = 60_000
STEP_MS = 20_000
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}
ALICE = demo.CAST[0]
STAFF = demo.CAST[2]
PUBLIC = ("/", "/auth/login/", "/auth/signup/", "/auth/password/reset/")
PAGES = (
    "/cockpit/",
    "/leaders/",
    "/copy/",
    "/activity/",
    "/orders/",
    "/positions/",
    "/markets/",
    "/data/",
    "/accounts/",
    "/accounts/create/",
    "/accounts/tokens/",
    "/auth/2fa/",
)
# Pages reached through the first such link of another page.
FOLLOWED = (
    ("/leaders/", "/leaders/0x"),
    ("/markets/", "/markets/0x"),
    ("/leaders/", "/copy/follow/"),
    ("/copy/", "/copy/rules/"),
    ("/orders/", "/orders/"),
)
PASSWORD = "a long and private phrase 7"


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with tempfile.TemporaryDirectory(prefix="polyhub-browser-") as folder:
        # Open to all: as root PostgreSQL's files belong to another user, and would otherwise be kept elsewhere.
        Path(folder).chmod(0o755)
        running = Product(var_dir=Path(folder), log=tmp_path_factory.mktemp("product") / "up.log")
        try:
            running.start()
            yield running
        finally:
            took_s = running.stop()
    assert took_s < STOPPED_WITHIN_S, f"Ctrl-C took {took_s:.1f} s"


@pytest.fixture(scope="module")
def chrome() -> Iterator[Browser]:
    with browser.opened(chromium()) as opened:
        yield opened


@contextmanager
def window(chrome: Browser, *, size: dict[str, int] = DESK, allowed: str = "") -> Iterator[Page]:
    """A page that must end without a script error, a blocked resource, a console error or a server error.

    `allowed` is a pattern of what may be said all the same.
    """
    context = chrome.new_context(viewport={"width": size["width"], "height": size["height"]})
    context.set_default_timeout(STEP_MS)
    page = context.new_page()
    faults: list[str] = []
    page.on("console", lambda said: faults.append(f"{page.url}: {said.text}") if said.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(f"{page.url}: {error}"))
    page.on("response", lambda got: faults.append(f"{got.url}: {got.status}") if got.status >= 500 else None)
    try:
        yield page
    finally:
        context.close()
    unexpected = [fault for fault in faults if not (allowed and re.search(allowed, fault))]
    assert not unexpected, unexpected


def sign_in(page: Page, product: Product, person: demo.Person) -> None:
    browser.sign_in(page, product.url, person.email, person.password)


def copied_orders(page: Page) -> Any:
    """The entries of the activity timeline that became an order."""
    return page.locator("article[data-decision]").filter(has=page.locator("a[href^='/orders/']"))


def mark(page: Page) -> None:
    page.evaluate("window.notReloaded = true")


def assert_not_reloaded(page: Page) -> None:
    assert page.evaluate("window.notReloaded") is True, "the page was reloaded"


def about_to_buy(played: int) -> str:
    """The featured wallet that buys most within the next played half hour (half a minute here) of the recording."""
    events = tape.load(tape.DEMO).events
    featured = set(tape.header(tape.DEMO).featured)
    start = played % len(events)
    until_ms = events[start].at_ms + 30 * 60_000
    buys: dict[str, int] = {}
    for event in events[start:]:
        if event.at_ms > until_ms:
            break
        if isinstance(event, LeaderTradeEvent) and event.wallet in featured and event.side == "BUY":
            usable = "0.1" < str(event.price) < "0.9"
            buys[event.wallet] = buys.get(event.wallet, 0) + usable
    assert buys, "no featured wallet buys in the next half minute of the recording"
    return max(buys, key=lambda wallet: (buys[wallet], wallet))


def test_a_demo_user_sees_copied_orders_arrive_within_a_minute_of_ready(product: Product, chrome: Browser) -> None:
    with window(chrome) as page:
        sign_in(page, product, ALICE)
        mark(page)
        known = page.locator("article[data-decision]").evaluate_all("all => all.map(one => one.dataset.decision)")
        left_s = product.ready_at + COPIED_WITHIN_S - time.monotonic()
        fresh = copied_orders(page)
        for number in known:
            fresh = fresh.and_(page.locator(f"article:not([data-decision='{number}'])"))
        fresh.first.wait_for(timeout=left_s * 1000)
        assert_not_reloaded(page)
        expect(page.locator("[data-live-word]")).to_have_text("Live updates on")
        # The curve begins with the account's second valuation, which may come after the first copy.
        expect(page.locator(".chart canvas").first).to_be_visible(timeout=COPIED_WITHIN_S * 1000)


def test_a_new_person_signs_up_follows_a_leader_sees_a_copy_arrive_and_pauses(
    product: Product, chrome: Browser
) -> None:
    email = "carol@example.com"
    # The recording waits while this person reads, and goes on once the leader is followed.
    leader = about_to_buy(product.tape(pause=True))
    with window(chrome) as page:
        page.goto(product.url)
        page.get_by_role("link", name="Start with paper money").click()
        page.get_by_label("Email").fill(email)
        page.get_by_label("Password", exact=False).first.fill(PASSWORD)
        page.get_by_label("Password (again)").fill(PASSWORD)
        page.locator("main").get_by_role("button", name="Sign up").click()
        page.wait_for_url("**/confirm-email/")

        page.goto(product.link_in_mail_to(email, "/auth/confirm-email/"))
        page.locator("main").get_by_role("button", name="Confirm").click()
        browser.sign_in(page, product.url, email, PASSWORD)

        page.get_by_role("link", name="Open an account").click()
        page.get_by_role("link", name="New paper account").first.click()
        page.get_by_label("Name").fill("First try")
        page.get_by_label("Play money").fill("2000")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("First try").first).to_be_visible()

        page.locator("#menu").get_by_role("link", name="Leaders").click()
        page.get_by_label("Name or address").fill(leader)
        expect(page.locator("#leaders tbody tr")).to_have_count(1)
        follow = page.locator("#leaders").get_by_role("link", name="Follow")
        expect(follow).to_be_in_viewport(ratio=1)
        follow.click()
        page.get_by_label("Dollars per copied trade").fill("7")
        page.get_by_label("Slippage").fill("8")
        page.get_by_role("button", name="Follow with paper money").click()
        page.wait_for_url("**/copy/")

        page.locator("#menu").get_by_role("link", name="Activity").click()
        expect(page.get_by_text("Nothing yet")).to_be_visible()
        expect(page.locator("[data-live-word]")).to_have_text("Live updates on")
        mark(page)
        product.tape(pause=False)
        arrived = copied_orders(page).filter(has_text="Filled").filter(has_text="First try")
        arrived.first.wait_for(timeout=LIVE_MS)
        assert_not_reloaded(page)

        page.locator("#menu").get_by_role("link", name="Copy desk").click()
        card = page.locator("article[data-rule]")
        expect(card.get_by_text("Copying", exact=True)).to_be_visible()
        card.get_by_role("button", name="Pause").click()
        expect(page.get_by_text("Paused: no new entries, exits go on.")).to_be_visible()
        expect(card.get_by_text("Paused", exact=True)).to_be_visible()
        expect(card.get_by_role("button", name="Resume")).to_be_visible()


def test_a_wrong_number_is_named_and_what_was_typed_stays(product: Product, chrome: Browser) -> None:
    # Chromium reports the refused form itself in the console.
    with window(chrome, allowed="status of 422") as page:
        sign_in(page, product, ALICE)
        page.goto(f"{product.url}/copy/follow/0x{'ab' * 20}/")
        page.get_by_text("A share of the leader's size").click()
        page.get_by_label("Percent of the leader's shares").fill("-5")
        page.get_by_label("Most in one position").fill("33")
        page.get_by_role("button", name="Follow with paper money").click()
        message = page.locator("#follow .invalid-feedback")
        expect(message).to_have_count(1)
        expect(message).to_be_visible()
        expect(message).to_contain_text(re.compile("more than 0|above 0|between 0|positive|greater than 0", re.I))
        expect(page.get_by_label("Percent of the leader's shares")).to_have_value("-5")
        expect(page.get_by_label("Most in one position")).to_have_value("33")


def test_the_keyboard_reaches_the_navigation_and_can_skip_it(product: Product, chrome: Browser) -> None:
    with window(chrome) as page:
        sign_in(page, product, ALICE)
        page.goto(f"{product.url}/activity/")
        page.keyboard.press("Tab")
        expect(page.locator(":focus")).to_have_text("Skip to the content")
        expect(page.locator(":focus")).to_be_in_viewport()
        leaders = page.locator("#menu").get_by_role("link", name="Leaders")
        for _ in range(8):
            if leaders.evaluate("link => link === document.activeElement"):
                break
            page.keyboard.press("Tab")
        expect(leaders).to_be_focused()
        page.keyboard.press("Enter")
        page.wait_for_url("**/leaders/")


def test_no_page_is_wider_than_a_phone(product: Product, chrome: Browser) -> None:
    with window(chrome, size=PHONE) as page:
        assert [path for path in walk(page, product, ALICE) if wider(page)] == []


def test_no_page_breaks_its_own_content_policy(product: Product, chrome: Browser) -> None:
    """Walks every page in the window, which fails on blocked resources and script errors."""
    with window(chrome) as page:
        assert [path for path in walk(page, product, STAFF, ("/admin/", "/api/v1/docs/")) if wider(page)] == []
    with window(chrome) as page:
        assert [path for path in walk(page, product, ALICE) if wider(page)] == []


def wider(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))


def walk(page: Page, product: Product, person: demo.Person, more: tuple[str, ...] = ()) -> Iterator[str]:
    """Every page, public ones first, each once its scripts have run."""
    for path in PUBLIC:
        yield _seen(page, product, path)
    sign_in(page, product, person)
    for path in (*PAGES, *more):
        yield _seen(page, product, path)
    if person.pots:
        for start, beginning in FOLLOWED:
            page.goto(product.url + start)
            found = page.locator(f"main a[href^='{beginning}']").first.get_attribute("href")
            assert found, f"{start} has no link to {beginning}"
            yield _seen(page, product, found)


def _seen(page: Page, product: Product, path: str) -> str:
    got = page.goto(product.url + path, wait_until="load")
    assert got is not None
    assert got.status == 200, f"{path}: {got.status}"
    return path
