"""The dashboard in a real browser: what a person sees and does. `test_page_calls.py` goes on about the calls behind it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contract_tests import webdriver
from contract_tests.support import FROZEN_NOW, Api, ServerProcess, serving
from contract_tests.tutorial import AZURE_BLOB, GOOGLE, S3, SFTP
from contract_tests.webdriver import ENTER, ESCAPE, SPACE, TAB, Browser
from flow_service_emulator.control.dashboard import MAX_FLOWS

pytestmark = pytest.mark.skipif(webdriver.missing() is not None, reason=f"no browser: {webdriver.missing()}")
"""Without Chromium and its driver the tests are skipped."""
HOURLY = {"interval": 3, "timeUnit": "hour", "startTime": FROZEN_NOW + 600}
WRONG = {"name": "x", "auth": {"specName": "Access Key", "params": {}}, "connectionSpec": {"id": S3.spec, "version": "1.0"}}  # fmt: skip


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


def value(page: Browser, expression: str, *arguments: Any) -> Any:
    return page.run(f"return {expression}", *arguments)


def number_of(page: Browser, selector: str) -> int:
    """How many there are that can be seen."""
    found: int = value(
        page, "[...document.querySelectorAll(arguments[0])].filter((each) => each.checkVisibility()).length", selector
    )
    return found


def look_again(page: Browser) -> None:
    """What a person does who comes back to the tab: the page asks at once."""
    page.run("document.dispatchEvent(new Event('visibilitychange'))")


def enter(page: Browser, selector: str, text: str) -> None:
    """Types into a field, or chooses in a select box, as a person does."""
    page.run(
        "const box = document.querySelector(arguments[0]); box.value = arguments[1];"
        "for (const kind of ['input', 'change']) box.dispatchEvent(new Event(kind))",
        selector,
        text,
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
    """The numbers of the requests in the list, also of those that are folded away."""
    found: list[int] = value(page, "[...document.querySelectorAll('#request-list > li')].map((each) => each.value)")
    return found


def press_on(page: Browser, selector: str) -> None:
    page.run("document.querySelector(arguments[0]).focus()", selector)
    page.press(ENTER)


def another_flow(api: Api, like: str, name: str) -> str:
    """A flow of another name with the connections of one that is there."""
    flow = api.item(f"/flows/{like}")
    body = S3.flow(flow["sourceConnectionIds"][0], flow["targetConnectionIds"][0], **HOURLY)
    return api.created("flows", {**body, "name": name})


def test_a_walk_through_the_page(page: Browser, api: Api, export_dir: Path) -> None:
    """An empty emulator, a flow that comes to be, a day that passes, its files, and a request that is refused."""
    assert (page.text("#now"), page.text("#mode")) == ("2026-01-01 00:00:00 UTC", "frozen")
    assert "No exported file yet" in page.text("#files-empty")
    assert page.texts(".summary strong") == ["0", "none ahead", "no runs yet", "no requests yet"]
    api.flow(S3, HOURLY)
    page.wait(lambda: page.texts("#flow-list h3"), "the flow")
    assert page.texts("#flow-list h3") == ["Activate datasets to an Amazon S3 cloud storage destination"]
    assert page.texts("#flow-list .next") == ["2026-01-01 00:10:00 UTC (in 10 min)"]
    assert "every 3 hours from 2026-01-01 00:10:00 UTC" in page.text("#flow-list")
    assert number_of(page, "#picture .ahead") == 1
    page.click("#to-next")
    page.wait(lambda: page.text("#told") == "1 export ran. It is 2026-01-01 00:10:00 UTC.", "the next export")
    page.click("#plus-1d")
    page.wait(lambda: page.text("#told") == "8 exports ran. It is 2026-01-02 00:10:00 UTC.", "the day to pass")
    page.wait(lambda: number_of(page, "#picture .success") == 9, "nine runs in the picture")
    titles = value(page, "[...document.querySelectorAll('#picture .success title')].map((each) => each.textContent)")
    assert [title[:19] for title in titles] == [
        f"2026-01-0{1 + hour // 24} {hour % 24:02}:10:00" for hour in range(0, 27, 3)
    ]
    assert all(title.endswith(" rows in 1 file") for title in titles)
    assert page.text("#now") == "2026-01-02 00:10:00 UTC"
    assert page.texts("#flow-list .next") == ["2026-01-02 03:10:00 UTC (in 3 h)"]
    api.advance(3541)
    look_again(page)
    page.wait(lambda: page.text("#sum-next") == "in 2 h", "the time to pass")  # and 59 s, which nobody asks for
    assert page.texts(".summary strong")[:3:2] == ["1", "none"]
    page.click("#runs-details summary")
    assert len(page.texts("#run-rows tr")) == 9
    assert number_of(page, "#file-list tbody") == 3  # by run
    page.click("#files-more")
    assert number_of(page, "#file-list tbody") == 9

    newest = api.control("GET", "/exports")["items"][-1]
    assert page.text("#file-list .run").split("\n")[-1].endswith(f"1 file, {newest['rows']} rows")
    page.click("#file-list button")
    page.wait(lambda: page.texts("#preview-rows tbody tr"), "the preview's rows")
    assert page.text("#preview-title") == newest["path"].rsplit("/", 1)[1]
    assert len(page.texts("#preview-rows tbody tr")) == 20
    assert f"the first 20 of {newest['rows']} rows" in page.text("#preview-about")
    first = json.loads((export_dir / newest["path"]).read_text("utf-8").splitlines()[0])
    assert page.texts("#preview-rows tbody tr:first-child td")[0] == str(next(iter(first.values())))
    page.press(ESCAPE)
    page.wait(lambda: not value(page, "document.querySelector('#preview').open"), "the preview to close")

    assert api.post("/connections", WRONG).status_code == 400
    look_again(page)
    page.wait(lambda: page.texts("#request-list > .violation"), "the refused request")
    for text in ("400", "POST /connections", "is required but missing", "(and 1 more)", "refused"):
        assert text in page.text("#request-list > li:first-child")
    assert page.text("#sum-refused") == f"1 of {len(numbers(page))}"
    press_on(page, "#request-list .violation summary")
    page.wait(lambda: "provider-rejected" in page.text("#request-list .violation"), "it to open")
    sent, answered = page.texts("#request-list .violation pre")
    assert "x-gw-ims-org-id: TEST@AdobeOrg" in sent and "x-api-key: ****" in sent and "test-token" not in sent
    assert "auth.params.s3SecretKey" in answered
    page.click("#request-list .ok summary")
    page.wait(lambda: page.texts("#request-list .ok pre"), "a good one to open")


def test_an_example_flow(page: Browser, api: Api, server: ServerProcess) -> None:
    """The empty state has a call that works as it stands, and a button that makes a flow; its card leads to what is its own."""
    assert value(page, "document.querySelector('#curl').textContent").startswith(f"curl {server.url}/data/foundation/")
    page.click("#example")
    page.wait(lambda: page.text("#told").startswith("An example flow is there"), "the flow")
    assert api.control("GET", "/contract")["violations"] == []
    page.wait(lambda: number_of(page, "#file-list tbody") == 1, "its first export, which is at once")
    other = api.flow(S3, HOURLY)
    api.advance(600)
    api.get(f"/flows/{other}")
    look_again(page)
    page.wait(lambda: number_of(page, "#file-list tbody") == 2, "the other flow's file")
    example = page.texts("#flow-list .id")[1]
    press_on(page, f"[data-key='{example} files']")
    page.wait(lambda: focused(page) == "files-title", "the way to the files")
    assert (
        number_of(page, "#file-list tbody")
        == number_of(page, "#picture .success")
        == number_of(page, ".cards .id")
        == 1
    )
    press_on(page, "#flows-all")
    page.wait(lambda: number_of(page, "#file-list tbody") == 2, "all files")
    press_on(page, f"[data-key='{example} requests']")
    page.wait(lambda: focused(page) == "requests-title", "the way to the requests")
    (created,) = page.texts("#request-list > li")  # it has the id in its answer alone
    assert "POST /flows" in created
    page.devtools("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    press_on(page, f"[data-key='copy {other}']")
    page.wait(lambda: value(page, "navigator.clipboard.readText()") == other, "the id to be copied")


def test_the_api_is_described(page: Browser, server: ServerProcess) -> None:
    """Every operation of `/openapi.json`, found by words, with the fields of its body."""
    page.click("nav a[href$='api.html']")
    page.wait(lambda: page.texts("main summary"), "the operations")
    every = number_of(page, "main summary")
    enter(page, "#wanted", "create a target")
    assert page.texts("main summary .path") == ["/data/foundation/flowservice/targetConnections"] and every > 60
    page.click("main summary")
    page.wait(lambda: page.texts("main .fields"), "its fields")
    for text in (
        "bucketName string, required",
        "x-sandbox-name",
        "201 Create a TargetConnection",
        "429 Too many requests",
    ):
        assert text in page.text("main")
    page.devtools("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=True)
    assert value(page, "document.documentElement.scrollWidth") <= 390
    assert value(page, f"(() => {{{UNNAMED}}})()") == []


def test_by_keyboard_alone(page: Browser, api: Api) -> None:
    """The skip link comes first; the clock's buttons, a scenario, a preview and the reset work without a mouse."""
    api.flow(SFTP, HOURLY)
    page.press(TAB)
    assert focused(page) == "Skip to the content"
    page.press(ENTER)
    assert value(page, "location.hash") == "#main"
    page.run("window.scrollTo(0, 0); document.activeElement.blur(); document.querySelector('.skip').focus()")
    tab_to(page, "plus-1d")
    page.press(ENTER)
    page.wait(lambda: "8 exports ran" in page.text("#told"), "the day to pass")
    assert focused(page) == "plus-1d"
    page.wait(lambda: number_of(page, "#file-list button") == 3, "the files")
    tab_to(page, "Preview")
    page.press(ENTER)
    page.wait(lambda: page.texts("#preview-rows tbody tr"), "the preview's rows")
    assert value(page, "document.querySelector('#preview').contains(document.activeElement)")
    page.press(ESCAPE)
    page.wait(lambda: not value(page, "document.querySelector('#preview').open"), "the preview to close")
    assert focused(page) == "Preview"
    tab_to(page, "lost-update")
    page.press(SPACE)
    page.wait(lambda: page.texts("#rule-list .name") == ["lost-update-1 (etag-changed)"], "the scenario to be on")
    assert [rule["id"] for rule in api.control("GET", "/faults")["rules"]] == ["lost-update-1"]
    page.wait(lambda: focused(page) == "lost-update", "the focus to stay")
    page.press(SPACE)
    page.wait(lambda: api.control("GET", "/faults")["rules"] == [], "the scenario to be off")


def test_the_clock_runs_and_freezes(page: Browser, api: Api) -> None:
    page.click("#freeze")
    away = "behind" if time.time() > FROZEN_NOW else "ahead"
    page.wait(
        lambda: re.fullmatch(rf"real time, [1-9].* {away}", page.text("#mode")), "the clock to run, away from ours"
    )
    assert api.control("GET", "/clock")["mode"] == "real"
    page.wait(lambda: page.text("#now") != "2026-01-01 00:00:00 UTC", "time to pass")
    page.click("#freeze")
    page.wait(lambda: page.text("#mode") == "frozen", "the clock to stand still")
    assert api.control("GET", "/clock")["mode"] == "frozen"
    assert value(page, "document.querySelector('#to-next').getAttribute('aria-disabled')") == "true"
    api.control("PUT", "/clock", {"mode": "accelerated", "speed": 3600})
    look_again(page)
    page.wait(lambda: page.text("#mode") == "3600 times as fast", "the clock to run")
    page.click("#freeze")
    page.wait(lambda: page.text("#freeze") == "Let it run, 3600 times as fast", "the clock to stand still")
    page.click("#freeze")
    page.wait(lambda: page.text("#told") == "Time passes, 3600 times as fast.", "the clock to go on")
    assert api.control("GET", "/clock")["speed"] == 3600


def test_faults_and_reset(page: Browser, api: Api, export_dir: Path) -> None:
    """A failed run says why; a request that a fault rule hit says so; a reset empties the page."""
    api.flow(S3, HOURLY)
    page.click("#scenario-list input[data-key='export-outage']")
    page.wait(lambda: page.texts("#rule-list li"), "the rule")
    page.click("#plus-3h")
    page.wait(lambda: "1 without success" in page.text("#told"), "the export to fail")
    page.wait(lambda: number_of(page, "#picture .failed") == 1, "the failed run")
    assert page.text("#sum-failure") == "2 h 50 min ago"
    page.click("#runs-details summary")
    (row,) = page.texts("#run-rows tr")
    assert "failed" in row and "ACTIVATION_BATCH-0000-FAILED" in row
    api.control("POST", "/faults", {"kind": "error", "error": "service-unavailable", "times": 1, "id": "mine"})
    assert api.get("/flows").status_code == 503
    look_again(page)
    page.wait(lambda: "fault rule mine" in page.text("#request-list"), "the request that was hit")
    page.click("#faults-off")
    page.wait(lambda: not page.texts("#rule-list li"), "the faults to be gone")
    (file,) = api.advance(7 * 3600) and api.control("GET", "/exports")["items"][:1]
    page.click("#reset")
    for part in ("entities", "runs", "datasets put by calls", "fault rules", "requests", "contract report"):
        assert part in page.text("#reset-dialog")
    page.click("#reset-exports")
    page.click("#reset-no")
    page.click("#reset")  # what was ticked and then not done is not ticked now
    page.click("#reset-yes")
    page.wait(lambda: "stay on disk, but are no longer listed" in page.text("#told"), "the reset")
    lists = "#flow-list li, #request-list li, #run-rows tr, #file-list tr"
    page.wait(lambda: not page.texts(lists), "the page to be empty")
    assert (export_dir / file["path"]).is_file()
    page.click("#reset")
    page.click("#reset-exports")
    page.click("#reset-yes")
    page.wait(lambda: page.text("#told") == "Everything is forgotten. The export folder is empty.", "the reset")
    assert not (export_dir / file["path"]).is_file()


def test_names_are_text(page: Browser, api: Api) -> None:
    """A name with markup in it is shown as it is, and does nothing; the next one is cut off where the room ends."""
    markup = '<img src=x onerror="document.title=1"><script>document.title=2</script>&amp;'
    wide, narrow = "W" * 250, "i" * 100
    first = api.flow(S3, HOURLY)
    for name in (markup, wide, narrow):
        another_flow(api, first, name)
    api.advance(600)
    api.get("/flows/<b>bold")
    look_again(page)
    page.wait(lambda: page.texts("#flow-list h3")[:3:2] == [narrow, markup], "the flows")
    page.wait(lambda: "/flows/<b>bold" in page.text("#request-list"), "the request")
    assert number_of(page, "main img, main script, main b") == 0
    assert value(page, "document.title") == "Flow Service emulator"
    heights, titles = value(
        page,
        "['offsetHeight', 'title'].map((of) => [...document.querySelectorAll('#flow-list h3')].map((each) => each[of]))",
    )
    assert max(heights) <= 3 * 24 and titles[1] == wide
    drawn = value(
        page,
        "[...document.querySelectorAll('#picture .name')].map((each) => [each.firstChild.data, each.getComputedTextLength()])",
    )
    room = value(page, "document.querySelector('#picture').clientWidth")
    assert all(width <= room for _, width in drawn) and narrow in [name for name, _ in drawn]
    page.click("#runs-details summary")
    widths = value(page, "[...document.querySelectorAll('#run-rows td:nth-child(2)')].map((each) => each.offsetWidth)")
    assert min(widths) >= 14 * 16
    assert page.run("const box = document.querySelector('#runs .wide'); return box.scrollWidth <= box.clientWidth")
    press_on(page, "#file-list button")
    page.wait(lambda: page.texts("#preview-rows tbody tr"), "the preview's rows")
    assert value(page, "getComputedStyle(document.querySelector('#preview td')).textOverflow") == "ellipsis"
    cut = "[...document.querySelectorAll('#preview td')].filter((each) => each.innerText.length > 30 && each.title !== each.innerText)"
    assert value(page, f"{cut}.length") == 0


def test_a_server_that_does_not_answer(window: Browser, tmp_path: Path) -> None:
    """The clock stands still and says so, in words for people; all is well again when another one answers there."""
    with serving(tmp_path, "--clock", "3600", "--now", str(FROZEN_NOW)) as server:
        open_page(window, server)
        assert window.text("#mode") == "3600 times as fast"
        server.stop()
        window.run("performance.now = () => 1e12")  # a clock that still ran would be far in the future
        look_again(window)
        window.wait(lambda: window.text("#live") == "The emulator does not answer", "the loss to be noticed")
        assert window.text("#mode").startswith("no answer, as of ")
        assert window.text("#now").startswith("2026-01-01 ")
        window.click("#plus-3h")
        gone = "That did not work: the emulator does not answer."
        window.wait(lambda: window.text("#told") == gone, "the button's failure")
    with serving(tmp_path, "--port", server.url.rsplit(":", 1)[1]):
        look_again(window)
        window.wait(lambda: window.text("#live") == "Live", "the other server")
        assert window.text("#mode") == "frozen"
        assert window.text("#freeze") == "Let it run in real time"
        assert window.text("#told") == ""
    window.open("about:blank")


def test_on_a_phone(page: Browser, api: Api, server: ServerProcess) -> None:
    """Nothing sticks out at the side, and text stands out from what is behind it (WCAG 2.2: 4.5 to 1)."""
    api.flow(AZURE_BLOB, HOURLY)
    api.flow(GOOGLE, HOURLY, datasetFileType="PARQUET")
    api.advance(86_400)
    api.get("/flows/nowhere")
    page.devtools("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=True)
    open_page(page, server)
    page.wait(lambda: page.texts("#request-list > .violation"), "the refused request")
    press_on(page, "#request-list .violation summary")
    assert value(page, "document.documentElement.scrollWidth") <= 390
    page.run("document.documentElement.style.scrollBehavior = 'auto'; scrollTo(0, 600)")
    assert value(page, "document.querySelector('#clock').getBoundingClientRect().bottom") < 0
    ticks = value(page, "[...document.querySelectorAll('#picture .tick')].map((each) => each.textContent)")
    assert ticks[:1] == ["2026-01-01"] and len([tick for tick in ticks if ":" in tick]) >= 2
    for theme in ("light", "dark"):
        page.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
        assert page.run(FAINT) == [], theme
    assert page.run(UNNAMED) == []


FAINT = r"""
  const shine = (color) => {
    const [r, g, b] = color.match(/[\d.]+/g).slice(0, 3).map((each) => each / 255).map((each) => each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (each) => { for (; each; each = each.parentElement) { const color = getComputedStyle(each).backgroundColor; if (!/, 0\)$/.test(color)) return color; } return "rgb(255, 255, 255)"; };
  return [...document.querySelectorAll("body *")].filter((each) => each.checkVisibility() && [...each.childNodes].some((child) => child.nodeType === 3 && child.data.trim()))
    .filter((each) => !each.closest("[aria-disabled=true], svg")).map((each) => {
      const [a, b] = [shine(getComputedStyle(each).color), shine(behind(each))];
      return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), each.outerHTML.slice(0, 120)];
    }).filter(([ratio]) => ratio < 4.5);
"""
"""What is too faint to be read, with its contrast."""
UNNAMED = r"""
  return [...document.querySelectorAll("button, a[href], input, [role=img], [role=region], section, dialog, nav")]
    .filter((each) => !(each.getAttribute("aria-label") || each.innerText || each.closest("label") || each.getAttribute("aria-labelledby"))).map((each) => each.outerHTML.slice(0, 120));
"""
"""What a screen reader has no name for."""


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


def test_many_requests(page: Browser, api: Api, server: ServerProcess) -> None:
    """Most are folded away; counts go over all, whatever the report has; one is found by its verdict or a text."""
    for name in ("nowhere", "nowhere", "elsewhere"):
        api.get(f"/flows/{name}")
    for _ in range(210):
        api.get("/flows")
    api.control("DELETE", "/contract")
    open_page(page, server)
    assert len(numbers(page)) == 200 and number_of(page, "#request-list > li") == 20
    assert value(page, "document.documentElement.scrollHeight") < 4000
    page.click("#requests-more")
    assert number_of(page, "#request-list > li") == 70
    assert (page.text("#requests-count"), page.text("#sum-refused")) == ("213, 3 refused", "3 of 213")
    assert page.text("#requests-note") == "The newest 200 of 213 are shown."
    for verdicts in ("violation", "violation injected failed"):
        enter(page, "#verdicts", verdicts)
        page.wait(lambda: numbers(page) == [3, 2, 1], "those that were refused")
        assert page.text("#requests-note") == ""
        enter(page, "#verdicts", "")
        page.wait(lambda: len(numbers(page)) == 200, "all")
    enter(page, "#request-text", "elsewhere")
    page.wait(lambda: numbers(page) == [3], "the one with this path")
    press_on(page, "#sum-refused-link")
    page.wait(lambda: numbers(page) == [3, 2, 1], "those that were refused")
    enter(page, "#verdicts", "failed")
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
    assert "Straße in Old Town" in shown and shown.count("deleted flow") == 1 and f"deleted flow {first[:8]}" in shown
    assert f"deleted flow {old[:8]}" not in page.text("#file-list")
    for wanted in ("STRASSE IN old", old[5:20]):
        enter(page, "#flow-name", wanted)
        page.wait(lambda: page.texts("#flow-list h3") == ["Straße in Old Town"], "the old flow")
        assert page.text("#flow-list .last").startswith("success, ")
        assert page.text("#flows-count") == f"1 found, {MAX_FLOWS + 1} in all"
        enter(page, "#flow-name", "")
        page.wait(lambda: len(page.texts("#flow-list h3")) > 1, "all flows")


def test_what_was_called_after_a_run(page: Browser, api: Api) -> None:
    """Here an address where nobody listens, so the run has failed."""
    api.flow(S3, HOURLY)
    api.control("PUT", "/after-export", {"url": "http://127.0.0.1:1/"})
    api.advance(600)
    look_again(page)
    page.wait(lambda: page.text("#runs-count") == "1", "the run")
    page.click("#runs-details summary")
    (row,) = page.texts("#run-rows tr")
    assert re.search(r"failed: Connect call failed .*; http://127.0.0.1:1/ took [\d.]+ s: Connect call failed", row)


def test_the_focus_finds_a_neighbour(page: Browser, api: Api) -> None:
    """It never falls back to the beginning of the page when what had it has gone."""
    api.flow(S3, HOURLY)
    for name in ("one", "two", "three", "four"):
        api.control("POST", "/faults", {"kind": "error", "error": "service-unavailable", "times": 1, "id": name})
    api.advance(86_400)
    look_again(page)
    page.wait(lambda: number_of(page, "#rule-list li") == 4 and number_of(page, "#file-list button") == 3, "both lists")
    press_on(page, "#files-more")
    page.wait(lambda: number_of(page, "#file-list button") == 8, "all files")
    assert value(page, "[...document.querySelectorAll('#file-list button')].indexOf(document.activeElement)") == 3
    for pressed in ("[data-key=two]", "[data-key=four]"):
        press_on(page, pressed)
        page.wait(lambda: value(page, "document.activeElement.dataset.key") == "three", "the focus on a neighbour")
    press_on(page, "#faults-off")
    page.wait(lambda: focused(page) == "faults-title", "the focus on the heading")


def test_time_passes_beside_a_selection(page: Browser, api: Api) -> None:
    """Only the words about how long it is change with the clock; what is selected for copying stays selected."""
    flow = api.flow(S3, HOURLY)
    look_again(page)
    page.wait(lambda: page.texts("#flow-list .id") == [flow], "the flow")
    page.run("getSelection().selectAllChildren(document.querySelector('#flow-list .id'))")
    api.advance(60)
    look_again(page)
    page.wait(lambda: page.texts("#flow-list .ahead") == [" (in 9 min)"], "the time to pass")
    assert value(page, "getSelection().toString()") == flow
    bar = value(page, "document.querySelector('#clock').offsetHeight")
    assert value(page, "document.documentElement.style.scrollPaddingTop") == f"{bar + 12}px"
