"""The page for people, opened in a real browser, and what a person does with it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from contract_tests import webdriver
from contract_tests.support import Api, ServerProcess
from contract_tests.webdriver import ENTER, TAB, Browser

in_browser = pytest.mark.skipif(webdriver.missing() is not None, reason=f"no browser: {webdriver.missing()}")
"""Without Chromium and its driver the tests are skipped."""


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests of this module."""
    with webdriver.browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture
def page(window: Browser, api: Api, server: ServerProcess) -> Iterator[Browser]:
    """The page, opened; afterwards it must have asked no other host and logged no fault."""
    window.log("browser")
    window.requested()
    window.devtools("Emulation.clearDeviceMetricsOverride")
    open_page(window, server)
    yield window
    asked = [url for url in window.requested() if not url.startswith(("data:", "chrome:"))]  # the empty tab's own
    assert asked
    assert [url for url in asked if not url.startswith(f"{server.url}/")] == []
    assert [entry["message"] for entry in window.log("browser")] == []
    window.open("about:blank")


def open_page(window: Browser, server: ServerProcess) -> None:
    window.open(f"{server.url}/__emulator/")
    window.wait(lambda: window.text("#live") == "Live", "the first answer")


def look_again(page: Browser) -> None:
    """What a person does who comes back to the tab: the page asks at once."""
    page.run("document.dispatchEvent(new Event('visibilitychange'))")


def choose(page: Browser, selector: str, value: str) -> None:
    """Chooses in a select box, as a person does."""
    page.run(
        "const box = document.querySelector(arguments[0]); box.value = arguments[1]; box.dispatchEvent(new Event('change'))",
        selector,
        value,
    )


def focused(page: Browser) -> str:
    """The id of what has the focus, else its text."""
    found: str = page.run(
        "const at = document.activeElement; return at.id || at.innerText || at.dataset.key || at.tagName"
    )
    return found


def tab_to(page: Browser, wanted: str) -> None:
    """Presses Tab until the focus is there."""
    for _ in range(60):
        if focused(page) == wanted:
            return
        page.press(TAB)
    raise AssertionError(f"Tab never leads to {wanted}")


def numbers(page: Browser) -> list[int]:
    """The numbers of the requests that are shown."""
    return [int(text.split()[0].removeprefix("#")) for text in page.texts("#request-list > li")]


def press_on(page: Browser, selector: str) -> None:
    page.run("document.querySelector(arguments[0]).focus()", selector)
    page.press(ENTER)
