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
from contract_tests.test_page_calls import HOURLY, another_flow
from contract_tests.tutorial import AZURE_BLOB, GOOGLE, S3, SFTP
from contract_tests.webdriver import ENTER, ESCAPE, FAINT, SPACE, TAB, UNNAMED, Browser, State
from flow_service_emulator.control.overview import MAX_FLOWS

pytestmark = pytest.mark.skipif(webdriver.missing() is not None, reason=f"no browser: {webdriver.missing()}")
"""Without Chromium and its driver the tests are skipped."""
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
    window.wait(lambda: window.text("#live") == "Live")


def look_again(page: Browser, until: State | None = None) -> None:
    """What a person does who comes back to the tab: the page asks at once."""
    page.run("document.dispatchEvent(new Event('visibilitychange'))")
    page.wait(until)


def numbers(page: Browser) -> list[int]:
    """The numbers of the requests in the list, also of those that are folded away."""
    return page.all("#request-list > li", "value")


def test_a_walk_through_the_page(page: Browser, api: Api, export_dir: Path) -> None:
    """An empty emulator, a flow that comes to be, a day that passes, its files, and a request that is refused."""
    assert (page.text("#now"), page.text("#mode")) == ("2026-01-01 00:00:00 UTC", "frozen")
    assert "No exported file yet" in page.text("#files-empty")
    assert page.texts(".summary strong") == ["0", "none ahead", "no runs yet", "no requests yet"]
    api.flow(S3, HOURLY)
    page.wait(lambda: page.texts("#flow-list h3"))
    assert page.texts("#flow-list h3") == ["Activate datasets to an Amazon S3 cloud storage destination"]
    assert page.texts("#flow-list .next") == ["2026-01-01 00:10:00 UTC (in 10 min)"]
    page.run("getSelection().selectAllChildren(document.querySelector('#flow-list .id'))")
    api.advance(60)
    look_again(page, lambda: page.texts("#flow-list .ahead") == [" (in 9 min)"])
    assert [page.value("getSelection().toString()")] == page.texts("#flow-list .id")  # it stays selected
    assert "every 3 hours from 2026-01-01 00:10:00 UTC" in page.text("#flow-list")
    assert page.visible("#picture .ahead") == 1
    page.click("#to-next", lambda: page.text("#told") == "1 export ran. It is 2026-01-01 00:10:00 UTC.")
    page.click("#plus-1d", lambda: page.text("#told") == "8 exports ran. It is 2026-01-02 00:10:00 UTC.")
    page.wait(lambda: page.visible("#picture .success") == 9)
    titles = page.all("#picture .success title", "textContent")
    assert [title[:19] for title in titles] == [
        f"2026-01-0{1 + hour // 24} {hour % 24:02}:10:00" for hour in range(0, 27, 3)
    ]
    assert all(title.endswith(" rows in 1 file") for title in titles)
    assert page.text("#now") == "2026-01-02 00:10:00 UTC"
    assert page.texts("#flow-list .next") == ["2026-01-02 03:10:00 UTC (in 3 h)"]
    api.advance(3541)
    look_again(page, lambda: page.text("#sum-next") == "in 2 h")  # and 59 s, which nobody asks for
    api.advance(3599)
    look_again(page, lambda: page.text("#sum-next") == "in 1 h 1 min")
    assert page.texts(".summary strong")[:3:2] == ["1", "none"]
    page.click("#runs-details summary")
    assert len(page.texts("#run-rows tr")) == 9
    assert page.visible("#file-list tbody") == 3  # by run
    page.click("#files-more")
    assert page.visible("#file-list tbody") == 9

    newest = api.control("GET", "/exports")["items"][-1]
    assert page.text("#file-list .run").split("\n")[-1].endswith(f"1 file, {newest['rows']} rows")
    page.click("#file-list button", lambda: page.texts("#preview-rows tbody tr"))
    assert page.text("#preview-title") == newest["path"].rsplit("/", 1)[1]
    assert len(page.texts("#preview-rows tbody tr")) == 20
    assert f"the first 20 of {newest['rows']} rows" in page.text("#preview-about")
    first = json.loads((export_dir / newest["path"]).read_text("utf-8").splitlines()[0])
    assert page.texts("#preview-rows tbody tr:first-child td")[0] == str(next(iter(first.values())))
    page.press(ESCAPE, lambda: not page.value("document.querySelector('#preview').open"))

    assert api.post("/connections", WRONG).status_code == 400
    look_again(page, lambda: page.texts("#request-list > .violation"))
    for text in ("400", "POST /connections", "is required but missing", "(and 1 more)", "refused"):
        assert text in page.text("#request-list > li:first-child")
    assert page.text("#sum-refused") == f"1 of {len(numbers(page))}"
    page.press_on("#request-list .violation summary")
    page.wait(lambda: "provider-rejected" in page.text("#request-list .violation"))
    sent, answered = page.texts("#request-list .violation pre")
    assert "x-gw-ims-org-id: TEST@AdobeOrg" in sent and "x-api-key: ****" in sent and "test-token" not in sent
    assert "auth.params.s3SecretKey" in answered
    (entry,) = api.control("GET", "/requests", params={"verdict": "violation"})["items"]
    assert page.text("#request-list .hint") == entry["hint"]
    page.click("#request-list .ok summary", lambda: page.texts("#request-list .ok pre"))


def test_an_example_flow(page: Browser, api: Api, server: ServerProcess) -> None:
    """The empty state has a call that works as it stands, and a button that makes a flow; its card leads to what is its own."""
    assert page.value("document.querySelector('#curl').textContent").startswith(f"curl {server.url}/data/foundation/")
    page.click("#example", lambda: page.text("#told").startswith("An example flow is there"))
    assert api.control("GET", "/requests")["items"] == []  # it is no client's doing
    page.wait(lambda: page.visible("#file-list tbody") == 1)
    other = api.flow(S3, HOURLY)
    api.advance(600)
    api.get(f"/flows/{other}")
    look_again(page, lambda: page.visible("#file-list tbody") == 2)
    example = page.texts("#flow-list .id")[1]
    page.press_on(f"[data-key='{example} files']", lambda: page.focused() == "files-title")
    assert page.visible("#file-list tbody") == page.visible("#picture .success") == page.visible(".cards .id") == 1
    page.press_on("#flows-all", lambda: page.visible("#file-list tbody") == 2)
    page.press_on(f"[data-key='{other} requests']", lambda: page.focused() == "requests-title")
    looked_up, created = page.texts("#request-list > li .path")
    assert (looked_up, created) == (f"GET /flows/{other}", "POST /flows")  # which has the id in its answer alone
    page.devtools("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    page.press_on(f"[data-key='copy {other}']", lambda: page.value("navigator.clipboard.readText()") == other)


def test_the_api_is_described(page: Browser, server: ServerProcess) -> None:
    """Every operation of `/openapi.json`, found by words, with the fields of its body."""
    page.click("nav a[href$='api.html']", lambda: page.texts("main summary"))
    every = page.visible("main summary")
    page.enter("#wanted", "create a target")
    assert page.texts("main summary .path") == ["/data/foundation/flowservice/targetConnections"] and every > 60
    page.click("main summary", lambda: page.texts("main .fields"))
    for text in ("bucketName string, required", "x-sandbox-name", "201 Create a TargetConnection", "429 Too many"):
        assert text in page.text("main")
    page.devtools("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=True)
    assert page.value("document.documentElement.scrollWidth") <= 390
    assert page.value(f"(() => {{{UNNAMED}}})()") == []


def test_by_keyboard_alone(page: Browser, api: Api) -> None:
    """The skip link comes first; the clock's buttons, a scenario, a preview and the reset work without a mouse."""
    api.flow(SFTP, HOURLY)
    page.press(TAB)
    assert page.focused() == "Skip to the content"
    page.press(ENTER)
    assert page.value("location.hash") == "#main"
    page.run("window.scrollTo(0, 0); document.activeElement.blur(); document.querySelector('.skip').focus()")
    page.tab_to("plus-1d")
    page.press(ENTER, lambda: "8 exports ran" in page.text("#told"))
    assert page.focused() == "plus-1d"
    page.wait(lambda: page.visible("#file-list button") == 3)
    page.tab_to("Preview")
    page.press(ENTER, lambda: page.texts("#preview-rows tbody tr"))
    assert page.value("document.querySelector('#preview').contains(document.activeElement)")
    page.press(ESCAPE, lambda: not page.value("document.querySelector('#preview').open"))
    assert page.focused() == "Preview"
    page.tab_to("lost-update")
    page.press(SPACE, lambda: page.texts("#rule-list .name") == ["lost-update-1 (etag-changed)"])
    page.wait(lambda: page.focused() == "lost-update")
    page.press(SPACE, lambda: api.control("GET", "/faults")["rules"] == [])
    page.press_on("#files-more", lambda: page.visible("#file-list button") == 8)
    assert page.value("[...document.querySelectorAll('#file-list button')].indexOf(document.activeElement)") == 3
    for name in ("one", "two", "three"):  # where the focus is on what goes, it finds a neighbour
        api.control("POST", "/faults", {"kind": "error", "error": "service-unavailable", "times": 1, "id": name})
    look_again(page, lambda: page.visible("#rule-list li") == 3)
    for gone in ("one", "three"):
        page.press_on(f"[data-key={gone}]", lambda: page.value("document.activeElement.dataset.key") == "two")
    page.press_on("#faults-off", lambda: page.focused() == "faults-title")


def test_the_clock_runs_and_freezes(page: Browser, api: Api) -> None:
    page.click("#freeze")
    away = "behind" if time.time() > FROZEN_NOW else "ahead"
    page.wait(lambda: re.fullmatch(rf"real time, [1-9].* {away}", page.text("#mode")))
    assert api.control("GET", "/clock")["mode"] == "real"
    page.wait(lambda: page.text("#now") != "2026-01-01 00:00:00 UTC")
    page.click("#freeze", lambda: page.text("#mode") == "frozen")
    assert api.control("GET", "/clock")["mode"] == "frozen"
    assert page.value("document.querySelector('#to-next').getAttribute('aria-disabled')") == "true"
    api.control("PUT", "/clock", {"mode": "accelerated", "speed": 3600})
    look_again(page, lambda: page.text("#mode") == "3600 times as fast")
    page.click("#freeze", lambda: page.text("#freeze") == "Let it run, 3600 times as fast")
    page.click("#freeze", lambda: page.text("#told") == "Time passes, 3600 times as fast.")
    assert api.control("GET", "/clock")["speed"] == 3600


def test_faults_and_reset(page: Browser, api: Api, export_dir: Path) -> None:
    """A failed run says why; a request that a fault rule hit says so; a reset empties the page."""
    api.flow(S3, HOURLY)
    page.click("#scenario-list input[data-key='export-outage']", lambda: page.texts("#rule-list li"))
    page.click("#plus-3h", lambda: "1 without success" in page.text("#told"))
    page.wait(lambda: page.visible("#picture .failed") == 1)
    assert page.text("#sum-failure") == "2 h 50 min ago"
    page.click("#runs-details summary")
    (row,) = page.texts("#run-rows tr")
    assert "failed" in row and "ACTIVATION_BATCH-0000-FAILED" in row
    api.control("DELETE", "/faults")
    api.control("PUT", "/after-export", {"url": "http://127.0.0.1:1/"})  # where nobody listens
    api.advance(3 * 3600)
    api.control("PUT", "/after-export", {"url": None})
    look_again(page, lambda: len(page.texts("#run-rows tr")) == 2)
    told = r"failed: Connect call failed .*; http://127.0.0.1:1/ took [\d.]+ s: Connect call failed"
    assert re.search(told, page.text("#run-rows"))
    api.control("POST", "/faults", {"kind": "error", "error": "service-unavailable", "times": 1, "id": "mine"})
    assert api.get("/flows").status_code == 503
    look_again(page, lambda: "fault rule mine" in page.text("#request-list"))
    page.click("#faults-off", lambda: not page.texts("#rule-list li"))
    (file,) = api.advance(7 * 3600) and api.control("GET", "/exports")["items"][:1]
    page.click("#reset")
    for part in ("entities", "runs", "datasets put by calls", "fault rules", "requests", "contract report"):
        assert part in page.text("#reset-dialog")
    for button in ("#reset-exports", "#reset-no", "#reset", "#reset-yes"):  # what was not done is not ticked any more
        page.click(button)
    page.wait(lambda: "stay on disk, but are no longer listed" in page.text("#told"))
    page.wait(lambda: not page.texts("#flow-list li, #request-list li, #run-rows tr, #file-list tr"))
    assert (export_dir / file["path"]).is_file()
    for button in ("#reset", "#reset-exports", "#reset-yes"):
        page.click(button)
    page.wait(lambda: page.text("#told") == "Everything is forgotten. The export folder is empty.")
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
    look_again(page, lambda: page.texts("#flow-list h3")[:3:2] == [narrow, markup])
    page.wait(lambda: "/flows/<b>bold" in page.text("#request-list"))
    assert page.visible("main img, main script, main b") == 0
    assert page.value("document.title") == "Flow Service emulator"
    heights, titles = page.all("#flow-list h3", "offsetHeight"), page.all("#flow-list h3", "title")
    assert max(heights) <= 3 * 24 and titles[1] == wide
    drawn = page.all("#picture .name", "firstChild.data")
    room = page.value("document.querySelector('#picture').clientWidth")
    assert max(page.all("#picture .name", "getComputedTextLength()")) <= room and narrow in drawn
    page.click("#runs-details summary")
    assert min(page.all("#run-rows td:nth-child(2)", "offsetWidth")) >= 14 * 16
    assert page.run("const box = document.querySelector('#runs .wide'); return box.scrollWidth <= box.clientWidth")
    page.press_on("#file-list button", lambda: page.texts("#preview-rows tbody tr"))
    assert page.value("getComputedStyle(document.querySelector('#preview td')).textOverflow") == "ellipsis"
    cut = "[...document.querySelectorAll('#preview td')].filter((each) => each.innerText.length > 30 && each.title !== each.innerText)"
    assert page.value(f"{cut}.length") == 0


def test_a_server_that_does_not_answer(window: Browser, tmp_path: Path) -> None:
    """The clock stands still and says so, in words for people; all is well again when another one answers there."""
    with serving(tmp_path, "--clock", "3600", "--now", str(FROZEN_NOW)) as server:
        open_page(window, server)
        assert window.text("#mode") == "3600 times as fast"
        server.stop()
        window.run("performance.now = () => 1e12")  # a clock that still ran would be far in the future
        look_again(window, lambda: window.text("#live") == "The emulator does not answer")
        assert window.text("#mode").startswith("no answer, as of ")
        assert window.text("#now").startswith("2026-01-01 ")
        window.click("#plus-3h")
        gone = "That did not work: the emulator does not answer."
        window.wait(lambda: window.text("#told") == gone)
    with serving(tmp_path, "--port", server.url.rsplit(":", 1)[1]):
        look_again(window, lambda: window.text("#live") == "Live")
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
    page.wait(lambda: page.texts("#request-list > .violation"))
    page.press_on("#request-list .violation summary")
    assert page.value("document.documentElement.scrollWidth") <= 390
    page.run("document.documentElement.style.scrollBehavior = 'auto'; scrollTo(0, 600)")
    assert page.value("document.querySelector('#clock').getBoundingClientRect().bottom") < 0
    ticks = page.all("#picture .tick", "textContent")
    assert ticks[:1] == ["2026-01-01"] and len([tick for tick in ticks if ":" in tick]) >= 2
    for theme in ("light", "dark"):
        page.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
        assert page.run(FAINT) == [], theme
    assert page.run(UNNAMED) == []


def test_another_life_of_the_server(page: Browser, api: Api) -> None:
    """After a reset, a restored state or an emptied journal by somebody else, no request of the time before is shown."""

    def shown(path: str, count: int, *expected: int) -> None:
        for _ in range(count):
            api.get(path)
        look_again(page, lambda: numbers(page) == [*expected])

    shown("/flows/old", 3, 3, 2, 1)
    state = api.control("GET", "/state")
    api.control("POST", "/reset")
    shown("/flows/new", 4, 4, 3, 2, 1)
    assert "old" not in page.text("#request-list")
    api.control("PUT", "/state", state)
    shown("", 0, 3, 2, 1)
    assert "new" not in page.text("#request-list")
    api.control("DELETE", "/requests")
    shown("/flows/last", 1, 4)


def test_many_requests(page: Browser, api: Api, server: ServerProcess) -> None:
    """Most are folded away; counts go over all, whatever the report has; one is found by its verdict or a text."""
    for name in ("nowhere", "nowhere", "elsewhere"):
        api.get(f"/flows/{name}")
    for _ in range(210):
        api.get("/flows")
    api.control("DELETE", "/contract")
    open_page(page, server)
    assert len(numbers(page)) == 200 and page.visible("#request-list > li") == 20
    assert page.value("document.documentElement.scrollHeight") < 4000
    page.click("#requests-more")
    assert page.visible("#request-list > li") == 70
    assert (page.text("#requests-count"), page.text("#sum-refused")) == ("213, 3 refused", "3 of 213")
    assert page.text("#requests-note") == "The newest 200 of 213 are shown."
    for verdicts in ("violation", "violation injected failed"):
        page.enter("#verdicts", verdicts, lambda: numbers(page) == [3, 2, 1])
        assert page.text("#requests-note") == ""
        page.enter("#verdicts", "", lambda: len(numbers(page)) == 200)
    page.enter("#request-text", "elsewhere", lambda: numbers(page) == [3])
    page.press_on("#sum-refused-link", lambda: numbers(page) == [3, 2, 1])
    page.enter("#verdicts", "failed", lambda: page.text("#requests-none") == "There is no such request in the journal.")


def test_more_flows_than_are_shown(page: Browser, api: Api) -> None:
    """An old flow keeps its name and its last run, and is found by a part of its name; a deleted one is called so."""
    first = api.flow(S3, HOURLY)
    old = another_flow(api, first, "Straße in Old Town")
    api.advance(600)
    for number in range(MAX_FLOWS):
        another_flow(api, first, f"young {number}")
    api.delete(f"/flows/{first}")
    look_again(page, lambda: page.text("#flows-count") == f"the newest {MAX_FLOWS} of {MAX_FLOWS + 1}")
    page.click("#runs-details summary")
    shown = page.text("#run-rows")
    assert "Straße in Old Town" in shown and shown.count("deleted flow") == 1 and f"deleted flow {first[:8]}" in shown
    assert f"deleted flow {old[:8]}" not in page.text("#file-list")
    for wanted in ("STRASSE IN old", old[5:20]):
        page.enter("#flow-name", wanted, lambda: page.texts("#flow-list h3") == ["Straße in Old Town"])
        assert page.text("#flow-list .last").startswith("success, ")
        assert page.text("#flows-count") == f"1 found, {MAX_FLOWS + 1} in all"
        page.enter("#flow-name", "", lambda: len(page.texts("#flow-list h3")) > 1)
