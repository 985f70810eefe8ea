"""The dashboard in a real browser: what a person sees and does. `test_page_calls.py` goes on about the calls behind it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract_tests import webdriver
from contract_tests.support import FROZEN_NOW, Api, ServerProcess, serving
from contract_tests.tutorial import AZURE_BLOB, GOOGLE, S3, SFTP
from contract_tests.webdriver import ENTER, ESCAPE, SPACE, TAB, Browser
from flow_service_emulator.control.dashboard import MAX_FLOWS

pytestmark = pytest.mark.skipif(webdriver.missing() is not None, reason=f"no browser: {webdriver.missing()}")
"""Without Chromium and its driver the tests are skipped."""
HOURLY = {"interval": 3, "timeUnit": "hour", "startTime": FROZEN_NOW + 600}


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


def another_flow(api: Api, like: str, name: str) -> str:
    """A flow of another name with the connections of one that is there; its first export is in a month."""
    flow = api.item(f"/flows/{like}")
    body = S3.flow(flow["sourceConnectionIds"][0], flow["targetConnectionIds"][0], **HOURLY)
    return api.created("flows", {**body, "name": name})


def test_a_walk_through_the_page(page: Browser, api: Api, export_dir: Path) -> None:
    """An empty emulator, a flow that comes to be, a day that passes, its files, and a request that is refused."""
    assert page.text("#now") == "2026-01-01 00:00:00 UTC"
    assert page.text("#mode") == "frozen"
    assert "No dataflow yet" in page.text("#flows-empty")
    assert "No exported file yet" in page.text("#files-empty")
    api.flow(S3, HOURLY)
    page.wait(lambda: page.texts("#flow-list h3"), "the flow")
    assert page.texts("#flow-list h3") == ["Activate datasets to an Amazon S3 cloud storage destination"]
    assert page.texts("#flow-list .next") == ["2026-01-01 00:10:00 UTC (in 10 min)"]
    assert "every 3 hours from 2026-01-01 00:10:00 UTC" in page.text("#flow-list")
    assert page.run("return document.querySelectorAll('#picture .ahead').length") == 1
    page.click("#to-next")
    page.wait(lambda: page.text("#told") == "1 export ran. It is 2026-01-01 00:10:00 UTC.", "the next export")
    page.click("#plus-1d")
    page.wait(lambda: page.text("#told") == "8 exports ran. It is 2026-01-02 00:10:00 UTC.", "the day to pass")
    page.wait(
        lambda: page.run("return document.querySelectorAll('#picture .success').length") == 9,
        "nine runs in the picture",
    )
    titles = page.run(
        "return [...document.querySelectorAll('#picture .success title')].map((each) => each.textContent)"
    )
    assert [title[:19] for title in titles] == [
        f"2026-01-0{1 + hour // 24} {hour % 24:02}:10:00" for hour in range(0, 27, 3)
    ]
    assert page.text("#now") == "2026-01-02 00:10:00 UTC"
    assert page.texts("#flow-list .next") == ["2026-01-02 03:10:00 UTC (in 3 h)"]
    page.click("#runs-details summary")
    assert len(page.texts("#run-rows tr")) == 9
    assert len(page.texts("#file-list li")) == 6
    page.click("#files-more")
    assert len(page.texts("#file-list li")) == 9

    newest = api.control("GET", "/exports")["items"][-1]
    page.click("#file-list button")
    page.wait(lambda: page.texts("#preview-rows tbody tr"), "the preview's rows")
    assert page.text("#preview-title") == newest["path"].rsplit("/", 1)[1]
    assert len(page.texts("#preview-rows tbody tr")) == 20
    assert f"the first 20 of {newest['rows']} rows" in page.text("#preview-about")
    first = json.loads((export_dir / newest["path"]).read_text("utf-8").splitlines()[0])
    assert page.texts("#preview-rows tbody tr:first-child td")[0] == str(next(iter(first.values())))
    page.press(ESCAPE)
    page.wait(lambda: not page.run("return document.querySelector('#preview').open"), "the preview to close")

    refused = api.post(
        "/connections",
        {
            "name": "x",
            "auth": {"specName": "Access Key", "params": {}},
            "connectionSpec": {"id": S3.spec, "version": "1.0"},
        },
    )
    assert refused.status_code == 400
    look_again(page)
    page.wait(lambda: page.texts("#request-list > .violation"), "the refused request")
    shown = page.text("#request-list > li:first-child")
    assert "400" in shown
    assert "POST /connections" in shown
    assert "auth.params.s3SecretKey is required but missing" in shown
    assert "provider-rejected" in shown
    sent = page.run("return document.querySelector('#request-list > li details pre').textContent")
    assert "x-gw-ims-org-id: TEST@AdobeOrg" in sent
    assert "x-api-key: ****" in sent
    assert "test-token" not in sent


def test_by_keyboard_alone(page: Browser, api: Api) -> None:
    """The skip link comes first; the clock's buttons, a scenario, a preview and the reset work without a mouse."""
    api.flow(SFTP, HOURLY)
    page.press(TAB)
    assert focused(page) == "Skip to the content"
    page.press(ENTER)
    assert page.run("return location.hash") == "#main"
    open_again = page.run(
        "window.scrollTo(0, 0); document.activeElement.blur(); document.querySelector('.skip').focus(); return true"
    )
    assert open_again
    tab_to(page, "plus-1d")
    page.press(ENTER)
    page.wait(lambda: "8 exports ran" in page.text("#told"), "the day to pass")
    assert focused(page) == "plus-1d"
    page.wait(lambda: len(page.texts("#file-list button")) == 6, "the files")
    tab_to(page, "Preview")
    page.press(ENTER)
    page.wait(lambda: page.texts("#preview-rows tbody tr"), "the preview's rows")
    assert page.run("return document.querySelector('#preview').contains(document.activeElement)")
    page.press(ESCAPE)
    page.wait(lambda: not page.run("return document.querySelector('#preview').open"), "the preview to close")
    assert focused(page) == "Preview"
    tab_to(page, "lost-update")
    page.press(SPACE)
    page.wait(
        lambda: [rule["id"] for rule in api.control("GET", "/faults")["rules"]] == ["lost-update-1"],
        "the scenario to be on",
    )
    page.wait(lambda: page.texts("#rule-list li"), "its rule to be shown")
    page.wait(lambda: focused(page) == "lost-update", "the focus to stay")
    page.press(SPACE)
    page.wait(lambda: api.control("GET", "/faults")["rules"] == [], "the scenario to be off")


def test_the_clock_runs_and_freezes(page: Browser, api: Api) -> None:
    page.click("#freeze")
    away = "behind" if time.time() > FROZEN_NOW else "ahead"
    page.wait(
        lambda: re.fullmatch(rf"real time, [1-9].* {away}", page.text("#mode")),
        "the clock to run, away from this machine's",
    )
    assert api.control("GET", "/clock")["mode"] == "real"
    page.wait(lambda: page.text("#now") != "2026-01-01 00:00:00 UTC", "time to pass")
    page.click("#freeze")
    page.wait(lambda: page.text("#mode") == "frozen", "the clock to stand still")
    assert api.control("GET", "/clock")["mode"] == "frozen"
    assert page.run("return document.querySelector('#to-next').getAttribute('aria-disabled')") == "true"
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
    page.wait(lambda: page.run("return document.querySelectorAll('#picture .failed').length") == 1, "the failed run")
    page.click("#runs-details summary")
    (row,) = page.texts("#run-rows tr")
    assert "failed" in row
    assert "ACTIVATION_BATCH-0000-FAILED" in row
    api.control("POST", "/faults", {"kind": "error", "error": "service-unavailable", "times": 1, "id": "mine"})
    assert api.get("/flows").status_code == 503
    look_again(page)
    page.wait(lambda: "Hit by the fault rule mine" in page.text("#request-list"), "the request that was hit")
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
    page.wait(
        lambda: not page.texts("#flow-list li, #request-list li, #run-rows tr, #file-list li"), "the page to be empty"
    )
    assert (export_dir / file["path"]).is_file()
    page.click("#reset")
    page.click("#reset-exports")
    page.click("#reset-yes")
    page.wait(lambda: page.text("#told") == "Everything is forgotten. The export folder is empty.", "the reset")
    assert not (export_dir / file["path"]).is_file()


def test_names_are_text(page: Browser, api: Api) -> None:
    """A name with markup in it is shown as it is, and does nothing."""
    name = '<img src=x onerror="document.title=1"><script>document.title=2</script>&amp;'
    source = api.created(
        "sourceConnections",
        {
            "name": name,
            "connectionSpec": {"id": "23598e46-f560-407b-88d5-ea6207e49db0", "version": "1.0"},
            "params": {"datasets": [{"dataSetId": "5ef3e3259ad2a1191ab7dd7d"}]},
        },
    )
    api.created("flows", {**S3.flow(source, api.target(S3), **HOURLY), "name": name})
    api.advance(600)
    api.get("/flows/<b>bold")
    look_again(page)
    page.wait(lambda: page.texts("#flow-list h3") == [name], "the flow")
    page.wait(lambda: "/flows/<b>bold" in page.text("#request-list"), "the request")
    assert page.run("return document.querySelectorAll('main img, main script, main b').length") == 0
    assert page.run("return document.title") == "Flow Service emulator"


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
        window.wait(
            lambda: window.text("#told") == "That did not work: the emulator does not answer.", "the button's failure"
        )
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
    assert page.run("return document.documentElement.scrollWidth") <= 390
    page.run("document.documentElement.style.scrollBehavior = 'auto'; scrollTo(0, 600)")
    assert page.run("return document.querySelector('#clock').getBoundingClientRect().bottom") < 0
    ticks = page.run(TICKS)
    assert ticks[:1] == ["2026-01-01"]
    assert len([tick for tick in ticks if ":" in tick]) >= 2
    for theme in ("light", "dark"):
        page.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
        assert page.run(FAINT) == [], theme
    assert page.run(UNNAMED) == []


TICKS = "return [...document.querySelectorAll('#picture .tick')].map((each) => each.textContent)"
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
