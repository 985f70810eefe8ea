"""The lists of the page for people: flows, runs, files and requests, when they are long, have long names, or change."""

from __future__ import annotations

from contract_tests import page_support
from contract_tests.page_support import choose, focused, look_again, numbers, open_page, press_on
from contract_tests.support import FROZEN_NOW, Api, ServerProcess
from contract_tests.tutorial import S3
from contract_tests.webdriver import Browser
from flow_service_emulator.control.dashboard import MAX_FLOWS

HOURLY = {"interval": 3, "timeUnit": "hour", "startTime": FROZEN_NOW + 600}
window, page, pytestmark = page_support.window, page_support.page, page_support.in_browser
"""The fixtures of the tests, and their mark."""


def fold(page: Browser, selector: str) -> str:
    """What has to be unfolded to be read."""
    found: str = page.run("return document.querySelector(arguments[0]).textContent", selector)
    return found


def another_flow(api: Api, like: str, name: str) -> str:
    """A flow of another name with the connections of one that is there; its first export is in a month."""
    flow = api.item(f"/flows/{like}")
    body = S3.flow(flow["sourceConnectionIds"][0], flow["targetConnectionIds"][0], **HOURLY)
    return api.created("flows", {**body, "name": name})


def test_another_life_of_the_server(page: Browser, api: Api) -> None:
    """After a reset, a restored state or an emptied journal by somebody else, no request of the time before is shown."""
    for number in range(3):
        api.get(f"/flows/old{number}")
    look_again(page)
    page.wait(lambda: numbers(page) == [3, 2, 1], "the requests")
    state = api.control("GET", "/state")
    api.control("POST", "/reset")
    for number in range(5):
        api.get(f"/flows/new{number}")
    look_again(page)
    page.wait(lambda: numbers(page) == [5, 4, 3, 2, 1], "the requests after the reset")
    assert "old" not in page.text("#request-list")
    api.control("PUT", "/state", state)
    look_again(page)
    page.wait(lambda: numbers(page) == [3, 2, 1], "the restored requests")
    assert "new" not in page.text("#request-list")
    api.control("DELETE", "/requests")
    api.get("/flows/last")
    look_again(page)
    page.wait(lambda: numbers(page) == [4], "the one after the journal was emptied")


def test_refusals_behind_many_requests(page: Browser, api: Api, server: ServerProcess) -> None:
    """The counts go over all requests, not over those that are shown; what was refused can be asked for."""
    for _ in range(3):
        api.get("/flows/nowhere")
    for _ in range(210):
        api.get("/flows")
    open_page(page, server)
    assert len(numbers(page)) == 200
    assert page.text("#requests-count") == "213, 3 refused"
    assert page.text("#requests-more") == "The newest 200 of 213 are shown."
    for verdicts in ("violation", "violation injected failed"):
        choose(page, "#verdicts", verdicts)
        page.wait(lambda: numbers(page) == [3, 2, 1], "those that were refused")
        assert page.text("#requests-more") == ""
        choose(page, "#verdicts", "")
        page.wait(lambda: len(numbers(page)) == 200, "all")
    choose(page, "#verdicts", "failed")
    page.wait(lambda: page.text("#requests-none") == "There is no such request in the journal.", "none")


def test_more_flows_than_are_shown(page: Browser, api: Api) -> None:
    """An old flow keeps its name and its last run, and is found by a part of its name; a deleted one is called so."""
    first = api.flow(S3, HOURLY)
    old = another_flow(api, first, "Straße in Old Town")
    api.advance(600)
    for number in range(MAX_FLOWS):
        another_flow(api, first, f"young {number}")
    api.delete(f"/flows/{first}")
    look_again(page)
    page.wait(lambda: page.text("#flows-count") == f"the newest {MAX_FLOWS} of {MAX_FLOWS + 1}", "the flows")
    page.click("#runs-details summary")
    shown = page.text("#run-rows")
    assert "Straße in Old Town" in shown
    assert f"deleted flow {first[:8]}" in shown
    assert shown.count("deleted flow") == 1
    assert f"deleted flow {old[:8]}" not in page.text("#file-list")
    for wanted in ("STRASSE IN old", old[5:20]):
        page.run(
            "const box = document.querySelector('#flow-name'); box.value = arguments[0]; box.dispatchEvent(new Event('input'))",
            wanted,
        )
        page.wait(lambda: page.texts("#flow-list h3") == ["Straße in Old Town"], "the old flow")
        assert page.text("#flow-list .last").startswith("success, ")
        assert page.text("#flows-count") == f"1 found, {MAX_FLOWS + 1} in all"
        page.run(
            "const box = document.querySelector('#flow-name'); box.value = ''; box.dispatchEvent(new Event('input'))"
        )
        page.wait(lambda: len(page.texts("#flow-list h3")) > 1, "all flows")


def test_ids_and_headers(page: Browser, api: Api) -> None:
    """What a person copies into a request, or compares with one: ids, the request's number, its headers without secrets."""
    flow = api.flow(S3, HOURLY)
    api.get("/flows/nowhere", headers={"x-request-id": "mine"})
    look_again(page)
    page.wait(lambda: page.texts("#request-list > .violation"), "the refused request")
    page.wait(lambda: page.texts("#flow-list li"), "the flow")
    assert page.text("#flow-list .id") == flow
    assert "5ef3e3259ad2a1191ab7dd7d" in page.text("#flow-list .datasets")
    sent = fold(page, "#request-list > li details pre")
    assert "x-gw-ims-org-id: TEST@AdobeOrg" in sent
    assert "x-api-key: ****" in sent
    assert "test-token" not in sent
    labels = page.run("return [...document.querySelectorAll('pre')].map((each) => each.getAttribute('aria-label'))")
    assert len(set(labels)) == len(labels) > 0
    assert f"What was sent, request {numbers(page)[0]}" in labels
    assert page.run("return document.querySelectorAll('label h3, #requests [role=status]').length") == 0


def test_the_focus_finds_a_neighbour(page: Browser, api: Api) -> None:
    """It never falls back to the beginning of the page when what had it has gone."""
    api.flow(S3, HOURLY)
    for name in ("one", "two", "three", "four"):
        api.control("POST", "/faults", {"kind": "error", "error": "service-unavailable", "times": 1, "id": name})
    api.advance(86_400)
    look_again(page)
    page.wait(
        lambda: len(page.texts("#rule-list li")) == 4 and len(page.texts("#file-list li")) == 6, "files and rules"
    )
    press_on(page, "#files-more")
    page.wait(lambda: len(page.texts("#file-list li")) == 8, "all files")
    assert page.run("return [...document.querySelectorAll('#file-list button')].indexOf(document.activeElement)") == 6
    press_on(page, "[data-key=two]")
    page.wait(lambda: focused_key(page) == "three", "the focus on the next rule")
    press_on(page, "[data-key=four]")
    page.wait(lambda: focused_key(page) == "three", "the focus on the rule before")
    press_on(page, "#faults-off")
    page.wait(lambda: focused(page) == "faults-title", "the focus on the heading")


def focused_key(page: Browser) -> str | None:
    found: str | None = page.run("return document.activeElement.dataset.key ?? null")
    return found


def test_long_names(page: Browser, api: Api, server: ServerProcess) -> None:
    """They are cut off where the room ends, neither earlier nor later, and their title has the whole."""
    wide, narrow = "W" * 250, "i" * 100
    first = api.flow(S3, HOURLY)
    for name in (wide, narrow):
        another_flow(api, first, name)
    api.advance(600)
    open_page(page, server)
    page.wait(lambda: len(page.texts("#flow-list h3")) == 3, "the flows")
    heights = page.run("return [...document.querySelectorAll('#flow-list h3')].map((each) => each.offsetHeight)")
    assert max(heights) <= 3 * 24
    assert page.run("return [...document.querySelectorAll('#flow-list h3')].map((each) => each.title)")[1] == wide
    names = page.run(
        "return [...document.querySelectorAll('#picture .name')].map((each) => [each.firstChild.data, each.getComputedTextLength()])"
    )
    room = page.run("return document.querySelector('#picture').clientWidth")
    assert all(width <= room for _, width in names)
    assert narrow in [name for name, _ in names]
    page.click("#runs-details summary")
    widths = page.run(
        "return [...document.querySelectorAll('#run-rows td:nth-child(2)')].map((each) => each.offsetWidth)"
    )
    assert min(widths) >= 14 * 16
    assert page.run("const box = document.querySelector('#runs .wide'); return box.scrollWidth <= box.clientWidth")
    assert page.run("return document.querySelector('#picture .tick').textContent") == "2026-01-01"
    page.run("document.querySelector('#file-list button').click()")
    page.wait(lambda: page.texts("#preview-rows tbody tr"), "the preview's rows")
    assert page.run("return getComputedStyle(document.querySelector('#preview td')).textOverflow") == "ellipsis"
    assert page.run(
        "return [...document.querySelectorAll('#preview td')].every((each) => each.innerText.length <= 30 || each.title === each.innerText)"
    )


def test_time_passes_beside_a_selection(page: Browser, api: Api) -> None:
    """Only the words about how long it is change with the clock; what is selected for copying stays selected."""
    flow = api.flow(S3, HOURLY)
    look_again(page)
    page.wait(lambda: page.texts("#flow-list .id") == [flow], "the flow")
    page.run("getSelection().selectAllChildren(document.querySelector('#flow-list .id'))")
    api.advance(60)
    look_again(page)
    page.wait(lambda: page.texts("#flow-list .ahead") == [" (in 9 min)"], "the time to pass")
    assert page.run("return getSelection().toString()") == flow
    bar = page.run("return document.querySelector('#clock').offsetHeight")
    assert page.run("return document.documentElement.style.scrollPaddingTop") == f"{bar + 12}px"
