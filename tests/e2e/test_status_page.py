"""The status page in a real browser, on the traffic of the demo."""

import re
from collections.abc import Callable, Iterator
from typing import NoReturn

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from schemas.labels import taxonomy
from tests.e2e.pages import CHROMIUM, PHONE, WIDE, Scheme, browsing, opened, running_demo


@pytest.fixture(scope="module")
def address(unavailable: Callable[[str, str], NoReturn]) -> Iterator[str]:
    """Return the page's address, of a demo that all these tests share."""
    if CHROMIUM is None:
        unavailable("chromium", "the status page needs Chromium: apt-get install chromium")
    with running_demo() as found:
        yield found


@pytest.fixture(scope="module")
def browser(address: str) -> Iterator[Browser]:  # noqa: ARG001  # it decides whether there is one
    """Return the browser that all these tests share."""
    with browsing() as started:
        yield started


def test_figures_change_without_reload_and_nothing_is_asked_of_others(
    browser: Browser, address: str
) -> None:
    """No error, no breach of the content-security policy, one origin; the line says how it fares."""
    with opened(browser, address) as page:
        said: list[str] = []
        asked: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.reload()
        expect(page.locator("#recent time")).not_to_have_count(0)
        before = page.locator("#worker").inner_text()
        expect(page.locator("#worker")).not_to_have_text(before, timeout=10_000)
        # A slow machine may have fallen behind for a while.
        expect(page.locator("#headline")).to_have_text(
            re.compile(r"^Keeping up: [\d,]+ messages? a second"), timeout=30_000
        )
        loads = [url for url in asked if url == address]

    assert [] == said
    assert 1 == len(loads)
    assert {address} == {re.sub(r"(?<=\d/).*", "", url) for url in asked}


def test_escalations_are_shown_without_anything_of_a_person(browser: Browser, address: str) -> None:
    """Each row holds a time, an action, a label, a score, detectors and an audience, or a kind of subject."""
    with opened(browser, address) as page:
        rows = [
            [cell.inner_text() for cell in row.locator("th, td").all()]
            for row in page.locator("#recent tr").all()
        ]

    for time, action, label, score, found_by, where in rows:
        assert re.fullmatch(r"\d\d:\d\d:\d\d", time)
        assert action in {"review", "escalate"}
        assert label in taxonomy()
        assert re.fullmatch(r"[01]\.\d\d", score)
        assert re.fullmatch(r"[a-z_, ]+", found_by)
        assert where in {"dm", "group", "public"} or where.startswith("one ")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_it_can_be_read_by_everybody(
    browser: Browser, address: str, scheme: Scheme, size: tuple[int, int]
) -> None:
    """No breach of the accessibility rules of axe-core, contrast included; nothing scrolls sideways."""
    with opened(browser, address, scheme, size) as page:
        breaches = Axe().run(page).response["violations"]
        wider = page.evaluate(
            "[...document.querySelectorAll('html, section, table')]"
            ".filter((it) => it.getBoundingClientRect().right > innerWidth"
            "  || it.scrollWidth > it.clientWidth + 1)"
            ".map((it) => it.className || it.tagName)"
        )

    assert [] == [(breach["id"], breach["nodes"][0]["html"]) for breach in breaches]
    assert [] == wider


def test_the_keyboard_leads_past_the_line_to_the_figures(browser: Browser, address: str) -> None:
    """The first key shows where one is, and the next leaps."""
    with opened(browser, address) as page:
        page.keyboard.press("Tab")
        skip = page.locator(".skip")
        expect(skip).to_be_focused()
        expect(skip).to_be_in_viewport()
        page.keyboard.press("Enter")
        expect(page.locator("#main")).to_be_focused()


def test_it_says_that_the_worker_does_not_answer(browser: Browser, address: str) -> None:
    """Old figures are not shown as if they were new, and come back to life by themselves."""
    with opened(browser, address) as page:
        page.route("**/status.json", lambda route: route.abort())
        expect(page.locator("#contact")).to_contain_text("No answer for", timeout=20_000)
        expect(page.locator("#line")).to_have_attribute("data-state", "none")
        page.unroute("**/status.json")
        expect(page.locator("#contact")).to_be_empty(timeout=20_000)
        expect(page.locator("#line")).to_have_attribute("data-state", "ok")
